/**
 * The local websocket of `nym-client` (04-client §4.18.1, §4.18.6): a door on this machine for apps in any language. Who may
 * come in is decided here; what is said inside is `conversation.ts`, and `attached-app.ts` carries it.
 *
 * Differences from nym-client that no old app notices: pages of a browser are kept out unless allowed, a failed handshake
 * harms nobody, messages that no app took are not lost, several apps may be attached if allowed, and an app that asks for
 * them (`?receipts=1`) gets receipts.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Client } from '@mixwright/client'
import { type Clock, type Logger, RealClock, silentLogger, type Timer } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { WebSocketServer } from 'ws'
import { AttachedApp } from './attached-app.js'
import { MessageFeed } from './message-feed.js'

/** Longest message of an app, bytes. */
const MESSAGE_BYTES = 64 * 1024 * 1024
/** From the TCP connection to the end of the websocket upgrade, milliseconds. */
const UPGRADE_MS = 5_000
/** Open TCP connections, handshakes and attached apps together; a further one is dropped. */
const MAXIMUM_CONNECTIONS = 256
/** How long `close` waits for apps to say goodbye, milliseconds. */
const GOODBYE_MS = 500

export interface WebSocketApiOptions {
  /** An IP address of this machine. There is no password: whoever reaches it sends and reads as this client. @default '127.0.0.1' */
  readonly host?: string
  /** 0 takes any free port. @default 1977 */
  readonly port?: number
  /**
   * Origins of web pages that may connect, such as `http://localhost:5173`; `*` lets every page of every site in. Programs
   * that are no browser send no origin and may always. @default none
   */
  readonly allowOrigins?: readonly string[]
  /** `many`: each message goes to every attached app. @default 'one' */
  readonly apps?: 'one' | 'many'
  /** @default silent */
  readonly logger?: Logger
  /** Tests only. @default the machine's */
  readonly clock?: Clock
}

export class WebSocketApi implements AsyncDisposable {
  /** Where apps connect. */
  readonly url: string
  readonly port: number
  readonly #server: Server
  readonly #rooms: Rooms
  #closing: Promise<void> | undefined

  private constructor(server: Server, url: string, port: number, rooms: Rooms) {
    this.#server = server
    this.url = url
    this.port = port
    this.#rooms = rooms
  }

  /**
   * Open the door to `client`, whose `messages()` are from now on read by the apps. It closes with the client, or by
   * `close()`, which leaves the client as it is. Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`.
   */
  static async listen(client: Client, options: WebSocketApiOptions = {}): Promise<WebSocketApi> {
    const { host = '127.0.0.1', port = 1977, logger = silentLogger } = options
    const rooms: Rooms = { feed: new MessageFeed(client.messages()), apps: new Map(), handshakes: new Map() }
    const server = openDoor(client, options, rooms)
    const bound = await listenOn(server, { host, port })
    const api = new WebSocketApi(server, `ws://${host.includes(':') ? `[${host}]` : host}:${bound}`, bound, rooms)
    const feeding = rooms.feed.run().catch((error: Error) => {
      logger.error({ reason: error.message }, 'the messages of the client cannot be read')
    })
    void feeding.then(() => api.close())
    return api
  }

  /** Say goodbye to the apps and stop listening. What no app has taken stays with the client. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      const { feed, apps, handshakes } = this.#rooms
      const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
      for (const socket of handshakes.keys()) socket.destroy()
      for (const app of apps.values()) app.leave(GOODBYE_MS)
      feed.stop()
      await closed
    })()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

interface Rooms {
  readonly feed: MessageFeed
  readonly apps: Map<Socket, AttachedApp>
  /** TCP connections that are no websockets yet, each with the end of its time. */
  readonly handshakes: Map<Socket, Timer>
}

function openDoor(client: Client, options: WebSocketApiOptions, { feed, apps, handshakes }: Rooms): Server {
  const { clock = new RealClock(), logger = silentLogger, apps: allowed = 'one' } = options
  const originAllowed = originCheck(options.allowOrigins ?? [])
  const websockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES,
    autoPong: false,
  })
  /** An app that has said goodbye makes room at once, even if its socket is not closed yet. */
  const occupied = () => allowed === 'one' && [...apps.values()].some(({ open }) => open)
  const server = createServer({ noDelay: true }, (_request, response) => {
    response
      .writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket' })
      .end('This is a websocket for apps that use a mixnet client.\n')
  })
  const endHandshake = (socket: Socket) => {
    handshakes.get(socket)?.cancel()
    handshakes.delete(socket)
  }
  server.maxConnections = MAXIMUM_CONNECTIONS
  server.on('connection', (socket: Socket) => {
    handshakes.set(
      socket,
      clock.setTimer(UPGRADE_MS, () => socket.destroy(), { background: true }),
    )
    socket.once('close', () => endHandshake(socket))
    // A turn later: an app that left a moment ago, and comes back, may have its goodbye in the same turn.
    setImmediate(() => {
      if (occupied() && handshakes.has(socket)) socket.destroy()
    })
  })
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const { origin } = request.headers
    if (origin !== undefined && !originAllowed(origin)) {
      logger.warn({ origin }, 'a web page was refused; allow its origin if it is yours')
      return refuse(socket)
    }
    if (occupied()) return void socket.destroy()
    websockets.handleUpgrade(request, socket, head, (websocket) => {
      endHandshake(socket)
      const receipts = new URLSearchParams(request.url?.split('?')[1]).get('receipts') === '1'
      const app = new AttachedApp({ client, clock, logger, websocket, socket, receipts })
      apps.set(socket, app)
      feed.attach(app)
      websocket.once('close', () => {
        apps.delete(socket)
        feed.detach(app)
      })
    })
  })
  return server
}

/** Pages are known by the origin that browsers send with their request, and programs cannot forge from within a page. */
function originCheck(allowOrigins: readonly string[]): (origin: string) => boolean {
  const known = new Set(allowOrigins.map(plainOrigin))
  return (origin) => known.has('*') || known.has(plainOrigin(origin))
}

/** Lower case, without a slash at the end. */
function plainOrigin(origin: string): string {
  return origin.toLowerCase().replace(/\/$/, '')
}

const FORBIDDEN =
  'This websocket is for programs. To let a page in, start it with --allow-origin and the origin of the page.\n'

function refuse(socket: Duplex): void {
  socket.on('error', () => socket.destroy())
  socket.end(
    `HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${FORBIDDEN.length}\r\n\r\n${FORBIDDEN}`,
  )
}
