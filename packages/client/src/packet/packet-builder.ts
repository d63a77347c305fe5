/**
 * Making packets (04-client §4.6–§4.9): for an address, for a reply block, for cover; and the reply blocks themselves. Each
 * carries an ack packet of its own, and everything is Sphinx version 259, cover included, so that no mix can tell them apart.
 */
import { MixError, type Random } from '@mixwright/runtime'
import {
  buildPacket,
  type CryptoProvider,
  createSurb,
  decodeNodeAddress,
  type NodeAddress,
  PACKET_SIZES,
  type RouteNode,
  useSurb,
} from '@mixwright/sphinx'
import {
  COVER_CONTENT,
  COVER_FRAGMENT_IDENTIFIER,
  deriveFragmentKey,
  encodePacketPlaintext,
  type FragmentIdentifier,
  fragmentSpace,
  KEY_FIELD_BYTES,
  type KeyRotation,
  type MixPacket,
  REPLY_KEY_BYTES,
  type Recipient,
  type ReplySurb,
  replyKeyDigest,
  rotationOfId,
  type SurbAck,
  sealAck,
} from '@mixwright/wire'
import type { ClientKeys } from '../client-keys.js'
import { drawDelaysNanos, drawRoute } from '../directory/route.js'
import type { GatewayNode, Topology } from '../directory/topology.js'
import type { Profile } from '../profile.js'

/** Everything is sent in regular packets; larger ones are read. */
const SIZE = PACKET_SIZES.regular
/** Bytes of a fragment of ours: 1611. */
export const FRAGMENT_SPACE = fragmentSpace(SIZE)
const IV_BYTES = 16
const NANOS_PER_MS = 1_000_000
/** Hops that delay: the gateway at the end does not. */
const MIX_HOPS = 3

/** A packet and the time in which its ack can be expected, without processing and links, milliseconds. */
export interface BuiltPacket {
  readonly mixPacket: MixPacket
  readonly expectedRttMs: number
}

export class PacketBuilder {
  readonly #crypto: CryptoProvider
  readonly #random: Random
  readonly #keys: ClientKeys
  readonly #address: Recipient
  readonly #profile: Profile
  /** `Recipient.gateway` as the topology names it. */
  readonly #gateway: string
  /** The random filler of a cover packet needs no other content: `COVER_CONTENT ‖ 01 ‖ 00…`. */
  readonly #cover: Uint8Array

  constructor(
    crypto: CryptoProvider,
    random: Random,
    keys: ClientKeys,
    address: Recipient,
    gateway: string,
    profile: Profile,
  ) {
    this.#crypto = crypto
    this.#random = random
    this.#keys = keys
    this.#address = address
    this.#gateway = gateway
    this.#profile = profile
    this.#cover = new Uint8Array(FRAGMENT_SPACE)
    this.#cover.set(COVER_CONTENT)
    this.#cover[COVER_CONTENT.length] = 1
  }

  /** Whether packets can be built at all: our own gateway, where acks and replies come home, is known. */
  isUsable(topology: Topology): boolean {
    return topology.gateways.has(this.#gateway)
  }

  /** A fragment for `recipient`, whose gateway is `gateway`. */
  forward(
    topology: Topology,
    recipient: Recipient,
    gateway: RouteNode,
    fragment: Uint8Array,
    identifier: FragmentIdentifier,
  ): BuiltPacket {
    const ack = this.#ack(topology, identifier)
    const { keyField, ciphertext } = this.#encryptFor(recipient.encryption, fragment)
    return this.#packet(
      topology,
      gateway,
      recipient.identity,
      encodePacketPlaintext(ack.surbAck, keyField, ciphertext),
      ack.delayMs,
    )
  }

