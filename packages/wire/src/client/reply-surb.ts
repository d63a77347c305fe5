/**
 * Reply SURBs (04-client §4.3.2): Sphinx's reply blocks, each with the key that encrypts the reply, one by one (for a
 * store) and as the list inside a repliable message.
 *
 * One: encryption key 16 ‖ SURB.
 * v2: count u16 ‖ hops u8 ‖ key rotation u8 ‖ count × (key 16 ‖ header 348 ‖ first hop 32 ‖ hops × key seed 16).
 * v1: count u32 ‖ count × (key 16 ‖ header 348 ‖ first hop 32 ‖ 4 × payload key 192). Read, never written.
 */
import { concatBytes } from '@mixwright/runtime'
import { HEADER_BYTES, MAX_HOPS, type Surb, surbFromBytes, surbToBytes } from '@mixwright/sphinx'
import { isKeyRotation, type KeyRotation, UNKNOWN_ROTATION } from '../mix/key-rotation.js'

export const REPLY_KEY_BYTES = 16
/** Encryption key, header and first hop. */
const FIXED_BYTES = REPLY_KEY_BYTES + HEADER_BYTES + 32
const SEED_BYTES = 16
/** A reply SURB of v1: always four hops with full keys. */
const V1_BYTES = FIXED_BYTES + 4 * 192
const V1_COUNT_BYTES = 4
/** Count, hops and rotation. */
const V2_HEAD_BYTES = 4

export interface ReplySurb {
  /** 16 bytes. */
  readonly encryptionKey: Uint8Array
  readonly surb: Surb
}

/** SURBs that were made together. */
export interface ReplySurbs {
  /** Of the node keys that they were made for. */
  readonly rotation: KeyRotation
  readonly surbs: readonly ReplySurb[]
}

/** Write one: 396 + 16·hops bytes, or 396 + 192·hops for the form with full keys. */
export function encodeReplySurb({ encryptionKey, surb }: ReplySurb): Uint8Array {
  if (encryptionKey.length !== REPLY_KEY_BYTES) throw new RangeError(`a reply key has ${REPLY_KEY_BYTES} bytes`)
  return concatBytes(encryptionKey, surbToBytes(surb))
}

/** Read one; undefined when it is none. A copy. */
export function decodeReplySurb(bytes: Uint8Array): ReplySurb | undefined {
  if (bytes.length < REPLY_KEY_BYTES) return undefined
  const surb = surbFromBytes(bytes.subarray(REPLY_KEY_BYTES))
  return surb && { encryptionKey: new Uint8Array(bytes.subarray(0, REPLY_KEY_BYTES)), surb }
}

/**
 * Write a list, v2: 4 + count·(396 + 16·hops) bytes. Throws a `RangeError` for more than 65535 SURBs, for the form with full
 * keys, and for routes of different lengths.
 */
export function encodeReplySurbs({ rotation, surbs }: ReplySurbs): Uint8Array {
  const hops = surbs[0]?.surb.keys.length ?? 0
  if (surbs.length > 0xffff) throw new RangeError('at most 65535 reply SURBs in a message')
  if (surbs.some(({ surb }) => surb.form !== 'key-seeds' || surb.keys.length !== hops))
    throw new RangeError('reply SURBs of a message carry key seeds and have routes of one length')
  const head = Uint8Array.of(surbs.length >> 8, surbs.length, hops, hops === 0 ? UNKNOWN_ROTATION : rotation)
  return concatBytes(head, ...surbs.map(encodeReplySurb))
}

/** A list and the bytes behind it (a view). */
export interface LeadingReplySurbs {
  readonly replySurbs: ReplySurbs
  readonly rest: Uint8Array
}

/** Read a v2 list at the start of `bytes`; undefined when one of its SURBs, or the rotation, is malformed. SURBs are copies. */
export function decodeReplySurbs(bytes: Uint8Array): LeadingReplySurbs | undefined {
  if (bytes.length < V2_HEAD_BYTES) return undefined
  const count = (bytes[0]! << 8) | bytes[1]!
  const hops = bytes[2]!
  const rotation = bytes[3]!
  // Twelve seeds are as long as one full key: lengths alone would not refuse them.
  if (!isKeyRotation(rotation) || hops > MAX_HOPS) return undefined
  const surbBytes = FIXED_BYTES + hops * SEED_BYTES
  return readList(bytes.subarray(V2_HEAD_BYTES), count, surbBytes, count === 0 ? UNKNOWN_ROTATION : rotation)
}

/** Read a v1 list at the start of `bytes`, as above; its rotation is unknown. */
export function decodeReplySurbsV1(bytes: Uint8Array): LeadingReplySurbs | undefined {
  if (bytes.length < V1_COUNT_BYTES) return undefined
  const count = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  return readList(bytes.subarray(V1_COUNT_BYTES), count, V1_BYTES, UNKNOWN_ROTATION)
}

function readList(
  bytes: Uint8Array,
  count: number,
  surbBytes: number,
  rotation: KeyRotation,
): LeadingReplySurbs | undefined {
  const end = count * surbBytes
  if (bytes.length < end) return undefined
  const surbs: ReplySurb[] = []
  for (let at = 0; at < end; at += surbBytes) {
    const surb = decodeReplySurb(bytes.subarray(at, at + surbBytes))
    if (surb === undefined) return undefined
    surbs.push(surb)
  }
  return { replySurbs: { rotation, surbs }, rest: bytes.subarray(end) }
}
