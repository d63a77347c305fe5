/**
 * Single-use reply blocks (01-sphinx §10): a header that leads to its maker, with the keys to put a payload behind it.
 * Whoever holds one can send one packet without knowing where it goes. Used twice, it is dropped as a replay.
 *
 * header 348 ‖ first hop 32 ‖ per hop, in route order, a 16-byte key seed (259) or a full 192-byte payload key (258)
 */
import { concatBytes, MixError, type Random } from '@mixwright/runtime'
import {
  ADDRESS_BYTES,
  HEADER_BYTES,
  MAX_HOPS,
  PAYLOAD_KEY_BYTES,
  PAYLOAD_SEED_BYTES,
  VERSION_FULL_KEYS,
} from './constants.js'
import type { CryptoProvider } from './crypto/provider.js'
import { buildHeader, type HeaderOptions } from './header.js'
import { payloadSeed } from './keys.js'
import { decodeNodeAddress, type NodeAddress } from './node-address.js'
import { type PayloadLength, payloadLength, sealPayload } from './payload.js'

/** How the payload keys are carried: 16 or 192 bytes per hop. */
export type SurbForm = 'key-seeds' | 'full-keys'

export interface Surb {
  readonly form: SurbForm
  /** 348 bytes. */
  readonly header: Uint8Array
  /** 32-byte form of a node address. */
  readonly firstHop: Uint8Array
  /** One entry per hop, in route order. */
  readonly keys: readonly Uint8Array[]
}

/** A packet and the node that it has to be handed to. */
export interface SurbPacket {
  readonly nextHop: NodeAddress
  readonly packet: Uint8Array
}

const FIXED_BYTES = HEADER_BYTES + ADDRESS_BYTES

/** Make a SURB: version 258 gives the form with full keys, 259 (the default) the one with seeds. Throws as `buildHeader`. */
export function createSurb(crypto: CryptoProvider, random: Random, options: HeaderOptions): Surb {
  const header = new Uint8Array(HEADER_BYTES)
  const { version, hops } = buildHeader(crypto, random, options, header)
  const form = version === VERSION_FULL_KEYS ? 'full-keys' : 'key-seeds'
  const keys = hops.map((hop) => new Uint8Array(form === 'full-keys' ? hop.fullPayload : payloadSeed(hop)))
  return { form, header, firstHop: new Uint8Array(options.route[0]!.address), keys }
}

/** Write a SURB: 380 + 16·hops or 380 + 192·hops bytes. */
export function surbToBytes(surb: Surb): Uint8Array {
  return concatBytes(surb.header, surb.firstHop, ...surb.keys)
}

/**
 * Read a SURB of either form; the length of the key material tells which. Undefined for a length that fits neither
 * form, for more than 5 hops and for a first hop that is no node address. Never throws; keeps a copy of the bytes.
 */
export function surbFromBytes(bytes: Uint8Array): Surb | undefined {
  // `slice` of a Buffer would share its memory.
  const copy = (from: number, to: number) => new Uint8Array(bytes.subarray(from, to))
  const materialBytes = bytes.length - FIXED_BYTES
  const form = materialBytes < PAYLOAD_KEY_BYTES ? 'key-seeds' : 'full-keys'
  const keyBytes = form === 'key-seeds' ? PAYLOAD_SEED_BYTES : PAYLOAD_KEY_BYTES
  const hops = materialBytes / keyBytes
  if (!Number.isInteger(hops) || hops < 1 || hops > MAX_HOPS) return undefined
  const firstHop = copy(HEADER_BYTES, FIXED_BYTES)
  if (decodeNodeAddress(firstHop) === undefined) return undefined
  const keys: Uint8Array[] = []
  for (let at = FIXED_BYTES; at < bytes.length; at += keyBytes) keys.push(copy(at, at + keyBytes))
  return { form, header: copy(0, HEADER_BYTES), firstHop, keys }
}

/**
 * Put a message behind a SURB's header: a packet of 348 + payload bytes and where to send it. Throws
 * `MIX_SPHINX_PAYLOAD_SIZE`, `MIX_SPHINX_MESSAGE_TOO_LONG`, and `MIX_SPHINX_ROUTE` for a first hop that is no address.
 */
export function useSurb(
  crypto: CryptoProvider,
  surb: Surb,
  options: PayloadLength & { readonly message: Uint8Array },
): SurbPacket {
  const nextHop = decodeNodeAddress(surb.firstHop)
  if (nextHop === undefined)
    throw new MixError('MIX_SPHINX_ROUTE', 'the first hop of the SURB is no node address', { kind: 'usage' })
  const packet = new Uint8Array(HEADER_BYTES + payloadLength(options))
  packet.set(surb.header)
  const keys = surb.form === 'full-keys' ? surb.keys : crypto.payloadKeys(surb.keys)
  sealPayload(crypto, packet.subarray(HEADER_BYTES), options.message, keys)
  return { nextHop: nextHop.address, packet }
}
