/**
 * Binary messages between client and gateway (02-gateway §7.1): a kind, a flag, a nonce and the sealed plaintext. Kind and
 * flag are not authenticated.
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 1 | kind |
 * | 1 | 1 | 1 = encrypted; 0 = plain, which we refuse |
 * | 2 | 12 | nonce |
 * | 14 | n + 16 | ciphertext and tag |
 */
import { NONCE_BYTES, open, seal } from './shared-key.js'

/** Client to gateway. */
export const FORWARD_SPHINX = 1
export const FORWARD_SPHINX_V2 = 2
/** Gateway to client. */
export const PUSHED_MIX_MESSAGE = 1

const ENCRYPTED = 1
const HEADER_BYTES = 2 + NONCE_BYTES

/** Largest binary message read, bytes; the largest legitimate one has 33 184. */
export const MAX_BINARY_BYTES = 262_144

export type OpenedBinaryFrame =
  | { readonly kind: 'opened'; readonly frameKind: number; readonly plaintext: Uint8Array }
  | { readonly kind: 'error'; readonly error: 'too-short' | 'encryption-flag' | 'decryption' }

/** Read and decrypt; never throws. */
export function openBinaryFrame(sharedKey: Uint8Array, frame: Uint8Array): OpenedBinaryFrame {
  if (frame.length < HEADER_BYTES) return { kind: 'error', error: 'too-short' }
  if (frame[1] !== ENCRYPTED) return { kind: 'error', error: 'encryption-flag' }
  const plaintext = open(sharedKey, frame.subarray(2, HEADER_BYTES), frame.subarray(HEADER_BYTES))
  if (plaintext === undefined) return { kind: 'error', error: 'decryption' }
  return { kind: 'opened', frameKind: frame[0]!, plaintext }
}

/** Encrypt and write; 30 bytes longer than the plaintext. */
export function sealBinaryFrame(
  sharedKey: Uint8Array,
  kind: number,
  nonce: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const sealed = seal(sharedKey, nonce, plaintext)
  const frame = new Uint8Array(HEADER_BYTES + sealed.length)
  frame[0] = kind
  frame[1] = ENCRYPTED
  frame.set(nonce, 2)
  frame.set(sealed, HEADER_BYTES)
  return frame
}
