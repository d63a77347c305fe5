/**
 * Fragments (04-client §4.5.1): the pieces of a padded message, each with a header that says which set it belongs to, and
 * the identifier by which its ack names it.
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 4 | set id, 31 bits, top bit set |
 * | 4 | 1 | fragments in the set, 1 to 255 |
 * | 5 | 1 | position, from 1 |
 * | 6 | 1 or 4 | zero, or the id of a linked set with its top bit set |
 * | 7 or 10 | rest | payload |
 *
 * Not here: cutting a message (`chunking.ts`) and joining fragments again.
 */
import type { Random } from '@mixwright/runtime'

/** Header of a fragment without a link. */
export const UNLINKED_HEADER_BYTES = 7
/** Header of a fragment with a link. */
export const LINKED_HEADER_BYTES = 10
/** Most fragments in a set; more need a further set, linked to the last. */
export const SET_FRAGMENTS = 255

export interface Fragment {
  /** 1 to 2³¹−1. */
  readonly setId: number
  /** Fragments in the set, 1 to 255. */
  readonly total: number
  /** 1 to `total`. */
  readonly position: number
  /** The set before this one; only at position 1. */
  readonly previousSetId?: number
  /** The set after this one; only at position 255 of 255. */
  readonly nextSetId?: number
  /** A view. */
  readonly payload: Uint8Array
}

/** Read a fragment; undefined when it is none. The payload is a view, of any length. */
export function decodeFragment(bytes: Uint8Array): Fragment | undefined {
  if (bytes.length < UNLINKED_HEADER_BYTES) return undefined
  const setId = readSetId(bytes, 0)
  const total = bytes[4]!
  const position = bytes[5]!
  if (setId === undefined || position === 0 || position > total) return undefined
  if (bytes[6] === 0) return { setId, total, position, payload: bytes.subarray(UNLINKED_HEADER_BYTES) }

  if (bytes.length < LINKED_HEADER_BYTES) return undefined
  const linked = readSetId(bytes, 6)
  if (linked === undefined || linked === setId) return undefined
  const payload = bytes.subarray(LINKED_HEADER_BYTES)
  if (position === 1) return { setId, total, position, previousSetId: linked, payload }
  if (position === SET_FRAGMENTS) return { setId, total, position, nextSetId: linked, payload }
  return undefined
}

/**
 * Write a fragment's header at the start of `out`, 7 bytes, or 10 with a link. Returns its length. Which fragment may link
 * is the caller's knowledge.
 */
export function writeFragmentHeader(
  out: Uint8Array,
  setId: number,
  total: number,
  position: number,
  linked: number | undefined,
): number {
  writeSetId(out, 0, setId)
  out[4] = total
  out[5] = position
  if (linked === undefined) {
    out[6] = 0
    return UNLINKED_HEADER_BYTES
  }
  writeSetId(out, 6, linked)
  return LINKED_HEADER_BYTES
}

export interface FragmentIdentifier {
  /** 1 to 2³¹−1; 0 for cover. */
  readonly setId: number
  /** From 1; 0 for cover. */
  readonly position: number
}

export const FRAGMENT_IDENTIFIER_BYTES = 5

/** What the acks of cover packets carry. */
export const COVER_FRAGMENT_IDENTIFIER: FragmentIdentifier = { setId: 0, position: 0 }

/** Write an identifier: set id, top bit clear, and position. 5 bytes. */
export function encodeFragmentIdentifier({ setId, position }: FragmentIdentifier): Uint8Array {
  return Uint8Array.of(setId >> 24, setId >> 16, setId >> 8, setId, position)
}

/** Read 5 bytes; undefined for another length and for a set id with its top bit set. */
export function decodeFragmentIdentifier(bytes: Uint8Array): FragmentIdentifier | undefined {
  if (bytes.length !== FRAGMENT_IDENTIFIER_BYTES) return undefined
  const setId = readInt32(bytes, 0)
  return setId < 0 ? undefined : { setId, position: bytes[4]! }
}

/** A set id: the absolute value of 32 random bits, drawn again for 0 and −2³¹. */
export function drawSetId(random: Random): number {
  for (;;) {
    const setId = Math.abs(readInt32(random.bytes(4), 0))
    if (setId !== 0 && setId !== 0x8000_0000) return setId
  }
}

/** Undefined: top bit clear, or 0. */
function readSetId(bytes: Uint8Array, at: number): number | undefined {
  const word = readInt32(bytes, at)
  const setId = word & 0x7fff_ffff
  return word >= 0 || setId === 0 ? undefined : setId
}

function writeSetId(out: Uint8Array, at: number, setId: number): void {
  out[at] = (setId >> 24) | 0x80
  out[at + 1] = setId >> 16
  out[at + 2] = setId >> 8
  out[at + 3] = setId
}

function readInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}
