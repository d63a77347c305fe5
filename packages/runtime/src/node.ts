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
  const { renderMetrics } = await import('./prometheus.js')
  return renderMetrics(metrics)
}
