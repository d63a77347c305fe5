/**
 * The websocket for clients (02-gateway §1): any path, no subprotocol, no compression, pings answered at any time, messages
 * capped. Each connection becomes a session; what is written within one turn of the event loop leaves as one packet.
 */
import { createServer, type Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock, Logger, Metrics } from '@mixwright/runtime'
import { type ListenAddress, listenOn } from '@mixwright/runtime/node'
import { MAX_BINARY_BYTES } from '@mixwright/wire'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import type { Session, SessionSocket } from './session.js'

/** From the TCP connection to the end of the websocket upgrade, milliseconds. */
const UPGRADE_MS = 1_500
/** For the last words to a client whose connection is ended, milliseconds. */
const GOODBYE_MS = 1_000
/** Unsent bytes past which a client that goes on asking without reading is dropped. More than any page of pushes. */
const UNREAD_BYTES = 16 * 1024 * 1024

export interface WebSocketListenerOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly listen: ListenAddress
  /** Open client connections; over it a TCP connection is dropped. */
  readonly maximumConnections: number
  openSession(socket: SessionSocket): Session
}

export class WebSocketListener {
  readonly port: number
  readonly #server: Server
  readonly #sockets: ReadonlySet<Socket>

  private constructor(server: Server, port: number, sockets: ReadonlySet<Socket>) {
    this.#server = server
    this.port = port
    this.#sockets = sockets
  }

  static async open(options: WebSocketListenerOptions): Promise<WebSocketListener> {
    const sockets = new Set<Socket>()
    options.metrics.gauge(
      'nym_node_network_active_ingress_web_socket_connections',
      'Open client connections',
      {},
      () => sockets.size,
    )
    const websockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: MAX_BINARY_BYTES,
    })
    const server = createServer({ noDelay: true }, (_request, response) => {
      response
        .writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket' })
        .end('This is a websocket for Nym clients.\n')
    })
    server.maxConnections = options.maximumConnections
    const upgraded = new WeakSet<Socket>()
    server.on('connection', (socket: Socket) => {
      sockets.add(socket)
      const timer = options.clock.setTimer(UPGRADE_MS, () => !upgraded.has(socket) && socket.destroy(), {
        background: true,
      })
      socket.once('close', () => {
        timer.cancel()
        sockets.delete(socket)
      })
    })
    server.on('upgrade', (request, socket: Socket, head) => {
      websockets.handleUpgrade(request, socket, head, (websocket) => {
        upgraded.add(socket)
        serve(websocket, socket, options)
      })
    })
    const port = await listenOn(server, options.listen)
    return new WebSocketListener(server, port, sockets)
  }

  /** Drop every connection, without Close frames, and stop listening. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}

function serve(websocket: WebSocket, socket: Socket, { clock, logger, openSession }: WebSocketListenerOptions): void {
  let corked = false
  let ending = false
  /** Hold writes back until the end of this turn of the event loop. */
  const batch = () => {
    if (corked) return
    corked = true
    socket.cork()
    setImmediate(() => {
      corked = false
      socket.uncork()
    })
  }
  const session = openSession({
    get bufferedBytes() {
      return websocket.bufferedAmount
    },
    sendText(text) {
      batch()
      websocket.send(text, { binary: false }, () => {})
    },
    sendBinary(data, written) {
      batch()
      websocket.send(data, { binary: true }, (error) => {
        // A write that a dying socket cuts short is reported as a good one.
        if (error || !socket.destroyed) written(error ?? undefined)
        else written(new Error('the connection ended before'))
      })
    },
    ping(data) {
      if (websocket.readyState === websocket.OPEN) websocket.ping(data)
    },
    terminate() {
      if (ending) return
      ending = true
      // What was written in this turn, an error's text above all, still leaves; but nobody is waited for.
      const timer = clock.setTimer(GOODBYE_MS, () => websocket.terminate(), { background: true })
      websocket.once('close', () => timer.cancel())
      setImmediate(() => socket.end(() => websocket.terminate()))
    },
    pause: () => websocket.pause(),
    resume: () => websocket.resume(),
  })
  /** Whatever a handler trips over ends this connection, never the process. */
  const guarded = (handle: () => void) => {
    if (ending) return
    if (websocket.bufferedAmount > UNREAD_BYTES) return websocket.terminate()
    try {
      handle()
    } catch (error) {
      logger.error({ reason: (error as Error).message }, 'a client connection failed')
      websocket.terminate()
    }
  }
  websocket.on('message', (data: RawData, isBinary: boolean) => {
    const bytes = data as Buffer
    guarded(() => (isBinary ? session.onBinary(bytes) : session.onText(bytes.toString('utf8'))))
  })
  websocket.on('ping', () => guarded(() => {}))
  websocket.on('pong', (data) => session.onPong(data))
  websocket.on('error', () => websocket.terminate())
  websocket.once('close', () => session.onClosed())
}
