/** Pino as the logger. Apart from node.ts so that it is loaded only by programs that log. */
import { pino } from 'pino'
import type { Logger, LogLevel } from './logger.js'

/** JSON lines on standard error; `bindings` are none, so that no host name or process number leaks into a pasted log. */
export function pinoLogger(level: LogLevel): Logger {
  return pino({ level, base: null }, pino.destination({ fd: 2, sync: true }))
}
