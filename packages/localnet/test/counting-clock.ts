/** A clock that knows how many of its timers wait: who had something ended has none left. */
import type { Clock, Timer } from '@mixwright/runtime'

export class CountingClock implements Clock {
  readonly #clock: Clock
  readonly #waiting = new Set<Timer>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get pending(): number {
    return this.#waiting.size
  }

  now(): number {
    return this.#clock.now()
  }

  monotonic(): number {
    return this.#clock.monotonic()
  }

  setTimer(delayMs: number, action: () => void, options?: { background?: boolean }): Timer {
    const fire = () => {
      this.#waiting.delete(counted)
      action()
    }
    const timer = this.#clock.setTimer(delayMs, fire, options)
    const counted = {
      cancel: () => {
        this.#waiting.delete(counted)
        timer.cancel()
      },
    }
    this.#waiting.add(counted)
    return counted
  }
}
