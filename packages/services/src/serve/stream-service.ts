/**
 * Incoming streams to a handler, each for as long as the handler runs (06-service-providers §7). How a stream begins,
 * goes and ends on the wire is the client's.
 */
import type { IncomingStream } from '@mixwright/client'
import type { Clock } from '@mixwright/runtime'
import { type Logger, type MemoryMetrics, MixError } from '@mixwright/runtime'
import { type HandlerContext, logFieldsOf, RunningHandlers, serviceClosed } from './running-handlers.js'

export type StreamHandler = (stream: IncomingStream, context: HandlerContext) => unknown

export interface StreamServiceOptions {
  readonly streams: AsyncIterable<IncomingStream>
  readonly handler: StreamHandler
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: MemoryMetrics
  /** Further ones are aborted as they come. */
  readonly maximumStreams: number
}

export interface StreamCounts {
  readonly handled: number
  readonly failed: number
  /** Because too many were open. */
  readonly refused: number
  readonly open: number
}

export class StreamService {
  readonly #options: StreamServiceOptions
  readonly #handlers: RunningHandlers
  readonly #counters
  readonly #streams: AsyncIterator<IncomingStream>
  #stopped = false
  /** Resolves when no more streams are taken: after `stop`, or with the client. */
  readonly ended: Promise<void>

  constructor(options: StreamServiceOptions) {
    const { streams, clock, metrics } = options
    this.#options = options
    this.#handlers = new RunningHandlers(clock)
    const counter = (outcome: string) =>
      metrics.counter('mixwright_service_streams_total', 'Streams opened to us, by outcome', { outcome })
    this.#counters = { handled: counter('handled'), failed: counter('failed'), refused: counter('refused') }
    metrics.gauge('mixwright_service_open_streams', 'Streams with a handler that runs', {}, () => this.#handlers.count)
    this.#streams = streams[Symbol.asyncIterator]()
    this.ended = this.#serve()
  }

  get counts(): StreamCounts {
    const { handled, failed, refused } = this.#counters
    return { handled: handled.value, failed: failed.value, refused: refused.value, open: this.#handlers.count }
  }

  /** Take no more streams; handlers that run may return within `graceMs`. The streams of the others are aborted. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true
    await this.#streams.return?.()
    await this.#handlers.end(graceMs)
  }

  async #serve(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#streams.next()
      if (done) return
      if (this.#stopped) value.abort(serviceClosed())
      else if (this.#handlers.count < this.#options.maximumStreams) void this.#handle(value)
      else {
        this.#counters.refused.increment()
        value.abort(busy(this.#options.maximumStreams))
      }
    }
  }

  /** Never rejects. */
  async #handle(stream: IncomingStream): Promise<void> {
    const { handler, logger } = this.#options
    const { handled, failed } = this.#counters
    try {
      await this.#handlers.run(async (context) => {
        await handler(stream, context)
        // Not before, or streams that a handler leaves open would be beyond the bound.
        await stream.closed.catch(() => {})
      })
      handled.increment()
    } catch (error) {
      failed.increment()
      stream.abort(error)
      const code = error instanceof MixError ? error.code : undefined
      if (code !== 'MIX_SERVICE_CLOSED') logger.error(logFieldsOf(error), 'a stream handler failed')
    }
  }
}

function busy(maximumStreams: number): MixError {
  const message = `The service has ${maximumStreams} streams open, as many as it may.`
  return new MixError('MIX_SERVICE_BUSY', message, { kind: 'local', retry: true, data: { maximumStreams } })
}
