/**
 * Handlers that run: how many at once, for how long, and how they end with the service. JavaScript cannot stop a
 * function: one that is given up is told so by its signal, and what it returns later goes nowhere. Chapter: none, this
 * is the app's side of a service.
 */
import { type Clock, type LogFields, MixError } from '@mixwright/runtime'

/**
 * At so many bytes in the hands of handlers, or handlers given up that have not returned, nothing new begins before one
 * returns.
 */
const MOST_BYTES = 64 * 1024 ** 2
const MOST_LEFT_BEHIND = 1000

/** What a handler is given beside its message or stream. */
export interface HandlerContext {
  /** Aborts when the handler is given up: its time is over, or the service closes. */
  readonly signal: AbortSignal
}

export interface RunLimits {
  /** @default none */
  readonly timeoutMs?: number
  /** What the handler holds, until it returns. @default 0 */
  readonly bytes?: number
}

export class RunningHandlers {
  readonly #clock: Clock
  readonly #running = new Set<AbortController>()
  #leftBehind = 0
  #bytes = 0
  #ended = false
  /** Who waits for one of them to return. */
  #waiting: (() => void)[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get count(): number {
    return this.#running.size
  }

  /** Given up and not returned. */
  get leftBehind(): number {
    return this.#leftBehind
  }

  /**
   * Resolve with what `work` gives. Rejects with what it throws, with `MIX_HANDLER_TIMEOUT` after `timeoutMs`, and with
   * `MIX_SERVICE_CLOSED` when `end` gives it up.
   */
  async run<T>(
    work: (context: HandlerContext) => T | Promise<T>,
    { timeoutMs, bytes = 0 }: RunLimits = {},
  ): Promise<T> {
    const aborting = new AbortController()
    const { signal } = aborting
    const givenUp = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
    const timer =
      timeoutMs === undefined
        ? undefined
        : this.#clock.setTimer(timeoutMs, () => aborting.abort(timedOut(timeoutMs)), { background: true })
    this.#running.add(aborting)
    this.#bytes += bytes
    const working = (async () => work({ signal }))().finally(() => {
      this.#bytes -= bytes
    })
    try {
      return await Promise.race([working, givenUp])
    } catch (error) {
      if (signal.aborted) this.#leaveBehind(working)
      throw error
    } finally {
      timer?.cancel()
      this.#running.delete(aborting)
      this.#changed()
    }
  }

  /** Resolves when another one may begin beside fewer than `most`; at once after `end`. */
  async room(most: number): Promise<void> {
    const isFull = () => this.count >= most || this.#bytes >= MOST_BYTES || this.#leftBehind >= MOST_LEFT_BEHIND
    while (!this.#ended && isFull()) await this.#change()
  }

  /** Let those that run return, for `graceMs` at most; then give them up. */
  async end(graceMs: number): Promise<void> {
    this.#ended = true
    this.#changed()
    let late = false
    const timer = this.#clock.setTimer(graceMs, () => {
      late = true
      this.#changed()
    })
    while (this.count > 0 && !late) await this.#change()
    timer.cancel()
    for (const aborting of this.#running) aborting.abort(serviceClosed())
  }

  #leaveBehind(working: Promise<unknown>): void {
    this.#leftBehind++
    const returned = () => {
      this.#leftBehind--
      this.#changed()
    }
    working.then(returned, returned)
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #changed(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}

export function serviceClosed(): MixError {
  return new MixError('MIX_SERVICE_CLOSED', 'The service closes.', { kind: 'usage' })
}

/** What a log says of an error: a handler's own with the place in its code. */
export function logFieldsOf(error: unknown): LogFields {
  if (error instanceof MixError) return { code: error.code, reason: error.message }
  return { reason: error instanceof Error ? error.stack : String(error) }
}

function timedOut(timeoutMs: number): MixError {
  const message = `A handler did not return within ${timeoutMs} ms and was given up.`
  return new MixError('MIX_HANDLER_TIMEOUT', message, { kind: 'usage', data: { timeoutMs } })
}
