/**
 * Both directions of a connection as web streams, over callbacks: what a stream between clients (06-service-providers §7) and a
 * connection through an exit (§2.4) have in common. What comes is kept until the app reads it; the bound on that is its
 * owner's, who is told of every byte read. What the app writes is handed over one chunk at a time, at the owner's pace.
 */
import { concatBytes } from '@mixwright/runtime'

/** Chunks that wait as they came; behind them small ones are put together, so that a peer's single bytes do not cost a hundred each. */
const CHUNKS_APART = 64
const GATHERED_BYTES = 16_384

/** A connection in both directions. */
export interface ByteStream {
  /** Ends when the peer has ended its direction; errors when the connection fails. */
  readonly readable: ReadableStream<Uint8Array>
  /** Closing it ends our direction only: what the peer still sends can be read. Writes wait for room. */
  readonly writable: WritableStream<Uint8Array>
}

/** What the app does. */
export interface ByteStreamOwner {
  /** Take a chunk; resolve when the next may come. A rejection errors the writable. */
  write(chunk: Uint8Array): Promise<void>
  /** Our direction ends in order; resolve once the peer will know. */
  finish(): Promise<void>
  /** The app gave up, on either direction. */
  abort(reason: unknown): void
  /** So many bytes have gone to the app. */
  read(bytes: number): void
}

export class ByteStreamPair implements ByteStream {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
  #incoming!: ReadableStreamDefaultController<Uint8Array>
  #outgoing!: WritableStreamDefaultController
  /** Not handed to the app yet. */
  readonly #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #ended = false
  /** Nothing can be handed to the app any more. */
  #closed = false
  #wanted = false
  readonly #owner: ByteStreamOwner

  constructor(owner: ByteStreamOwner) {
    this.#owner = owner
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#incoming = controller
        },
        pull: () => {
          this.#wanted = true
          this.#hand()
        },
        cancel: (reason) => {
          this.#closed = true
          this.#drop()
          owner.abort(reason)
        },
      },
      // Nothing is handed over before the app asks for it: what waits is counted here.
      { highWaterMark: 0 },
    )
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#outgoing = controller
      },
      write: (chunk) => owner.write(chunk),
      close: () => owner.finish(),
      abort: (reason) => owner.abort(reason),
    })
  }

  /** Bytes that came and were not read. */
  get unreadBytes(): number {
    return this.#waitingBytes
  }

  /** Bytes came, in order. Ignored after the end. */
  push(bytes: Uint8Array): void {
    if (this.#ended || this.#closed || bytes.length === 0) return
    const last = this.#waiting.length < CHUNKS_APART ? undefined : this.#waiting.at(-1)
    if (last !== undefined && last.length + bytes.length <= GATHERED_BYTES)
      this.#waiting[this.#waiting.length - 1] = concatBytes(last, bytes)
    else this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.#hand()
  }

  /** The peer's direction has ended in order. */
  end(): void {
    if (this.#ended || this.#closed) return
    this.#ended = true
    this.#hand()
  }

  /** The connection failed: both directions error, and what was not read is dropped. Does nothing after the end of both. */
  fail(reason: unknown): void {
    this.#drop()
    if (!this.#closed) this.#incoming.error(reason)
    this.#closed = true
    this.#outgoing.error(reason)
  }

  #drop(): void {
    this.#waiting.length = 0
    this.#waitingBytes = 0
  }

  #hand(): void {
    const first = this.#wanted ? this.#waiting.shift() : undefined
    if (first !== undefined) {
      this.#wanted = false
      this.#waitingBytes -= first.length
      this.#incoming.enqueue(first)
      this.#owner.read(first.length)
    }
    if (this.#ended && this.#waiting.length === 0 && !this.#closed) {
      this.#closed = true
      this.#incoming.close()
    }
  }
}
