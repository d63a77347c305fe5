/**
 * What the parts of a client write through: changes are gathered for some milliseconds and go to the store together, so
 * that one flush of the disk serves many. Whatever happens, the store holds the changes up to some moment and none after:
 * batches go one after another, each whole or not at all, and what is put in one turn of the event loop is in one batch.
 */
import type { Clock, MixError, Timer } from '@mixwright/runtime'
import type { ClientStore, StoreChange, StoreTable } from './client-store.js'
import { storeError } from './store-error.js'

/** From the first change to the writing of the batch, milliseconds. */
const DELAY_MS = 20
/** Changes that are written at once. */
const BATCH_CHANGES = 500
/** Waiting changes, and their bytes, at which `pressure` is 1. */
const FULL_CHANGES = 10_000
const FULL_BYTES = 32 * 1024 * 1024
/** Pause after the first failure, milliseconds; it doubles up to the longest. */
const FIRST_RETRY_MS = 100
const LONGEST_RETRY_MS = 30_000

export class Journal {
  readonly #store: ClientStore
  readonly #clock: Clock
  readonly #onFailure: (error: MixError) => void
  /** The last change of each key since the batch before. */
  #waiting = new Map<string, StoreChange>()
  /** Changes in the store's hands, and what becomes of them. */
  #inHand = 0
  #writing: Promise<void> | undefined
  /** The writing after that one, when it is settled that there is one. */
  #next: Promise<void> | undefined
  #timer: Timer | undefined
  #bytes = 0
  #retryMs = FIRST_RETRY_MS
  #failure: MixError | undefined
  #closed = false

  /** `onFailure` is called once each time the store begins to fail, with `MIX_STORE`; the changes are kept and tried again. */
  constructor(store: ClientStore, clock: Clock, onFailure: (error: MixError) => void) {
    this.#store = store
    this.#clock = clock
    this.#onFailure = onFailure
  }

  /** Why the last writing failed; undefined when it did not. */
  get failure(): MixError | undefined {
    return this.#failure
  }

  /**
   * How full the journal is: 0 empty; from 1 on (10 000 changes or 32 MiB that are not on the disk yet) callers wait for
   * `flush()` before they put more. Nothing is refused or dropped: the bound is theirs to keep.
   */
  get pressure(): number {
    return Math.max((this.#waiting.size + this.#inHand) / FULL_CHANGES, this.#bytes / FULL_BYTES)
  }

  /** Write an entry soon. The bytes must not be changed afterwards. Costs nothing when the store is not persistent. */
  put(table: StoreTable, key: string, value: Uint8Array): void {
    this.#change({ table, key, value })
  }

  /** Delete an entry soon. Costs nothing when the store is not persistent. */
  delete(table: StoreTable, key: string): void {
    this.#change({ table, key, value: undefined })
  }

  /**
   * Write now. Resolves when everything put before is durable; rejects with `MIX_STORE` when the store refused it, which
   * does not mean that it is given up.
   */
  async flush(): Promise<void> {
    return this.#waiting.size > 0 ? this.#writeNext() : this.#writing
  }

  /** Refuse further changes in silence, and `flush()`; what cannot be written then is lost. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    await this.flush()
  }

  #change(change: StoreChange): void {
    if (!this.#store.persistent || this.#closed) return
    const id = `${change.table}/${change.key}`
    this.#bytes += bytesOf(change) - bytesOf(this.#waiting.get(id))
    this.#waiting.set(id, change)
    this.#schedule()
  }

  #schedule(): void {
    // While the store fails, its retry timer decides.
    if (this.#next !== undefined || this.#failure !== undefined) return
    if (this.#waiting.size >= BATCH_CHANGES) this.#writeNext().catch(() => {})
    else this.#timer ??= this.#clock.setTimer(DELAY_MS, () => this.#writeNext().catch(() => {}))
  }

  /** Write when the batch before is done, and never on the caller's stack: what else it puts in this turn goes along. */
  #writeNext(): Promise<void> {
    this.#next ??= Promise.resolve(this.#writing)
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        this.#writing = this.#write().finally(() => {
          this.#writing = undefined
        })
        return this.#writing
      })
    return this.#next
  }

  async #write(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    const batch = this.#waiting
    this.#waiting = new Map()
    this.#inHand = batch.size
    try {
      await this.#store.write([...batch.values()])
    } catch (cause) {
      this.#inHand = 0
      this.#putBack(batch)
      throw this.#failed(storeError(undefined, cause))
    }
    this.#inHand = 0
    for (const change of batch.values()) this.#bytes -= bytesOf(change)
    this.#failure = undefined
    this.#retryMs = FIRST_RETRY_MS
    if (this.#waiting.size > 0) this.#schedule()
  }

  /** A batch that was refused waits again, under what was put since. */
  #putBack(batch: Map<string, StoreChange>): void {
    for (const [id, change] of this.#waiting) {
      this.#bytes -= bytesOf(batch.get(id))
      batch.set(id, change)
    }
    this.#waiting = batch
  }

  #failed(error: MixError): MixError {
    const first = this.#failure === undefined
    this.#failure = error
    this.#timer?.cancel()
    if (!this.#closed) this.#timer = this.#clock.setTimer(this.#retryMs, () => this.#writeNext().catch(() => {}))
    this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS)
    if (first) this.#onFailure(error)
    return error
  }
}

function bytesOf(change: StoreChange | undefined): number {
  return change === undefined ? 0 : 2 * change.key.length + (change.value?.length ?? 0)
}
