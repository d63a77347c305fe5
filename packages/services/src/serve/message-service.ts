/**
 * Messages to a handler, and its answers back by sender tag (04-client §4.13). A message leaves the client's store only
 * when its handler has returned and its answer is in the store: a crash before that repeats it (at least once). So each
 * message has a reader of its own, which is done when the message is.
 */
import { type Client, LONGEST_MESSAGE_BYTES, type MessageData, type ReceivedMessage } from '@mixwright/client'
import { type Clock, type Logger, type MemoryMetrics, MixError } from '@mixwright/runtime'
import { type HandlerContext, logFieldsOf, RunningHandlers } from './running-handlers.js'

/** What a message handler gives back: the answer to the sender, or nothing. */
export type Answer = MessageData | undefined

export type MessageHandler = (
  message: ReceivedMessage,
  context: HandlerContext,
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler that only takes messages returns nothing
) => Answer | void | Promise<Answer | void>

export interface MessageServiceOptions {
  readonly client: Client
  /** Without one messages are taken and counted only, so that they do not pile up. */
  readonly handler: MessageHandler | undefined
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: MemoryMetrics
  readonly concurrency: number
  readonly handlerTimeoutMs: number
}

/** Bytes of messages whose answers wait for room; beyond, a message is taken though a crash would lose its answer. */
const MOST_HELD_BYTES = 64 * 1024 ** 2

/** Upper ends of the buckets for the time of a handler, seconds. */
const HANDLER_SECONDS = [0.001, 0.01, 0.1, 1, 10, 60]

export interface MessageCounts {
  readonly handled: number
  readonly failed: number
  readonly timedOut: number
  /** There is no handler for messages. */
  readonly unhandled: number
  /** Answers to messages without a sender tag. */
  readonly unanswerable: number
  readonly running: number
}

export class MessageService {
  readonly #options: MessageServiceOptions
  readonly #handlers: RunningHandlers
  readonly #counters
  readonly #replies
  readonly #seconds
  /** Acknowledgements of replies that are awaited. */
  readonly #underWay = new Set<Promise<void>>()
  #heldBytes = 0
  #asking: AsyncIterator<ReceivedMessage> | undefined
  #stopped = false
  /** Resolves when no more messages are taken: after `stop`, or with the client. */
  readonly ended: Promise<void>

  constructor(options: MessageServiceOptions) {
    const { clock, metrics } = options
    this.#options = options
    this.#handlers = new RunningHandlers(clock)
    const counter = (outcome: string) =>
      metrics.counter('mixwright_service_messages_total', 'Messages that came, by outcome', { outcome })
    const reply = (outcome: string) =>
      metrics.counter('mixwright_service_replies_total', 'Answers of handlers, by outcome', { outcome })
    this.#counters = {
      handled: counter('handled'),
      failed: counter('failed'),
      timedOut: counter('timed-out'),
      unhandled: counter('unhandled'),
    }
    this.#replies = {
      acknowledged: reply('acknowledged'),
      failed: reply('failed'),
      unanswerable: reply('unanswerable'),
    }
    this.#seconds = metrics.histogram('mixwright_service_handler_seconds', 'Time of message handlers', HANDLER_SECONDS)
    metrics.gauge('mixwright_service_running_handlers', 'Message handlers that run', {}, () => this.#handlers.count)
    metrics.gauge(
      'mixwright_service_left_behind_handlers',
      'Handlers given up that have not returned',
      {},
      () => this.#handlers.leftBehind,
    )
    this.ended = this.#serve()
  }

  get counts(): MessageCounts {
    const { handled, failed, timedOut, unhandled } = this.#counters
    return {
      handled: handled.value,
      failed: failed.value,
      timedOut: timedOut.value,
      unhandled: unhandled.value,
      unanswerable: this.#replies.unanswerable.value,
      running: this.#handlers.count,
    }
  }

  /**
   * Take no more messages; handlers that run may return within `graceMs`. Messages of the others come again at the next
   * start.
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true
    await this.#asking?.return?.()
    await this.#handlers.end(graceMs)
  }

  /** Resolves when all replies are acknowledged or failed. */
  async repliesSettled(): Promise<void> {
    await Promise.allSettled(this.#underWay)
  }

  async #serve(): Promise<void> {
    const { client, concurrency } = this.#options
    for (;;) {
      await this.#handlers.room(concurrency)
      if (this.#stopped) return
      const reader = client.messages()
      this.#asking = reader
      const { done, value } = await reader.next()
      this.#asking = undefined
      if (done) return
      void this.#handle(value, () => reader.return?.())
    }
  }

  /** Never rejects. `taken` lets the store forget the message. */
  async #handle(message: ReceivedMessage, taken: () => unknown): Promise<void> {
    const { handler, clock, handlerTimeoutMs } = this.#options
    const { handled, unhandled } = this.#counters
    if (handler === undefined) {
      unhandled.increment()
      taken()
      return
    }
    const work = async (context: HandlerContext) => {
      const startedMs = clock.monotonic()
      try {
        return await whole(await handler(message, context))
      } finally {
        this.#seconds.observe((clock.monotonic() - startedMs) / 1000)
      }
    }
    try {
      const limits = { timeoutMs: handlerTimeoutMs, bytes: message.data.length }
      const answer = await this.#handlers.run(work, limits)
      handled.increment()
      if (answer !== undefined) await this.#reply(message, answer)
      taken()
    } catch (error) {
      if (!this.#failed(error)) taken()
    }
  }

  /** Whether the message is to come again. */
  #failed(error: unknown): boolean {
    const { logger } = this.#options
    const code = error instanceof MixError ? error.code : undefined
    if (code === 'MIX_SERVICE_CLOSED') return true
    if (code === 'MIX_HANDLER_TIMEOUT') this.#counters.timedOut.increment()
    else this.#counters.failed.increment()
    logger.error(logFieldsOf(error), 'a message handler failed')
    return false
  }

  /**
   * Resolves when the reply is in the store or refused, or when too much waits for that. Not in a handler's place: one
   * sender without reply blocks holds up nobody.
   */
  async #reply(message: ReceivedMessage, answer: string | Uint8Array): Promise<void> {
    const { logger } = this.#options
    const { acknowledged, failed, unanswerable } = this.#replies
    if (message.senderTag === undefined) {
      unanswerable.increment()
      return
    }
    const reply = message.reply(answer)
    const outcome = reply.acknowledged.then(
      () => acknowledged.increment(),
      (error: unknown) => {
        failed.increment()
        logger.warn(logFieldsOf(error), 'a reply failed')
      },
    )
    this.#underWay.add(outcome)
    void outcome.then(() => this.#underWay.delete(outcome))
    if (this.#heldBytes + message.data.length > MOST_HELD_BYTES) return
    this.#heldBytes += message.data.length
    await reply.queued.catch(() => {})
    this.#heldBytes -= message.data.length
  }
}

/** An answer that is a stream is read to its end. Errors: `MIX_MESSAGE_TOO_LARGE`, or what the stream throws. */
// biome-ignore lint/suspicious/noConfusingVoidType: what handlers return
async function whole(answer: Answer | void): Promise<string | Uint8Array | undefined> {
  if (answer === undefined) return undefined
  if (typeof answer === 'string' || answer instanceof Uint8Array) return answer
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of answer as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > LONGEST_MESSAGE_BYTES) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function tooLarge(): MixError {
  const message = `An answer has at most ${LONGEST_MESSAGE_BYTES} bytes.`
  return new MixError('MIX_MESSAGE_TOO_LARGE', message, { kind: 'usage', data: { limit: LONGEST_MESSAGE_BYTES } })
}
