/**
 * One direction of a stream, on the side that writes (06-service-providers §7.1): what is written becomes numbered frames, as far as
 * may be under way. Pure. Losses are mended below it: a frame counts as under way until the peer's gateway has it.
 *
 * | bound | at it |
 * |---|---|
 * | 64 KiB written and not sent | writes wait |
 * | 128 frames, or 1 MiB, from the oldest that is under way | nothing more is sent: an official peer skips what is missing behind 256 |
 * | 16 frames before the stream is open | nothing more is sent: a peer keeps 32 frames of a stream whose Open it has not seen |
 * | the peer's credit, if it is one of ours | nothing more is sent |
 */
import { Fifo } from '../fifo.js'
import { WINDOW_BYTES } from './stream-receiver.js'

/** Who the other side is; `unknown`: it has not answered yet. */
export type Speech = 'unknown' | 'ours' | 'official'

/** Content of one frame, bytes. */
export const FRAME_BYTES = 65_536
const WRITTEN_BYTES = 65_536
const FRAMES_UNDER_WAY = 128
const FRAMES_BEFORE_OPEN = 16
const BYTES_UNDER_WAY = 1_048_576

export interface OutgoingFrame {
  readonly isEnd: boolean
  /** Counts frames from the first; the wire has it modulo 2^32. */
  readonly index: number
  readonly content: Uint8Array
}

export class StreamSender {
  readonly #written = new Fifo<Uint8Array>()
  #writtenBytes = 0
  #ending = false
  #endSent = false
  #index: number
  #sentBytes = 0
  #receivedBytes = 0
  #limit = WINDOW_BYTES
  /** By index, oldest first: bytes. */
  readonly #underWay = new Map<number, number>()
  #bytesUnderWay = 0

  /** `first`: index of the first frame, other than 0 only in tests. */
  constructor(first = 0) {
    this.#index = first
  }

  get hasRoom(): boolean {
    return this.#writtenBytes < WRITTEN_BYTES
  }

  /** Keeps views of the bytes, in frames of up to 64 KiB: one write is one frame if it fits. */
  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += FRAME_BYTES) this.#written.push(bytes.subarray(at, at + FRAME_BYTES))
    this.#writtenBytes += bytes.length
  }

  /** Nothing more will be written. */
  end(): void {
    this.#ending = true
  }

  /**
   * The frame to be sent now, if any. One of ours takes an end; an official one gives no credit.
   */
  next(speech: Speech, isOpen: boolean): OutgoingFrame | undefined {
    const oldest = this.#underWay.keys().next().value ?? this.#index
    if (this.#index - oldest >= FRAMES_UNDER_WAY || (!isOpen && this.#index >= FRAMES_BEFORE_OPEN)) return undefined
    const { first } = this.#written
    if (first === undefined) {
      if (!this.#ending || this.#endSent || speech !== 'ours') return undefined
      this.#endSent = true
      return this.#send(new Uint8Array(0), true)
    }
    if (this.#bytesUnderWay > 0 && this.#bytesUnderWay + first.length > BYTES_UNDER_WAY) return undefined
    if (speech !== 'official' && this.#sentBytes + first.length > this.#limit) return undefined
    this.#written.shift()
    this.#writtenBytes -= first.length
    this.#sentBytes += first.length
    return this.#send(first, false)
  }

  /** The peer's gateway has a frame. */
  acknowledged(index: number): void {
    this.#bytesUnderWay -= this.#underWay.get(index) ?? 0
    this.#underWay.delete(index)
  }

  /** The peer gives credit. */
  credit(received: number, limit: number): void {
    this.#receivedBytes = Math.max(this.#receivedBytes, received)
    this.#limit = Math.max(this.#limit, limit)
  }

  /** Whether the peer has everything, the end included: one of ours says so; of an official one its gateway does. */
  isDone(speech: Speech): boolean {
    if (speech === 'ours') return this.#endSent && this.#receivedBytes > this.#sentBytes
    return speech === 'official' && this.#ending && this.#written.size === 0 && this.#underWay.size === 0
  }

  #send(content: Uint8Array, isEnd: boolean): OutgoingFrame {
    const index = this.#index++
    this.#underWay.set(index, content.length)
    this.#bytesUnderWay += content.length
    return { isEnd, index, content }
  }
}
