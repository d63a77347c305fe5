/**
 * The replay filter of one Sphinx key on the disk (05-mixnode §9). Each new fingerprint is appended to a journal, written and
 * flushed to the disk half a second later at most: with half a second for the disk, a crash forgets what came in its last second.
 * Once the journal has grown, a new one is begun and the pages are written to a snapshot beside it, one by one; what changes
 * meanwhile is in the new journal, and a fingerprint that comes twice does no harm. Then the older files go.
 *
 * Nothing here holds up a packet or throws: a disk that fails is logged and counted, the filter in memory goes on, and half a
 * minute later a new journal and a snapshot of everything are tried. Reading back is in `replay-recovery.ts`.
 */
import type { FileHandle } from 'node:fs/promises'
import type { Clock, Counter, Timer } from '@mixwright/runtime'
import { writeAll } from './replay-directory.js'
import { ENTRY_BYTES, encodeEntry, encodePage, type FileKind, HEADER_BYTES, PAGE_RECORD_BYTES } from './replay-file.js'
import type { ReplayFilter } from './replay-filter.js'
import { type RecoveryOptions, recoverFilter } from './replay-recovery.js'

/** From the first unwritten fingerprint to the write. The disk has as long again before a crash forgets more than a second. */
export const FLUSH_AFTER_MS = 500
/** From a failed write to the next try. */
export const RETRY_AFTER_MS = 30_000
/** Journals may be so long, and by a share of the filter longer, before a snapshot is due: what is read back at the next start. */
const JOURNAL_BYTES = 2 ** 18
const JOURNAL_SHARE = 1 / 4
/** Unwritten fingerprints kept, bytes: 700 000. Past it the disk counts as failed, and a snapshot must make up for them. */
const MOST_PENDING_BYTES = ENTRY_BYTES * 700_000
const FIRST_PENDING_BYTES = ENTRY_BYTES * 500

export interface JournalOptions extends RecoveryOptions {
  readonly clock: Clock
  /** Moves when something cannot be written. */
  readonly failures: Counter
}

export class ReplayJournal {
  readonly filter: ReplayFilter
  readonly #options: JournalOptions
  #pending = new Uint8Array(FIRST_PENDING_BYTES)
  #pendingBytes = 0
  /** The journal that is written to, and where its next entry goes. Undefined after a failure. */
  #file: FileHandle | undefined
  #position = HEADER_BYTES
  #generation = 0
  /** Entries that the next start would read, bytes. */
  #journalBytes = 0
  /** Something is in the filter that is in no file: only a snapshot mends it. */
  #gap = false
  #retryAtMs = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #timerDueMs = 0
  /** Writes to the journal, one after the other. */
  #writing: Promise<void> = Promise.resolve()
  #snapshot: Promise<void> | undefined
  #closed = false

