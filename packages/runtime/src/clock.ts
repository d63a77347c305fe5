/**
 * Time as a thing that code is handed. `RealClock` is the machine's; `VirtualClock` moves only when told to,
 * so that a whole network can be run, and replayed, without waiting.
 */
import { type HeapTimer, TimerHeap } from './timer-heap.js'

/** A pending timer; `cancel` is idempotent. */
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Wall-clock time, milliseconds since 1970-01-01 UTC. May jump. */
  now(): number
  /** Milliseconds, fractional, from an arbitrary origin. Never goes back. */
  monotonic(): number
  /** Run `action` once, no earlier than `delayMs` from now. `background` timers do not keep a process alive. */
  setTimer(delayMs: number, action: () => void, options?: { background?: boolean }): Timer
}

/** The machine's clock. */
export class RealClock implements Clock {
  now(): number {
    return Date.now()
  }

  monotonic(): number {
    return performance.now()
  }

  setTimer(delayMs: number, action: () => void, options: { background?: boolean } = {}): Timer {
    // Node.js cuts fractions off: rounded up, a timer rarely fires before its time.
    const handle = setTimeout(action, Math.ceil(Math.max(0, delayMs)))
    if (options.background) (handle as { unref?: () => void }).unref?.()
    return { cancel: () => clearTimeout(handle) }
  }
}

/** A delay so short that adding it to a long time would change nothing: time would stand still for who waits for it. */
const SHORTEST_DELAY_MS = 1e-6

/** A clock that stands still until `advance` or `nextEvent` moves it. Timers fire in order of due time, then of creation. */
export class VirtualClock implements Clock {
  #elapsed = 0
  #sequence = 0
  readonly #origin: number
  readonly #timers = new TimerHeap()

  constructor(originMs = Date.UTC(2026, 0, 1)) {
    this.#origin = originMs
  }

  now(): number {
    return this.#origin + this.#elapsed
  }

  monotonic(): number {
    return this.#elapsed
  }

  setTimer(delayMs: number, action: () => void): Timer {
    // Also a delay that is no number counts as none, as on the machine's clock.
    const due = this.#elapsed + (delayMs > 0 ? Math.max(delayMs, SHORTEST_DELAY_MS) : 0)
    const timer: HeapTimer = { due, sequence: this.#sequence++, action, place: -1 }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.remove(timer) }
  }

  /** Number of timers that wait. */
  get pending(): number {
    return this.#timers.size
  }

  /** Move by `byMs`, firing every timer that falls due on the way, each at its own time. */
  advance(byMs: number): void {
    const target = this.#elapsed + byMs
    for (;;) {
      const timer = this.#timers.first
      if (timer === undefined || timer.due > target) break
      this.#fire(timer)
    }
    this.#elapsed = target
  }

  /** Jump to the next timer and fire it; false when none waits. */
  nextEvent(): boolean {
    const timer = this.#timers.first
    if (timer === undefined) return false
    this.#fire(timer)
    return true
  }

  #fire(timer: HeapTimer): void {
    this.#timers.remove(timer)
    this.#elapsed = Math.max(this.#elapsed, timer.due)
    timer.action()
  }
}

/** Resolve after `delayMs` on `clock`; reject with the signal's reason when aborted before. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = () => {
      timer.cancel()
      reject(signal?.reason)
    }
    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
