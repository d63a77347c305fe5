/**
 * What a client keeps of its registration with a gateway (02-gateway §4), and its form in a store.
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 1 | layout, 1 |
 * | 1 | 32 | Ed25519 identity of the gateway |
 * | 33 | 32 | shared key |
 * | 65 | 1 | protocol version negotiated |
 * | 66 | 8 | time of the registration, Unix milliseconds, u64 big-endian |
 */
import { concatBytes, MixError } from '@mixwright/runtime'
import { decodeBase58, encodeBase58 } from '@mixwright/wire'

export interface Registration {
  /** Ed25519 identity of the gateway, base58. */
  readonly gateway: string
  /** 32 bytes, secret. */
  readonly sharedKey: Uint8Array
  readonly protocolVersion: number
  /** Unix milliseconds. */
  readonly registeredAt: number
}

const LAYOUT = 1
const BYTES = 74

/** 74 bytes. The gateway must be a base58 identity. */
export function encodeRegistration({ gateway, sharedKey, protocolVersion, registeredAt }: Registration): Uint8Array {
  const time = new Uint8Array(8)
  new DataView(time.buffer).setBigUint64(0, BigInt(registeredAt))
  const identity = decodeBase58(gateway, 32)!
  return concatBytes(Uint8Array.of(LAYOUT), identity, sharedKey, Uint8Array.of(protocolVersion), time)
}

/** Read a stored registration. Error: `MIX_REGISTRATION`, kind `local`, when it is none. */
export function decodeRegistration(bytes: Uint8Array): Registration {
  if (bytes.length !== BYTES || bytes[0] !== LAYOUT) {
    throw new MixError('MIX_REGISTRATION', 'The stored registration with the gateway is damaged.', { kind: 'local' })
  }
  return {
    gateway: encodeBase58(bytes.subarray(1, 33)),
    sharedKey: bytes.slice(33, 65),
    protocolVersion: bytes[65]!,
    registeredAt: Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(66)),
  }
}
