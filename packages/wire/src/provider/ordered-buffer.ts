/**
 * Messages of one direction of a connection, put in order (06-service-providers §2.4). Sequence numbers count messages from 0.
 * Timers and what becomes of the data are left to whoever owns the connection.
 */

/** A message that is further ahead of the next one than this is dropped for good; its sender has to keep below. */
const WINDOW = 1000n

/**
 * - `taken`: kept for its turn
 * - `old`: its turn is over, or everything's is, since the close was read
 * - `repeated`: the message of this number is waiting already; that one stays
 * - `too-far`: beyond the window
 */
export type OrderedWrite = 'taken' | 'old' | 'repeated' | 'too-far'

export interface OrderedRead {
  /** In order, empty messages left out: keepalives and closes give an empty list. */
  readonly data: Uint8Array[]
  /** The close was reached: nothing follows, ever. */
  readonly closed: boolean
}

/**
 * At most 1001 messages are held. How many bytes that are is `bytes`, for the owner to bound.
 * A close ends the data where it stands in the sequence, however early it arrives; what lies past it is never read, and a
 * second close further on changes nothing.
 */
export class OrderedBuffer {
  readonly #waiting = new Map<bigint, { readonly data: Uint8Array; readonly closed: boolean }>()
  #next = 0n
  #closed = false
  #bytes = 0

  /** Data bytes that wait for their turn. */
  get bytes(): number {
    return this.#bytes
  }

  /** After `read`: later messages wait for one that is missing. */
  get hasGap(): boolean {
    return this.#waiting.size > 0
  }

  /** Take one message; `data` is kept, not copied. */
  write(sequence: bigint, data: Uint8Array, closed: boolean): OrderedWrite {
    if (this.#closed || sequence < this.#next) return 'old'
    if (sequence > this.#next + WINDOW) return 'too-far'
    if (this.#waiting.has(sequence)) return 'repeated'
    this.#waiting.set(sequence, { data, closed })
    this.#bytes += data.length
    return 'taken'
  }

  /** Everything whose turn has come; undefined when the next message is missing. */
  read(): OrderedRead | undefined {
    const data: Uint8Array[] = []
    const start = this.#next
    for (let message = this.#waiting.get(start); message !== undefined; message = this.#waiting.get(this.#next)) {
      this.#waiting.delete(this.#next++)
      this.#bytes -= message.data.length
      if (message.data.length > 0) data.push(message.data)
      if (!message.closed) continue
      this.#closed = true
      this.#waiting.clear()
      this.#bytes = 0
    }
    return this.#next === start ? undefined : { data, closed: this.#closed }
  }
}
