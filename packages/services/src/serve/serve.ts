/**
 * A service in ten lines: a handler for messages, or for streams, or both, at an address on the mixnet. Answers go back
 * by sender tag, so the service never learns who asked. Reconnecting, reply blocks and their supply are the client's;
 * here is what a program that runs day and night needs beside it: bounds, repeated messages after a crash, an orderly
 * end, health and metrics.
 */
import { join } from 'node:path'
import { type Client, type ConnectOptions, connect, sqlStore } from '@mixwright/client'
import { type Clock, type Logger, MemoryMetrics, MixError, RealClock } from '@mixwright/runtime'
import { createLogger, type ListenAddress } from '@mixwright/runtime/node'
import { type ClientHealth, clientHealth } from './client-health.js'
import { recordClient } from './client-metrics.js'
import { HealthEndpoint } from './health-endpoint.js'
import { type MessageCounts, type MessageHandler, MessageService } from './message-service.js'
import { type StreamCounts, type StreamHandler, StreamService } from './stream-service.js'

/** What a service does. At least one of both. */
export interface ServiceHandlers {
  /**
   * Called for each message, for many at once and in no certain order. What it returns (text, bytes, or a stream, which
   * is read to its end) is sent to the sender by its reply blocks; `undefined` sends nothing. What it throws is counted
   * and logged. A message may come again after a crash: at least once, not exactly once.
   */
  readonly message?: MessageHandler
  /**
   * Called for each stream that somebody opens. The stream is the handler's: it closes `writable` at its end. What it
   * throws aborts the stream, and is counted and logged.
   */
  readonly stream?: StreamHandler
}

/** What `connect` takes, but for the store, and: */
export interface ServeOptions extends Partial<Omit<ConnectOptions, 'store' | 'signal'>> {
  /**
   * Where keys, reply blocks, unhandled messages and unsent answers are kept (a file `service.sqlite`, mode 0600). The
   * service then has the same address after a restart, and what was sent to it meanwhile waits at the gateway. @default
   * none: a new address each time
   */
  readonly dataDirectory?: string
  /** A client that is there already, instead of all options of `connect` and `dataDirectory`; it stays its owner's. */
  readonly client?: Client
  /**
   * Message handlers that run at once, 1 to 10 000; further messages wait in the client, then at the gateway. @default
   * 64
   */
  readonly concurrency?: number
  /**
   * A message handler that takes longer is given up: its message counts as done, its answer goes nowhere. @default
   * 60000
   */
  readonly handlerTimeoutMs?: number
  /** Streams open at once, 1 to 10 000; further ones are aborted. @default 256 */
  readonly maximumStreams?: number
  /** An HTTP server with `GET /health` and `GET /metrics`; without a password. @default none */
  readonly health?: ListenAddress
  /** Close in order at SIGINT and SIGTERM; the second one ends the process at once. @default false */
  readonly handleSignals?: boolean
  /** Gives up connecting; after `serve` has resolved, it closes the service in order. */
  readonly signal?: AbortSignal
  /** @default warnings and errors, as JSON lines on standard error */
  readonly logger?: Logger
}

export interface ServiceHealth extends ClientHealth {
  readonly uptimeMs: number
  readonly messages: MessageCounts & { readonly waiting: number }
  readonly streams: StreamCounts | null
}

export interface Service extends AsyncDisposable {
  /** Where it is reached: `identity.encryption@gateway`. */
  readonly address: string
  /** For what goes beyond answers: `client.reply(senderTag, …)` at any later time, `client.send`. */
  readonly client: Client
  /** `http://host:port`, when `health` was asked for. */
  readonly healthUrl: string | undefined
  /** Resolves when the service has closed: by `close`, a signal, or the end of its client. */
  readonly closed: Promise<void>
  health(): ServiceHealth
  /**
   * End: take nothing new, let handlers return for `graceMs` (@default 10000), send what they answered for `flushMs`
   * (@default 5000), release everything. Messages of handlers that do not return come again at the next start; their
   * streams abort.
   */
  close(options?: { readonly graceMs?: number; readonly flushMs?: number }): Promise<void>
}

const DEFAULT_GRACE_MS = 10_000
const DEFAULT_FLUSH_MS = 5_000
const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/**
 * Serve; resolves when the service can be reached. A function is a message handler. Errors: `MIX_OPTIONS`, those of
 * `connect` and `sqlStore`, `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`; nothing is left open then.
 */
export async function serve(handler: MessageHandler | ServiceHandlers, options: ServeOptions): Promise<Service> {
  const handlers = typeof handler === 'function' ? { message: handler } : handler
  check(handlers, options)
  const clock = options.clock ?? new RealClock()
  const logger = options.logger ?? (await createLogger('warn'))
  const { client: given } = options
  const client = given ?? (await connectClient(options, clock, logger))
  const service = new RunningService(handlers, { ...options, client, clock, logger, isOwner: given === undefined })
  try {
    await service.open()
  } catch (error) {
    await service.close({ graceMs: 0, flushMs: 0 })
    throw error
  }
  return service
}

interface Running extends ServeOptions {
  readonly client: Client
  /** Whether the client ends with the service. */
  readonly isOwner: boolean
  readonly clock: Clock
  readonly logger: Logger
}

