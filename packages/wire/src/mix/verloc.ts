/**
 * Messages of verloc, by which nodes measure how far they are from each other (05-mixnode §13).
 *
 * | message | layout | bytes |
 * |---|---|---|
 * | echo | u64 big-endian sequence ‖ 32 Ed25519 key of the sender ‖ 64 signature over the first 40 bytes | 104 |
 * | reply | the echo ‖ 64 signature of the answering node over its 104 bytes | 168 |
 */
import { concatBytes } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'

export const VERLOC_ECHO_BYTES = 104
export const VERLOC_REPLY_BYTES = 168

const SIGNED_BYTES = 40
const SEQUENCE_BYTES = 8

/** An echo of 104 bytes, signed with the identity of 32 bytes seed; `sequence` fits a u64. */
export function encodeVerlocEcho(crypto: CryptoProvider, sequence: bigint, seed: Uint8Array): Uint8Array {
  const signed = new Uint8Array(SIGNED_BYTES)
  new DataView(signed.buffer).setBigUint64(0, sequence)
  signed.set(crypto.ed25519PublicKey(seed), SEQUENCE_BYTES)
  return concatBytes(signed, crypto.ed25519Sign(signed, seed))
}

/** The reply, 168 bytes, to an echo of 104 bytes; undefined when the echo's signature is wrong. */
export function answerVerlocEcho(crypto: CryptoProvider, echo: Uint8Array, seed: Uint8Array): Uint8Array | undefined {
  const sender = echo.subarray(SEQUENCE_BYTES, SIGNED_BYTES)
  if (!crypto.ed25519Verify(echo.subarray(SIGNED_BYTES), echo.subarray(0, SIGNED_BYTES), sender)) return undefined
  return concatBytes(echo, crypto.ed25519Sign(echo, seed))
}
