/**
 * When packets leave (04-client §4.11). With a main stream: at its slots, each carrying what waits or else cover, and loop
 * cover on a stream of its own. Without: as soon as there is something. It asks for packets and never looks into them.
 */
import type { Clock, Random, Timer } from '@mixwright/runtime'
import type { Profile } from '../profile.js'
import { PoissonSchedule } from './poisson-schedule.js'
import { FULL_LINK_BYTES, RateControl } from './rate-control.js'

/** What fills a slot. */
export type Filling = 'data-or-loop' | 'data-or-drop' | 'data' | 'loop'

export interface SendStreamOptions {
  readonly clock: Clock
  readonly random: Random
  readonly profile: Profile
  /** Loop cover at a rate of its own and drop cover in the empty slots of the main stream. */
  readonly constantLoops: boolean
  /** Bytes that the link has not passed on; undefined while nothing can be sent (no link, no network known). */
  readonly unsentBytes: () => number | undefined
  /** Send one packet. False when there was nothing to send, which happens for `data` only. */
  readonly transmit: (filling: Filling) => boolean
}

/** Packets sent in one go without a main stream, before others get their turn. */
const BURST_PACKETS = 16
/** How soon a full link is looked at again without a main stream. */
const FULL_LINK_POLL_MS = 5

export class SendStream {
  readonly #options: SendStreamOptions
  readonly #rate = new RateControl()
  readonly #meanLoopMs: number
  #main: PoissonSchedule | undefined
  #loops: PoissonSchedule | undefined
  #timer: Timer | undefined
  #running = false

  constructor(options: SendStreamOptions) {
    this.#options = options
    const { averageLoopCoverDelayMs, averageSendingDelayMs } = options.profile
    // What the main stream would have sent as loops when idle now comes from the loop stream, always.
    this.#meanLoopMs =
      options.constantLoops && averageSendingDelayMs > 0 ? averageSendingDelayMs : averageLoopCoverDelayMs
  }

  /** Sending is possible (again): slots are counted from now. */
  start(): void {
    if (this.#running) return
    this.#running = true
    const { clock, random, profile } = this.#options
    const now = clock.monotonic()
    if (profile.averageSendingDelayMs > 0) this.#main = new PoissonSchedule(random, profile.averageSendingDelayMs, now)
    if (this.#meanLoopMs > 0) this.#loops = new PoissonSchedule(random, this.#meanLoopMs, now)
    this.#arm()
    this.wake()
  }

  /** Sending is not possible. */
  stop(): void {
    this.#running = false
    this.#timer?.cancel()
    this.#timer = undefined
    this.#main = undefined
    this.#loops = undefined
  }

  /** There is something to send. A main stream does not care: its slots come anyway. */
  wake(): void {
    if (!this.#running || this.#main !== undefined || this.#bursting !== undefined) return
    this.#bursting = this.#options.clock.setTimer(0, () => this.#burst())
  }

  #bursting: Timer | undefined

  #burst(): void {
    this.#bursting = undefined
    for (let sent = 0; sent < BURST_PACKETS; sent++) {
      if (!this.#running) return
      const unsent = this.#options.unsentBytes()
      if (unsent === undefined) return
      if (unsent >= FULL_LINK_BYTES) {
        this.#bursting = this.#options.clock.setTimer(FULL_LINK_POLL_MS, () => this.#burst())
        return
      }
      if (!this.#options.transmit('data')) return
    }
    this.#bursting = this.#options.clock.setTimer(0, () => this.#burst())
  }

  #arm(): void {
    this.#timer = undefined
    if (!this.#running) return
    const next = Math.min(this.#main?.nextMs ?? Infinity, this.#loops?.nextMs ?? Infinity)
    if (next === Infinity) return
    const { clock } = this.#options
    this.#timer = clock.setTimer(Math.max(0, next - clock.monotonic()), () => this.#serve())
  }

  /** All slots up to now, in their order. */
  #serve(): void {
    const now = this.#options.clock.monotonic()
    while (this.#running) {
      const main = this.#main?.nextMs ?? Infinity
      const loop = this.#loops?.nextMs ?? Infinity
      if (Math.min(main, loop) > now) break
      const unsent = this.#options.unsentBytes()
      if (main <= loop) {
        if (unsent !== undefined) this.#rate.observe(unsent, now)
        this.#main?.advance(now, this.#rate.multiplier)
      } else this.#loops?.advance(now)
      // A full link gets nothing more: data waits, cover is left out.
      if (unsent === undefined || unsent >= FULL_LINK_BYTES) continue
      this.#options.transmit(main <= loop ? (this.#options.constantLoops ? 'data-or-drop' : 'data-or-loop') : 'loop')
    }
    this.#arm()
  }
}
