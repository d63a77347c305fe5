/**
 * From a received frame to its fate: forwarded after its delay, delivered to a client, or dropped and counted
 * (05-mixnode §7, §8.4). The ack of a delivered message leaves only once the message is safe.
 */
import type { Counter, Metrics } from '@mixwright/runtime'
import type { Frame, MixPacket } from '@mixwright/wire'
import { type Forwarder, MAXIMUM_DELAY_MS } from './forwarder.js'
import { droppedPackets } from './packet-metrics.js'
import type { PacketPipeline } from './packet-pipeline.js'

/** Where messages for clients go; `accepted` is called once the message was written to the client or durably stored. */
export interface FinalHop {
  deliver(destination: Uint8Array, message: Uint8Array, accepted: () => void): void
}

export class Ingress {
  readonly #pipeline: PacketPipeline
  readonly #forwarder: Forwarder
  readonly #finalHop: FinalHop | undefined
  readonly #metrics: Metrics
  readonly #forwardReceived: Counter
  readonly #finalReceived: Counter
  readonly #malformed: Counter
  readonly #excessiveDelay: Counter
  readonly #acksSent: Counter

  constructor(pipeline: PacketPipeline, forwarder: Forwarder, metrics: Metrics, finalHop?: FinalHop) {
    this.#pipeline = pipeline
    this.#forwarder = forwarder
    this.#finalHop = finalHop
    this.#metrics = metrics
    const ingress = (name: string, help: string) => metrics.counter(`nym_node_mixnet_ingress_${name}`, help)
    this.#forwardReceived = ingress('forward_packets_received', 'Packets to be forwarded')
    this.#finalReceived = ingress('final_hop_packets_received', 'Packets for clients of this node')
    this.#malformed = ingress('malformed_packets_received', 'Packets that could not be peeled')
    this.#excessiveDelay = ingress('excessive_delay_packets_received', 'Packets whose delay was clamped')
    this.#acksSent = metrics.counter(
      'nym_node_mixnet_egress_ack_sent',
      'Acks of delivered messages sent into the mix network',
    )
  }

  /** `receivedAtMs` is monotonic; delays count from it. */
  receive(frame: Frame, receivedAtMs: number): void {
    const outcome = this.#pipeline.process(frame)
    switch (outcome.kind) {
      case 'forward':
        this.#forwardReceived.increment()
        this.#forwarder.at(outcome.mixPacket, receivedAtMs + this.#milliseconds(outcome.delayNanos))
        return
      case 'final':
        this.#finalReceived.increment()
        this.#finalHop?.deliver(outcome.destination, outcome.message, () => this.#sendAck(outcome.ack))
        return
      case 'drop':
        if (outcome.reason === 'forward-hop-disabled') this.#forwardReceived.increment()
        else if (outcome.reason === 'final-hop-disabled') this.#finalReceived.increment()
        else this.#malformed.increment()
        droppedPackets(this.#metrics, outcome.reason).increment()
    }
  }

  #sendAck(ack: MixPacket | undefined): void {
    if (ack === undefined) return
    this.#acksSent.increment()
    this.#forwarder.now(ack)
  }

  /** Clamped before it leaves the exact integers. */
  #milliseconds(nanos: bigint): number {
    if (nanos <= BigInt(MAXIMUM_DELAY_MS) * 1_000_000n) return Number(nanos) / 1e6
    this.#excessiveDelay.increment()
    return MAXIMUM_DELAY_MS
  }
}
