/**
 * One direction of a stream, on the side that reads (06-service-providers §7.1): puts frames in order, and tells a peer of ours
 * how much more it may send. Pure.
 *
 * | bound | at it |
 * |---|---|
 * | 512 KiB not read by the app | a peer of ours stops; if it does not: `too-much` |
 * | 16 MiB not read, of an official peer, which knows no stopping | `too-much` |
 * | 256 frames behind one that is missing | of an official peer the missing one is skipped, as it does itself |
 * | 4096 places behind it | of a peer of ours: `too-much`; it never has so many under way |
 */
import type { Credit } from './stream-extension.js'

/** What may be sent and not read yet, bytes. The first of them need no credit. */
export const WINDOW_BYTES = 524_288
/** So many bytes read are worth a new credit. */
const STEP_BYTES = 131_072
const OFFICIAL_BYTES = 16_777_216
const OFFICIAL_FRAMES = 256
const FURTHEST = 4096

interface Stored {
  readonly content: Uint8Array
  readonly isEnd: boolean
}

export type Taken = 'taken' | 'old' | 'repeated' | 'too-much'

export class StreamReceiver {
  /** By index, ahead of `#next` or at it. */
  readonly #stored = new Map<number, Stored>()
  #storedBytes = 0
  #next: number
  #receivedBytes = 0
  #readBytes = 0
  #ended = false
  #given: Credit = { received: 0, limit: WINDOW_BYTES }

  /** `first`: index of the first frame, other than 0 only in tests. */
  constructor(first = 0) {
    this.#next = first
  }

  /** Bytes that are here and were not read by the app. */
  get heldBytes(): number {
    return this.#storedBytes + this.#receivedBytes - this.#readBytes
  }

  /** The peer's direction has ended, and everything before was drained. */
  get ended(): boolean {
    return this.#ended
  }

  /** Bytes came with the Open, in front of everything. */
  begin(bytes: number): void {
    this.#receivedBytes += bytes
  }

  /** A frame came. `sequence`: u32. */
  take(sequence: number, content: Uint8Array, isEnd: boolean, isOurs: boolean): Taken {
    const ahead = (sequence - this.#next) | 0
    const index = this.#next + ahead
    if (ahead < 0 || this.#ended) return 'old'
    if (this.#stored.has(index)) return 'repeated'
    if (isOurs && ahead > FURTHEST) return 'too-much'
    const bytes = this.#receivedBytes + this.#storedBytes + content.length
    if (isOurs ? bytes > this.#given.limit : bytes - this.#readBytes > OFFICIAL_BYTES) return 'too-much'
    this.#stored.set(index, { content, isEnd })
    this.#storedBytes += content.length
    if (!isOurs && this.#stored.size > OFFICIAL_FRAMES) this.#next = Math.min(...this.#stored.keys())
    return 'taken'
  }

  /** What can be handed on, in order. */
  drain(): Uint8Array[] {
    const contents: Uint8Array[] = []
    for (;;) {
      const stored = this.#ended ? undefined : this.#stored.get(this.#next)
      if (stored === undefined) return contents
      this.#stored.delete(this.#next++)
      this.#storedBytes -= stored.content.length
      this.#receivedBytes += stored.content.length
      if (stored.content.length > 0) contents.push(stored.content)
      if (!stored.isEnd) continue
      this.#ended = true
      this.#stored.clear()
      this.#storedBytes = 0
    }
  }

  /** The app took so many bytes. */
  read(bytes: number): void {
    this.#readBytes += bytes
  }

  /** What the peer should be told, if it is worth a message now, or `always`. */
  credit(always = false): Credit | undefined {
    const received = this.#receivedBytes + (this.#ended ? 1 : 0)
    const limit = this.#readBytes + WINDOW_BYTES
    const endIsNews = this.#ended && this.#given.received < received
    const isWorthIt = endIsNews || (!this.#ended && limit - this.#given.limit >= STEP_BYTES)
    if (!isWorthIt && !always) return undefined
    this.#given = { received, limit }
    return this.#given
  }
}