  /** A fragment behind a reply block: one packet, after which the block is used up. `rotation`: the block's. */
  reply(
    topology: Topology,
    { encryptionKey, surb }: ReplySurb,
    rotation: KeyRotation,
    fragment: Uint8Array,
    identifier: FragmentIdentifier,
  ): BuiltPacket {
    const ack = this.#ack(topology, identifier)
    const ciphertext = this.#crypto.aes128Ctr(encryptionKey, fragment)
    const message = encodePacketPlaintext(ack.surbAck, replyKeyDigest(encryptionKey), ciphertext)
    const { nextHop, packet } = useSurb(this.#crypto, surb, { packetSize: SIZE, message })
    // Its delays are known to its maker alone: three means are expected.
    const expectedRttMs = MIX_HOPS * this.#profile.averagePacketDelayMs + ack.delayMs
    return { mixPacket: { nextHop, rotation, packet }, expectedRttMs }
  }

  /** Loop cover: to ourselves, told from data by nobody else. */
  cover(topology: Topology): BuiltPacket {
    return this.forward(topology, this.#address, this.#ownGateway(topology), this.#cover, COVER_FRAGMENT_IDENTIFIER)
  }

  /**
   * Drop cover: to a gateway drawn at random, for nobody there and without an ack, so that nothing comes home. The gateway
   * finds no ack in front of the message and drops it.
   */
  drop(topology: Topology): BuiltPacket {
    const gateways = [...topology.gateways.values()]
    const [number] = new Uint32Array(this.#random.bytes(4).slice().buffer)
    const gateway = gateways[number! % gateways.length]!
    return this.#packet(topology, gateway, this.#random.bytes(32), new Uint8Array(SIZE.payloadBytes - 17), 0)
  }

  /** A reply block that leads to us. */
  surb(topology: Topology): ReplySurb {
    const surb = createSurb(this.#crypto, this.#random, this.#header(topology, this.#ownGateway(topology)).options)
    return { encryptionKey: this.#random.bytes(REPLY_KEY_BYTES), surb }
  }

  #ownGateway(topology: Topology): GatewayNode {
    const own = topology.gateways.get(this.#gateway)
    if (own === undefined) throw gatewayGone(this.#gateway)
    return own
  }

  /** Route and delays to ourselves or, with `destination`, to somebody else. */
  #header(
    topology: Topology,
    gateway: RouteNode,
    destination = this.#address.identity,
    meanDelayMs = this.#profile.averagePacketDelayMs,
  ) {
    const route = drawRoute(topology, gateway, this.#random)
    const delaysNanos = drawDelaysNanos(this.#random, meanDelayMs, route.length)
    let delayMs = 0
    for (let hop = 0; hop < MIX_HOPS; hop++) delayMs += Number(delaysNanos[hop]) / NANOS_PER_MS
    return { options: { route, delaysNanos, destination }, firstHop: addressOf(route[0]!), delayMs }
  }

  #packet(
    topology: Topology,
    gateway: RouteNode,
    destination: Uint8Array,
    message: Uint8Array,
    ackDelayMs: number,
  ): BuiltPacket {
    const { options, firstHop, delayMs } = this.#header(topology, gateway, destination)
    const packet = buildPacket(this.#crypto, this.#random, { ...options, packetSize: SIZE, message })
    const rotation = rotationOfId(topology.rotationId)
    return { mixPacket: { nextHop: firstHop, rotation, packet }, expectedRttMs: delayMs + ackDelayMs }
  }

  #ack(topology: Topology, identifier: FragmentIdentifier): { surbAck: SurbAck; delayMs: number } {
    const message = sealAck(this.#keys.ackKey, this.#random.bytes(IV_BYTES), identifier)
    const mean = this.#profile.averageAckDelayMs
    const { options, firstHop, delayMs } = this.#header(topology, this.#ownGateway(topology), undefined, mean)
    const packet = buildPacket(this.#crypto, this.#random, { ...options, packetSize: PACKET_SIZES.ack, message })
    return { surbAck: { firstHop, packet }, delayMs }
  }

  /** Under a key that only the holder of `encryptionKey`'s secret can agree on, with a fresh ephemeral key in front. */
  #encryptFor(encryptionKey: Uint8Array, fragment: Uint8Array): { keyField: Uint8Array; ciphertext: Uint8Array } {
    const secret = this.#random.bytes(KEY_FIELD_BYTES)
    const shared = this.#crypto.x25519(secret, encryptionKey)
    if (shared === undefined)
      throw new MixError('MIX_ADDRESS', "The recipient's encryption key is no usable key.", { kind: 'usage' })
    return {
      keyField: this.#crypto.x25519Base(secret),
      ciphertext: this.#crypto.aes128Ctr(deriveFragmentKey(shared), fragment),
    }
  }
}

/** Why nothing can be sent while the network does not list our own gateway. */
export function gatewayGone(gateway: string): MixError {
  const message = `The network does not list the gateway ${gateway} of this client.`
  return new MixError('MIX_GATEWAY_GONE', message, { kind: 'network', retry: true, data: { gateway } })
}

/** Node addresses as numbers are parsed once: there are few nodes and many packets. */
const addresses = new WeakMap<RouteNode, NodeAddress>()
function addressOf(node: RouteNode): NodeAddress {
  let address = addresses.get(node)
  if (address === undefined) {
    address = decodeNodeAddress(node.address)!.address
    addresses.set(node, address)
  }
  return address
}
