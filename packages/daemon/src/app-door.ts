/**
 * What the doors to an exit have in common: the port on this machine, the apps that are connected to it, and the way from an
 * app's wish to a connection. What is spoken at the door is `socks5/` and `http-proxy/`.
 */
import type { Server, Socket } from 'node:net'
import type { Exit, ExitConnection, ExitTarget } from '@mixwright/client'
import { type Clock, type Logger, RealClock, silentLogger } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'

export interface AppDoorOptions {
  /**
   * The exit for a connection. `isolation` is a key made of the name and password that the app gave, undefined when it gave none:
   * connections of different keys should not share a client.
   */
  readonly exitFor: (isolation: string | undefined) => Pick<Exit, 'connect'> | Promise<Pick<Exit, 'connect'>>
  /** An IP address of this machine. There is no password: whoever reaches it uses the exit as this client. @default '127.0.0.1' */
  readonly host?: string
  /** 0 takes any free port. @default 1080 for SOCKS5, 8118 for HTTP */
  readonly port?: number
  /**
   * Say that the exit has connected before it has: saves one way through the mixnet, and when it cannot connect the app sees a
   * connection that breaks, without the reason. @default false
   */
  readonly eager?: boolean
  /** How long an app may take to say what it wants, milliseconds. @default 30000 */
  readonly handshakeTimeoutMs?: number
  /** Apps' connections at once; a further one is dropped. @default 1024 */
  readonly maximumConnections?: number
  /** @default silent */
  readonly logger?: Logger
  /** Tests only. @default the machine's */
  readonly clock?: Clock
}

export type DoorSettings = Required<AppDoorOptions>

/** The options with their defaults. */
export function doorSettings(options: AppDoorOptions, defaultPort: number): DoorSettings {
  return {
    host: '127.0.0.1',
    port: defaultPort,
    eager: false,
    handshakeTimeoutMs: 30_000,
    maximumConnections: 1024,
    logger: silentLogger,
    clock: new RealClock(),
    ...options,
  }
}

export class AppDoor implements AsyncDisposable {
  /** For the proxy settings of apps. */
  readonly url: string
  readonly port: number
  readonly #server: Server
  readonly #apps: ReadonlySet<Socket>
  #closing: Promise<void> | undefined

  protected constructor({ server, apps, url, port }: BoundDoor) {
    this.#server = server
    this.#apps = apps
    this.url = url
    this.port = port
  }

  /** Stop listening and cut the apps off. The exits stay. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#server.close(() => resolve())
      for (const app of this.#apps) app.destroy()
    })
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

export interface BoundDoor {
  readonly server: Server
  readonly apps: ReadonlySet<Socket>
  readonly url: string
  readonly port: number
}

/** Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
export async function bindDoor(
  server: Server,
  scheme: string,
  { host, port, maximumConnections, logger }: DoorSettings,
): Promise<BoundDoor> {
  const apps = new Set<Socket>()
  server.maxConnections = maximumConnections
  server.on('drop', () => logger.info({ maximumConnections }, 'an app was dropped: there are too many connections'))
  server.prependListener('connection', (app: Socket) => {
    apps.add(app)
    // What is to be done is done at `close`, which follows.
    app.on('error', () => {})
    app.once('close', () => apps.delete(app))
  })
  const bound = await listenOn(server, { host, port })
  return { server, apps, url: `${scheme}://${host.includes(':') ? `[${host}]` : host}:${bound}`, port: bound }
}

export interface Wish {
  readonly target: ExitTarget
  readonly isolation: string | undefined
}

/**
 * Connect through the exit, at most until `signal`, also when `exitFor` takes no notice. Errors: those of `exitFor` and of
 * `Exit.connect`; the signal's reason.
 */
export async function connectThroughExit(
  { exitFor, eager }: DoorSettings,
  { target, isolation }: Wish,
  signal: AbortSignal,
): Promise<ExitConnection> {
  const left = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  left.catch(() => {})
  signal.throwIfAborted()
  const exit = await Promise.race([exitFor(isolation), left])
  return Promise.race([exit.connect(target, { signal, eager }), left])
}

/** The app hung up while it waited: nobody is there to be told anything. */
export class AppLeft extends Error {}

/**
 * While `app` waits and says nothing: the signal fires, by `AppLeft`, when it hangs up. What it sends meanwhile is kept unread
 * up to the high-water mark; an app that sends and then ends its direction has not left. Stop watching before reading.
 */
export function watchForLeaving(app: Socket): { readonly signal: AbortSignal; stop(): void } {
  const leaving = new AbortController()
  const leave = () => leaving.abort(new AppLeft('the app hung up'))
  // Reads nothing; without it an end would go unseen.
  const look = () => void app.read(0)
  app.on('readable', look).once('end', leave).once('close', leave)
  if (app.destroyed) leave()
  return {
    signal: leaving.signal,
    stop: () => app.off('readable', look).off('end', leave).off('close', leave),
  }
}
