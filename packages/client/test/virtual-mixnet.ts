/**
 * A whole mixnet in memory on one virtual clock, for tests: nodes with real X25519 keys that rotate, packets really peeled
 * at every hop and delayed as their senders drew it, gateways with mailboxes, a directory, and faults from a seed. Every
 * packet is counted until it ends. The computers on which clients run, and their links, are `virtual-machine.ts`.
 *
 * Left out: frames, websockets, sessions and replay filters, so that a duplicated packet comes through twice.
 */
import assert from 'node:assert/strict'
import { MixError, type Random, SeededRandom, uniform, VirtualClock } from '@mixwright/runtime'
import {
  type CryptoProvider,
  encodeNodeAddress,
  loadCryptoProvider,
  type NodeAddress,
  PACKET_SIZES,
  type PeelDropReason,
  peel,
  type RouteNode,
} from '@mixwright/sphinx'
import { encodeBase58, type KeyRotation, type MixPacket, rotationOfId, splitSurbAck } from '@mixwright/wire'
import type { GatewayNode, RotationSchedule, Topology, TopologySource } from '../src/directory/topology.js'

/** What goes wrong with packets, from the seed. */
export interface Faults {
  /** Probability that a packet, data or ack, never arrives. */
  loss: number
  /** Probability that it arrives twice. */
  duplication: number
  /** It is held up by a uniform time up to this, milliseconds, so that packets overtake each other. */
  reorderMs: number
}

export const NO_FAULTS: Readonly<Faults> = { loss: 0, duplication: 0, reorderMs: 0 }

/** How packets end that are not delivered. */
export type DropReason = PeelDropReason | 'lost' | 'dead-link' | 'node-away' | 'unknown-hop' | 'no-ack' | 'stranger'

export interface MixnetOptions {
  readonly seed: string
  readonly gateways?: number
  readonly nodesPerLayer?: number
  /** From one node to the next, milliseconds. */
  readonly hopMs?: number
  readonly epochMs?: number
  /** Epochs that a key lasts. */
  readonly validityEpochs?: number
  /** Absolute id of the epoch that starts now. */
  readonly epochId?: number
}

/** Who takes what a gateway pushes. */
export interface Receiver {
  push(message: Uint8Array): void
}

const HOUR = 3_600_000
const NANOS_PER_MS = 1e6

class Node {
  readonly address: NodeAddress
  away = false
  readonly #random: Random
  readonly #crypto: CryptoProvider
  readonly #keys = new Map<number, { readonly secret: Uint8Array; readonly publicKey: Uint8Array }>()

  constructor(number: number, random: Random, crypto: CryptoProvider) {
    this.address = { family: 4, host: `127.0.0.${number}`, port: 1789 }
    this.#random = random.fork(`node ${number}`)
    this.#crypto = crypto
  }

  keys(rotationId: number): { readonly secret: Uint8Array; readonly publicKey: Uint8Array } {
    let keys = this.#keys.get(rotationId)
    if (keys === undefined) {
      const secret = this.#random.fork(`rotation ${rotationId}`).bytes(32)
      keys = { secret, publicKey: this.#crypto.x25519Base(secret) }
      this.#keys.set(rotationId, keys)
    }
    return keys
  }

  listed(rotationId: number): RouteNode {
    return { address: encodeNodeAddress(this.address, 32), publicKey: this.keys(rotationId).publicKey }
  }
}

/** The last hop, with a mailbox for each of its clients. Mailboxes are on its disk: they outlive its restarts. */
export class Gateway {
  readonly identity: string
  readonly node: Node
  /** By identity key in hexadecimal. */
  readonly #mailboxes = new Map<string, Uint8Array[]>()
  readonly #connected = new Map<string, Receiver>()
  readonly #whenDown = new Set<() => void>()

  constructor(identity: string, node: Node) {
    this.identity = identity
    this.node = node
  }

  get isDown(): boolean {
    return this.node.away
  }

