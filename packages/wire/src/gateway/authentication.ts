/**
 * Authentication of a known client (02-gateway §5.1): it proves the shared key by encrypting its own address, and its
 * identity by a signature over that, the time and the protocol version.
 *
 * | offset | bytes | signed field |
 * |---|---|---|
 * | 0 | 1 | protocol version |
 * | 1 | 32 | client identity |
 * | 33 | 48 | address ciphertext |
 * | 81 | 12 | nonce |
 * | 93 | 8 | request time, seconds, u64 big-endian |
 */
import { concatBytes, equalBytes } from '@mixwright/runtime'
import { NONCE_BYTES, seal, TAG_BYTES } from './shared-key.js'

export interface Authentication {
  readonly protocolVersion: number
  readonly clientIdentity: Uint8Array
  /** 48 bytes. */
  readonly addressCiphertext: Uint8Array
  /** 12 bytes. */
  readonly nonce: Uint8Array
  /** Unix seconds. */
  readonly requestUnixTimestamp: number
}

export const ADDRESS_CIPHERTEXT_BYTES = 32 + TAG_BYTES

/** The 101 bytes under the signature; undefined when a field has another length. */
export function authenticationSignedBytes(request: Authentication): Uint8Array | undefined {
  const { protocolVersion, clientIdentity, addressCiphertext, nonce, requestUnixTimestamp } = request
  if (addressCiphertext.length !== ADDRESS_CIPHERTEXT_BYTES || nonce.length !== NONCE_BYTES) return undefined
  const time = new Uint8Array(8)
  new DataView(time.buffer).setBigUint64(0, BigInt(requestUnixTimestamp))
  return concatBytes(Uint8Array.of(protocolVersion), clientIdentity, addressCiphertext, nonce, time)
}

/** Whether the ciphertext is the client's address under the shared key; in constant time. */
export function provesSharedKey(
  sharedKey: Uint8Array,
  { clientIdentity, addressCiphertext, nonce }: Pick<Authentication, 'clientIdentity' | 'addressCiphertext' | 'nonce'>,
): boolean {
  if (nonce.length !== NONCE_BYTES) return false
  return equalBytes(seal(sharedKey, nonce, clientIdentity), addressCiphertext)
}
