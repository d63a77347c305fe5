/**
 * How many packets may be under way when no stream paces them: as many as the way takes without queueing. What an ack takes
 * longer than the delays that were drawn is time in queues (and on wires); the window grows while that is short and
 * shrinks while it is long. Pure.
 */

/** Time in queues at which the window neither grows nor shrinks. */
const TARGET_MS = 250
const FIRST_PACKETS = 64
const FEWEST_PACKETS = 16
const MOST_PACKETS = 512
/** A full window of slow acks shrinks it by this part at most. */
const STRONGEST_SHRINKING = 0.5

export class SendWindow {
  #packets = FIRST_PACKETS

  /** Packets that may be under way. */
  get packets(): number {
    return Math.floor(this.#packets)
  }

  /** An ack came, so much later than the delays drawn explain. */
  acknowledged(excessMs: number): void {
    // One window of acks without any queue lets it grow by half, one of twice the target shrinks it by half.
    const distance = Math.max(-1, (TARGET_MS - excessMs) / TARGET_MS)
    this.#move(STRONGEST_SHRINKING * distance)
  }

  /** An ack did not come in time. */
  late(): void {
    this.#move(-1)
  }

  #move(packets: number): void {
    this.#packets = Math.min(MOST_PACKETS, Math.max(FEWEST_PACKETS, this.#packets + packets))
  }
}
