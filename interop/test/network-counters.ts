/** What a network lost, read from its nodes' counters. */
import type { Network, NodeHandle } from '@mixwright/localnet'

/** Packets dropped at any node, by reason. Empty when nothing was. */
export function dropsByReason(net: Network): Record<string, number> {
  const drops: Record<string, number> = {}
  for (const { metrics } of nodesOf(net)) {
    for (const { type, name, samples } of metrics.families()) {
      if (type !== 'counter' || name !== 'mixwright_dropped_packets_total') continue
      for (const { labels, cell } of samples.values()) {
        const reason = labels.reason ?? ''
        if (cell.value > 0) drops[reason] = (drops[reason] ?? 0) + cell.value
      }
    }
  }
  return drops
}

/** One metric summed over all nodes. */
export function sumOverNodes(net: Network, metric: string): number {
  return nodesOf(net).reduce((sum, { metrics }) => sum + metrics.value(metric), 0)
}

/** Mix nodes first. */
export function nodesOf(net: Network): NodeHandle[] {
  const count = (role: string) => net.nodes.filter((node) => node.role === role).length
  return [
    ...Array.from({ length: count('mixnode') }, (_, index) => net.mix(index)),
    ...Array.from({ length: count('gateway') }, (_, index) => net.gateway(index)),
  ]
}
