/**
 * The address of a client (02-gateway §10): `identity.encryption@gateway`, three base58 keys, 96 bytes.
 * Identity and gateway are Ed25519 keys, the encryption key is X25519.
 */
import { concatBytes } from '@mixwright/runtime'
import { decodeBase58, encodeBase58 } from './base58.js'

const KEY_BYTES = 32
export const RECIPIENT_BYTES = 3 * KEY_BYTES

export interface Recipient {
  /** Ed25519, 32 bytes; also the Sphinx destination. */
  readonly identity: Uint8Array
  /** X25519, 32 bytes. */
  readonly encryption: Uint8Array
  /** Ed25519 identity of the gateway, 32 bytes. */
  readonly gateway: Uint8Array
}

/** Whether 32 bytes are an Ed25519 public key, that is a point of the curve. Cryptography is handed in. */
export type PointCheck = (publicKey: Uint8Array) => boolean

/** Parse the text form; undefined when it is none. */
export function parseRecipient(text: string, isPoint: PointCheck): Recipient | undefined {
  const halves = text.split('@')
  if (halves.length !== 2) return undefined
  const keys = halves[0]!.split('.')
  if (keys.length !== 2) return undefined
  const [identity, encryption, gateway] = [...keys, halves[1]!].map((key) => decodeBase58(key, KEY_BYTES))
  return identity && encryption && gateway ? checked({ identity, encryption, gateway }, isPoint) : undefined
}

export function formatRecipient({ identity, encryption, gateway }: Recipient): string {
  return `${encodeBase58(identity)}.${encodeBase58(encryption)}@${encodeBase58(gateway)}`
}

/** Read the 96-byte form; undefined when it is none. */
export function decodeRecipient(bytes: Uint8Array, isPoint: PointCheck): Recipient | undefined {
  if (bytes.length !== RECIPIENT_BYTES) return undefined
  return checked({ identity: bytes.slice(0, 32), encryption: bytes.slice(32, 64), gateway: bytes.slice(64) }, isPoint)
}

export function encodeRecipient({ identity, encryption, gateway }: Recipient): Uint8Array {
  return concatBytes(identity, encryption, gateway)
}

function checked(recipient: Recipient, isPoint: PointCheck): Recipient | undefined {
  return isPoint(recipient.identity) && isPoint(recipient.gateway) ? recipient : undefined
}
