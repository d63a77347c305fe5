/**
 * The delay wheel: packets wait here for the delay that their sender drew (05-mixnode §8.2, §18.3 I). Slots of a
 * quarter of a millisecond, deadlines rounded up, one timer for the earliest slot: a packet leaves late by at most a slot
 * and the timer's own lateness, never early.
 */
import type { Clock, Timer } from '@mixwright/runtime'

export interface DelayWheelOptions {
  /** Longest delay that fits, milliseconds. @default 10000 */
  readonly maxDelayMs?: number
  /** Packets that may wait at once; past it `insert` refuses. @default 50000 (120 MB of regular packets) */
  readonly capacity?: number
}

/** Slots per millisecond. Finer than the timers of Node.js: a coarser grid would add its own rounding to theirs. */
const TICKS_PER_MS = 4
/** How far behind the timer may run before a delay near the maximum is cut short, milliseconds. */
const LATENESS_MS = 6384

export class DelayWheel<T> {
  readonly #clock: Clock
  readonly #release: (item: T) => void
  readonly #maxDelayMs: number
  readonly #capacity: number
  /** More slots than the longest delay needs: the rest is room for a late timer. */
  readonly #slots: (T[] | undefined)[]
  #size = 0
  /** Every slot before this tick has been released. Ticks count on the monotonic clock. */
  #tick: number
  #armedFor = Number.POSITIVE_INFINITY
  #timer: Timer | undefined

  constructor(clock: Clock, release: (item: T) => void, options: DelayWheelOptions = {}) {
    this.#clock = clock
    this.#release = release
    this.#maxDelayMs = options.maxDelayMs ?? 10_000
    this.#capacity = options.capacity ?? 50_000
    this.#slots = new Array((this.#maxDelayMs + LATENESS_MS) * TICKS_PER_MS)
    this.#tick = this.#now()
  }

  /** Packets that wait. */
  get size(): number {
    return this.#size
  }

  /** Keep `item` until `dueMs` on the monotonic clock (clamped to the longest delay). False when full. */
  insert(item: T, dueMs: number): boolean {
    if (this.#size >= this.#capacity) return false
    const now = this.#now()
    if (this.#size === 0) this.#tick = now
    const due = Math.min(Math.ceil(dueMs * TICKS_PER_MS), now + this.#maxDelayMs * TICKS_PER_MS)
    const tick = Math.min(Math.max(due, this.#tick), this.#tick + this.#slots.length - 1)
    const index = tick % this.#slots.length
    const slot = this.#slots[index]
    if (slot) slot.push(item)
    else this.#slots[index] = [item]
    this.#size++
    if (tick < this.#armedFor) this.#arm(tick)
    return true
  }

  /** Forget everything that waits; returns how many packets that were. */
  clear(): number {
    const lost = this.#size
    this.#timer?.cancel()
    this.#timer = undefined
    this.#armedFor = Number.POSITIVE_INFINITY
    this.#slots.fill(undefined)
    this.#size = 0
    return lost
  }

  #arm(tick: number): void {
    this.#timer?.cancel()
    this.#armedFor = tick
    this.#timer = this.#clock.setTimer(tick / TICKS_PER_MS - this.#clock.monotonic(), () => this.#turn())
  }

  /** Release every slot that is due now, then arm the timer for the next one. Timers may fire a little early: then wait again. */
  #turn(): void {
    this.#armedFor = Number.POSITIVE_INFINITY
    const now = this.#now()
    while (this.#size > 0 && this.#tick <= now) {
      const index = this.#tick % this.#slots.length
      const slot = this.#slots[index]
      this.#tick++
      if (slot === undefined) continue
      this.#slots[index] = undefined
      this.#size -= slot.length
      for (const item of slot) this.#release(item)
    }
    if (this.#size === 0) return
    let next = this.#tick
    while (this.#slots[next % this.#slots.length] === undefined) next++
    if (next < this.#armedFor) this.#arm(next)
  }

  /** The last tick that has begun. */
  #now(): number {
    return Math.floor(this.#clock.monotonic() * TICKS_PER_MS)
  }
}
