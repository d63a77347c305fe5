/**
 * The key that a client and its gateway share (02-gateway §4): how it is derived from a handshake, and AES-256-GCM-SIV
 * under it. There is no associated data anywhere in this protocol.
 */
import { blake3 } from '@noble/hashes/blake3.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { gcmSivDecrypt, gcmSivEncrypt } from '../aes/gcm-siv.js'

export { NONCE_BYTES, TAG_BYTES } from '../aes/gcm-siv.js'

export const SHARED_KEY_BYTES = 32
export const HANDSHAKE_SALT_BYTES = 16

/** HKDF (RFC 5869) over HMAC with unkeyed BLAKE3, empty info. `sharedSecret` is the X25519 result (32), `salt` 16 bytes. */
export function deriveSharedKey(sharedSecret: Uint8Array, salt: Uint8Array): Uint8Array {
  return hkdf(blake3, sharedSecret, salt, undefined, SHARED_KEY_BYTES)
}

/** Encrypt under the shared key; the result is 16 bytes longer. `nonce`: 12 random bytes. */
export function seal(sharedKey: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array {
  return gcmSivEncrypt(sharedKey, nonce, plaintext)
}

/** Decrypt and check; undefined when the tag is wrong or there is none. */
export function open(sharedKey: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
  return gcmSivDecrypt(sharedKey, nonce, ciphertext)
}
