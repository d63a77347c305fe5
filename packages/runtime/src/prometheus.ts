/** Metrics as text for Prometheus, written by prom-client. Apart from node.ts so that it is loaded only at a scrape. */
import { type Metric, Registry } from 'prom-client'
import type { HistogramFamily, Labels, MemoryMetrics, MetricFamily } from './metrics.js'

interface Sample {
  readonly labels: Labels
  readonly value: number
  /** The name of the family, unless said otherwise. */
  readonly metricName?: string
}

export function renderMetrics(metrics: MemoryMetrics): Promise<string> {
  const registry = new Registry()
  for (const family of metrics.families()) {
    const { name, help, type } = family
    const values = samplesOf(family)
    // All that the registry asks of a metric when it writes text: its values are ours, not prom-client's.
    registry.registerMetric({ name, get: async () => ({ name, help, type, values }) } as unknown as Metric)
  }
  return registry.metrics()
}

function samplesOf(family: MetricFamily): Sample[] {
  if (family.type === 'histogram') return histogramSamples(family)
  return [...family.samples.values()].map(({ labels, cell }) => ({ labels, value: cell.value }))
}

/** Buckets are cumulative in the text, and apart in memory. */
function histogramSamples({ name, samples }: HistogramFamily): Sample[] {
  return [...samples.values()].flatMap(({ labels, cell }) => {
    let total = 0
    const buckets = cell.counts.map((count, index) => {
      total += count
      const le = index < cell.bounds.length ? String(cell.bounds[index]) : '+Inf'
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: total }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: cell.sum },
      { metricName: `${name}_count`, labels, value: total },
    ]
  })
}
