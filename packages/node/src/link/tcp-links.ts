/** Links over TCP. `TCP_NODELAY` on both sides: mixing decides when a packet leaves, not Nagle (05-mixnode §6.1). */
import { connect, createServer, Socket } from 'node:net'
import { type ListenAddress, listenOn } from '@mixwright/runtime/node'
import type { NodeAddress } from '@mixwright/sphinx'
import { canonicalIp } from './ip-address.js'
import type { AcceptOptions, Link, LinkEvents, LinkServer, Links } from './link.js'

/**
 * After so long a silence the system asks whether the other side is still there: nothing is ever written on a link that came in,
 * so one whose peer lost power would otherwise stay open for ever.
 */
const KEEP_ALIVE_MS = 60_000

export const tcpLinks: Links = {
  async listen(address: ListenAddress, { maximumLinks, refused, accepted }: AcceptOptions): Promise<LinkServer> {
    const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }, (socket) => {
      const link = new TcpLink(socket)
      attach(socket, accepted(link))
    })
    server.maxConnections = maximumLinks
    server.on('drop', refused)
    const port = await listenOn(server, address)
    return { port, close: () => new Promise<void>((resolve) => server.close(() => resolve())) }
  },

  connect({ host, port }: NodeAddress, events: LinkEvents, localAddress?: string): Link {
    let socket: Socket
    try {
      socket = connect({ host, port, noDelay: true, ...(localAddress !== undefined && { localAddress }) })
    } catch (error) {
      // Port 0 and the like: an address that can never be reached fails as one that cannot be now.
      socket = new Socket()
      socket.destroy(error as Error)
    }
    attach(socket, events)
    return new TcpLink(socket)
  },
}

function attach(socket: Socket, events: LinkEvents): void {
  socket.once('connect', () => events.opened?.())
  socket.on('data', (chunk) => events.data(chunk))
  socket.on('drain', () => events.drained?.())
  socket.on('error', () => {})
  socket.once('close', () => events.closed())
}

class TcpLink implements Link {
  readonly remoteIp: string
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
    this.remoteIp = canonicalIp(socket.remoteAddress ?? '')
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  write(chunks: readonly Uint8Array[], written?: (error?: Error) => void): void {
    const last = chunks.length - 1
    this.#socket.cork()
    chunks.forEach((chunk, index) => {
      if (index === last && written) this.#socket.write(chunk, (error) => written(error ?? undefined))
      else this.#socket.write(chunk)
    })
    this.#socket.uncork()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
