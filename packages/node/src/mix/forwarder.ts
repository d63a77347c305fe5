/** From the pipeline to the way out: packets for nodes of the network wait for their delay, then leave (05-mixnode §8). */
import type { Clock, Counter, Metrics } from '@mixwright/runtime'
import type { MixPacket } from '@mixwright/wire'
import { DelayWheel } from './delay-wheel.js'
import type { Egress } from './egress.js'
import { droppedPackets } from './packet-metrics.js'
import type { StageLatency } from './stage-latency.js'

/** Longest delay honoured, milliseconds; longer ones are clamped (05-mixnode §6.4). */
export const MAXIMUM_DELAY_MS = 10_000

export interface ForwarderOptions {
  readonly clock: Clock
  readonly metrics: Metrics
  readonly latency: StageLatency
  readonly egress: Egress
  /** The routing filter: whether this address may be a next hop. */
  allows(ip: string): boolean
}

interface Delayed {
  readonly mixPacket: MixPacket
  readonly sinceMs: number
  readonly dueMs: number
}

export class Forwarder {
  readonly #options: ForwarderOptions
  readonly #wheel: DelayWheel<Delayed>
  readonly #filtered: Counter

  constructor(options: ForwarderOptions) {
    const { clock, metrics, latency, egress } = options
    this.#options = options
    this.#filtered = droppedPackets(metrics, 'routing-filter')
    this.#wheel = new DelayWheel(
      clock,
      ({ mixPacket, sinceMs, dueMs }) => {
        const now = clock.monotonic()
        latency.delayQueue(now - sinceMs)
        latency.delayQueueOverrun(now - dueMs)
        egress.send(mixPacket, dueMs)
      },
      { maxDelayMs: MAXIMUM_DELAY_MS },
    )
    metrics.gauge(
      'nym_node_process_forward_hop_packets_being_delayed',
      'Packets in the delay wheel',
      {},
      () => this.#wheel.size,
    )
  }

  /** Packets that wait for their delay. */
  get delayed(): number {
    return this.#wheel.size
  }

  /** Send without delay: packets of clients, and acks. */
  now(mixPacket: MixPacket): void {
    if (this.#passes(mixPacket)) this.#options.egress.send(mixPacket, this.#options.clock.monotonic())
  }

  /** Send `delayMs` after `receivedAtMs`, which is monotonic. */
  at(mixPacket: MixPacket, receivedAtMs: number, delayMs: number): void {
    if (!this.#passes(mixPacket)) return
    const { clock, metrics, egress } = this.#options
    const dueMs = receivedAtMs + delayMs
    const now = clock.monotonic()
    if (dueMs <= now) egress.send(mixPacket, dueMs)
    else if (!this.#wheel.insert({ mixPacket, sinceMs: now, dueMs }, dueMs))
      droppedPackets(metrics, 'delay-wheel-full').increment()
  }

  close(): void {
    const lost = this.#wheel.clear()
    if (lost > 0) droppedPackets(this.#options.metrics, 'shutdown').increment(lost)
  }

  #passes({ nextHop }: MixPacket): boolean {
    if (this.#options.allows(nextHop.host)) return true
    this.#filtered.increment()
    return false
  }
}
