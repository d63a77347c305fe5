/**
 * The way between two computers, with what may be wrong with it. All connections between the two share it, and what is wrong
 * holds for both directions. TCP never loses a byte silently: a bad way delays, holds up, or breaks connections.
 */
import { type Random, uniform, type VirtualClock } from '@mixwright/runtime'

/** What a connection does when its way changes. */
export interface Traveller {
  /** The way was cut or is open again. */
  wayChanged(): void
  /** Both sides see the connection broken; what is under way is lost. */
  reset(): void
}

export class Path {
  /** One way, milliseconds. */
  latencyMs: number
  /** Up to this is added to the latency of each segment; order is kept. Milliseconds. */
  jitterMs = 0
  /** Of each connection and direction. */
  bytesPerSecond = Number.POSITIVE_INFINITY
  /** Probability, for each write to a connection, that this write and the connection are lost. */
  resetProbability = 0
  readonly #clock: VirtualClock
  readonly #random: Random
  readonly #travellers = new Set<Traveller>()
  #isCut = false
  #waiting: (() => void)[] = []

  constructor(clock: VirtualClock, random: Random, latencyMs: number) {
    this.#clock = clock
    this.#random = random
    this.latencyMs = latencyMs
  }

  get isCut(): boolean {
    return this.#isCut
  }

  /** Nothing comes through any more, and nobody is told: what is under way waits. */
  cut(): void {
    this.#isCut = true
  }

  heal(): void {
    this.#isCut = false
    const waiting = this.#waiting
    this.#waiting = []
    for (const action of waiting) action()
    for (const traveller of [...this.#travellers]) traveller.wayChanged()
  }

  /** Break every connection that is open now. */
  reset(): void {
    for (const traveller of [...this.#travellers]) traveller.reset()
  }

  enter(traveller: Traveller): void {
    this.#travellers.add(traveller)
  }

  leave(traveller: Traveller): void {
    this.#travellers.delete(traveller)
  }

  /** Connections open or being opened. */
  get connections(): number {
    return this.#travellers.size
  }

  /** How long a segment takes that leaves now, milliseconds. */
  travelMs(): number {
    return this.latencyMs + (this.jitterMs > 0 ? this.jitterMs * uniform(this.#random) : 0)
  }

  breaksNow(): boolean {
    return this.resetProbability > 0 && uniform(this.#random) < this.resetProbability
  }

  /** Do `action` at the other side: after the latency, and not before the way is open. */
  travel(action: () => void): void {
    this.#clock.setTimer(this.travelMs(), () => {
      if (this.#isCut) this.#waiting.push(action)
      else action()
    })
  }
}
