/**
 * The socket of a session over a websocket (02-gateway §1): what is written within one turn of the event loop leaves as one
 * packet; a client that sends more than it may is read more slowly; whatever a handler trips over ends this connection
 * and nothing else. What messages mean is the session's.
 */
import type { Duplex } from 'node:stream'
import type { Clock, Counter, Logger, Timer } from '@mixwright/runtime'
import type { RawData, WebSocket } from 'ws'
import type { Session, SessionSocket } from '../session.js'
import type { ClientAddress } from './client-addresses.js'
import type { GatewayLimits } from './gateway-limits.js'
import { TokenBucket } from './token-bucket.js'

/** For the last words to a client whose connection is ended, milliseconds. */
const GOODBYE_MS = 1_000
/** Shortest stop in reading, milliseconds: many messages are paid for by one timer. */
const SHORTEST_STOP_MS = 10

export interface ConnectionServices {
  readonly clock: Clock
  readonly logger: Logger
  readonly limits: GatewayLimits
  /** Stops in reading from clients that send too much. */
  readonly throttled: Counter
  openSession(socket: SessionSocket): Session
}

export class WebSocketConnection implements SessionSocket {
  readonly address: ClientAddress
  readonly #websocket: WebSocket
  readonly #stream: Duplex
  readonly #services: ConnectionServices
  readonly #bucket: TokenBucket
  readonly #session: Session
  #corked = false
  #ending = false
  /** Why nothing is read: the session wants it so, or a rate is exceeded until this timer. */
  #paused = false
  #throttle: Timer | undefined

  constructor(websocket: WebSocket, stream: Duplex, address: ClientAddress, services: ConnectionServices) {
    const { clock, limits } = services
    this.address = address
    this.#websocket = websocket
    this.#stream = stream
    this.#services = services
    this.#bucket = new TokenBucket(clock, limits.messagesPerSecond, limits.messageBurst)
    this.#session = services.openSession(this)
    websocket.on('message', (data, isBinary) => this.#onMessage(data, isBinary))
    websocket.on('ping', () => this.#guarded(() => {}))
    websocket.on('pong', (data) => this.#session.onPong(data))
    websocket.on('error', () => websocket.terminate())
    websocket.once('close', () => {
      this.#throttle?.cancel()
      this.#session.onClosed()
    })
  }

  get bufferedBytes(): number {
    return this.#websocket.bufferedAmount
  }

  get throttled(): boolean {
    return this.#throttle !== undefined
  }

  sendText(text: string): void {
    this.#batch()
    this.#websocket.send(text, { binary: false }, () => {})
  }

  sendBinary(data: Uint8Array, written: (error?: Error) => void): void {
    this.#batch()
    this.#websocket.send(data, { binary: true }, (error) => {
      // A write that a dying socket cuts short is reported as a good one.
      if (error || !this.#stream.destroyed) written(error ?? undefined)
      else written(new Error('the connection ended before'))
    })
  }

  ping(data: Uint8Array): void {
    if (this.#websocket.readyState === this.#websocket.OPEN) this.#websocket.ping(data)
  }

  terminate(): void {
    if (this.#ending) return
    this.#ending = true
    // What was written in this turn, an error's text above all, still leaves; but nobody is waited for.
    const timer = this.#services.clock.setTimer(GOODBYE_MS, () => this.#websocket.terminate(), { background: true })
    this.#websocket.once('close', () => timer.cancel())
    setImmediate(() => this.#stream.end(() => this.#websocket.terminate()))
  }

  /**
   * The gateway stops: nothing more is taken or written, what was written is to arrive, and the client to hang up. Messages for it are
   * stored from now on.
   */
  part(): void {
    this.#ending = true
    this.#throttle?.cancel()
    this.#session.onClosed()
    // What it still sends is read, and dropped: unread, it would take back what we wrote.
    this.#websocket.resume()
    setImmediate(() => this.#stream.end())
  }

  pause(): void {
    this.#paused = true
    this.#readOrNot()
  }

  resume(): void {
    this.#paused = false
    this.#readOrNot()
  }

  #readOrNot(): void {
    if (this.#paused || this.throttled) this.#websocket.pause()
    else this.#websocket.resume()
  }

  /** Hold writes back until the end of this turn of the event loop. */
  #batch(): void {
    if (this.#corked) return
    this.#corked = true
    this.#stream.cork()
    setImmediate(() => {
      this.#corked = false
      this.#stream.uncork()
    })
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    const bytes = data as Buffer
    this.#guarded(() => (isBinary ? this.#session.onBinary(bytes) : this.#session.onText(bytes.toString('utf8'))))
  }

  #guarded(handle: () => void): void {
    if (this.#ending) return
    const { limits, logger } = this.#services
    if (this.#websocket.bufferedAmount > limits.unreadBytes) return this.#websocket.terminate()
    this.#slowDown(this.#bucket.take())
    try {
      handle()
    } catch (error) {
      logger.error({ reason: (error as Error).message }, 'a client connection failed')
      this.#websocket.terminate()
    }
  }

  /** What was read already is still taken, on credit; the rest waits in TCP. */
  #slowDown(waitMs: number): void {
    if (waitMs === 0 || this.throttled) return
    this.#services.throttled.increment()
    this.#throttle = this.#services.clock.setTimer(
      Math.max(waitMs, SHORTEST_STOP_MS),
      () => {
        this.#throttle = undefined
        this.#readOrNot()
      },
      { background: true },
    )
    this.#readOrNot()
  }
}