  /** Messages that wait for clients. */
  get stored(): number {
    return [...this.#mailboxes.values()].reduce((sum, { length }) => sum + length, 0)
  }

  /** A client is there: it is given what waits, and from now on what comes. */
  attach(destination: string, receiver: Receiver): void {
    this.#connected.set(destination, receiver)
    const waiting = this.#mailboxes.get(destination) ?? []
    this.#mailboxes.set(destination, [])
    for (const message of waiting) receiver.push(message)
  }

  detach(destination: string, receiver: Receiver): void {
    if (this.#connected.get(destination) === receiver) this.#connected.delete(destination)
  }

  /** False: nobody of this name ever came. */
  deliver(destination: string, message: Uint8Array): boolean {
    const mailbox = this.#mailboxes.get(destination)
    if (mailbox === undefined) return false
    const receiver = this.#connected.get(destination)
    if (receiver) receiver.push(message)
    else mailbox.push(message)
    return true
  }

  onDown(tell: () => void): () => void {
    this.#whenDown.add(tell)
    return () => void this.#whenDown.delete(tell)
  }

  /** Ends all connections; what arrives before `restart` is lost. */
  kill(): void {
    this.node.away = true
    for (const tell of [...this.#whenDown]) tell()
  }

  restart(): void {
    this.node.away = false
  }
}

export class VirtualMixnet implements TopologySource {
  readonly clock = new VirtualClock()
  readonly crypto: CryptoProvider
  readonly random: Random
  readonly seed: string
  readonly gateways: readonly Gateway[]
  readonly faults: Faults = { ...NO_FAULTS }
  /** Whether the directory answers nobody. */
  directoryAway = false
  readings = 0
  readonly packets = { created: 0, delivered: 0, inFlight: 0, dropped: new Map<DropReason, number>() }
  /** Sphinx versions seen, by version, once for each hop of each packet. */
  readonly versions = new Map<number, number>()
  readonly #layers: readonly (readonly Node[])[]
  readonly #nodes = new Map<string, Node>()
  readonly #gatewayOf = new Map<Node, Gateway>()
  readonly #schedule: RotationSchedule
  readonly #hopMs: number
  readonly #faultRandom: Random

  private constructor(crypto: CryptoProvider, options: MixnetOptions) {
    const { seed, gateways = 2, nodesPerLayer = 2, hopMs = 1, epochMs = HOUR, validityEpochs = 24 } = options
    this.crypto = crypto
    this.seed = seed
    this.random = new SeededRandom(seed)
    this.#faultRandom = this.random.fork('faults')
    this.#hopMs = hopMs
    const knownEpochId = options.epochId ?? 100
    this.#schedule = { validityEpochs, initialEpochId: 0, epochMs, knownEpochId, knownEpochStartMs: this.clock.now() }
    let number = 0
    const node = () => {
      const made = new Node(++number, this.random, crypto)
      this.#nodes.set(keyOf(made.address), made)
      return made
    }
    this.#layers = Array.from({ length: 3 }, () => Array.from({ length: nodesPerLayer }, node))
    this.gateways = Array.from({ length: gateways }, () => {
      const made = node()
      const gateway = new Gateway(encodeBase58(this.random.bytes(32)), made)
      this.#gatewayOf.set(made, gateway)
      return gateway
    })
  }

  static async create(options: MixnetOptions): Promise<VirtualMixnet> {
    return new VirtualMixnet(await loadCryptoProvider('sodium-native'), options)
  }

  // The directory.

  get epochId(): number {
    const { knownEpochId, knownEpochStartMs, epochMs } = this.#schedule
    return knownEpochId + Math.floor((this.clock.now() - knownEpochStartMs) / epochMs)
  }

  get rotationId(): number {
    return Math.floor(this.epochId / this.#schedule.validityEpochs)
  }

  async read(): Promise<Topology> {
    this.readings++
    if (this.directoryAway) throw away('MIX_DIRECTORY_UNREACHABLE', 'The directory does not answer.')
    const { rotationId } = this
    const [first, second, third] = this.#layers.map((layer) => layer.map((node) => node.listed(rotationId)))
    const gateways = this.gateways.map(({ identity, node }): [string, GatewayNode] => [
      identity,
      { ...node.listed(rotationId), identity, websocketUrls: [] },
    ])
    return {
      layers: [first!, second!, third!],
      gateways: new Map(gateways),
      epochId: this.epochId,
      rotationId,
      readAt: this.clock.now(),
    }
  }

  async readSchedule(): Promise<RotationSchedule> {
    if (this.directoryAway) throw away('MIX_DIRECTORY_UNREACHABLE', 'The directory does not answer.')
    return this.#schedule
  }

  // Packets.

  /** A packet, from a client or an ack from a gateway, on its way to its first hop. */
  send({ nextHop, rotation, packet }: MixPacket): void {
    const { loss, duplication, reorderMs } = this.faults
    this.packets.created++
    this.packets.inFlight++
    if (this.#chance(loss)) return this.#drop('lost')
    const copies = this.#chance(duplication) ? 2 : 1
    this.packets.created += copies - 1
    this.packets.inFlight += copies - 1
    for (let copy = 0; copy < copies; copy++) {
      const heldUpMs = reorderMs > 0 ? reorderMs * uniform(this.#faultRandom) : 0
      this.#travel(nextHop, rotation, packet, heldUpMs)
    }
  }

  /** A packet that came to its end before it began. */
  swallow(reason: DropReason): void {
    this.packets.created++
    this.packets.inFlight++
    this.#drop(reason)
  }

  /** Every packet has ended in exactly one way, or is under way. */
  assertConserved(): void {
    const { created, delivered, inFlight, dropped } = this.packets
    const lost = [...dropped.values()].reduce((sum, count) => sum + count, 0)
    assert.equal(created, delivered + lost + inFlight, 'packets are not conserved')
  }

  dropped(reason: DropReason): number {
    return this.packets.dropped.get(reason) ?? 0
  }

  #travel(to: NodeAddress, rotation: KeyRotation, packet: Uint8Array, delayMs: number): void {
    this.clock.setTimer(this.#hopMs + delayMs, () => this.#arrive(to, rotation, packet))
  }

  #arrive(at: NodeAddress, rotation: KeyRotation, packet: Uint8Array): void {
    const node = this.#nodes.get(keyOf(at))
    if (node === undefined) return this.#drop('unknown-hop')
    if (node.away) return this.#drop('node-away')
    let failure: DropReason = 'header-mac'
    for (const rotationId of this.#acceptedRotations(rotation)) {
      const outcome = peel(this.crypto, node.keys(rotationId).secret, packet)
      if (outcome.kind === 'drop') {
        failure = outcome.reason
        continue
      }
      this.versions.set(outcome.version, (this.versions.get(outcome.version) ?? 0) + 1)
      if (outcome.kind === 'forward')
        return this.#travel(outcome.nextHop, rotation, outcome.packet, Number(outcome.delayNanos) / NANOS_PER_MS)
      const isAck = packet.length === PACKET_SIZES.ack.packetBytes
      return this.#finish(node, Buffer.from(outcome.destination).toString('hex'), outcome.message, rotation, isAck)
    }
    this.#drop(failure)
  }

  #finish(node: Node, destination: string, plaintext: Uint8Array, rotation: KeyRotation, isAck: boolean): void {
    const split = isAck ? undefined : splitSurbAck(plaintext)
    if (!isAck && split === undefined) return this.#drop('no-ack')
    const gateway = this.#gatewayOf.get(node)
    if (!gateway?.deliver(destination, split?.message ?? plaintext)) return this.#drop('stranger')
    this.packets.inFlight--
    this.packets.delivered++
    // With the rotation of the packet it came in, as nodes do.
    if (split) this.send({ nextHop: split.ack.firstHop, rotation, packet: split.ack.packet })
  }

  /** Nodes keep the keys of a rotation for one epoch of the next; the hint of a packet names one of them, or none. */
  #acceptedRotations(hint: KeyRotation): number[] {
    const current = this.rotationId
    const isOverlap = this.epochId % this.#schedule.validityEpochs === 0
    const held = isOverlap && current > 0 ? [current, current - 1] : [current]
    return hint === 0 ? held : held.filter((id) => rotationOfId(id) === hint)
  }

  #drop(reason: DropReason): void {
    this.packets.inFlight--
    this.packets.dropped.set(reason, this.dropped(reason) + 1)
  }

  #chance(probability: number): boolean {
    return probability > 0 && uniform(this.#faultRandom) < probability
  }

  // Time.

  /** Let so much time pass, and everything happen that falls into it. */
  async pass(ms: number): Promise<void> {
    let over = false
    this.clock.setTimer(ms, () => {
      over = true
    })
    while (!over) await this.#step()
    await settled()
  }

  /** Let time pass until `work` is settled. Fails after `limitMs` of virtual time. @default an hour */
  async during<T>(work: Promise<T>, limitMs = HOUR): Promise<T> {
    let isSettled = false
    const end = () => {
      isSettled = true
    }
    work.then(end, end)
    await this.until(() => isSettled, limitMs)
    return work
  }

  /** Let time pass until `condition` holds. Fails after `limitMs` of virtual time. @default an hour */
  async until(condition: () => boolean, limitMs = HOUR): Promise<void> {
    const end = this.clock.monotonic() + limitMs
    await settled()
    while (!condition()) {
      await this.#step()
      if (this.clock.monotonic() > end) assert.fail(`not within ${limitMs} ms: ${condition} (seed ${this.seed})`)
    }
  }

  /** One event, after which whatever waited for it has its turn. */
  async #step(): Promise<void> {
    assert.ok(this.clock.nextEvent(), `nothing will ever happen any more (seed ${this.seed})`)
    await settled()
  }
}

/** Everything that is not waiting for time has been done. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export function away(code: `MIX_${string}`, message: string): MixError {
  return new MixError(code, message, { kind: 'network', retry: true })
}

function keyOf({ host, port }: NodeAddress): string {
  return `${host}:${port}`
}
