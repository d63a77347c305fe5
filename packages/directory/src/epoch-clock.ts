/**
 * When the directory has to do something by the time of day (03-directory §7): an epoch begins, or the keys of the next rotation
 * are to be collected, at 25 % and 75 % of the last epoch before it. Wall clocks jump, so it looks again at least every half
 * minute; epochs never go back because of it by less than a whole one, and with the clock if it was set back further.
 */
import type { Clock, Timer } from '@mixwright/runtime'
import { type Epoch, type EpochSchedule, epochAt, epochOf } from './epoch.js'

export interface EpochClockOptions {
  readonly clock: Clock
  readonly schedule: EpochSchedule
  /** An epoch has begun. `setBack`: the clock was, and it is an earlier one than before. */
  onEpoch(epoch: Epoch, setBack: boolean): void
  /** Nodes show the keys of the rotation to come. */
  onCollect(epoch: Epoch): void
}

/** Parts of an epoch, in quarters, at which keys are collected. */
const COLLECTION_QUARTERS: readonly number[] = [1, 3]
const LONGEST_WAIT_MS = 30_000

export class EpochClock {
  readonly #options: EpochClockOptions
  #timer: Timer | undefined
  #epoch: Epoch
  /** Quarters of the running epoch that have begun. */
  #quarter: number

  constructor(options: EpochClockOptions) {
    this.#options = options
    this.#epoch = epochAt(options.schedule, options.clock.now())
    this.#quarter = this.#quarterNow()
  }

  /** The epoch that runs. */
  get epoch(): Epoch {
    const now = epochAt(this.#options.schedule, this.#options.clock.now())
    return now.id === this.#epoch.id - 1 ? this.#epoch : now
  }

  start(): void {
    this.#arm()
  }

  close(): void {
    this.#timer?.cancel()
  }

  #quarterNow(): number {
    const { startMs, endMs } = this.#epoch
    return Math.floor((4 * (this.#options.clock.now() - startMs)) / (endMs - startMs))
  }

  #arm(): void {
    const { clock } = this.#options
    const { startMs, endMs } = this.#epoch
    const next = startMs + ((endMs - startMs) * (this.#quarter + 1)) / 4
    const wait = Math.min(Math.max(1, next - clock.now()), LONGEST_WAIT_MS)
    this.#timer = clock.setTimer(wait, () => this.#look(), { background: true })
  }

  #look(): void {
    const { schedule, onEpoch, onCollect } = this.#options
    const { epoch } = this
    const before = this.#epoch.id
    if (epoch.id !== before) {
      this.#epoch = epoch
      this.#quarter = Math.max(0, this.#quarterNow())
      // Armed first: what is done now may take a while.
      this.#arm()
      return onEpoch(epoch, epoch.id < before)
    }
    const quarter = this.#quarterNow()
    const passed = COLLECTION_QUARTERS.some((at) => at > this.#quarter && at <= quarter)
    this.#quarter = Math.max(this.#quarter, quarter)
    this.#arm()
    if (passed && epochOf(schedule, epoch.id + 1).rotationId !== epoch.rotationId) onCollect(epoch)
  }
}
