/**
 * AES-256-GCM-SIV (RFC 8452) without associated data, put together from POLYVAL of noble and AES of single blocks, which in
 * Node.js is the processor's: an idle client seals and opens 220 frames a second, and noble's AES tables of half a megabyte
 * are never in the cache then (docs/decisions/0007).
 */

import { equalBytes } from '@mixwright/runtime'
import { polyval } from '@noble/ciphers/_polyval.js'
import { encryptBlocks } from '#aes-blocks'

const BLOCK = 16
export const TAG_BYTES = 16
export const NONCE_BYTES = 12
/** Blocks from which the two derived keys are taken, eight bytes of each. */
const KEY_BLOCKS = 6

/** Ciphertext ‖ tag: 16 bytes longer than the plaintext. Key 32 bytes, nonce 12. */
export function gcmSivEncrypt(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const { authentication, encryption } = deriveKeys(key, nonce)
  const tag = tagOf(authentication, encryption, nonce, plaintext)
  const out = new Uint8Array(plaintext.length + TAG_BYTES)
  out.set(plaintext)
  xorKeyStream(encryption, tag, out.subarray(0, plaintext.length))
  out.set(tag, plaintext.length)
  return out
}

/** The plaintext; undefined when the tag does not fit. */
export function gcmSivDecrypt(key: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
  if (nonce.length !== NONCE_BYTES || ciphertext.length < TAG_BYTES) return undefined
  const { authentication, encryption } = deriveKeys(key, nonce)
  const tag = ciphertext.subarray(ciphertext.length - TAG_BYTES)
  const plaintext = new Uint8Array(ciphertext.subarray(0, ciphertext.length - TAG_BYTES))
  xorKeyStream(encryption, tag, plaintext)
  return equalBytes(tagOf(authentication, encryption, nonce, plaintext), tag) ? plaintext : undefined
}

/** RFC 8452 §4: block i is a counter i, little-endian in four bytes, and the nonce. */
function deriveKeys(
  key: Uint8Array,
  nonce: Uint8Array,
): { readonly authentication: Uint8Array; readonly encryption: Uint8Array } {
  const blocks = new Uint8Array(KEY_BLOCKS * BLOCK)
  for (let i = 0; i < KEY_BLOCKS; i++) {
    blocks[i * BLOCK] = i
    blocks.set(nonce, i * BLOCK + 4)
  }
  const encrypted = encryptBlocks(key, blocks)
  const keys = new Uint8Array((KEY_BLOCKS * BLOCK) / 2)
  for (let i = 0; i < KEY_BLOCKS; i++) keys.set(encrypted.subarray(i * BLOCK, i * BLOCK + BLOCK / 2), (i * BLOCK) / 2)
  return { authentication: keys.subarray(0, 16), encryption: keys.subarray(16) }
}

/** RFC 8452 §4: POLYVAL over the padded plaintext and the lengths in bits, XOR the nonce, top bit cleared, encrypted. */
function tagOf(
  authentication: Uint8Array,
  encryption: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const lengths = new Uint8Array(BLOCK)
  new DataView(lengths.buffer).setBigUint64(8, 8n * BigInt(plaintext.length), true)
  const hash = polyval.create(authentication)
  // `update` pads each of its inputs to whole blocks.
  if (plaintext.length > 0) hash.update(plaintext)
  const sum = hash.update(lengths).digest()
  for (let i = 0; i < NONCE_BYTES; i++) sum[i]! ^= nonce[i]!
  sum[15]! &= 0x7f
  return encryptBlocks(encryption, sum)
}

/** RFC 8452 §4: counter blocks from the tag, its top bit set, counting little-endian in the first four bytes. */
function xorKeyStream(encryption: Uint8Array, tag: Uint8Array, data: Uint8Array): void {
  const blocks = new Uint8Array(Math.ceil(data.length / BLOCK) * BLOCK)
  const view = new DataView(blocks.buffer)
  const first = new Uint8Array(tag)
  first[15]! |= 0x80
  const start = new DataView(first.buffer).getUint32(0, true)
  for (let at = 0, counter = start; at < blocks.length; at += BLOCK, counter = (counter + 1) >>> 0) {
    blocks.set(first, at)
    view.setUint32(at, counter, true)
  }
  const stream = encryptBlocks(encryption, blocks)
  for (let i = 0; i < data.length; i++) data[i]! ^= stream[i]!
}
