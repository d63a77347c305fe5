/**
 * When the slots of a stream are (04-client §4.11.3): exponential intervals, each counted from the slot before and not from
 * when it was served, so that late timers do not slow the stream down. Pure: time is handed in.
 */
import type { Random } from '@mixwright/runtime'
import { exponential } from '../directory/route.js'

/** Slots missed for longer than this are left out: a laptop that wakes up must not send an hour's worth at once. */
const LONGEST_CATCH_UP_MS = 1000

export class PoissonSchedule {
  readonly #random: Random
  readonly #meanMs: number
  #nextMs: number

  constructor(random: Random, meanMs: number, nowMs: number) {
    this.#random = random
    this.#meanMs = meanMs
    this.#nextMs = nowMs + exponential(random, meanMs)
  }

  /** The next slot. */
  get nextMs(): number {
    return this.#nextMs
  }

  /** Pass the next slot; `slowdown` (1 or more) stretches the interval after it. */
  advance(nowMs: number, slowdown = 1): void {
    const from = this.#nextMs < nowMs - LONGEST_CATCH_UP_MS ? nowMs : this.#nextMs
    this.#nextMs = from + exponential(this.#random, this.#meanMs * slowdown)
  }
}
