/**
 * How many reply blocks the one who accepted a stream of ours has left, by what it has sent, and when it gets more, so that it
 * need not ask: an answer that waits for blocks waits for a way there and back. The stock grows with use: short streams cost little.
 * Pure. What was used for packets sent twice is not seen here; for those it asks.
 */

/** Of a frame; less than any packet takes. */
const BYTES_PER_REPLY_PACKET = 1500
/** Enough for what may be under way. */
const LARGEST_STOCK = 320

export class ReplyStock {
  #stock: number
  #left: number

  /** `given`: with the Open. */
  constructor(given: number) {
    this.#stock = given
    this.#left = given
  }

  /** A frame of so many bytes came by our reply blocks. */
  used(bytes: number): void {
    this.#left -= Math.ceil(bytes / BYTES_PER_REPLY_PACKET)
  }

  get isLow(): boolean {
    return this.#left < (3 * this.#stock) / 4
  }

  /** Blocks to go with the next message: double what there was, up to 320 in hand. */
  refill(): number {
    this.#stock = Math.max(this.#stock, Math.min(LARGEST_STOCK, 2 * this.#stock))
    const count = this.#stock - Math.max(0, this.#left)
    this.#left = this.#stock
    return count
  }
}
