/**
 * What a client puts into a Sphinx packet (04-client §4.6, §4.8): the ack that the recipient's gateway sends home, the field
 * from which the recipient learns the key, and the encrypted fragment.
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 405 | SURB-ack |
 * | 405 | 32 | X25519 public key made for this packet; over a SURB, the digest of its reply key |
 * | 437 | rest | fragment under AES-128-CTR with zero iv |
 *
 * A gateway cuts the ack off: its client gets the rest. X25519 and AES are the caller's, by its `CryptoProvider`.
 */
import { concatBytes, utf8 } from '@mixwright/runtime'
import type { PacketSize } from '@mixwright/sphinx'
import { blake3 } from '@noble/hashes/blake3.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { encodeSurbAck, SURB_ACK_BYTES, type SurbAck } from '../mix/surb-ack.js'

/** Public key or digest in front of the ciphertext. */
export const KEY_FIELD_BYTES = 32
const FRAGMENT_KEY_BYTES = 16

/** Bytes of a fragment, header included, in packets of a size: 1611 for `regular`. Negative for `ack`, which carries none. */
export function fragmentSpace(size: PacketSize): number {
  return size.plaintextBytes - SURB_ACK_BYTES - KEY_FIELD_BYTES
}

/** The 16-byte key of a fragment, of the 32-byte X25519 result: HKDF over HMAC with unkeyed BLAKE3, no salt, no info. */
export function deriveFragmentKey(dh: Uint8Array): Uint8Array {
  return hkdf(blake3, dh, undefined, undefined, FRAGMENT_KEY_BYTES)
}

/** By which the maker of a SURB finds its reply key (16 bytes) again: BLAKE3, 32 bytes. */
export function replyKeyDigest(key: Uint8Array): Uint8Array {
  return blake3(key)
}

/** The whole plaintext: 437 bytes and the ciphertext. */
export function encodePacketPlaintext(ack: SurbAck, keyField: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  if (keyField.length !== KEY_FIELD_BYTES) throw new RangeError(`a key field has ${KEY_FIELD_BYTES} bytes`)
  return concatBytes(encodeSurbAck(ack), keyField, ciphertext)
}

/** Cut what a gateway pushes, a plaintext without its ack; undefined when too short. Views, not copies. */
export function splitPushedMessage(
  bytes: Uint8Array,
): { readonly keyField: Uint8Array; readonly ciphertext: Uint8Array } | undefined {
  if (bytes.length < KEY_FIELD_BYTES) return undefined
  return { keyField: bytes.subarray(0, KEY_FIELD_BYTES), ciphertext: bytes.subarray(KEY_FIELD_BYTES) }
}

/** What loop cover says in place of a fragment, padded like a message. No fragment begins so: its first bit is set. */
export const COVER_CONTENT = utf8('The cake is a lie!')

/** Whether a decrypted packet is loop cover. */
export function isCover(plaintext: Uint8Array): boolean {
  if (plaintext.length < COVER_CONTENT.length) return false
  return COVER_CONTENT.every((byte, at) => plaintext[at] === byte)
}
