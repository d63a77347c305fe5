/**
 * The key that a client and its gateway share (02-gateway §4): how it is derived from a handshake, and AES-256-GCM-SIV
 * under it. There is no associated data anywhere in this protocol.
 */
import { gcmsiv } from '@noble/ciphers/aes.js'
import { blake3 } from '@noble/hashes/blake3.js'
import { hkdf } from '@noble/hashes/hkdf.js'

export const SHARED_KEY_BYTES = 32
export const HANDSHAKE_SALT_BYTES = 16
export const NONCE_BYTES = 12
/** Authentication tag after every ciphertext, bytes. */
export const TAG_BYTES = 16

/** HKDF (RFC 5869) over HMAC with unkeyed BLAKE3, empty info. `sharedSecret` is the X25519 result (32), `salt` 16 bytes. */
export function deriveSharedKey(sharedSecret: Uint8Array, salt: Uint8Array): Uint8Array {
  return hkdf(blake3, sharedSecret, salt, undefined, SHARED_KEY_BYTES)
}

/** Encrypt under the shared key; the result is 16 bytes longer. `nonce`: 12 random bytes. */
export function seal(sharedKey: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array {
  return gcmsiv(sharedKey, nonce).encrypt(plaintext)
}

/** Decrypt and check; undefined when the tag is wrong or there is none. */
export function open(sharedKey: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
  if (nonce.length !== NONCE_BYTES || ciphertext.length < TAG_BYTES) return undefined
  try {
    return gcmsiv(sharedKey, nonce).decrypt(ciphertext)
  } catch {
    return undefined
  }
}
