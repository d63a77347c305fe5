/**
 * Frames of streams that nobody has opened yet: in a mixnet, data overtakes the Open often (06-service-providers §7.1). Pure.
 * 64 streams of 32 frames, 4 MiB in all, for ten seconds; the stream that began first goes first.
 */
import type { StreamFrame } from '@mixwright/wire'

const MOST_STREAMS = 64
const MOST_FRAMES = 32
const MOST_BYTES = 4_194_304
/** As long as an opener of ours hopes. Official peers keep them for five seconds. */
const AGE_MS = 10_000

interface Orphans {
  readonly bornMs: number
  readonly frames: StreamFrame[]
  bytes: number
}

export class OrphanFrames {
  /** Oldest first. */
  readonly #streams = new Map<string, Orphans>()
  #bytes = 0
  readonly #onDrop: (reason: string) => void
  readonly #onStreamDropped: (key: string, frame: StreamFrame) => void

  /** `onStreamDropped`: with the first frame of a stream that nobody opened in time, or for which there was no room. */
  constructor(onDrop: (reason: string) => void, onStreamDropped: (key: string, frame: StreamFrame) => void) {
    this.#onDrop = onDrop
    this.#onStreamDropped = onStreamDropped
  }

  get streams(): number {
    return this.#streams.size
  }

  /** `key` names the stream. Keeps a view of the content. */
  add(key: string, frame: StreamFrame, nowMs: number): void {
    let orphans = this.#streams.get(key)
    if (orphans === undefined) {
      orphans = { bornMs: nowMs, frames: [], bytes: 0 }
      this.#streams.set(key, orphans)
    }
    if (orphans.frames.length >= MOST_FRAMES) return this.#onDrop('stream-frame-orphaned')
    orphans.frames.push(frame)
    orphans.bytes += frame.content.length
    this.#bytes += frame.content.length
    while (this.#streams.size > MOST_STREAMS || (this.#bytes > MOST_BYTES && this.#streams.size > 0))
      this.#drop(this.#streams.keys().next().value!)
  }

  /** It was opened: its frames, in the order in which they came. */
  take(key: string): readonly StreamFrame[] {
    const orphans = this.#streams.get(key)
    if (orphans === undefined) return []
    this.#streams.delete(key)
    this.#bytes -= orphans.bytes
    return orphans.frames
  }

  /** To be called now and then. */
  expire(nowMs: number): void {
    for (const [key, { bornMs }] of [...this.#streams]) {
      if (nowMs - bornMs < AGE_MS) return
      this.#drop(key)
    }
  }

  #drop(key: string): void {
    const frames = this.take(key)
    for (const _ of frames) this.#onDrop('stream-frame-orphaned')
    this.#onStreamDropped(key, frames[0]!)
  }
}
