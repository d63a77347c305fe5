/** What the process costs, under the names that every Prometheus client uses. Nodes that share a process show the same. */
import type { Metrics } from '@mixwright/runtime'

const MICROSECONDS = 1e6

export function processMetrics(metrics: Metrics): void {
  metrics.gauge('process_resident_memory_bytes', 'Memory that the process holds', {}, () => process.memoryUsage.rss())
  metrics.gauge('process_cpu_seconds_total', 'Processor time used, of all threads', {}, () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / MICROSECONDS
  })
}
