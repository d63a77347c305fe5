/**
 * The way out of a node: mix packets framed and handed to the connection of their next hop (05-mixnode §6.2).
 * Which hops are allowed is not decided here.
 */
import type { Clock, Counter, Metrics, Random } from '@mixwright/runtime'
import { encodeFrame, type FrameVersion, type MixPacket } from '@mixwright/wire'
import {
  DEFAULT_OUTBOUND_LIMITS,
  OutboundConnection,
  type OutboundEvents,
  type OutboundLimits,
} from './outbound-connection.js'
import { droppedPackets } from './packet-metrics.js'

export interface EgressOptions {
  readonly clock: Clock
  readonly random: Random
  readonly metrics: Metrics
  /** Frame version written. Nothing is negotiated; every peer of today reads both. @default 8 */
  readonly frameVersion?: FrameVersion
  readonly limits?: Partial<OutboundLimits>
  /** Next hops with an open or wanted connection; packets for further ones are dropped. @default 4096 */
  readonly maximumPeers?: number
}

export class Egress {
  readonly #options: EgressOptions
  readonly #limits: OutboundLimits
  readonly #peers = new Map<string, OutboundConnection>()
  readonly #sent: Counter

  constructor(options: EgressOptions) {
    this.#options = options
    this.#limits = { ...DEFAULT_OUTBOUND_LIMITS, ...options.limits }
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

  /** Send now; never throws, never blocks. */
  send(mixPacket: MixPacket): void {
    const { host, port } = mixPacket.nextHop
    const key = `${host} ${port}`
    let peer = this.#peers.get(key)
    if (peer === undefined) {
      if (this.#peers.size >= (this.#options.maximumPeers ?? 4096)) {
        droppedPackets(this.#options.metrics, 'egress-too-many-peers').increment()
        return
      }
      const events: OutboundEvents = {
        sent: (frames) => this.#sent.increment(frames),
        dropped: (reason, frames) => droppedPackets(this.#options.metrics, reason).increment(frames),
        idle: () => this.#peers.delete(key),
      }
      peer = new OutboundConnection(mixPacket.nextHop, this.#options.clock, this.#options.random, this.#limits, events)
      this.#peers.set(key, peer)
    }
    peer.send(encodeFrame(mixPacket.packet, mixPacket.rotation, this.#options.frameVersion ?? 8))
  }

  close(): void {
    for (const peer of this.#peers.values()) peer.close()
    this.#peers.clear()
  }
}
