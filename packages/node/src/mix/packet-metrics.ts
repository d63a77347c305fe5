/** The one place that names why packets are dropped, so that every drop is counted under the same metric. */
import type { Counter, Metrics } from '@mixwright/runtime'

/** The drop counter for one reason. */
export function droppedPackets(metrics: Metrics, reason: string): Counter {
  return metrics.counter('mixwright_dropped_packets_total', 'Packets dropped, by reason', { reason })
}
