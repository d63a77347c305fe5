/**
 * One app at the local websocket: reads its frames one at a time, does what `conversation.ts` makes of them, and writes
 * what that has to say. While a message waits for room in the client's queue, or an answer for room in the socket, the app
 * is not read further (04-client §4.18.6), so that neither side piles up memory.
 */
import type { Socket } from 'node:net'
import { type Client, MOST_REPLY_SURBS, type ReceivedMessage, type SendHandle } from '@mixwright/client'
import type { Clock, Logger, MixError } from '@mixwright/runtime'
import { formatRecipient, formatSenderTag, type ReceiptState } from '@mixwright/wire'
import type { WebSocket } from 'ws'
import { type AppFrame, Conversation, type Order } from './conversation.js'
import type { FeedApp } from './message-feed.js'

/**
 * How long messages wait for the first request of a new app, milliseconds: its kind, text or binary, is theirs too. An app
 * that only listens gets binary after that.
 */
const FIRST_REQUEST_MS = 250

export interface AttachedAppOptions {
  readonly client: Client
  readonly clock: Clock
  readonly logger: Logger
  readonly websocket: WebSocket
  /** Below the websocket. */
  readonly socket: Socket
  /** The app asked for receipts. */
  readonly receipts: boolean
}

export class AttachedApp implements FeedApp {
  readonly ready: Promise<void>
  readonly #client: Client
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #websocket: WebSocket
  readonly #socket: Socket
  readonly #conversation: Conversation
  /** Frames that had been read from the socket when it was paused: at most what one read of it brings. */
  readonly #unread: AppFrame[] = []
  #reading = false
  #becomeReady = () => {}

  constructor({ client, clock, logger, websocket, socket, receipts }: AttachedAppOptions) {
    this.#client = client
    this.#clock = clock
    this.#logger = logger
    this.#websocket = websocket
    this.#socket = socket
    this.#conversation = new Conversation({
      receipts,
      address: () => client.address,
      laneLength: (lane) => client.laneLength(lane),
    })
    this.ready = new Promise((resolve) => {
      const timer = clock.setTimer(FIRST_REQUEST_MS, resolve, { background: true })
      this.#becomeReady = () => {
        timer.cancel()
        resolve()
      }
    })
    websocket.on('message', (data, isBinary) => this.#onFrame(data as Buffer, isBinary))
    websocket.on('error', (error) => {
      logger.info({ reason: error.message }, 'an app broke the rules of websockets')
      websocket.terminate()
    })
    websocket.once('close', () => this.#becomeReady())
    answerPings(websocket)
  }

  /** False from the first word of goodbye on, whoever says it. */
  get open(): boolean {
    return this.#websocket.readyState === this.#websocket.OPEN
  }

  get unsentBytes(): number {
    return this.#websocket.bufferedAmount
  }

  push(message: ReceivedMessage): Promise<boolean> {
    return this.#write(this.#conversation.push(message))
  }

  dismiss(reason: string): void {
    this.#logger.warn({ reason }, 'an app is disconnected')
    this.#websocket.terminate()
  }

  /** Say that the client stops; drop the connection when the app has not closed it after `graceMs`. */
  leave(graceMs: number): void {
    const timer = this.#clock.setTimer(graceMs, () => this.#websocket.terminate())
    this.#websocket.once('close', () => timer.cancel())
    this.#websocket.close(GOING_AWAY)
  }

  #onFrame(data: Buffer, isBinary: boolean): void {
    this.#unread.push(isBinary ? { kind: 'binary', data } : { kind: 'text', data: data.toString('utf8') })
    if (this.#reading) return
    this.#reading = true
    this.#websocket.pause()
    void this.#readAll().catch((error: Error) => {
      this.#logger.error({ reason: error.message }, 'the conversation with an app failed')
      this.#websocket.terminate()
    })
  }

  /** Also after the app has left: what it asked before is done. */
  async #readAll(): Promise<void> {
    for (let frame = this.#unread.shift(); frame !== undefined; frame = this.#unread.shift()) await this.#read(frame)
    this.#reading = false
    this.#websocket.resume()
  }

  async #read(frame: AppFrame): Promise<void> {
    const action = this.#conversation.read(frame)
    this.#becomeReady()
    switch (action.type) {
      case 'answer':
        await this.#write(action.frame)
        return
      case 'close-lane':
        this.#client.closeLane(action.lane)
        return
      case 'send':
        await this.#send(action.order)
    }
  }

  async #send(order: Order): Promise<void> {
    const handle = this.#submit(order)
    const refusal = await failureOf(handle.queued)
    if (refusal) this.#logFailure(refusal)
    const conversation = this.#conversation
    for (const frame of refusal ? conversation.refused(order, refusal) : conversation.queued(order))
      await this.#write(frame)
    if (!refusal) void this.#follow(order, handle)
  }

  #submit({ request }: Order): SendHandle {
    const { connectionId: lane, data } = request
    if (request.kind === 'reply') return this.#client.reply(formatSenderTag(request.senderTag), data, { lane })
    const to = formatRecipient(request.recipient)
    if (request.kind === 'send') return this.#client.send(to, data, { lane })
    // Official clients attach any number. A recipient who needs more than the first few hundred asks for them.
    const replySurbs = Math.min(request.replySurbs, MOST_REPLY_SURBS)
    return this.#client.send(to, data, { lane, anonymous: true, replySurbs })
  }

  /** What becomes of a message after it was queued. */
  async #follow(order: Order, handle: SendHandle): Promise<void> {
    const notSent = await failureOf(handle.sent)
    if (!notSent) this.#receipt(order, 'sent')
    const failure = notSent ?? (await failureOf(handle.acknowledged))
    if (failure) this.#logFailure(failure)
    this.#receipt(order, failure ? 'failed' : 'acknowledged', failure)
  }

  #receipt(order: Order, state: ReceiptState, failure?: Error): void {
    for (const frame of this.#conversation.receipt(order, state, failure)) void this.#write(frame)
  }

  #logFailure(failure: Error): void {
    const { code } = failure as Partial<MixError>
    this.#logger.warn({ code, reason: failure.message }, 'a message of an app failed')
  }

  /** True when the operating system has the bytes, false when the connection ended before. */
  #write({ kind, data }: AppFrame): Promise<boolean> {
    return new Promise((resolve) => {
      // A write that a dying socket cuts short is reported as a good one.
      const written = (error?: Error) => resolve(!error && !this.#socket.destroyed)
      this.#websocket.send(data, { binary: kind === 'binary' }, written)
    })
  }
}

/** Websocket close code: the endpoint goes away. */
const GOING_AWAY = 1001

/** The error that a promise rejects with, undefined when it resolves. */
function failureOf(promise: Promise<void>): Promise<Error | undefined> {
  return promise.then(
    () => undefined,
    (reason) => (reason instanceof Error ? reason : new Error(String(reason))),
  )
}

/** One pong at a time: of the pings that come before it is written, the last is answered. */
function answerPings(websocket: WebSocket): void {
  let last: Buffer | undefined
  let writing = false
  const answer = () => {
    if (last === undefined || writing || websocket.readyState !== websocket.OPEN) return
    const data = last
    last = undefined
    writing = true
    websocket.pong(data, false, () => {
      writing = false
      answer()
    })
  }
  websocket.on('ping', (data: Buffer) => {
    last = data
    answer()
  })
}