  /** Read the filter of a key back from its files, or begin one. Never rejects: what fails is logged and counted. */
  static async open(options: JournalOptions): Promise<ReplayJournal> {
    const { filter, generation, journalBytes, last } = await recoverFilter(options)
    const journal = new ReplayJournal(options, filter)
    journal.#generation = generation
    journal.#journalBytes = journalBytes
    await journal.#attempt('the replay journal could not be opened', async () => {
      if (last === undefined) return await journal.#begin()
      journal.#file = await options.directory.open(last.name)
      journal.#position = last.bytes
    })
    journal.#armRetry()
    return journal
  }

  private constructor(options: JournalOptions, filter: ReplayFilter) {
    this.#options = options
    this.filter = filter
  }

  /** Keep a fingerprint that is new in the filter. */
  append(fingerprint: number): void {
    if (this.#closed) return
    if (this.#pendingBytes === 0) this.#arm(FLUSH_AFTER_MS)
    if (this.#pendingBytes === this.#pending.length) this.#makeRoom()
    encodeEntry(fingerprint, this.#pending, this.#pendingBytes)
    this.#pendingBytes += ENTRY_BYTES
  }

  /** Resolves when everything appended is on the disk, or its failure counted, and no snapshot is being written. */
  async flush(): Promise<void> {
    await this.#write()
    await this.#snapshot
  }

  /** Write what is left and let go of the files. A snapshot under way is given up, unless something is in no other file. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#snapshot
    await this.flush()
    await this.#letGo()
  }

  /** Let go of the files, which are to be removed. */
  async discard(): Promise<void> {
    this.#closed = true
    this.#pendingBytes = 0
    this.#gap = false
    await this.flush()
    await this.#letGo()
  }

  async #letGo(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await this.#attempt('the replay journal could not be closed', async () => file?.close())
  }

  /** Write after `delayMs`, or earlier if that is planned. */
  #arm(delayMs: number): void {
    const { clock } = this.#options
    const dueMs = clock.monotonic() + delayMs
    if (this.#closed || (this.#timer !== undefined && this.#timerDueMs <= dueMs)) return
    this.#timer?.cancel()
    this.#timerDueMs = dueMs
    this.#timer = clock.setTimer(delayMs, () => void this.#write(), { background: true })
  }

  /** After a failure: even without new packets the files are to be mended. */
  #armRetry(): void {
    if (this.#gap || this.#file === undefined) this.#arm(this.#retryAtMs - this.#options.clock.monotonic())
  }

  #makeRoom(): void {
    if (this.#pending.length >= MOST_PENDING_BYTES) {
      this.#gap = true
      this.#pendingBytes = 0
      return
    }
    const larger = new Uint8Array(Math.min(this.#pending.length * 2, MOST_PENDING_BYTES))
    larger.set(this.#pending)
    this.#pending = larger
  }

  #write(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#writing = this.#writing.then(async () => {
      await this.#attempt('the replay journal could not be written', () => this.#writePending())
      if (this.#snapshotDue()) await this.#attempt('a replay journal could not be begun', () => this.#renew())
      if (this.#snapshot === undefined) this.#armRetry()
    })
    return this.#writing
  }

  async #writePending(): Promise<void> {
    const bytes = this.#pending.subarray(0, this.#pendingBytes)
    if (bytes.length === 0) return
    this.#pending = new Uint8Array(FIRST_PENDING_BYTES)
    this.#pendingBytes = 0
    const file = this.#file
    if (file === undefined) {
      this.#gap = true
      return
    }
    try {
      await writeAll(file, bytes, this.#position)
      await file.datasync()
    } catch (error) {
      this.#gap = true
      this.#file = undefined
      await file.close().catch(() => {})
      throw error
    }
    this.#position += bytes.length
    this.#journalBytes += bytes.length
  }

  #snapshotDue(): boolean {
    if (this.#snapshot !== undefined) return false
    if (this.#closed) return this.#gap
    if (this.#options.clock.monotonic() < this.#retryAtMs) return false
    const long = this.#journalBytes > JOURNAL_BYTES + JOURNAL_SHARE * this.filter.bytes
    return long || this.#gap || this.#file === undefined
  }

  /** Begin a journal, and a snapshot of everything that will not be in it. */
  async #renew(): Promise<void> {
    await this.#begin()
    const gap = this.#gap
    const journalBytes = this.#journalBytes
    this.#gap = false
    this.#journalBytes = 0
    let written = false
    const write = async () => {
      written = await this.#writeSnapshot(gap)
    }
    this.#snapshot = this.#attempt('a replay snapshot could not be written', write).then(() => {
      this.#snapshot = undefined
      if (written) return
      this.#gap ||= gap
      this.#journalBytes += journalBytes
      this.#armRetry()
    })
  }

  async #begin(): Promise<void> {
    const old = this.#file
    const file = await this.#create('journal', this.#generation + 1, async () => true)
    this.#file = file
    this.#generation++
    this.#position = HEADER_BYTES
    await old?.close()
  }

  /** Page by page, each as it is at that moment. False: given up, since the node stops and nothing depends on it. */
  async #writeSnapshot(needed: boolean): Promise<boolean> {
    const { filter } = this
    const generation = this.#generation
    const file = await this.#create('snapshot', generation, async (file) => {
      const record = new Uint8Array(PAGE_RECORD_BYTES)
      let position = HEADER_BYTES
      for (let next = 0; next < filter.range; position += PAGE_RECORD_BYTES) {
        if (this.#closed && !needed) return false
        const placed = filter.pageOf(next)
        next = (placed.index + 1) * placed.page.shape.range
        encodePage(placed, record)
        await writeAll(file, record, position)
      }
      return true
    })
    if (file === undefined) return false
    await file.close()
    const { directory, rotationId } = this.#options
    await directory.remove((name) => name.rotationId === rotationId && !name.damaged && name.generation < generation)
    return true
  }

  #create(kind: FileKind, generation: number, fill: (file: FileHandle) => Promise<boolean>) {
    const { directory, rotationId } = this.#options
    const { capacityDepth, secret } = this.filter
    return directory.create({ kind, rotationId, capacityDepth, secret }, generation, fill)
  }

  async #attempt(message: string, action: () => Promise<unknown>): Promise<void> {
    const { clock, logger, failures, rotationId } = this.#options
    try {
      await action()
    } catch (error) {
      failures.increment()
      logger.error({ rotationId, reason: (error as Error).message }, message)
      this.#retryAtMs = clock.monotonic() + RETRY_AFTER_MS
    }
  }
}
