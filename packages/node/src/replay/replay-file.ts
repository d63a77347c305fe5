/**
 * The bytes of a replay filter on the disk (05-mixnode §9; the format is our own, nobody else reads it). Two kinds of file,
 * `replay-ROTATION.GENERATION.journal` and `….snapshot`, with the same header. Integers are little-endian.
 *
 * | at | bytes | header |
 * |---|---|---|
 * | 0 | 8 | `mixwrepl` |
 * | 8 | 2 | version of the format, 1 |
 * | 10 | 2 | 1 journal, 2 snapshot |
 * | 12 | 4 | Sphinx key rotation |
 * | 16 | 4 | capacity of the filter, as the number of halvings |
 * | 20 | 64 | secret that keys the fingerprints |
 * | 84 | 4 | CRC-32 of the 84 bytes before |
 *
 * A journal goes on with fingerprints of 6 bytes, in any order; a snapshot with pages: depth (4), index (4), number of tags (4), the
 * words of the page (116 160), CRC-32 of all these (4). A fingerprint needs no checksum: a damaged one is a tag forgotten and a
 * tag never seen, but a damaged page could lead a search astray. Reading and writing files is up to the journal.
 */
import { crc32 } from 'node:zlib'
import { PAGE_BYTES, QuotientPage } from './quotient-page.js'
import { DEEPEST_CAPACITY, type PlacedPage, type ReplayFilter, SECRET_BYTES } from './replay-filter.js'

export type FileKind = 'journal' | 'snapshot'

export interface FileName {
  readonly rotationId: number
  /** Counts up with each journal. A snapshot has that of the journal begun with it, and holds all that older files hold. */
  readonly generation: number
  readonly kind: FileKind
  /** Could not be read, and is set aside. */
  readonly damaged: boolean
}

export interface FileHeader {
  readonly kind: FileKind
  readonly rotationId: number
  readonly capacityDepth: number
  readonly secret: Uint8Array
}

export const HEADER_BYTES = 88
/** Bytes of a journal entry. */
export const ENTRY_BYTES = 6
/** Bytes of a page in a snapshot. */
export const PAGE_RECORD_BYTES = 12 + PAGE_BYTES + 4

const MAGIC = new TextEncoder().encode('mixwrepl')
const FORMAT_VERSION = 1
const KINDS: readonly (FileKind | undefined)[] = [undefined, 'journal', 'snapshot']
const CRC_BYTES = 4

export function fileName({ rotationId, generation, kind, damaged }: FileName): string {
  return `replay-${rotationId}.${generation}.${kind}${damaged ? '.damaged' : ''}`
}

/** Undefined: not one of our files. An unfinished one (`.tmp`) is none. */
export function parseFileName(name: string): FileName | undefined {
  const [, rotation, generation, kind, damaged] =
    /^replay-(\d{1,10})\.(\d{1,15})\.(journal|snapshot)(\.damaged)?$/.exec(name) ?? []
  if (kind !== 'journal' && kind !== 'snapshot') return undefined
  return { rotationId: Number(rotation), generation: Number(generation), kind, damaged: damaged !== undefined }
}

export function encodeHeader({ kind, rotationId, capacityDepth, secret }: FileHeader): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  header.set(MAGIC)
  view.setUint16(8, FORMAT_VERSION, true)
  view.setUint16(10, KINDS.indexOf(kind), true)
  view.setUint32(12, rotationId, true)
  view.setUint32(16, capacityDepth, true)
  header.set(secret, 20)
  view.setUint32(84, crc32(header.subarray(0, 84)), true)
  return header
}

/** Undefined: not a header that we wrote. */
export function decodeHeader(header: Uint8Array): FileHeader | undefined {
  if (header.length !== HEADER_BYTES || !MAGIC.every((byte, index) => header[index] === byte)) return undefined
  const view = viewOf(header)
  const kind = KINDS[view.getUint16(10, true)]
  const capacityDepth = view.getUint32(16, true)
  if (view.getUint32(84, true) !== crc32(header.subarray(0, 84))) return undefined
  if (view.getUint16(8, true) !== FORMAT_VERSION || kind === undefined || capacityDepth > DEEPEST_CAPACITY)
    return undefined
  return { kind, rotationId: view.getUint32(12, true), capacityDepth, secret: header.slice(20, 20 + SECRET_BYTES) }
}

/** Write a fingerprint into a journal's bytes. */
export function encodeEntry(fingerprint: number, out: Uint8Array, at: number): void {
  const low = fingerprint >>> 0
  const high = (fingerprint - low) / 2 ** 32
  out[at] = low
  out[at + 1] = low >>> 8
  out[at + 2] = low >>> 16
  out[at + 3] = low >>> 24
  out[at + 4] = high
  out[at + 5] = high >>> 8
}

/** Any 6 bytes are some number; whether it is a fingerprint is for the caller to see. */
export function decodeEntry(bytes: Uint8Array, at: number): number {
  const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16)
  return low + bytes[at + 3]! * 2 ** 24 + (bytes[at + 4]! | (bytes[at + 5]! << 8)) * 2 ** 32
}

/** A copy of the page as it is now, for a snapshot. */
export function encodePage({ depth, index, page }: PlacedPage, record: Uint8Array): void {
  const view = viewOf(record)
  view.setUint32(0, depth, true)
  view.setUint32(4, index, true)
  view.setUint32(8, page.size, true)
  record.set(new Uint8Array(page.words.buffer), 12)
  view.setUint32(12 + PAGE_BYTES, crc32(record.subarray(0, 12 + PAGE_BYTES)), true)
}

/** Undefined: damaged. */
export function decodePage(record: Uint8Array, filter: ReplayFilter): PlacedPage | undefined {
  if (record.length !== PAGE_RECORD_BYTES) return undefined
  const view = viewOf(record)
  const depth = view.getUint32(0, true)
  const index = view.getUint32(4, true)
  const shape = filter.shape(depth)
  if (view.getUint32(PAGE_RECORD_BYTES - CRC_BYTES, true) !== crc32(record.subarray(0, -CRC_BYTES))) return undefined
  if (shape === undefined || index >= 2 ** depth) return undefined
  const words = new Uint32Array(record.slice(12, 12 + PAGE_BYTES).buffer)
  return { depth, index, page: new QuotientPage(shape, words, view.getUint32(8, true)) }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
