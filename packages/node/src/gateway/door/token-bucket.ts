/**
 * A rate with room for bursts: tokens come back with time, and what is done takes one. The holder says what happens when
 * there is none: wait for `take`, refuse for `tryTake`.
 */
import type { Clock } from '@mixwright/runtime'

export class TokenBucket {
  readonly #clock: Clock
  readonly #perSecond: number
  readonly #burst: number
  #tokens: number
  #refilledAtMs: number

  /** Begins full. Both numbers may be `Infinity`. */
  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock
    this.#perSecond = perSecond
    this.#burst = burst
    this.#tokens = burst
    this.#refilledAtMs = clock.monotonic()
  }

  /** Take one, also on credit; how long to wait before the next, milliseconds, 0 while nothing is owed. */
  take(): number {
    this.#refill()
    this.#tokens--
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#perSecond) * 1000
  }

  /** Take one if there is one. */
  tryTake(): boolean {
    this.#refill()
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** Whether it remembers nothing: one made anew would be the same. */
  get full(): boolean {
    this.#refill()
    return this.#tokens >= this.#burst
  }

  #refill(): void {
    const now = this.#clock.monotonic()
    const elapsedMs = now - this.#refilledAtMs
    if (elapsedMs <= 0) return
    this.#refilledAtMs = now
    this.#tokens = Math.min(this.#burst, this.#tokens + (elapsedMs / 1000) * this.#perSecond)
  }
}
