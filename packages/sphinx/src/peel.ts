/**
 * What a node does with a Sphinx packet (01-sphinx §8), in two steps so that a replay check can stand between them:
 * `openHeader` is everything up to the MAC and gives the replay tag; `finishPeel` reads the routing block, takes a
 * layer off the payload and blinds alpha. Neither throws on bad packets, and no peer is ever told.
 * Not here: which key to try, the replay filter, the delay, and the SURB-ack inside a message.
 */
import { equalBytes } from '@mixwright/runtime'
import {
  ADDRESS_BYTES,
  ALPHA_BYTES,
  BETA_BYTES,
  DESTINATION_BYTES,
  FINAL_HOP,
  FORWARD_HOP,
  HEADER_BYTES,
  IDENTIFIER_BYTES,
  isUnsupportedVersion,
  KEYSTREAM_BYTES,
  MAC_BYTES,
  MIN_PAYLOAD_BYTES,
} from './constants.js'
import type { CryptoProvider } from './crypto/provider.js'
import { expandHopKeys, type HopKeys, payloadKey } from './keys.js'
import { lionessDecrypt } from './lioness.js'
import { decodeNodeAddress, type NodeAddress } from './node-address.js'
import { recoverMessage } from './payload.js'

/** Why a packet was dropped. `header-mac` is also what a wrong key looks like. */
export type PeelDropReason =
  | 'too-short'
  | 'low-order-point'
  | 'header-mac'
  | 'unsupported-version'
  | 'routing-flag'
  | 'next-hop-address'
  | 'payload'

export interface PeelDrop {
  readonly kind: 'drop'
  readonly reason: PeelDropReason
}

/** A packet whose header is genuine. Good for one `finishPeel`, which wipes its keys. */
export interface OpenedHeader {
  readonly kind: 'opened'
  /** 32 bytes, the same for every packet with this alpha at this node. */
  readonly replayTag: Uint8Array
  readonly keys: HopKeys
  readonly packet: Uint8Array
}

export type PeelOutcome =
  | {
      readonly kind: 'forward'
      readonly version: number
      readonly replayTag: Uint8Array
      readonly nextHop: NodeAddress
      /** As the sender asked; up to 2^64 − 1, the caller sets a bound. */
      readonly delayNanos: bigint
      /** The packet for the next hop, as long as the one that came. */
      readonly packet: Uint8Array
    }
  | {
      readonly kind: 'final'
      readonly version: number
      readonly replayTag: Uint8Array
      /** 32 bytes. */
      readonly destination: Uint8Array
      /** 16 bytes. */
      readonly identifier: Uint8Array
      readonly message: Uint8Array
    }
  | PeelDrop

const BETA_START = ALPHA_BYTES + MAC_BYTES
const IDENTIFIER_START = 4 + DESTINATION_BYTES
const DELAY_START = 4 + ADDRESS_BYTES
const NEXT_HEADER_START = DELAY_START + 8

/** Beta and the zeros that a hop appends to it; every call is synchronous and writes all of beta, so this serves all calls. */
const padded = new Uint8Array(KEYSTREAM_BYTES)

/** Agree on keys with the sender and check the header's MAC. `nodeSecret` is the node's raw X25519 scalar, 32 bytes. */
export function openHeader(
  crypto: CryptoProvider,
  nodeSecret: Uint8Array,
  packet: Uint8Array,
): OpenedHeader | PeelDrop {
  if (packet.length < HEADER_BYTES + MIN_PAYLOAD_BYTES) return drop('too-short')
  const sharedSecret = crypto.x25519(nodeSecret, packet.subarray(0, ALPHA_BYTES))
  if (sharedSecret === undefined) return drop('low-order-point')
  const keys = expandHopKeys(crypto, sharedSecret)
  sharedSecret.fill(0)
  const mac = crypto.hmacSha256(keys.mac, packet.subarray(BETA_START, HEADER_BYTES)).subarray(0, MAC_BYTES)
  if (!equalBytes(mac, packet.subarray(ALPHA_BYTES, BETA_START))) return drop('header-mac')
  return { kind: 'opened', replayTag: new Uint8Array(keys.replayTag), keys, packet }
}

/** Read where the packet goes and peel its layer off. Leaves the packet that came as it is, and wipes the keys. */
export function finishPeel(crypto: CryptoProvider, opened: OpenedHeader): PeelOutcome {
  const outcome = peelLayer(crypto, opened)
  opened.keys.expanded.fill(0)
  return outcome
}

/** Both steps at once, for callers without a replay check. */
export function peel(crypto: CryptoProvider, nodeSecret: Uint8Array, packet: Uint8Array): PeelOutcome {
  const opened = openHeader(crypto, nodeSecret, packet)
  return opened.kind === 'drop' ? opened : finishPeel(crypto, opened)
}

function peelLayer(crypto: CryptoProvider, { keys, packet, replayTag }: OpenedHeader): PeelOutcome {
  padded.set(packet.subarray(BETA_START, HEADER_BYTES))
  const block = crypto.aes128Ctr(keys.stream, padded)
  const flag = block[0]
  if (flag !== FORWARD_HOP && flag !== FINAL_HOP) return drop('routing-flag')
  // The first of the three version bytes is not looked at.
  const version = (block[2]! << 8) | block[3]!
  if (isUnsupportedVersion(version)) return drop('unsupported-version')

  if (flag === FINAL_HOP) {
    // Copies are made by `new Uint8Array`: `slice` of a Buffer would share its memory.
    const payload = new Uint8Array(packet.subarray(HEADER_BYTES))
    lionessDecrypt(crypto, payloadKey(crypto, keys, version), payload)
    const message = recoverMessage(payload)
    if (message === undefined) return drop('payload')
    const destination = new Uint8Array(block.subarray(4, IDENTIFIER_START))
    const identifier = new Uint8Array(block.subarray(IDENTIFIER_START, IDENTIFIER_START + IDENTIFIER_BYTES))
    return { kind: 'final', version, replayTag, destination, identifier, message }
  }

  const nextHop = decodeNodeAddress(block.subarray(4, 4 + ADDRESS_BYTES))
  if (nextHop === undefined) return drop('next-hop-address')
  const alpha = crypto.x25519(keys.blinding, packet.subarray(0, ALPHA_BYTES))
  if (alpha === undefined) return drop('low-order-point')
  const next = new Uint8Array(packet.length)
  next.set(alpha)
  next.set(block.subarray(NEXT_HEADER_START, NEXT_HEADER_START + MAC_BYTES + BETA_BYTES), ALPHA_BYTES)
  next.set(packet.subarray(HEADER_BYTES), HEADER_BYTES)
  lionessDecrypt(crypto, payloadKey(crypto, keys, version), next.subarray(HEADER_BYTES))
  const delayNanos = new DataView(block.buffer, block.byteOffset, block.byteLength).getBigUint64(DELAY_START)
  return { kind: 'forward', version, replayTag, nextHop: nextHop.address, delayNanos, packet: next }
}

function drop(reason: PeelDropReason): PeelDrop {
  return { kind: 'drop', reason }
}
