/**
 * How a message becomes fragments (04-client §4.4, §4.5.2): padded with `01 00 00 …` so that the last one is full, and cut
 * into sets of at most 255, where the last of a set names the next set and the first of that one names the set before.
 *
 * Of P bytes of fragment space an unlinked fragment carries U = P − 7, a linked one 3 less. Each border between two sets
 * takes two links, so k sets hold at most 255·U·k − 6·(k − 1) bytes.
 */
import type { Random } from '@mixwright/runtime'
import {
  drawSetId,
  type FragmentIdentifier,
  LINKED_HEADER_BYTES,
  SET_FRAGMENTS,
  UNLINKED_HEADER_BYTES,
  writeFragmentHeader,
} from './fragment.js'

/** What follows a message in front of the zeros. */
const MARKER = 1
/** What a link takes from the payload of its fragment. */
const LINK_BYTES = LINKED_HEADER_BYTES - UNLINKED_HEADER_BYTES
/** What a border between two sets takes. */
const BORDER_BYTES = 2 * LINK_BYTES

/**
 * How many fragments `length` bytes take, and how many bytes stay free in the last. `length` counts what is cut: for a
 * message, one more than the message for the marker. `fragmentSpace`: bytes of a fragment with its header.
 */
export function requiredFragments(
  length: number,
  fragmentSpace: number,
): { readonly fragments: number; readonly spaceLeft: number } {
  const unlinked = fragmentSpace - UNLINKED_HEADER_BYTES
  const sets = Math.max(1, Math.ceil((length - BORDER_BYTES) / (SET_FRAGMENTS * unlinked - BORDER_BYTES)))
  const cut = length + BORDER_BYTES * (sets - 1)
  const fragments = Math.max(1, Math.ceil(cut / unlinked))
  return { fragments, spaceLeft: fragments * unlinked - cut }
}

/** Remove the padding from reassembled bytes: a view of what is before the last `01`. Undefined: no `01`, or nothing before it. */
export function unpadMessage(bytes: Uint8Array): Uint8Array | undefined {
  const marker = bytes.lastIndexOf(MARKER)
  return marker < 1 ? undefined : bytes.subarray(0, marker)
}

/** A message and the ids of its sets; fragments are cut out of it when they are asked for. Keeps the bytes, copies none. */
export class ChunkedMessage {
  /** The message without padding. */
  readonly message: Uint8Array
  /** In order, one for each 255 fragments. */
  readonly setIds: readonly number[]
  /** How many fragments there are. */
  readonly fragments: number
  readonly #fragmentSpace: number

  private constructor(message: Uint8Array, fragmentSpace: number, setIds: readonly number[], fragments: number) {
    this.message = message
    this.setIds = setIds
    this.fragments = fragments
    this.#fragmentSpace = fragmentSpace
  }

  /** Cut a message (the bytes of a NymMessage) under fresh, distinct set ids. */
  static cut(message: Uint8Array, fragmentSpace: number, random: Random): ChunkedMessage {
    const { fragments } = requiredFragments(message.length + 1, fragmentSpace)
    const sets = Math.ceil(fragments / SET_FRAGMENTS)
    if (sets === 1) return new ChunkedMessage(message, fragmentSpace, [drawSetId(random)], fragments)
    const setIds = new Set<number>()
    while (setIds.size < sets) setIds.add(drawSetId(random))
    return new ChunkedMessage(message, fragmentSpace, [...setIds], fragments)
  }

  /** The same message again, with the set ids that it was cut under. Throws a `RangeError` when their number is wrong. */
  static resume(message: Uint8Array, fragmentSpace: number, setIds: readonly number[]): ChunkedMessage {
    const { fragments } = requiredFragments(message.length + 1, fragmentSpace)
    const sets = Math.ceil(fragments / SET_FRAGMENTS)
    if (setIds.length !== sets) throw new RangeError(`a message of ${sets} sets needs as many ids`)
    return new ChunkedMessage(message, fragmentSpace, setIds, fragments)
  }

  /** Fragment `index`, from 0: a new array of exactly the fragment space. */
  fragment(index: number): Uint8Array {
    this.#check(index)
    const set = Math.floor(index / SET_FRAGMENTS)
    const position = (index % SET_FRAGMENTS) + 1
    const total = Math.min(SET_FRAGMENTS, this.fragments - set * SET_FRAGMENTS)
    const linked = position === 1 ? this.setIds[set - 1] : position === SET_FRAGMENTS ? this.setIds[set + 1] : undefined
    const out = new Uint8Array(this.#fragmentSpace)
    const headerBytes = writeFragmentHeader(out, this.setIds[set]!, total, position, linked)

    // Before this one: a link at each end of every border passed, of the border just behind only the end of the other set.
    const links = set === 0 ? 0 : 2 * set - (position === 1 ? 1 : 0)
    const start = index * (this.#fragmentSpace - UNLINKED_HEADER_BYTES) - links * LINK_BYTES
    const end = start + this.#fragmentSpace - headerBytes
    out.set(this.message.subarray(start, end), headerBytes)
    const marker = this.message.length
    if (start <= marker && marker < end) out[headerBytes + marker - start] = MARKER
    return out
  }

  /** What the ack of fragment `index` carries. */
  identifier(index: number): FragmentIdentifier {
    this.#check(index)
    return { setId: this.setIds[Math.floor(index / SET_FRAGMENTS)]!, position: (index % SET_FRAGMENTS) + 1 }
  }

  #check(index: number): void {
    if (!Number.isInteger(index) || index < 0 || index >= this.fragments) throw new RangeError('no such fragment')
  }
}
