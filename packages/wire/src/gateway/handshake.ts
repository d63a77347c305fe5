/**
 * The registration handshake, gateway's side and client's side alike (02-gateway §4): who sends which bytes, and what is
 * signed. Running it, and its time limits, are the session's.
 *
 * | # | from | payload |
 * |---|---|---|
 * | 1 | client | identity 32 ‖ ephemeral 32 ‖ salt 16 |
 * | 2 | gateway | ephemeral 32 ‖ sealed signature 80 ‖ nonce 12 |
 * | 3 | client | sealed signature 80 ‖ nonce 12 |
 * | 4 | gateway | 01 |
 */
import { concatBytes } from '@mixwright/runtime'
import { HANDSHAKE_SALT_BYTES, NONCE_BYTES, open, seal, TAG_BYTES } from './shared-key.js'

const KEY_BYTES = 32
const SEALED_SIGNATURE_BYTES = 64 + TAG_BYTES

export interface HandshakeInit {
  /** Ed25519 identity of the client. */
  readonly identity: Uint8Array
  /** X25519 ephemeral key of the client. */
  readonly ephemeral: Uint8Array
  readonly salt: Uint8Array
}

/** Message 1; undefined unless it has exactly 80 bytes (the 64-byte form without salt is the legacy dialect). */
export function decodeHandshakeInit(data: Uint8Array): HandshakeInit | undefined {
  if (data.length !== 2 * KEY_BYTES + HANDSHAKE_SALT_BYTES) return undefined
  return { identity: data.slice(0, 32), ephemeral: data.slice(32, 64), salt: data.slice(64) }
}

export function encodeHandshakeInit({ identity, ephemeral, salt }: HandshakeInit): Uint8Array {
  return concatBytes(identity, ephemeral, salt)
}

/** What each side signs: its own ephemeral key first, then the peer's. */
export function handshakeSignedBytes(ownEphemeral: Uint8Array, peerEphemeral: Uint8Array): Uint8Array {
  return concatBytes(ownEphemeral, peerEphemeral)
}

/** Ciphertext, then nonce: the other way round than in binary frames. 92 bytes. */
export function sealSignature(sharedKey: Uint8Array, nonce: Uint8Array, signature: Uint8Array): Uint8Array {
  return concatBytes(seal(sharedKey, nonce, signature), nonce)
}

/** The signature (64) inside 92 bytes; undefined when the length or the tag is wrong. */
export function openSignature(sharedKey: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.length !== SEALED_SIGNATURE_BYTES + NONCE_BYTES) return undefined
  return open(sharedKey, sealed.subarray(SEALED_SIGNATURE_BYTES), sealed.subarray(0, SEALED_SIGNATURE_BYTES))
}

/** Message 2: 124 bytes. */
export function encodeGatewayMaterial(ephemeral: Uint8Array, sealedSignature: Uint8Array): Uint8Array {
  return concatBytes(ephemeral, sealedSignature)
}

/** Message 2 read by a client; undefined unless it has exactly 124 bytes. */
export function decodeGatewayMaterial(
  data: Uint8Array,
): { readonly ephemeral: Uint8Array; readonly sealedSignature: Uint8Array } | undefined {
  if (data.length !== KEY_BYTES + SEALED_SIGNATURE_BYTES + NONCE_BYTES) return undefined
  return { ephemeral: data.slice(0, KEY_BYTES), sealedSignature: data.slice(KEY_BYTES) }
}

/** Message 4. */
export const HANDSHAKE_DONE: Uint8Array = Uint8Array.of(1)
