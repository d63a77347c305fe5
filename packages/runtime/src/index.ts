export { concatBytes, equalBytes, fromHex, toHex, utf8 } from './bytes.js'
export { type Clock, RealClock, sleep, type Timer, VirtualClock } from './clock.js'
export { type ErrorDetails, type ErrorKind, MixError } from './errors.js'
export { type LogFields, type Logger, silentLogger } from './logger.js'
export {
  type Counter,
  type Gauge,
  type Histogram,
  type Labels,
  MemoryMetrics,
  type MetricFamily,
  type Metrics,
} from './metrics.js'
export { type Random, SeededRandom, SystemRandom, shuffled, uniform } from './random.js'
