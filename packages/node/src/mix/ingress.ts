/**
 * From queued frames to their fate: peeled, checked against replay, then forwarded after their delay, delivered to a client,
 * or dropped and counted (05-mixnode §7, §8.4). The replay check stands here, after the MAC was found good and on one thread,
 * so that no two copies pass at the same moment, whichever workers peeled them. The ack of a delivered message leaves only
 * once the message is safe.
 */
import type { Clock, Counter, Metrics } from '@mixwright/runtime'
import { type MixPacket, UNKNOWN_ROTATION } from '@mixwright/wire'
import type { PacketOutcome, ReplayIdentity } from '../peel/packet-pipeline.js'
import type { Peeler } from '../peel/peeler.js'
import type { Forwarder } from './forwarder.js'
import { MAXIMUM_DELAY_MS } from './forwarder.js'
import type { QueuedFrame } from './inbound-queues.js'
import { droppedPackets } from './packet-metrics.js'
import type { StageLatency } from './stage-latency.js'

/** Where messages for clients go; `accepted` is called once the message was written to the client or durably stored. */
export interface FinalHop {
  deliver(destination: Uint8Array, message: Uint8Array, accepted: () => void): void
}

/** Remembers the tag of a packet, and says whether it was known. */
export interface ReplayCheck {
  check(keyRotationId: number, replayTag: Uint8Array): 'fresh' | 'replayed' | 'unknown-key'
}

export interface IngressOptions {
  readonly clock: Clock
  readonly metrics: Metrics
  readonly latency: StageLatency
  readonly peeler: Peeler
  readonly forwarder: Forwarder
  /** Absent: protection is switched off. */
  readonly replay: ReplayCheck | undefined
  /** Gateways only. */
  readonly finalHop: FinalHop | undefined
  /** The next frames, `count` at most, at this monotonic moment. */
  take(count: number, nowMs: number): QueuedFrame[]
}

export class Ingress {
  readonly #options: IngressOptions
  readonly #counters: IngressCounters
  #turn: ReturnType<typeof setImmediate> | undefined
  #underWay = 0
  #closed = false

  constructor(options: IngressOptions) {
    this.#options = options
    this.#counters = new IngressCounters(options.metrics)
    options.peeler.onRoom = () => this.arrived()
  }

  /** Frames being peeled. */
  get underWay(): number {
    return this.#underWay
  }

