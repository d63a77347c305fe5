/**
 * Who peels: this thread (`InThreadPeeler`), or worker threads (`peel-workers.ts`). Frames go in by batches, outcomes come
 * out in the batch's order.
 */
import type { Frame } from '@mixwright/wire'
import type { SphinxKeys } from '../keys/sphinx-keys.js'
import type { PacketOutcome, PacketPipeline } from './packet-pipeline.js'

export interface Peeler {
  /** Frames that may be handed in now, at most; 0 while enough is under way. */
  readonly room: number
  /** Frames handed in and not yet come out. */
  readonly underWay: number
  /** `done` gets one outcome per frame; undefined where a worker died with it. */
  peel(frames: readonly Frame[], done: (outcomes: readonly (PacketOutcome | undefined)[]) => void): void
  /** From the next batch on. Keys that are dropped are forgotten once the batches before are done. */
  setKeys(keys: SphinxKeys): void
  /** Called when `room` was 0 and is no longer. */
  onRoom: (() => void) | undefined
  close(): Promise<void>
}

/** Frames of one turn of the event loop: between two, timers and sockets get theirs. */
const BATCH = 16

export class InThreadPeeler implements Peeler {
  readonly #pipeline: PacketPipeline
  readonly room = BATCH
  readonly underWay = 0
  onRoom: (() => void) | undefined

  constructor(pipeline: PacketPipeline) {
    this.#pipeline = pipeline
  }

  peel(frames: readonly Frame[], done: (outcomes: readonly PacketOutcome[]) => void): void {
    done(this.#pipeline.process(frames))
  }

  setKeys(keys: SphinxKeys): void {
    this.#pipeline.keys = keys
  }

  async close(): Promise<void> {}
}
