/**
 * What a start reads back of a replay filter (05-mixnode §9): the newest snapshot that can be read, then every journal; what a journal
 * repeats does no harm. Nothing that is wrong with a file stops the node. A file whose header cannot be read, or that belongs
 * to another filter, is set aside; a damaged page or entry is skipped; an entry that was cut off by a crash is no damage.
 */
import type { FileHandle } from 'node:fs/promises'
import type { Counter, Logger } from '@mixwright/runtime'
import { equalBytes } from '@mixwright/runtime'
import { type ReplayDirectory, readAll } from './replay-directory.js'
import {
  decodeEntry,
  decodeHeader,
  decodePage,
  ENTRY_BYTES,
  type FileHeader,
  type FileName,
  fileName,
  HEADER_BYTES,
  PAGE_RECORD_BYTES,
} from './replay-file.js'
import type { PlacedPage, ReplayFilter } from './replay-filter.js'

/** Entries of a journal that are inserted between two turns of the event loop. */
const ENTRIES_AT_ONCE = 4096

export interface RecoveryOptions {
  readonly directory: ReplayDirectory
  readonly rotationId: number
  readonly logger: Logger
  /** Moves for each file, page or entry that cannot be read. */
  readonly damages: Counter
  makeFilter(header: FileHeader | undefined): ReplayFilter
}

export interface Recovered {
  readonly filter: ReplayFilter
  /** The highest in use, 0 without files. */
  readonly generation: number
  /** Entries of all journals, bytes. */
  readonly journalBytes: number
  /** The journal to go on with, and its length in whole entries, header included. */
  readonly last: { readonly name: FileName; readonly bytes: number } | undefined
}

/** The filter of a key as its files have it, an empty one without any. Never rejects. */
export async function recoverFilter(options: RecoveryOptions): Promise<Recovered> {
  const { directory, rotationId, logger, damages } = options
  const damaged = (count: number, reason: string, name?: FileName) => {
    damages.increment(count)
    logger.error({ rotationId, file: name && fileName(name), reason }, 'a replay file is damaged')
  }
  let names: FileName[] = []
  try {
    names = (await directory.names()).filter((name) => name.rotationId === rotationId)
  } catch (error) {
    damaged(1, (error as Error).message)
  }
  names.sort((a, b) => a.generation - b.generation)
  const generation = names.at(-1)?.generation ?? 0
  const usable = names.filter((name) => !name.damaged)

  let filter: ReplayFilter | undefined
  /** Read one file with `body`; set it aside if that is not possible. */
  const read = async (name: FileName, body: (file: FileHandle, filter: ReplayFilter) => Promise<void>) => {
    try {
      const file = await directory.open(name)
      try {
        const bytes = new Uint8Array(HEADER_BYTES)
        const header = decodeHeader(bytes.subarray(0, await readAll(file, bytes, 0)))
        if (header?.kind !== name.kind || header.rotationId !== rotationId) throw new Error('its header cannot be read')
        if (filter !== undefined && !equalBytes(filter.secret, header.secret))
          throw new Error('it belongs to another filter')
        filter ??= options.makeFilter(header)
        await body(file, filter)
      } finally {
        await file.close()
      }
    } catch (error) {
      damaged(1, (error as Error).message, name)
      await directory.setAside(name).catch((error: Error) => damaged(1, error.message, name))
    }
  }

  for (const name of usable.filter(({ kind }) => kind === 'snapshot').reverse()) {
    if (filter !== undefined) break
    await read(name, async (file, filter) => {
      const lost = await readSnapshot(file, filter)
      if (lost > 0) damaged(lost, `${lost} pages`, name)
    })
  }
  let journalBytes = 0
  let last: Recovered['last']
  for (const name of usable.filter(({ kind }) => kind === 'journal')) {
    await read(name, async (file, filter) => {
      const { entries, foreign } = await readJournal(file, filter)
      if (foreign > 0) damaged(foreign, `${foreign} entries`, name)
      journalBytes += entries * ENTRY_BYTES
      last = { name, bytes: HEADER_BYTES + entries * ENTRY_BYTES }
    })
  }
  // What is appended must be newer than every snapshot.
  if (last !== undefined && last.name.generation < generation) last = undefined
  return { filter: filter ?? options.makeFilter(undefined), generation, journalBytes, last }
}

/** Returns how many pages are damaged: what they held is forgotten. */
async function readSnapshot(file: FileHandle, filter: ReplayFilter): Promise<number> {
  const pages: PlacedPage[] = []
  const record = new Uint8Array(PAGE_RECORD_BYTES)
  let lost = 0
  for (let position = HEADER_BYTES; ; position += PAGE_RECORD_BYTES) {
    const length = await readAll(file, record, position)
    if (length === 0) break
    const placed = decodePage(record.subarray(0, length), filter)
    if (placed === undefined) lost++
    else pages.push(placed)
  }
  // One cut off at the end of a page is seen by the fingerprints that no page is for.
  const missing = pages.reduce((rest, { page }) => rest - page.shape.range, filter.range)
  filter.restore(pages)
  return Math.max(lost, missing > 0 ? 1 : 0)
}

/** Whole entries, and how many of them are no fingerprints of this filter, or find no room in it. */
async function readJournal(file: FileHandle, filter: ReplayFilter): Promise<{ entries: number; foreign: number }> {
  const bytes = new Uint8Array(ENTRIES_AT_ONCE * ENTRY_BYTES)
  let entries = 0
  let foreign = 0
  for (;;) {
    const length = await readAll(file, bytes, HEADER_BYTES + entries * ENTRY_BYTES)
    const whole = Math.floor(length / ENTRY_BYTES)
    for (let entry = 0; entry < whole; entry++) {
      const fingerprint = decodeEntry(bytes, entry * ENTRY_BYTES)
      if (fingerprint >= filter.range || filter.insert(fingerprint) === 'full') foreign++
    }
    entries += whole
    if (length < bytes.length) return { entries, foreign }
  }
}
