/**
 * The way out of a node: mix packets framed and handed to the connection of their next hop (05-mixnode §6.2).
 * Which hops are allowed is not decided here.
 */
import type { Clock, Counter, Metrics, Random } from '@mixwright/runtime'
import type { CryptoProvider, NodeAddress } from '@mixwright/sphinx'
import { type FrameVersion, frameHeader, type MixPacket } from '@mixwright/wire'
import type { Links } from '../link/link.js'
import { tcpLinks } from '../link/tcp-links.js'
import { NoiseInitiator, type NoiseKeyPair } from '../noise/handshake.js'
import { type NoiseMode, type NoisePeers, outboundNoiseKey } from '../noise/noise-policy.js'
import { NoiseStream } from '../noise/noise-stream.js'
import {
  type Connect,
  DEFAULT_OUTBOUND_LIMITS,
  OutboundConnection,
  type OutboundEvents,
  type OutboundLimits,
} from './outbound-connection.js'
import { droppedPackets } from './packet-metrics.js'
import { StageLatency } from './stage-latency.js'

/** Noise towards next hops: whose keys are known, and the X25519 key pair of this node's own Noise identity. */
export interface EgressNoise extends NoiseKeyPair {
  readonly mode: NoiseMode
  readonly peers: NoisePeers
  readonly crypto: CryptoProvider
}

export interface EgressOptions {
  /** @default TCP */
  readonly links?: Links | undefined
  /** The address that a link should come from. @default the system's choice */
  readonly sourceAddress?: (nextHop: NodeAddress) => string | undefined
  readonly clock: Clock
  readonly random: Random
  readonly metrics: Metrics
  /** Frame version written. Nothing is negotiated; every peer of today reads both. @default 8 */
  readonly frameVersion?: FrameVersion
  /** Without it every next hop gets plain frames. */
  readonly noise?: EgressNoise
  readonly limits?: Partial<OutboundLimits>
  /** Next hops with an open or wanted connection; packets for further ones are dropped. @default 4096 */
  readonly maximumPeers?: number
}

export class Egress {
  readonly #options: EgressOptions
  readonly #limits: OutboundLimits
  readonly #peers = new Map<string, OutboundConnection>()
  readonly #sent: Counter
  readonly #latency: StageLatency
  #closed = false

  constructor(options: EgressOptions) {
    this.#options = options
    this.#limits = { ...DEFAULT_OUTBOUND_LIMITS, ...options.limits }
    this.#latency = new StageLatency(options.metrics)
    this.#sent = options.metrics.counter('nym_node_mixnet_egress_forward_packets_sent', 'Packets written to next hops')
    options.metrics.gauge(
      'nym_node_network_active_egress_mixnet_connections',
      'Open connections to next hops',
      {},
      () => {
        let open = 0
        for (const peer of this.#peers.values()) if (peer.connected) open++
        return open
      },
    )
    options.metrics.gauge(
      'nym_node_process_forward_hop_packets_pending_delivery',
      'Packets queued for next hops',
      {},
      () => {
        let queued = 0
        for (const peer of this.#peers.values()) queued += peer.queued
        return queued
      },
    )
  }

  /** Packets that wait for a next hop, or that the network has not taken yet. */
  get waiting(): number {
    let waiting = 0
    for (const peer of this.#peers.values()) waiting += peer.waiting
    return waiting
  }

  /**
   * Packets that wait for the connected next hop for which fewest do; 0 without any. When even that one does not keep up, it is this
   * node that has too much to send; a slow or absent peer alone is no reason to send less to the others.
   */
  get backlog(): number {
    let least = Number.POSITIVE_INFINITY
    for (const { connected, waiting } of this.#peers.values()) {
      if (connected && waiting < least) least = waiting
      if (least === 0) break
    }
    return Number.isFinite(least) ? least : 0
  }

  /** Send now; never throws, never blocks. `dueMs` is the monotonic moment at which the packet should leave. */
  send(mixPacket: MixPacket, dueMs: number): void {
    if (this.#closed) {
      droppedPackets(this.#options.metrics, 'shutdown').increment()
      return
    }
    const { host, port } = mixPacket.nextHop
    const key = `${host} ${port}`
    let peer = this.#peers.get(key)
    if (peer === undefined) {
      if (this.#peers.size >= (this.#options.maximumPeers ?? 4096)) {
        droppedPackets(this.#options.metrics, 'egress-too-many-peers').increment()
        return
      }
      peer = this.#open(mixPacket.nextHop, () => this.#peers.delete(key))
      this.#peers.set(key, peer)
    }
    const { packet, rotation } = mixPacket
    peer.send(frameHeader(packet, rotation, this.#options.frameVersion ?? 8), packet, dueMs)
  }

  close(): void {
    this.#closed = true
    for (const peer of this.#peers.values()) peer.close()
    this.#peers.clear()
  }

  #open(nextHop: NodeAddress, idle: () => void): OutboundConnection {
    const { links = tcpLinks, sourceAddress, clock, random, metrics } = this.#options
    const latency = this.#latency
    const events: OutboundEvents = {
      written(frames) {
        const now = clock.monotonic()
        for (const { queuedAtMs } of frames) latency.egressQueue(now - queuedAtMs)
      },
      sent: (frames, writtenAtMs) => {
        const now = clock.monotonic()
        this.#sent.increment(frames.length)
        for (const { dueMs } of frames) {
          latency.socketWrite(now - writtenAtMs)
          latency.total(now - dueMs)
        }
      },
      dropped: (reason, frames) => droppedPackets(metrics, reason).increment(frames),
      idle,
    }
    const startNoise = () => this.#startNoise(nextHop)
    const connect: Connect = (events) => links.connect(nextHop, events, sourceAddress?.(nextHop))
    return new OutboundConnection(connect, clock, random, this.#limits, events, startNoise)
  }

  /** Asked anew at each connection: keys come and go with the directory's documents. */
  #startNoise(nextHop: NodeAddress): NoiseStream | undefined {
    const { noise, random } = this.#options
    const key = noise && outboundNoiseKey(noise.mode, noise.peers, nextHop)
    return key && new NoiseStream(new NoiseInitiator(noise.crypto, random, noise, key))
  }
}
