/**
 * Our end of one stream (06-service-providers §7.1, and docs/decisions/0014 for peers of ours): frames and what the app does go in,
 * frames and what the app sees come out. Which messages are its frames, and what is bounded over all streams, is the mux's business.
 */
import { type Clock, MixError, type Timer } from '@mixwright/runtime'
import { encodeStreamFrame, STREAM_FRAME_TYPES, type StreamFrame } from '@mixwright/wire'
import type { SendHandle } from '../api.js'
import { type Deferred, deferred } from '../deferred.js'
import { ByteStreamPair } from './byte-stream.js'
import { ReplyStock } from './reply-stock.js'
import type { IncomingStream, OutgoingStream } from './stream-api.js'
import { streamError } from './stream-error.js'
import { decodeCredit, decodeReset, encodeCredit, encodeReset, RESERVED } from './stream-extension.js'
import { StreamReceiver } from './stream-receiver.js'
import { type Speech, StreamSender } from './stream-sender.js'

/** The peer has answered by then, and its gateway has the first bytes. */
const ANSWER_MS = 10_000
const IDLE_MS = 30 * 60_000
/** Answers to pings on their way; further pings are dropped then. */
const MOST_PONGS = 4
/** Messages that wait for a place in the client's queue. */
const MOST_QUEUEING = 4
/** Header of a frame, bytes. */
const HEADER_BYTES = 16

export interface StreamEndOptions {
  readonly id: bigint
  readonly role: 'opener' | 'acceptor'
  readonly speech: Speech
  /** With the Open, and with every message to an official peer. Of an acceptor: 0. */
  readonly replySurbs: number
  /** Of who opened it; empty for an opener. */
  readonly senderTag: string
  readonly clock: Clock
  /** `isControl`: it must not wait behind data. */
  readonly send: (frame: Uint8Array, replySurbs: number, isControl: boolean) => SendHandle
  /** Drop data that waits to be sent. */
  readonly dropQueued: () => void
  /** So many more bytes are kept than before, or fewer. */
  readonly onHeld: (bytes: number) => void
  readonly onDrop: (reason: string) => void
  /** It has ended, in order or not. */
  readonly onEnd: () => void
}

export class StreamEnd implements OutgoingStream, IncomingStream {
  readonly id: bigint
  readonly senderTag: string
  readonly #options: StreamEndOptions
  readonly #streams: ByteStreamPair
  readonly #sender = new StreamSender()
  readonly #receiver = new StreamReceiver()
  readonly #stock: ReplyStock
  readonly #open = deferred()
  readonly #end = deferred()
  #speech: Speech
  #isOpen = false
  #ended = false
  #activeMs: number
  #heldBytes = 0
  #whenRoom: Deferred | undefined
  #finishing: Deferred | undefined
  #finished = false
  #queueing = 0
  #pongs = 0
  #answerTimer: Timer | undefined
  #firstTimer: Timer | undefined

