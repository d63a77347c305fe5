/**
 * The counters of a node as official tools read them: `/metrics/packets-stats`, `/metrics/mixing`, and those Prometheus
 * names that follow from counters of ours (05-mixnode §12, §14). Made right where the official node counts wrong: a replayed
 * packet is no malformed one, and what a gate refused is not counted as lost on its way out.
 */
import type { Clock, MemoryMetrics } from '@mixwright/runtime'
import { formatRfc3339 } from '@mixwright/wire'
import { Rates } from './rates.js'

const DROPPED = 'mixwright_dropped_packets_total'
const INGRESS = 'nym_node_mixnet_ingress'
const EGRESS = 'nym_node_mixnet_egress'

/** Names of rates, and what they are the rates of. */
const RATES = {
  [`${INGRESS}_forward_packets_received_rate`]: `${INGRESS}_forward_packets_received`,
  [`${INGRESS}_final_hop_packets_received_rate`]: `${INGRESS}_final_hop_packets_received`,
  [`${INGRESS}_malformed_packets_received_rate`]: `${INGRESS}_malformed_packets_received`,
  [`${INGRESS}_excessive_delay_packets_received_rate`]: `${INGRESS}_excessive_delay_packets_received`,
  [`${INGRESS}_forward_packets_dropped_rate`]: `${INGRESS}_forward_packets_dropped`,
  [`${INGRESS}_final_hop_packets_dropped_rate`]: `${INGRESS}_final_hop_packets_dropped`,
  [`${EGRESS}_forward_packets_send_rate`]: `${EGRESS}_forward_packets_sent`,
  [`${EGRESS}_ack_send_rate`]: `${EGRESS}_ack_sent`,
  [`${EGRESS}_forward_packets_dropped_rate`]: `${EGRESS}_forward_packets_dropped`,
} as const

export class PacketStatistics {
  readonly #metrics: MemoryMetrics
  readonly #rates: Rates<string>

  /** Registers the derived metrics; samples every 30 seconds until `close`. */
  constructor(clock: Clock, metrics: MemoryMetrics) {
    this.#metrics = metrics
    const derived = (name: string, help: string, read: () => number) => metrics.gauge(name, help, {}, read)
    const dropped = (reason: string) => metrics.value(DROPPED, { reason })
    derived(`${INGRESS}_forward_packets_dropped`, 'Packets to be forwarded that this role refuses', () =>
      dropped('forward-hop-disabled'),
    )
    derived(`${INGRESS}_final_hop_packets_dropped`, 'Packets for clients that this role refuses', () =>
      dropped('final-hop-disabled'),
    )
    derived(`${EGRESS}_forward_packets_dropped`, 'Packets lost on their way to the next hop', () =>
      this.#lostOnEgress(),
    )
    derived('nym_node_process_packet_forwarder_queue_size', 'Packets that wait to be peeled', () =>
      metrics.value('mixwright_ingress_queued_packets'),
    )
    const read = Object.values(RATES).map((name) => [name, () => metrics.value(name)] as const)
    this.#rates = new Rates(clock, Object.fromEntries(read))
    for (const [name, of] of Object.entries(RATES))
      derived(name, 'Per second, over the last 30 seconds', () => this.#rates.perSecond(of))
  }

  /** The body of `/metrics/packets-stats`. */
  packets(): unknown {
    const value = (name: string) => this.#metrics.value(name)
    return {
      ingress_mixing: {
        forward_hop_packets_received: value(`${INGRESS}_forward_packets_received`),
        final_hop_packets_received: value(`${INGRESS}_final_hop_packets_received`),
        malformed_packets_received: value(`${INGRESS}_malformed_packets_received`),
        replayed_packets_received: value(`${INGRESS}_replayed_packets_received`),
        excessive_delay_packets: value(`${INGRESS}_excessive_delay_packets_received`),
        forward_hop_packets_dropped: value(`${INGRESS}_forward_packets_dropped`),
        final_hop_packets_dropped: value(`${INGRESS}_final_hop_packets_dropped`),
      },
      egress_mixing: {
        forward_hop_packets_sent: value(`${EGRESS}_forward_packets_sent`),
        forward_hop_packets_dropped: value(`${EGRESS}_forward_packets_dropped`),
        ack_packets_sent: value(`${EGRESS}_ack_sent`),
      },
    }
  }

  /** The body of `/metrics/mixing`: packets to be forwarded only. */
  mixing(): unknown {
    const { latest, previous } = this.#rates
    const received = `${INGRESS}_forward_packets_received`
    const sent = `${EGRESS}_forward_packets_sent`
    const dropped = `${EGRESS}_forward_packets_dropped`
    return {
      update_time: formatRfc3339(latest.atMs),
      previous_update_time: formatRfc3339(previous.atMs),
      received_since_startup: latest.values[received],
      sent_since_startup: latest.values[sent],
      dropped_since_startup: latest.values[dropped],
      received_since_last_update: this.#rates.growth(received),
      sent_since_last_update: this.#rates.growth(sent),
      dropped_since_last_update: this.#rates.growth(dropped),
    }
  }

  close(): void {
    this.#rates.close()
  }

  /** Reasons of the way out begin with `egress-`. */
  #lostOnEgress(): number {
    let lost = 0
    for (const { name, type, samples } of this.#metrics.families()) {
      if (name !== DROPPED || type === 'histogram') continue
      for (const { labels, cell } of samples.values()) if (labels.reason?.startsWith('egress-')) lost += cell.value
    }
    return lost
  }
}
