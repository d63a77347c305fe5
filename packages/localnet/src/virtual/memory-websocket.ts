/**
 * Websockets between clients and gateways over the switchboard: the client's side as `WebSocketLike` of `@mixwright/client`,
 * the gateway's as `SessionSocket` of `@mixwright/node`. Messages are whole, pings are answered by the client's websocket, and
 * closing is without Close frames.
 */
import type { OpenWebSocket, WebSocketLike } from '@mixwright/client/platform'
import type { ClientListener, SessionSocket, WebSocketListenerOptions } from '@mixwright/node'
import { MixError } from '@mixwright/runtime'
import type { End } from './connection.js'
import type { Host, Switchboard } from './switchboard.js'

export type WebSocketMessage =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'binary' | 'ping' | 'pong'; readonly data: Uint8Array }

/** Frame header and masking key, bytes. */
const OVERHEAD_BYTES = 8

function bytesOf(message: WebSocketMessage): number {
  return OVERHEAD_BYTES + (message.kind === 'text' ? message.text.length : message.data.length)
}

/** Listen for clients as `host.process`. Error: `MIX_PORT_IN_USE`. */
export async function listenForClients(
  board: Switchboard<WebSocketMessage>,
  host: Host,
  { listen, addresses, openSession }: WebSocketListenerOptions,
): Promise<ClientListener> {
  const ends = new Set<End<WebSocketMessage>>()
  const server = board.listen(host, listen.port, {
    accepted(end, remoteIp) {
      const address = addresses.enter(remoteIp)
      if (address === undefined) return end.destroy()
      ends.add(end)
      const send = (message: WebSocketMessage, written?: (error?: Error) => void) =>
        end.write(message, bytesOf(message), written)
      const socket: SessionSocket = {
        address,
        throttled: false,
        get bufferedBytes() {
          return end.bufferedBytes
        },
        sendText: (text) => send({ kind: 'text', text }),
        sendBinary: (data, written) => send({ kind: 'binary', data }, written),
        ping: (data) => send({ kind: 'ping', data }),
        terminate: () => end.end(),
        pause: () => end.pause(),
        resume: () => end.resume(),
      }
      const session = openSession(socket)
      end.attach({
        data(message) {
          if (message.kind === 'text') session.onText(message.text)
          else if (message.kind === 'binary') session.onBinary(message.data)
          else if (message.kind === 'pong') session.onPong(message.data)
        },
        closed() {
          ends.delete(end)
          address.leave()
          session.onClosed()
        },
      })
    },
  })
  if (server === undefined)
    throw new MixError('MIX_PORT_IN_USE', `Port ${listen.port} of ${host.ip} is in use.`, { kind: 'local' })
  return {
    port: server.port,
    async close() {
      server.close()
      for (const end of [...ends]) end.destroy()
    },
  }
}

/** How the client that runs as `host.process` opens websockets. */
export function memoryWebSockets(board: Switchboard<WebSocketMessage>, host: Host): OpenWebSocket {
  return (url) => new MemoryWebSocket(board, host, url)
}

interface Listeners {
  readonly open: ((event: object) => void)[]
  readonly close: ((event: object) => void)[]
  readonly error: ((event: object) => void)[]
  readonly message: ((event: { readonly data: unknown }) => void)[]
}

class MemoryWebSocket implements WebSocketLike {
  binaryType = 'arraybuffer'
  readonly #end: End<WebSocketMessage>
  readonly #listeners: Listeners = { open: [], close: [], error: [], message: [] }

  constructor(board: Switchboard<WebSocketMessage>, host: Host, url: string) {
    const { hostname, port } = new URL(url)
    this.#end = board.connect(host, hostname, Number(port))
    this.#end.attach({
      opened: () => this.#tell('open'),
      data: (message) => this.#received(message),
      closed: () => this.#tell('close'),
    })
  }

  get bufferedAmount(): number {
    return this.#end.bufferedBytes
  }

  addEventListener(type: 'open' | 'close' | 'error', listener: (event: object) => void): void
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
  addEventListener(type: keyof Listeners, listener: (event: { readonly data: unknown }) => void): void {
    this.#listeners[type].push(listener as (event: object) => void)
  }

  send(data: string | Uint8Array): void {
    const message: WebSocketMessage =
      typeof data === 'string' ? { kind: 'text', text: data } : { kind: 'binary', data: data.slice() }
    this.#end.write(message, bytesOf(message))
  }

  close(): void {
    this.#end.end()
  }

  terminate(): void {
    this.#end.destroy()
  }

  #received(message: WebSocketMessage): void {
    if (message.kind === 'ping') {
      const pong: WebSocketMessage = { kind: 'pong', data: message.data }
      this.#end.write(pong, bytesOf(pong))
    } else if (message.kind === 'text') this.#tell('message', message.text)
    else if (message.kind === 'binary') this.#tell('message', message.data.slice().buffer)
  }

  #tell(type: keyof Listeners, data?: unknown): void {
    for (const listener of this.#listeners[type]) listener({ data })
  }
}
