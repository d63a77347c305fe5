/**
 * Probing (03-directory §18): each round sends loop packets, from a gateway over three mix nodes and back to it, such that each
 * listed node is on the way of one at least. Packets are like any other and every round pairs the nodes anew, so that nobody
 * can serve probes better than traffic, and losses can be told apart. What the outcomes mean is `probe-scores.ts`'s; how a
 * gateway is spoken to is handed in, since that is a client's business.
 */
import {
  type Clock,
  type Logger,
  type Metrics,
  MixError,
  type Random,
  shuffled,
  sleep,
  type Timer,
  toHex,
  uniform,
} from '@mixwright/runtime'
import {
  buildPacket,
  type CryptoProvider,
  encodeNodeAddress,
  nodeAddress,
  PACKET_SIZES,
  type RouteNode,
} from '@mixwright/sphinx'
import {
  ACK_MESSAGE_BYTES,
  decodeBase58,
  encodePacketPlaintext,
  fragmentSpace,
  KEY_FIELD_BYTES,
  type MixPacket,
  rotationOfId,
  type SkimmedNode,
  splitPushedMessage,
} from '@mixwright/wire'
import type { Snapshot } from '../document/snapshot.js'
import type { ProbeGroup, ProbeScores } from './probe-scores.js'

/** A gateway to connect to, and as whom. */
export interface ProbeGateway {
  /** Ed25519, base58. */
  readonly identity: string
  readonly urls: readonly string[]
  /** Ed25519 seed of the probing client, 32 bytes. */
  readonly identitySeed: Uint8Array
}

export interface ProbeEvents {
  /** What the gateway pushed, decrypted. */
  received(message: Uint8Array): void
  /** The link is gone. */
  closed(): void
}

/** A client's session with a gateway, as `@mixwright/client/probe` makes it. */
export interface ProbeLink {
  send(packet: MixPacket): void
  close(): void
}

export interface ProbingOptions {
  /** From one round to the next, milliseconds. */
  readonly intervalMs: number
  /** After which a probe counts as lost, milliseconds. @default 10000 */
  readonly lostAfterMs?: number
  /** Mean delay at a mix node, milliseconds. @default 50 */
  readonly averageDelayMs?: number
  /** Connect to a gateway; rejects when that fails. */
  open(gateway: ProbeGateway, events: ProbeEvents, signal: AbortSignal): Promise<ProbeLink>
}

interface ProberOptions extends ProbingOptions {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  readonly crypto: CryptoProvider
  readonly scores: ProbeScores
  snapshot(): Snapshot | undefined
  /** A round has changed the scores. */
  onRound(): void
}

const LAYERS = 3
/** Probes of one round; in a larger network each covers a part of it. */
const MOST_WAYS = 5_000
/** Links that stay from one round to the next. */
const KEPT_LINKS = 50
/** Largest pause between two probes, milliseconds: a round is no burst. */
const LONGEST_PAUSE_MS = 50
const SIZE = PACKET_SIZES.regular
const FILLER_BYTES = fragmentSpace(SIZE)
const NANOS_PER_MS = 1_000_000

/** A probe to be sent: the nodes on its way, three mix nodes and the gateway. */
export type Way = readonly SkimmedNode[]

export class Prober {
  readonly #options: ProberOptions
  readonly #seed: Uint8Array
  readonly #identity: Uint8Array
  readonly #links = new Map<string, Promise<ProbeLink>>()
  /** Probes under way, by their key field. */
  readonly #waiting = new Map<string, () => void>()
  readonly #closing = new AbortController()
  #timer: Timer | undefined
  #round: Promise<void> | undefined

  constructor(options: ProberOptions) {
    this.#options = options
    // Somebody new at every start, whom gateways do not know yet.
    this.#seed = options.random.bytes(32)
    this.#identity = options.crypto.ed25519PublicKey(this.#seed)
  }

  /** Probe at every interval from now on. */
  start(): void {
    const { clock, intervalMs } = this.#options
    this.#timer = clock.setTimer(
      intervalMs,
      () => {
        void this.probe().finally(() => {
          if (!this.#closing.signal.aborted) this.start()
        })
      },
      { background: true },
    )
  }

