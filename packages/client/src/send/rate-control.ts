/**
 * Slowing the main stream down when the link to the gateway does not take its packets (04-client §4.11.4): the mean interval
 * is multiplied by 1 to 6. It depends on the link alone, never on what there is to send. Pure: time is handed in.
 */

/** A link with more unsent bytes is full: 32 packets of 2452 bytes. */
export const FULL_LINK_BYTES = 32 * 2452
/** Above a third of that there is back-pressure. */
const BACK_PRESSURE_BYTES = FULL_LINK_BYTES / 3
const SLOWEST = 6
const RAISE_AFTER_MS = 1000
const LOWER_AFTER_MS = 2000

export class RateControl {
  #multiplier = 1
  #changedAtMs = Number.NEGATIVE_INFINITY
  #pressureAtMs = Number.NEGATIVE_INFINITY

  get multiplier(): number {
    return this.#multiplier
  }

  /** To be told at every slot. */
  observe(unsentBytes: number, nowMs: number): void {
    if (unsentBytes > BACK_PRESSURE_BYTES) this.#pressureAtMs = nowMs
    if (unsentBytes >= FULL_LINK_BYTES) {
      if (this.#multiplier < SLOWEST && nowMs - this.#changedAtMs > RAISE_AFTER_MS) this.#change(1, nowMs)
    } else if (this.#multiplier > 1) {
      const calm = nowMs - this.#pressureAtMs > LOWER_AFTER_MS
      if (calm && nowMs - this.#changedAtMs > LOWER_AFTER_MS) this.#change(-1, nowMs)
    }
  }

  #change(by: number, nowMs: number): void {
    this.#multiplier += by
    this.#changedAtMs = nowMs
  }
}