  constructor(options: StreamEndOptions) {
    this.id = options.id
    this.senderTag = options.senderTag
    this.#options = options
    this.#speech = options.speech
    this.#stock = new ReplyStock(options.replySurbs)
    this.#activeMs = options.clock.monotonic()
    this.#streams = new ByteStreamPair({
      write: (chunk) => this.#write(chunk),
      finish: () => this.#finish(),
      abort: (reason) => this.abort(reason),
      read: (bytes) => this.#onRead(bytes),
    })
  }

  /** Send the first frame; to be called once. */
  start(): void {
    const { openAck, open } = STREAM_FRAME_TYPES
    if (this.#options.role === 'acceptor') {
      this.#opened()
      this.#control(openAck)
      return
    }
    this.#answerTimer = this.#timer('The other side gave no answer in time.')
    const isOfficial = this.#speech === 'official'
    const bytes = this.#frame(open, 0)
    this.#transmit(bytes, this.#options.replySurbs, false, () => {
      if (!isOfficial) return
      this.#opened()
      this.#pump()
    })
  }

  get readable(): ReadableStream<Uint8Array> {
    return this.#streams.readable
  }

  get writable(): WritableStream<Uint8Array> {
    return this.#streams.writable
  }

  get opened(): Promise<void> {
    return this.#open.promise
  }

  get isOver(): boolean {
    return this.#ended
  }

  get closed(): Promise<void> {
    return this.#end.promise
  }

  /** A frame of this stream came, other than an Open. */
  received({ type, sequence, reserved, content }: StreamFrame): void {
    if (this.#ended) return
    this.#activeMs = this.#options.clock.monotonic()
    this.#stock.used(HEADER_BYTES + content.length)
    if (this.#speech === 'unknown') this.#speech = reserved === RESERVED.official ? 'official' : 'ours'
    const isOurs = this.#speech === 'ours'
    if (type === STREAM_FRAME_TYPES.data) this.#take(sequence, content, false)
    else if (type === STREAM_FRAME_TYPES.ping) this.#pong(sequence)
    else if (type === STREAM_FRAME_TYPES.openAck && isOurs) this.#told(reserved, sequence, content)
    if (this.#ended) return
    this.#opened()
    this.#giveCredit()
    this.#pump()
  }

  /** Open's content: official peers read it as the first bytes. */
  receivedFirst(content: Uint8Array): void {
    this.#receiver.begin(content.length)
    this.#streams.push(content)
    this.#tellHeld()
  }

  /** To be called now and then. */
  tick(nowMs: number): void {
    if (nowMs - this.#activeMs >= IDLE_MS)
      this.fail(streamError('MIX_STREAM_IDLE', 'Nothing was sent or received for 30 minutes.'), 'idle')
  }

  abort(reason: unknown = streamError('MIX_STREAM_CLOSED', 'The stream was given up.')): void {
    // An official peer cannot be told of an end: to leave after everything was sent is all there is.
    if (this.#finished && this.#speech === 'official') return this.#over()
    const text = reason instanceof MixError ? reason.code : reason instanceof Error ? reason.message : String(reason)
    this.fail(reason, text)
  }

  /** End both directions by an error. `text`: what a peer of ours is told; undefined: nothing. */
  fail(reason: unknown, text?: string, refused = false): void {
    if (this.#ended) return
    this.#ended = true
    this.#options.dropQueued()
    if (text !== undefined && this.#speech !== 'official') {
      const content = encodeReset({ refused, text })
      this.#options.send(this.#frame(STREAM_FRAME_TYPES.openAck, 0, RESERVED.reset, content), 0, true)
    }
    this.#open.reject(reason)
    this.#finishing?.reject(reason)
    this.#whenRoom?.resolve()
    this.#streams.fail(reason)
    this.#end.reject(reason)
    this.#release()
  }

  #told(reserved: number, sequence: number, content: Uint8Array): void {
    if (reserved === RESERVED.end) this.#take(sequence, content.subarray(0, 0), true)
    else if (reserved === RESERVED.reset) {
      const { refused, text } = decodeReset(content)
      if (refused) this.fail(streamError('MIX_STREAM_REFUSED', `The other side does not take the stream: ${text}`))
      else this.fail(streamError('MIX_STREAM_RESET', `The other side ended the stream: ${text}`))
    } else if (reserved === RESERVED.credit) {
      const credit = decodeCredit(content)
      if (credit !== undefined) this.#sender.credit(credit.received, credit.limit)
    }
  }

  #take(sequence: number, content: Uint8Array, isEnd: boolean): void {
    const taken = this.#receiver.take(sequence, content, isEnd, this.#speech === 'ours')
    if (taken === 'too-much') {
      const text = 'More came than the app has read, or may be sent.'
      return this.fail(streamError('MIX_STREAM_OVERFLOW', text), 'more was sent than allowed')
    }
    if (taken !== 'taken') this.#options.onDrop(`stream-frame-${taken}`)
    for (const bytes of this.#receiver.drain()) this.#streams.push(bytes)
    if (this.#receiver.ended) this.#streams.end()
    this.#tellHeld()
  }

  #onRead(bytes: number): void {
    this.#receiver.read(bytes)
    if (this.#ended) return
    this.#tellHeld()
    this.#giveCredit()
  }

  /** Credit, and the reply blocks for what it allows. Only peers of ours know it. */
  #giveCredit(): void {
    if (this.#speech !== 'ours' || this.#ended) return
    const credit = this.#receiver.credit(this.#options.role === 'opener' && this.#stock.isLow)
    if (credit !== undefined) this.#control(STREAM_FRAME_TYPES.openAck, 0, RESERVED.credit, encodeCredit(credit))
    this.#endIfBoth()
  }

  #pong(nonce: number): void {
    if (this.#pongs >= MOST_PONGS) return this.#options.onDrop('stream-ping-too-soon')
    this.#pongs++
    this.#control(STREAM_FRAME_TYPES.pong, nonce, this.#reserved, NOTHING, () => this.#pongs--)
  }

  async #write(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array))
      throw new MixError('MIX_MESSAGE_DATA', 'A chunk is a Uint8Array.', { kind: 'usage' })
    if (this.#ended || chunk.length === 0) return
    // The app may use its buffer again.
    this.#sender.write(new Uint8Array(chunk))
    this.#pump()
    if (this.#ended || this.#sender.hasRoom) return
    this.#whenRoom = deferred()
    await this.#whenRoom.promise
  }

  async #finish(): Promise<void> {
    if (this.#ended) return
    this.#finishing = deferred()
    this.#sender.end()
    this.#pump()
    await this.#finishing.promise
  }

  #pump(): void {
    while (!this.#ended && this.#queueing < MOST_QUEUEING) {
      const frame = this.#sender.next(this.#speech, this.#isOpen)
      if (frame === undefined) break
      const { isEnd, index, content } = frame
      const bytes = isEnd
        ? this.#frame(STREAM_FRAME_TYPES.openAck, index >>> 0, RESERVED.end)
        : this.#frame(STREAM_FRAME_TYPES.data, index >>> 0, this.#reserved, content)
      if (index === 0 && this.#options.role === 'opener')
        this.#firstTimer = this.#timer('The gateway of the other side did not get what was written first in time.')
      this.#transmit(bytes, this.#blocks(), false, () => {
        if (index === 0) this.#firstTimer?.cancel()
        this.#sender.acknowledged(index)
        this.#pump()
      })
    }
    if (this.#sender.hasRoom) this.#whenRoom?.resolve()
    if (this.#ended || this.#finished || !this.#sender.isDone(this.#speech)) return
    this.#finished = true
    this.#finishing?.resolve()
    this.#endIfBoth()
  }

  /** How many reply blocks go with the next message. */
  #blocks(): number {
    if (this.#options.role === 'acceptor') return 0
    if (this.#speech === 'official') return this.#options.replySurbs
    return this.#speech === 'ours' && this.#stock.isLow ? this.#stock.refill() : 0
  }

  get #reserved(): number {
    return this.#speech === 'official' ? RESERVED.official : RESERVED.ours
  }

  #frame(type: number, sequence: number, reserved: number = this.#reserved, content: Uint8Array = NOTHING): Uint8Array {
    return encodeStreamFrame({ streamId: this.id, type, sequence, reserved, content })
  }

  #control(
    type: number,
    sequence = 0,
    reserved: number = this.#reserved,
    content: Uint8Array = NOTHING,
    then = () => {},
  ): void {
    this.#transmit(this.#frame(type, sequence, reserved, content), this.#blocks(), true, then)
  }

  /** Any message that is lost for good is the end of the stream. */
  #transmit(bytes: Uint8Array, replySurbs: number, isControl: boolean, acknowledged: () => void): void {
    this.#activeMs = this.#options.clock.monotonic()
    const handle = this.#options.send(bytes, replySurbs, isControl)
    if (!isControl) {
      this.#queueing++
      const queued = () => {
        this.#queueing--
        this.#pump()
      }
      handle.queued.then(queued, () => {})
    }
    handle.acknowledged.then(acknowledged, (reason) => this.fail(reason, 'a message could not be sent'))
  }

  #opened(): void {
    this.#isOpen = true
    this.#answerTimer?.cancel()
    this.#open.resolve()
  }

  #timer(text: string): Timer {
    const fail = () => this.fail(streamError('MIX_STREAM_SILENT', text), 'no answer in time')
    return this.#options.clock.setTimer(ANSWER_MS, fail)
  }

  #endIfBoth(): void {
    if (!this.#ended && this.#finished && this.#receiver.ended) this.#over()
  }

  #over(): void {
    if (this.#ended) return
    this.#ended = true
    if (!this.#receiver.ended) this.#streams.end()
    this.#end.resolve()
    this.#release()
  }

  #tellHeld(): void {
    const held = this.#ended ? 0 : this.#receiver.heldBytes
    this.#options.onHeld(held - this.#heldBytes)
    this.#heldBytes = held
  }

  #release(): void {
    this.#answerTimer?.cancel()
    this.#firstTimer?.cancel()
    this.#tellHeld()
    this.#options.onEnd()
  }
}

const NOTHING = new Uint8Array(0)
