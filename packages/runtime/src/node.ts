/**
 * The parts of the runtime that exist only in Node.js. Pino and prom-client are loaded when first asked for: a command
 * that prints one line should not pay for them.
 */
import type { Logger, LogLevel } from './logger.js'
import type { MemoryMetrics } from './metrics.js'

export { writeFileAtomically } from './atomic-file.js'
export { type ListenAddress, listenOn } from './listen.js'
export type { LogLevel } from './logger.js'

/** A pino logger that writes JSON lines to standard error, so that standard output stays the program's answer. */
export async function createLogger(level: LogLevel): Promise<Logger> {
  const { pinoLogger } = await import('./pino-logger.js')
  return pinoLogger(level)
}

/** The metrics in Prometheus text format 0.0.4. */
export async function prometheusText(metrics: MemoryMetrics): Promise<string> {
  const { Counter, Gauge, Registry } = await import('prom-client')
  const registry = new Registry()
  for (const family of metrics.families()) {
    const samples = [...family.samples.values()]
    const labelNames = [...new Set(samples.flatMap(({ labels }) => Object.keys(labels)))]
    const options = { name: family.name, help: family.help, labelNames, registers: [registry] }
    const metric = family.type === 'counter' ? new Counter(options) : new Gauge(options)
    for (const { labels, cell } of samples) metric.inc(labels, cell.value)
  }
  return registry.metrics()
}
