/**
 * What a node does with Sphinx packets (01-sphinx §8), in two steps so that a replay check can stand between them:
 * `openHeaders` is everything up to the MAC and gives the replay tags; `finishPeels` reads the routing blocks, takes a
 * layer off the payloads and blinds alpha. Both take many packets, whose key derivation costs less than one by one.
 * Neither throws on bad packets, and no peer is ever told.
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
import { expandHopKeys, type HopKeys, payloadKeys } from './keys.js'
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

/** A packet whose header is genuine. Good for one `finishPeels`, which wipes its keys. */
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

/** What a genuine header asks for. */
interface RoutedPacket {
  readonly kind: 'routed'
  readonly header: OpenedHeader
  readonly keys: HopKeys
  readonly version: number
  /** The decrypted routing block and what follows it. */
  readonly block: Uint8Array
  /** Undefined: this is the final hop. */
  readonly nextHop: NodeAddress | undefined
}

/**
 * Agree on keys with each packet's sender and check the header's MAC; one outcome per packet, in order. `nodeSecret` is the
 * node's raw X25519 scalar, 32 bytes.
 */
export function openHeaders(
  crypto: CryptoProvider,
  nodeSecret: Uint8Array,
  packets: readonly Uint8Array[],
): (OpenedHeader | PeelDrop)[] {
  const agreed = packets.map((packet) => agree(crypto, nodeSecret, packet))
  return withoutDrops(agreed, (headers) => {
    const hops = expandHopKeys(
      crypto,
      headers.map(({ sharedSecret }) => sharedSecret),
    )
    const macs = crypto.hmacSha256Each(
      hops.map(({ mac }) => mac),
      headers.map(({ packet }) => packet.subarray(BETA_START, HEADER_BYTES)),
    )
    return headers.map(({ packet, sharedSecret }, index) => {
      sharedSecret.fill(0)
      const mac = macs[index]!.subarray(0, MAC_BYTES)
      if (!equalBytes(mac, packet.subarray(ALPHA_BYTES, BETA_START))) return drop('header-mac')
      const keys = hops[index]!
      return { kind: 'opened', replayTag: new Uint8Array(keys.replayTag), keys, packet }
    })
  })
}

/**
 * Read where each packet goes and peel its layer off; one outcome per packet, in order. Leaves the packets that came as they
 * are, and wipes the keys.
 */
export function finishPeels(crypto: CryptoProvider, opened: readonly OpenedHeader[]): PeelOutcome[] {
  const routed = opened.map((header) => readRoutingBlock(crypto, header))
  const outcomes = withoutDrops(routed, (packets) => {
    const keys = payloadKeys(crypto, packets)
    return packets.map((packet, index) => peelLayer(crypto, packet, keys[index]!))
  })
  for (const { keys } of opened) keys.expanded.fill(0)
  return outcomes
}

/** Both steps at once for one packet, for callers without a replay check. */
export function peel(crypto: CryptoProvider, nodeSecret: Uint8Array, packet: Uint8Array): PeelOutcome {
  const opened = openHeaders(crypto, nodeSecret, [packet])[0]!
  return opened.kind === 'drop' ? opened : finishPeels(crypto, [opened])[0]!
}

function agree(crypto: CryptoProvider, nodeSecret: Uint8Array, packet: Uint8Array) {
  if (packet.length < HEADER_BYTES + MIN_PAYLOAD_BYTES) return drop('too-short')
  const sharedSecret = crypto.x25519(nodeSecret, packet.subarray(0, ALPHA_BYTES))
  return sharedSecret === undefined ? drop('low-order-point') : { kind: 'agreed' as const, packet, sharedSecret }
}

function readRoutingBlock(crypto: CryptoProvider, header: OpenedHeader): RoutedPacket | PeelDrop {
  const { keys, packet } = header
  padded.set(packet.subarray(BETA_START, HEADER_BYTES))
  const block = crypto.aes128Ctr(keys.stream, padded)
  const flag = block[0]
  if (flag !== FORWARD_HOP && flag !== FINAL_HOP) return drop('routing-flag')
  // The first of the three version bytes is not looked at.
  const version = (block[2]! << 8) | block[3]!
  if (isUnsupportedVersion(version)) return drop('unsupported-version')
  if (flag === FINAL_HOP) return { kind: 'routed', header, keys, version, block, nextHop: undefined }
  const nextHop = decodeNodeAddress(block.subarray(4, 4 + ADDRESS_BYTES))
  if (nextHop === undefined) return drop('next-hop-address')
  return { kind: 'routed', header, keys, version, block, nextHop: nextHop.address }
}

function peelLayer(crypto: CryptoProvider, routed: RoutedPacket, payloadKey: Uint8Array): PeelOutcome {
  const { keys, version, block, nextHop } = routed
  const { packet, replayTag } = routed.header
  if (nextHop === undefined) {
    // Copies are made by `new Uint8Array`: `slice` of a Buffer would share its memory.
    const payload = new Uint8Array(packet.subarray(HEADER_BYTES))
    lionessDecrypt(crypto, payloadKey, payload)
    const message = recoverMessage(payload)
    if (message === undefined) return drop('payload')
    const destination = new Uint8Array(block.subarray(4, IDENTIFIER_START))
    const identifier = new Uint8Array(block.subarray(IDENTIFIER_START, IDENTIFIER_START + IDENTIFIER_BYTES))
    return { kind: 'final', version, replayTag, destination, identifier, message }
  }

  const alpha = crypto.x25519(keys.blinding, packet.subarray(0, ALPHA_BYTES))
  if (alpha === undefined) return drop('low-order-point')
  const next = new Uint8Array(packet.length)
  next.set(alpha)
  next.set(block.subarray(NEXT_HEADER_START, NEXT_HEADER_START + MAC_BYTES + BETA_BYTES), ALPHA_BYTES)
  next.set(packet.subarray(HEADER_BYTES), HEADER_BYTES)
  lionessDecrypt(crypto, payloadKey, next.subarray(HEADER_BYTES))
  const delayNanos = new DataView(block.buffer, block.byteOffset, block.byteLength).getBigUint64(DELAY_START)
  return { kind: 'forward', version, replayTag, nextHop, delayNanos, packet: next }
}

/** Work on all that is not dropped yet, in one go; the drops stay in their places. */
function withoutDrops<T extends { readonly kind: string }, U>(
  items: readonly (T | PeelDrop)[],
  work: (rest: T[]) => (U | PeelDrop)[],
): (U | PeelDrop)[] {
  const outcomes = work(items.filter((item): item is T => item.kind !== 'drop'))
  let next = 0
  return items.map((item) => (item.kind === 'drop' ? (item as PeelDrop) : outcomes[next++]!))
}

function drop(reason: PeelDropReason): PeelDrop {
  return { kind: 'drop', reason }
}
