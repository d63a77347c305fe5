/** Streams between clients (06-service-providers §7): what an app sees of them, types only. */
import type { ByteStream } from './byte-stream.js'

export interface OpenStreamOptions {
  /**
   * Who answers there. `mixwright`: a client of this library; ends of streams, flow control and resets are spoken with it, and
   * `opened` waits for its answer. `nym-sdk`: an official client, which answers nothing; `opened` waits until its gateway has
   * the first message. An official client that writes first may be reached as `mixwright` too. @default 'mixwright'
   */
  readonly peer?: 'mixwright' | 'nym-sdk'
  /** Reply blocks to open with; to an official client, also with every message. 1 to 500. @default 10 */
  readonly replySurbs?: number
  /** Gives up opening; afterwards it ends the stream. */
  readonly signal?: AbortSignal
}

/** What streams of both sides have. All errors are `MixError`s, or the reason given to `abort` or by the signal. */
export interface ClientStream extends ByteStream {
  /** Chosen at random by who opened it. u64. */
  readonly id: bigint
  /**
   * Both directions have ended in order; rejects with why it ended otherwise: `MIX_STREAM_SILENT` (no answer to the first message
   * in 10 s), `MIX_STREAM_REFUSED`, `MIX_STREAM_RESET`, `MIX_STREAM_OVERFLOW` (more came than was allowed), `MIX_STREAM_IDLE` (30
   * minutes without a message), `MIX_STREAM_CLOSED`, or the error of a message that could not be sent. An unread rejection is silent.
   */
  readonly closed: Promise<void>
  /** End it now, in both directions: what was not sent is dropped. A peer of ours is told. */
  abort(reason?: unknown): void
}

/** A stream that we opened. What is written before it is open goes along at once. */
export interface OutgoingStream extends ClientStream {
  /** The peer has it; see `OpenStreamOptions.peer`. Rejects with the errors of `closed`. An unread rejection is silent. */
  readonly opened: Promise<void>
}

/** A stream that somebody opened to us. */
export interface IncomingStream extends ClientStream {
  /** Of who opened it; it may open several. */
  readonly senderTag: string
}
