/**
 * The door for clients (02-gateway §1): a port, with or without TLS, on which any path is a websocket without subprotocol
 * and compression, pings answered at any time, messages capped. Each connection becomes a session.
 */
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import type { Clock } from '@mixwright/runtime'
import { type ListenAddress, listenOn } from '@mixwright/runtime/node'
import { MAX_BINARY_BYTES } from '@mixwright/wire'
import { WebSocketServer } from 'ws'
import type { ClientAddress, ClientAddresses } from './client-addresses.js'
import { type ConnectionServices, WebSocketConnection } from './websocket-connection.js'

/** From the TCP connection to the end of the websocket upgrade, milliseconds. Over TLS a few round trips more. */
const UPGRADE_MS = 1_500
const SECURE_UPGRADE_MS = 5_000
/** For clients to take what was written, and hang up, when the door closes, milliseconds. */
const PARTING_MS = 700

export interface WebSocketListenerOptions extends ConnectionServices {
  readonly clock: Clock
  readonly listen: ListenAddress
  readonly addresses: ClientAddresses
  /** With this it is `wss`: what to show to the next connection. */
  readonly certificate?: { readonly context: SecureContext } | undefined
}

export class WebSocketListener {
  readonly port: number
  readonly #server: Server
  readonly #sockets: ReadonlySet<Socket>
  readonly #connections: ReadonlySet<WebSocketConnection>
  readonly #clock: Clock

  private constructor(
    server: Server,
    port: number,
    sockets: ReadonlySet<Socket>,
    connections: ReadonlySet<WebSocketConnection>,
    clock: Clock,
  ) {
    this.#server = server
    this.port = port
    this.#sockets = sockets
    this.#connections = connections
    this.#clock = clock
  }

  /** Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  static async open(options: WebSocketListenerOptions): Promise<WebSocketListener> {
    const { clock, addresses, certificate } = options
    const sockets = new Set<Socket>()
    const connections = new Set<WebSocketConnection>()
    /** Connections on the way to their upgrade, as what HTTP sees: the socket itself, or TLS on it. */
    const arriving = new WeakMap<object, { address: ClientAddress; upgraded(): void }>()
    const websockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: MAX_BINARY_BYTES,
    })
    const http = createHttpServer((_request, response) => {
      response
        .writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket' })
        .end('This is a websocket for Nym clients.\n')
    })
    http.on('upgrade', (request, stream, head) => {
      websockets.handleUpgrade(request, stream, head, (websocket) => {
        const arrival = arriving.get(stream)
        if (arrival === undefined) return websocket.terminate()
        arrival.upgraded()
        const connection = new WebSocketConnection(websocket, stream, arrival.address, options)
        connections.add(connection)
        websocket.once('close', () => connections.delete(connection))
      })
    })
    const server = createServer({ noDelay: true }, (socket) => {
      const address = addresses.enter(socket.remoteAddress ?? '')
      if (address === undefined) return socket.destroy()
      sockets.add(socket)
      socket.on('error', () => {})
      const timer = clock.setTimer(certificate ? SECURE_UPGRADE_MS : UPGRADE_MS, () => socket.destroy(), {
        background: true,
      })
      socket.once('close', () => {
        timer.cancel()
        sockets.delete(socket)
        address.leave()
      })
      const stream = certificate
        ? new TLSSocket(socket, { isServer: true, secureContext: certificate.context })
        : socket
      stream.on('error', () => socket.destroy())
      arriving.set(stream, { address, upgraded: () => timer.cancel() })
      http.emit('connection', stream)
    })
    const port = await listenOn(server, options.listen)
    return new WebSocketListener(server, port, sockets, connections, clock)
  }

  /**
   * Stop listening, and end every connection, without Close frames. What was written, and so acknowledged, still arrives: a socket that is
   * destroyed with something unread in it takes back what its peer has not read. Who has not hung up in time is dropped.
   */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const connection of this.#connections) connection.part()
    const timer = this.#clock.setTimer(PARTING_MS, () => {
      for (const socket of this.#sockets) socket.destroy()
    })
    await closed
    timer.cancel()
  }
}
