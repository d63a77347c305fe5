/**
 * What one hop shares with the sender: 288 bytes expanded from the X25519 secret and cut into keys (01-sphinx §4.2),
 * and the payload key derived from its seed (§4.3).
 */
import { PAYLOAD_SEED_BYTES, VERSION_FULL_KEYS } from './constants.js'
import type { CryptoProvider } from './crypto/provider.js'

/** What is derived per hop: at the node all of it; at the sender no replay tag, and for the last hop no blinding factor. */
export const NODE_KEYS_BYTES = 288
export const FORWARD_KEYS_BYTES = 256
export const LAST_KEYS_BYTES = 224

/** The keys of one hop, views into one array; empty where fewer bytes were derived. */
export interface HopKeys {
  /** All derived bytes, for wiping. */
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

/** Expand each 32-byte shared secret into the first `length` bytes of the hop's keys. */
export function expandHopKeys(
  crypto: CryptoProvider,
  sharedSecrets: readonly Uint8Array[],
  length = NODE_KEYS_BYTES,
): HopKeys[] {
  return crypto.hopKeys(sharedSecrets, length).map((expanded) => ({
    expanded,
    stream: expanded.subarray(0, 16),
    mac: expanded.subarray(16, 32),
    fullPayload: expanded.subarray(32, 224),
    blinding: expanded.subarray(224, 256),
    replayTag: expanded.subarray(256, 288),
  }))
}

/** The 192-byte LIONESS key of each hop: as it stands in version 258, from the seed in every later one. */
export function payloadKeys(
  crypto: CryptoProvider,
  hops: readonly { readonly keys: HopKeys; readonly version: number }[],
): Uint8Array[] {
  const seeds = hops.filter(({ version }) => version !== VERSION_FULL_KEYS).map(({ keys }) => payloadSeed(keys))
  const derived = crypto.payloadKeys(seeds)
  let next = 0
  return hops.map(({ keys, version }) => (version === VERSION_FULL_KEYS ? keys.fullPayload : derived[next++]!))
}

/** The 16 bytes that a version 259 payload key is derived from. */
export function payloadSeed(keys: HopKeys): Uint8Array {
  return keys.fullPayload.subarray(0, PAYLOAD_SEED_BYTES)
}