class RunningService implements Service {
  readonly client: Client
  readonly closed: Promise<void>
  readonly #options: Running
  readonly #metrics = new MemoryMetrics()
  readonly #messages: MessageService
  readonly #streams: StreamService | undefined
  readonly #startedMs: number
  readonly #onSignal = () => this.#end()
  #endpoint: HealthEndpoint | undefined
  #closing: Promise<void> | undefined
  #resolveClosed!: () => void

  constructor({ message, stream }: ServiceHandlers, options: Running) {
    const { client, clock, logger, concurrency = 64, handlerTimeoutMs = 60_000, maximumStreams = 256 } = options
    this.#options = options
    this.client = client
    this.#startedMs = clock.monotonic()
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    const common = { clock, logger, metrics: this.#metrics }
    this.#messages = new MessageService({ ...common, client, handler: message, concurrency, handlerTimeoutMs })
    this.#streams =
      stream && new StreamService({ ...common, streams: client.streams(), handler: stream, maximumStreams })
    // The client has ended, or its owner took it away.
    void this.#messages.ended.then(() => this.#end())
  }

  /** Listen, and take signals. Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  async open(): Promise<void> {
    const { health, handleSignals = false, signal, logger } = this.#options
    if (health) {
      this.#endpoint = await HealthEndpoint.start({
        listen: health,
        health: () => this.health(),
        metrics: () => {
          recordClient(this.#metrics, this.client.status())
          return this.#metrics
        },
      })
    }
    signal?.throwIfAborted()
    signal?.addEventListener('abort', this.#onSignal)
    if (handleSignals) for (const signal of SIGNALS) process.on(signal, this.#onSignal)
    logger.info({ address: this.address }, 'the service can be reached')
  }

  get address(): string {
    return this.client.address
  }

  get healthUrl(): string | undefined {
    return this.#endpoint?.url
  }

  health(): ServiceHealth {
    const status = this.client.status()
    return {
      ...clientHealth(status),
      uptimeMs: Math.round(this.#options.clock.monotonic() - this.#startedMs),
      messages: { ...this.#messages.counts, waiting: status.inbox.messages },
      streams: this.#streams?.counts ?? null,
    }
  }

  close({ graceMs = DEFAULT_GRACE_MS, flushMs = DEFAULT_FLUSH_MS } = {}): Promise<void> {
    this.#closing ??= this.#close(graceMs, flushMs)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Close by ourselves: nobody waits for it, and an error is the log's. */
  #end(): void {
    this.close().catch((error) =>
      this.#options.logger.error({ reason: String(error) }, 'the service did not close well'),
    )
  }

  async #close(graceMs: number, flushMs: number): Promise<void> {
    // From here on a second signal does what it does to any program.
    for (const signal of SIGNALS) process.off(signal, this.#onSignal)
    this.#options.signal?.removeEventListener('abort', this.#onSignal)
    await Promise.all([this.#messages.stop(graceMs), this.#streams?.stop(graceMs)])
    const { client, isOwner } = this.#options
    try {
      if (isOwner) await client.close({ flushMs })
      else await this.#repliesSettled(flushMs)
    } finally {
      await this.#endpoint?.close()
      this.#resolveClosed()
    }
  }

  async #repliesSettled(flushMs: number): Promise<void> {
    let stop!: () => void
    const late = new Promise<void>((resolve) => {
      stop = resolve
    })
    const timer = this.#options.clock.setTimer(flushMs, stop)
    await Promise.race([this.#messages.repliesSettled(), late])
    timer.cancel()
  }
}

/** Everything but the store is as the caller said; `connect` checks it, and closes the store when it fails. */
async function connectClient(options: ServeOptions, clock: Clock, logger: Logger): Promise<Client> {
  const {
    client: _,
    dataDirectory,
    concurrency: _c,
    handlerTimeoutMs: _h,
    maximumStreams: _m,
    health: _e,
    handleSignals: _s,
    signal,
    ...network
  } = options
  const store = dataDirectory === undefined ? undefined : await sqlStore(join(dataDirectory, 'service.sqlite'))
  // Later, an abort would end the client at once, with what it was sending.
  const connecting = new AbortController()
  const abort = () => connecting.abort(signal?.reason)
  if (signal?.aborted) abort()
  signal?.addEventListener('abort', abort)
  try {
    const found = { clock, logger, signal: connecting.signal, ...(store && { store }) }
    return await connect({ ...(network as ConnectOptions), ...found })
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

const LONGEST_TIMER_MS = 2 ** 31 - 1

function check({ message, stream }: ServiceHandlers, options: ServeOptions): void {
  const { concurrency, handlerTimeoutMs, maximumStreams } = options
  if (typeof (message ?? stream) !== 'function')
    throw wrong('handler', 'is a function, or an object with a function message or stream')
  if (options.client !== undefined && options.dataDirectory !== undefined)
    throw wrong('dataDirectory', 'is for a client that is made here: the one that is given has its own store')
  checkWhole('concurrency', concurrency, 10_000)
  checkWhole('maximumStreams', maximumStreams, 10_000)
  checkWhole('handlerTimeoutMs', handlerTimeoutMs, LONGEST_TIMER_MS)
}

function checkWhole(option: string, value: number | undefined, most: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= most)) return
  throw wrong(option, `is a whole number from 1 to ${most}`)
}

function wrong(option: string, what: string): MixError {
  return new MixError('MIX_OPTIONS', `${option} ${what}.`, { kind: 'usage', data: { option } })
}
