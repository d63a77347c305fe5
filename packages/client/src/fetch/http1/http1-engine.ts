/**
 * HTTP/1.1 for browsers, and the connections that are kept for it. Connections to one origin are limited; more requests wait for one
 * in the order in which they came, as many as the app starts.
 */
import type { Clock, Timer } from '@mixwright/runtime'
import type { ExitConnection } from '../../exit/exit-api.js'
import { exitError } from '../../exit/exit-error.js'
import type { ByteStream } from '../../streams/byte-stream.js'
import { whenAborted } from '../../when-aborted.js'
import type { Dial, HttpAnswer, HttpEngine, HttpRequest, Tls } from '../fetch-api.js'
import { fetchError } from '../fetch-error.js'
import { targetOf } from '../target.js'
import { Http1Connection } from './http1-connection.js'

/** To one origin, at once. */
export const CONNECTIONS = 16
/** How long an unused connection is kept; less where the server says so. */
export const KEEP_ALIVE_MS = 60_000
/** A server that keeps connections this much longer than it says loses none of our requests. */
const KEEP_ALIVE_MARGIN_MS = 2_000

interface Idle {
  readonly connection: Http1Connection
  readonly timer: Timer
}

interface Origin {
  readonly idle: Idle[]
  /** All, the idle ones too. */
  open: number
  readonly waiting: (() => void)[]
}

export class Http1Engine implements HttpEngine {
  readonly #dial: Dial
  readonly #tls: Tls | undefined
  readonly #clock: Clock
  readonly #origins = new Map<string, Origin>()
  readonly #closing = new AbortController()

  constructor(dial: Dial, tls: Tls | undefined, clock: Clock) {
    this.#dial = dial
    this.#tls = tls
    this.#clock = clock
  }

  async exchange(request: HttpRequest, signal: AbortSignal | undefined, fresh: boolean): Promise<HttpAnswer> {
    const { url } = request
    if (url.protocol === 'https:' && this.#tls === undefined)
      throw fetchError(
        'MIX_FETCH_TLS_MISSING',
        'For https: give createFetch the option tls: createTls(), which @mixwright/client/tls exports.',
      )
    signal?.throwIfAborted()
    this.#closing.signal.throwIfAborted()
    const connection = await this.#connection(url, signal, fresh)
    return connection.exchange(request, signal)
  }

  async close(): Promise<void> {
    this.#closing.abort(exitError('MIX_EXIT_CLOSED', 'This fetch was closed.', 'usage'))
  }

  async #connection(url: URL, signal: AbortSignal | undefined, fresh: boolean): Promise<Http1Connection> {
    const origin = this.#origins.get(url.origin) ?? { idle: [], open: 0, waiting: [] }
    for (;;) {
      const idle = origin.idle.pop()
      idle?.timer.cancel()
      if (idle !== undefined && !fresh) return idle.connection
      idle?.connection.end(undefined)
      if (origin.open < CONNECTIONS) break
      await this.#turn(origin, signal)
      if (signal?.aborted || this.#closing.signal.aborted) {
        origin.waiting.shift()?.()
        throw signal?.aborted ? signal.reason : this.#closing.signal.reason
      }
    }
    origin.open++
    this.#origins.set(url.origin, origin)
    try {
      return await this.#open(url, origin, signal)
    } catch (error) {
      this.#left(url.origin, origin)
      throw error
    }
  }

  /** Wait until a connection is free, or one has ended. */
  #turn(origin: Origin, signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const stops: (() => void)[] = []
      const go = () => {
        for (const stop of stops) stop()
        resolve()
      }
      const leave = (reason: unknown) => {
        for (const stop of stops) stop()
        origin.waiting.splice(origin.waiting.indexOf(go), 1)
        reject(reason)
      }
      for (const each of signal === undefined ? [this.#closing.signal] : [this.#closing.signal, signal])
        stops.push(whenAborted(each, () => leave(each.reason)))
      origin.waiting.push(go)
    })
  }

  async #open(url: URL, origin: Origin, signal: AbortSignal | undefined): Promise<Http1Connection> {
    const target = targetOf(url)
    // The request's own signal is not for a connection that others use after it.
    const dialling = new AbortController()
    const stops = [this.#closing.signal, ...(signal === undefined ? [] : [signal])].map((each) =>
      whenAborted(each, () => dialling.abort(each.reason)),
    )
    let exit: ExitConnection | undefined
    try {
      exit = await this.#dial(target, { eager: true, signal: dialling.signal })
      const stream: ByteStream = url.protocol === 'https:' ? await this.#tls!.open(exit, target.host) : exit
      dialling.signal.throwIfAborted()
      const { abort } = exit
      const onClosing = whenAborted(this.#closing.signal, () => connection.end(this.#closing.signal.reason))
      const connection = new Http1Connection(stream, abort.bind(exit), (freed, keepMs) => {
        if (keepMs > 0) return this.#keep(origin, freed, keepMs)
        onClosing()
        this.#left(url.origin, origin)
      })
      return connection
    } catch (error) {
      exit?.abort(error)
      dialling.signal.throwIfAborted()
      throw error
    } finally {
      for (const stop of stops) stop()
    }
  }

  #keep(origin: Origin, connection: Http1Connection, keepMs: number): void {
    const ms = Math.min(KEEP_ALIVE_MS, keepMs - KEEP_ALIVE_MARGIN_MS)
    if (ms <= 0) return connection.end(undefined)
    const drop = () => {
      const at = origin.idle.indexOf(idle)
      if (at === -1) return
      origin.idle.splice(at, 1)
      idle.timer.cancel()
      connection.end(undefined)
    }
    const idle: Idle = { connection, timer: this.#clock.setTimer(ms, drop, { background: true }) }
    origin.idle.push(idle)
    connection.watchIdle(drop)
    origin.waiting.shift()?.()
  }

  #left(name: string, origin: Origin): void {
    origin.open--
    const next = origin.waiting.shift()
    if (next !== undefined) next()
    else if (origin.open === 0) this.#origins.delete(name)
  }
}