  /** Frames were queued: take them up once all sockets that are readable now have been read. */
  arrived(): void {
    if (this.#closed) return
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined
      this.#takeUp()
    })
  }

  /** What is still being peeled is given up. */
  close(): void {
    this.#closed = true
    if (this.#turn !== undefined) clearImmediate(this.#turn)
  }

  #takeUp(): void {
    const { clock, latency, peeler, take } = this.#options
    // One batch per thread of peeling that has room; with this thread alone, one batch per turn of the event loop.
    for (let room = peeler.room; room > 0; room = peeler.room) {
      const now = clock.monotonic()
      const queued = take(room, now)
      if (queued.length === 0) return
      for (const { receivedAtMs } of queued) latency.forwarderQueue(now - receivedAtMs)
      this.#underWay += queued.length
      const frames = queued.map(({ frame }) => frame)
      peeler.peel(frames, (outcomes) => {
        this.#underWay -= queued.length
        latency.unwrap((clock.monotonic() - now) / queued.length)
        for (const [index, outcome] of outcomes.entries()) this.#settle(outcome, queued[index]!.receivedAtMs)
      })
      if (peeler.underWay === 0) return this.arrived()
    }
  }

  /** One packet, whose delay counts from `receivedAtMs`. */
  #settle(outcome: PacketOutcome | undefined, receivedAtMs: number): void {
    const { metrics, forwarder, finalHop } = this.#options
    const counters = this.#counters
    if (outcome === undefined || this.#closed) {
      droppedPackets(metrics, this.#closed ? 'shutdown' : 'peel-worker-died').increment()
      return
    }
    if (outcome.kind === 'drop') {
      if (outcome.reason === 'forward-hop-disabled') counters.forwardReceived.increment()
      else if (outcome.reason === 'final-hop-disabled') counters.finalReceived.increment()
      else counters.malformed.increment()
      droppedPackets(metrics, outcome.reason).increment()
      return
    }
    counters.version(outcome.version).increment()
    if (this.#isReplayed(outcome)) return
    if (outcome.kind === 'forward') {
      counters.forwardReceived.increment()
      forwarder.at(outcome.mixPacket, receivedAtMs, this.#milliseconds(outcome.delayNanos))
    } else {
      counters.finalReceived.increment()
      finalHop?.deliver(outcome.destination, outcome.message, () => this.#sendAck(outcome.ack))
    }
  }

  #isReplayed({ keyRotationId, replayTag }: ReplayIdentity): boolean {
    const { clock, metrics, latency, replay } = this.#options
    if (replay === undefined) return false
    const before = clock.monotonic()
    const verdict = replay.check(keyRotationId, replayTag)
    latency.replayCheck(clock.monotonic() - before)
    if (verdict === 'fresh') return false
    if (verdict === 'replayed') this.#counters.replayed.increment()
    // A packet for a key that was dropped between its peeling and now.
    droppedPackets(metrics, verdict === 'replayed' ? 'replayed' : 'expired-key').increment()
    return true
  }

  /**
   * An ack may be made for other keys than the packet that brought it: an answer on an old reply block carries an ack of today.
   * So its first hop is told no rotation and tries both of its keys (05-mixnode Trap 11); official nodes, which write frames
   * without one, come to the same.
   */
  #sendAck(ack: MixPacket | undefined): void {
    if (ack === undefined) return
    this.#counters.acksSent.increment()
    this.#options.forwarder.now({ ...ack, rotation: UNKNOWN_ROTATION })
  }

  /** Clamped before it leaves the exact integers. */
  #milliseconds(nanos: bigint): number {
    if (nanos <= BigInt(MAXIMUM_DELAY_MS) * 1_000_000n) return Number(nanos) / 1e6
    this.#counters.excessiveDelay.increment()
    return MAXIMUM_DELAY_MS
  }
}

/** The official counters of received packets, made right: replayed packets are no malformed ones (05-mixnode §14). */
class IngressCounters {
  readonly forwardReceived: Counter
  readonly finalReceived: Counter
  readonly malformed: Counter
  readonly replayed: Counter
  readonly excessiveDelay: Counter
  readonly acksSent: Counter
  readonly #metrics: Metrics
  readonly #versions = new Map<number, Counter>()

  constructor(metrics: Metrics) {
    this.#metrics = metrics
    const ingress = (name: string, help: string) => metrics.counter(`nym_node_mixnet_ingress_${name}`, help)
    this.forwardReceived = ingress('forward_packets_received', 'Packets to be forwarded')
    this.finalReceived = ingress('final_hop_packets_received', 'Packets for clients of this node')
    this.malformed = ingress('malformed_packets_received', 'Packets that could not be peeled')
    this.replayed = ingress('replayed_packets_received', 'Packets that had come before')
    this.excessiveDelay = ingress('excessive_delay_packets_received', 'Packets whose delay was clamped')
    this.acksSent = metrics.counter(
      'nym_node_mixnet_egress_ack_sent',
      'Acks of delivered messages sent into the mix network',
    )
  }

  /** Sphinx versions that are not refused number a few hundred. */
  version(version: number): Counter {
    let counter = this.#versions.get(version)
    if (counter === undefined) {
      const name = `nym_node_mixnet_ingress_packet_version_sphinx_${version}`
      counter = this.#metrics.counter(name, 'Packets of this Sphinx version')
      this.#versions.set(version, counter)
    }
    return counter
  }
}
