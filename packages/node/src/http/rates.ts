/** How fast counters move: looked at every 30 seconds, as the official node does (05-mixnode §14). */
import type { Clock, Timer } from '@mixwright/runtime'

export const INTERVAL_MS = 30_000

/** Readings by name, at one moment. */
export interface Sample {
  /** Unix milliseconds. */
  readonly atMs: number
  readonly values: Readonly<Record<string, number>>
}

export class Rates<Name extends string> {
  readonly #clock: Clock
  readonly #read: Readonly<Record<Name, () => number>>
  /** The last two samples; rates lie between them. */
  #previous: Sample
  #latest: Sample
  #seconds = 0
  #latestAt: number
  #timer: Timer | undefined

  constructor(clock: Clock, read: Readonly<Record<Name, () => number>>) {
    this.#clock = clock
    this.#read = read
    this.#latest = this.#sample()
    this.#previous = this.#latest
    this.#latestAt = clock.monotonic()
    this.#schedule()
  }

  get previous(): Sample {
    return this.#previous
  }

  get latest(): Sample {
    return this.#latest
  }

  /** By how much it grew in the last interval. */
  growth(name: Name): number {
    return (this.#latest.values[name] ?? 0) - (this.#previous.values[name] ?? 0)
  }

  /** Per second, over the last interval; 0 before the first has ended. */
  perSecond(name: Name): number {
    return this.#seconds > 0 ? this.growth(name) / this.#seconds : 0
  }

  close(): void {
    this.#timer?.cancel()
  }

  #schedule(): void {
    this.#timer = this.#clock.setTimer(
      INTERVAL_MS,
      () => {
        this.#previous = this.#latest
        this.#latest = this.#sample()
        const now = this.#clock.monotonic()
        this.#seconds = (now - this.#latestAt) / 1000
        this.#latestAt = now
        this.#schedule()
      },
      { background: true },
    )
  }

  #sample(): Sample {
    const values = Object.fromEntries(Object.entries<() => number>(this.#read).map(([name, read]) => [name, read()]))
    return { atMs: this.#clock.now(), values }
  }
}
