/** From the pipeline to the way out: packets wait for their delay, then leave (05-mixnode §8). */
import type { Clock, Metrics } from '@mixwright/runtime'
import type { MixPacket } from '@mixwright/wire'
import { DelayWheel } from './delay-wheel.js'
import type { Egress } from './egress.js'
import { droppedPackets } from './packet-metrics.js'

/** Longest delay honoured, milliseconds; longer ones are clamped (05-mixnode §6.4). */
export const MAXIMUM_DELAY_MS = 10_000

export class Forwarder {
  readonly #egress: Egress
  readonly #wheel: DelayWheel<MixPacket>
  readonly #metrics: Metrics
  readonly #clock: Clock

  constructor(clock: Clock, metrics: Metrics, egress: Egress) {
    this.#clock = clock
    this.#egress = egress
    this.#metrics = metrics
    this.#wheel = new DelayWheel(clock, (mixPacket) => egress.send(mixPacket), { maxDelayMs: MAXIMUM_DELAY_MS })
    metrics.gauge(
      'nym_node_process_forward_hop_packets_being_delayed',
      'Packets in the delay wheel',
      {},
      () => this.#wheel.size,
    )
  }

  /** Send without delay: packets of clients, and acks. */
  now(mixPacket: MixPacket): void {
    this.#egress.send(mixPacket)
  }

  /** Send at `dueMs` of the monotonic clock. */
  at(mixPacket: MixPacket, dueMs: number): void {
    if (dueMs <= this.#clock.monotonic()) this.#egress.send(mixPacket)
    else if (!this.#wheel.insert(mixPacket, dueMs)) droppedPackets(this.#metrics, 'delay-wheel-full').increment()
  }

  close(): void {
    const lost = this.#wheel.clear()
    if (lost > 0) droppedPackets(this.#metrics, 'shutdown').increment(lost)
  }
}
