/**
 * The way into a node: links from other nodes, read as far as there is room for what they bring, cut into frames and queued
 * (05-mixnode §4, §6.1). A malformed stream closes its link without an answer; nothing but Noise's second message is ever
 * written back. Frames come out in turn by `take`.
 */
import type { Clock, Logger, Metrics, Random, Timer } from '@mixwright/runtime'
import type { ListenAddress } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import { addressOf } from '../link/ip-address.js'
import type { Link, LinkEvents, LinkServer, Links } from '../link/link.js'
import type { NoiseMode, NoisePeers } from '../noise/noise-policy.js'
import { InboundQueues, type QueuedFrame } from './inbound-queues.js'
import { InboundStream } from './inbound-stream.js'
import { droppedPackets } from './packet-metrics.js'

export interface MixListenerOptions {
  readonly links: Links
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  readonly crypto: CryptoProvider
  readonly listen: ListenAddress
  readonly noise: {
    readonly mode: NoiseMode
    readonly peers: NoisePeers
    /** X25519, 32 bytes each. */
    readonly secret: Uint8Array
    readonly publicKey: Uint8Array
  }
  /** Open links; further ones are closed at once. @default 8192 */
  readonly maximumLinks?: number
  /** Open links from one address, or one /64 of IPv6. @default 256 */
  readonly maximumLinksPerAddress?: number
  /** Frames were queued. */
  arrived(): void
}

/** From the opening of a link to the end of its handshake, milliseconds (05-mixnode §5.1). */
const ESTABLISH_MS = 1_500

export class MixListener {
  /** The port bound, also when any free one was asked for. */
  readonly port: number
  readonly #server: LinkServer
  readonly #open: ReadonlySet<Link>
  readonly #queues: InboundQueues
  readonly #metrics: Metrics

  private constructor(server: LinkServer, open: ReadonlySet<Link>, queues: InboundQueues, metrics: Metrics) {
    this.#metrics = metrics
    this.#server = server
    this.port = server.port
    this.#open = open
    this.#queues = queues
  }

  /** Bind; a `MixError` `MIX_PORT_IN_USE` or `MIX_LISTEN_FAILED` when that is impossible. */
  static async open(options: MixListenerOptions): Promise<MixListener> {
    const { links, metrics, listen, maximumLinks = 8192, maximumLinksPerAddress = 256 } = options
    const open = new Set<Link>()
    const perAddress = new Map<string, number>()
    const queues = new InboundQueues({ dropped: (reason) => droppedPackets(metrics, reason).increment() })
    const refused = (reason: string) =>
      metrics.counter('mixwright_refused_connections_total', 'Connections refused over a limit', { reason })
    metrics.gauge(
      'nym_node_network_active_ingress_mixnet_connections',
      'Open connections from other nodes',
      {},
      () => open.size,
    )
    metrics.gauge('mixwright_ingress_queued_packets', 'Packets read and not yet peeled', {}, () => queues.size)
    const server = await links.listen(listen, {
      maximumLinks,
      refused: () => refused('connections').increment(),
      accepted(link) {
        const address = addressOf(link.remoteIp)
        const siblings = perAddress.get(address) ?? 0
        if (siblings >= maximumLinksPerAddress) {
          refused('address').increment()
          link.destroy()
          return { data() {}, closed() {} }
        }
        open.add(link)
        perAddress.set(address, siblings + 1)
        return inboundLink(link, queues, options, () => {
          open.delete(link)
          const left = (perAddress.get(address) ?? 1) - 1
          if (left === 0) perAddress.delete(address)
          else perAddress.set(address, left)
        })
      },
    })
    return new MixListener(server, open, queues, metrics)
  }

  /** Frames waiting. */
  get queued(): number {
    return this.#queues.size
  }

  /** Up to `count` frames that wait, peers in turn. */
  take(count: number, nowMs: number): QueuedFrame[] {
    return this.#queues.take(count, nowMs)
  }

  /** Forget what is still queued, counted. */
  giveUp(): void {
    const lost = this.#queues.clear()
    if (lost > 0) droppedPackets(this.#metrics, 'shutdown').increment(lost)
  }

  /** Stop listening and close every link. What is queued stays to be taken. */
  async close(): Promise<void> {
    for (const link of this.#open) link.destroy()
    await this.#server.close()
  }
}

/** What happens on one link from another node. */
function inboundLink(link: Link, queues: InboundQueues, options: MixListenerOptions, gone: () => void): LinkEvents {
  const { clock, random, logger, metrics, crypto, noise, arrived } = options
  const { remoteIp } = link
  const stream = new InboundStream({
    mode: noise.mode,
    peers: noise.peers,
    crypto,
    random,
    noiseSecret: noise.secret,
    noiseKey: noise.publicKey,
    remoteIp,
  })
  const queue = queues.open(addressOf(remoteIp), () => link.resume())
  const corrupted = (reason: string) => {
    metrics
      .counter('mixwright_corrupted_connections_total', 'Connections closed for what came over them', { reason })
      .increment()
    logger.debug({ reason }, 'connection corrupted')
    link.destroy()
  }
  // A peer that connects has something to say: at the latest now it has said which dialect it speaks, and proven who it is.
  let deadline: Timer | undefined
  if (!stream.established)
    deadline = clock.setTimer(ESTABLISH_MS, () => corrupted('noise-timeout'), { background: true })
  return {
    data(chunk) {
      const receivedAtMs = clock.monotonic()
      const before = queues.size
      const result = stream.push(chunk, (frame) => queue.push(frame, receivedAtMs))
      if (queues.size > before) arrived()
      if (result !== undefined && 'error' in result) return corrupted(result.error)
      if (result !== undefined) link.write([result.reply])
      if (stream.established) deadline?.cancel()
      if (queue.full) link.pause()
    },
    closed() {
      deadline?.cancel()
      stream.close()
      queue.close()
      gone()
    },
  }
}
