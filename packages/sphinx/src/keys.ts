/**
 * What one hop shares with the sender: 288 bytes expanded from the X25519 secret and cut into keys (01-sphinx §4.2),
 * and the payload key derived from its seed (§4.3).
 */
import { utf8 } from '@mixwright/runtime'
import { PAYLOAD_KEY_BYTES, PAYLOAD_SEED_BYTES, VERSION_FULL_KEYS } from './constants.js'
import type { CryptoProvider } from './crypto/provider.js'

const EXPANDED_BYTES = 288
const NO_SALT = new Uint8Array(0)
const HOP_INFO = utf8(
  'Dwste mou enan moxlo arketa makru kai ena upomoxlio gia na ton topothetisw kai tha kinisw thn gh.',
)
const PAYLOAD_SALT = utf8('sphinx-payload-key-V01-CS01-HKDF:SHA256-SALT')
const PAYLOAD_INFO = utf8('sphinx-payload-key-V01-CS01-HKDF:SHA256-INFO')

/** The keys of one hop, views into one array. */
export interface HopKeys {
  /** All 288 bytes, for wiping. */
  readonly expanded: Uint8Array
  /** AES-128 key for beta, 16 bytes. */
  readonly stream: Uint8Array
  /** HMAC-SHA256 key for beta, 16 bytes. */
  readonly mac: Uint8Array
  /** LIONESS key of version 258, 192 bytes. Its first 16 bytes are the seed of version 259. */
  readonly fullPayload: Uint8Array
  /** Raw X25519 scalar that blinds alpha for the next hop, 32 bytes. */
  readonly blinding: Uint8Array
  /** Same packet, same tag; 32 bytes (§9). */
  readonly replayTag: Uint8Array
}

/** Expand a 32-byte shared secret into the hop's keys. */
export function expandHopKeys(crypto: CryptoProvider, sharedSecret: Uint8Array): HopKeys {
  const expanded = crypto.hkdfSha256(sharedSecret, NO_SALT, HOP_INFO, EXPANDED_BYTES)
  return {
    expanded,
    stream: expanded.subarray(0, 16),
    mac: expanded.subarray(16, 32),
    fullPayload: expanded.subarray(32, 224),
    blinding: expanded.subarray(224, 256),
    replayTag: expanded.subarray(256, 288),
  }
}

/** The 192-byte LIONESS key of a hop: as it stands in version 258, from the seed in every later one. */
export function payloadKey(crypto: CryptoProvider, keys: HopKeys, version: number): Uint8Array {
  if (version === VERSION_FULL_KEYS) return keys.fullPayload
  return payloadKeyFromSeed(crypto, payloadSeed(keys))
}

/** The 16 bytes that a version 259 payload key is derived from. */
export function payloadSeed(keys: HopKeys): Uint8Array {
  return keys.fullPayload.subarray(0, PAYLOAD_SEED_BYTES)
}

/** 16-byte seed to 192-byte LIONESS key. */
export function payloadKeyFromSeed(crypto: CryptoProvider, seed: Uint8Array): Uint8Array {
  return crypto.hkdfSha256(seed, PAYLOAD_SALT, PAYLOAD_INFO, PAYLOAD_KEY_BYTES)
}