  /** One round; resolves when every probe came home or counts as lost. One that is under way is waited for instead. */
  probe(): Promise<void> {
    this.#round ??= this.#probeAll().finally(() => {
      this.#round = undefined
    })
    return this.#round
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#timer?.cancel()
    await this.#round
    await this.#hangUp()
  }

  async #probeAll(): Promise<void> {
    const { clock, logger, random, intervalMs, scores, snapshot, onRound } = this.#options
    const current = snapshot()
    if (current === undefined) return
    const ways = drawWays(current, random)
    const pause = Math.min(LONGEST_PAUSE_MS, intervalMs / 2 / Math.max(1, ways.length))
    const probes: Promise<ProbeGroup>[] = []
    for (const way of ways) {
      probes.push(this.#probeOne(way, current.epoch.rotationId))
      await sleep(clock, pause, this.#closing.signal).catch(() => {})
      if (this.#closing.signal.aborted) break
    }
    const outcomes = await Promise.all(probes)
    if (this.#closing.signal.aborted) return
    if (this.#links.size > KEPT_LINKS) await this.#hangUp()
    // When nothing at all comes home, it may be us who are cut off: that says nothing of anybody.
    if (outcomes.every(([, , , home]) => home === 0)) {
      if (outcomes.length > 0) logger.warn({ probes: outcomes.length }, 'no probe came home; they are not counted')
      return
    }
    scores.add(outcomes, clock.now())
    onRound()
  }

  /** Never rejects. */
  async #probeOne(way: Way, rotationId: number): Promise<ProbeGroup> {
    const { clock, metrics, logger } = this.#options
    const at = clock.now()
    const gateway = way[LAYERS]!
    let nodes = way.map(({ ed25519_identity_pubkey }) => ed25519_identity_pubkey)
    let isHome = false
    try {
      const link = await this.#linkTo(gateway).catch((error) => {
        // The mix nodes have nothing to do with it.
        nodes = [gateway.ed25519_identity_pubkey]
        throw error
      })
      const name = this.#options.random.bytes(KEY_FIELD_BYTES)
      const packet = this.#packet(way, name, rotationId)
      isHome = await this.#sendAndWait(link, packet, toHex(name))
    } catch (error) {
      if (!(error instanceof MixError) && !this.#closing.signal.aborted) throw error
      logger.debug({ gateway: gateway.node_id, reason: String(error) }, 'a probe could not be sent')
    }
    const outcome = isHome ? 'home' : 'lost'
    metrics.counter('mixwright_directory_probes_total', 'Loop packets over the network', { outcome }).increment()
    return [at, nodes, 1, isHome ? 1 : 0]
  }

  #sendAndWait(link: ProbeLink, packet: MixPacket, name: string): Promise<boolean> {
    const { clock, lostAfterMs = 10_000 } = this.#options
    return new Promise((resolve) => {
      const settle = (isHome: boolean) => {
        timer.cancel()
        this.#waiting.delete(name)
        this.#closing.signal.removeEventListener('abort', onClose)
        resolve(isHome)
      }
      const onClose = () => settle(false)
      const timer = clock.setTimer(lostAfterMs, () => settle(false), { background: true })
      this.#closing.signal.addEventListener('abort', onClose)
      this.#waiting.set(name, () => settle(true))
      link.send(packet)
    })
  }

  #linkTo({ ed25519_identity_pubkey: identity, entry, ip_addresses }: SkimmedNode): Promise<ProbeLink> {
    let link = this.#links.get(identity)
    if (link === undefined) {
      const forget = () => this.#links.delete(identity)
      const [ip = ''] = ip_addresses
      const urls = entry === null ? [] : [`ws://${ip.includes(':') ? `[${ip}]` : ip}:${entry.ws_port}`]
      link = this.#options.open(
        { identity, urls, identitySeed: this.#seed },
        {
          received: (message) => {
            const { keyField } = splitPushedMessage(message) ?? {}
            if (keyField) this.#waiting.get(toHex(keyField))?.()
          },
          closed: forget,
        },
        this.#closing.signal,
      )
      this.#links.set(identity, link)
      link.catch(forget)
    }
    return link
  }

  async #hangUp(): Promise<void> {
    const links = await Promise.allSettled(this.#links.values())
    this.#links.clear()
    for (const link of links) if (link.status === 'fulfilled') link.value.close()
  }

  /** Like a client's packet to itself: its ack goes the same way. Error: `MIX_SPHINX_PUBLIC_KEY` when a key on the way is none. */
  #packet(way: Way, name: Uint8Array, rotationId: number): MixPacket {
    const { crypto, random, averageDelayMs = 50 } = this.#options
    const route = way.map(routeNode)
    const header = () => ({
      route,
      delaysNanos: route.map(() => BigInt(Math.round(-Math.log1p(-uniform(random)) * averageDelayMs * NANOS_PER_MS))),
      destination: this.#identity,
    })
    const first = firstHop(way[0]!)
    const ack = buildPacket(crypto, random, {
      ...header(),
      packetSize: PACKET_SIZES.ack,
      message: random.bytes(ACK_MESSAGE_BYTES),
    })
    const plaintext = encodePacketPlaintext({ firstHop: first, packet: ack }, name, random.bytes(FILLER_BYTES))
    const packet = buildPacket(crypto, random, { ...header(), packetSize: SIZE, message: plaintext })
    return { nextHop: first, rotation: rotationOfId(rotationId), packet }
  }
}

/**
 * Ways for one round: each mix node in its layer, those without one in any, each gateway. The nodes of a layer are shuffled, and
 * taken again where another one has more.
 */
export function drawWays({ layers, nodes }: Pick<Snapshot, 'layers' | 'nodes'>, random: Random): Way[] {
  const byId = new Map(nodes.map((node) => [node.node_id, node]))
  const stages = layers.map((layer) => layer.flatMap((id) => byId.get(id) ?? []))
  const placed = new Set(layers.flat())
  const idle = nodes.filter(({ node_id, supported_roles }) => supported_roles.mixnode && !placed.has(node_id))
  for (const [index, node] of shuffled(idle, random).entries()) stages[index % stages.length]!.push(node)
  stages.push(nodes.filter(({ entry }) => entry !== null))
  if (stages.length !== LAYERS + 1 || stages.some(({ length }) => length === 0)) return []
  const mixed = stages.map((stage) => shuffled(stage, random))
  const count = Math.min(MOST_WAYS, Math.max(...mixed.map(({ length }) => length)))
  return Array.from({ length: count }, (_, index) => mixed.map((stage) => stage[index % stage.length]!))
}

function firstHop({ ip_addresses, mix_port }: SkimmedNode) {
  const address = nodeAddress(ip_addresses[0] ?? '', mix_port)
  if (address === undefined) throw new MixError('MIX_NODE_ADDRESS', 'A listed node has no address.', { kind: 'peer' })
  return address
}

function routeNode(node: SkimmedNode): RouteNode {
  return {
    address: encodeNodeAddress(firstHop(node), 32),
    publicKey: decodeBase58(node.x25519_sphinx_pubkey, 32)!,
  }
}
