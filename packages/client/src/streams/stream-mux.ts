/**
 * All streams of a client (06-service-providers §7): which message is a frame of which stream, who opens them and who takes those
 * that come. A stream is `stream-end.ts`.
 *
 * | bound | at it |
 * |---|---|
 * | 1024 streams | no more are opened (`MIX_STREAM_LIMIT`) or taken |
 * | 64 streams that the app did not take yet | further ones are refused, and counted |
 * | 64 refusals on their way | further ones are not told |
 * | 128 MiB that apps did not read, over all streams | the stream that got more is reset |
 * | 4096 ended streams are remembered | the oldest is forgotten: its late frames may come to `messages()` |
 */
import type { Clock, MixError, Random, Timer } from '@mixwright/runtime'
import {
  decodeStreamFrame,
  encodeStreamFrame,
  formatRecipient,
  STREAM_FRAME_TYPES,
  type StreamFrame,
} from '@mixwright/wire'
import type { ArrivedMessage, Client } from '../api.js'
import { checkedAddress, checkedReplySurbs } from '../arguments.js'
import { Fifo } from '../fifo.js'
import { whenAborted } from '../when-aborted.js'
import { OrphanFrames } from './orphan-frames.js'
import type { IncomingStream, OpenStreamOptions, OutgoingStream } from './stream-api.js'
import { StreamEnd, type StreamEndOptions } from './stream-end.js'
import { streamError } from './stream-error.js'
import { encodeReset, RESERVED } from './stream-extension.js'

const REPLY_SURBS = 10
const MOST_STREAMS = 1024
const MOST_WAITING = 64
const MOST_REFUSALS = 64
const MOST_HELD_BYTES = 134_217_728
const ENDED_STREAMS = 4096
/** How often idle streams and orphans are looked for. */
const TICK_MS = 1000

export interface StreamMuxOptions {
  readonly client: Pick<Client, 'send' | 'reply' | 'closeLane' | 'intercept'>
  readonly clock: Clock
  readonly random: Random
  /** A frame was dropped, for this reason. */
  readonly onDrop: (reason: string) => void
}

/** A reader of `streams()` that waits. */
type Waiter = (result: IteratorResult<IncomingStream, undefined>) => void

export class StreamMux {
  readonly #options: StreamMuxOptions
  readonly #streams = new Map<string, StreamEnd>()
  /** Keys of streams that have ended, oldest first. */
  readonly #endedKeys = new Set<string>()
  readonly #orphans: OrphanFrames
  readonly #waiting = new Fifo<StreamEnd>()
  readonly #waiters = new Fifo<Waiter>()
  /** Whether `streams()` was ever called: then all frames are ours. */
  #listening = false
  #readers = 0
  #refusals = 0
  #heldBytes = 0
  #timer: Timer | undefined
  #closed: MixError | undefined

  constructor(options: StreamMuxOptions) {
    this.#options = options
    this.#orphans = new OrphanFrames(options.onDrop, (key, frame) => this.#refuseUnknown(key, frame))
    options.client.intercept((message) => this.#take(message))
  }

  /** What `Client.openStream` does. */
  open(to: string, options: OpenStreamOptions = {}): OutgoingStream {
    const { peer = 'mixwright', replySurbs = REPLY_SURBS, signal } = options
    const { client } = this.#options
    let address = to
    let refusal: unknown
    try {
      address = formatRecipient(checkedAddress(to))
      if (checkedReplySurbs(replySurbs, true) === 0) checkedReplySurbs(0.5, true)
      signal?.throwIfAborted()
      if (this.#closed !== undefined) throw this.#closed
      if (this.#streams.size >= MOST_STREAMS)
        throw streamError('MIX_STREAM_LIMIT', `A client has at most ${MOST_STREAMS} streams.`)
    } catch (reason) {
      refusal = reason
    }
    const id = this.#number()
    const key = openedKey(address, id)
    const [lane, controlLane] = [this.#number(), this.#number()]
    const stopWatching = signal && whenAborted(signal, () => stream.abort(signal.reason))
    const stream: StreamEnd = this.#stream(key, {
      id,
      role: 'opener',
      speech: peer === 'nym-sdk' ? 'official' : 'unknown',
      replySurbs,
      senderTag: '',
      send: (frame, blocks, isControl) =>
        client.send(address, frame, {
          replySurbs: blocks,
          anonymous: true,
          lane: isControl ? controlLane : lane,
        }),
      dropQueued: () => client.closeLane(lane),
      onEnd: () => stopWatching?.(),
    })
    if (refusal === undefined) stream.start()
    else stream.fail(refusal)
    return stream
  }

  /** What `Client.streams` does. */
  incoming(): AsyncIterableIterator<IncomingStream> {
    this.#listening = true
    this.#readers++
    let isOver = false
    const end = { done: true, value: undefined } as const
    const iterator: AsyncIterableIterator<IncomingStream> = {
      next: async () => {
        for (let stream = this.#waiting.shift(); stream !== undefined; stream = this.#waiting.shift())
          if (!stream.isOver) return { done: false, value: stream }
        if (isOver || this.#closed !== undefined) return end
        return new Promise((resolve) => this.#waiters.push(resolve))
      },
      return: async () => {
        if (isOver) return end
        isOver = true
        this.#readers--
        if (this.#readers > 0) return end
        for (const waiter of this.#waiters.drain()) waiter(end)
        for (const stream of this.#waiting.drain()) this.#refuse(stream)
        return end
      },
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  /** End all streams by this reason; peers of ours are told. Frames that still come are dropped. */
  close(reason: MixError): void {
    if (this.#closed !== undefined) return
    this.#closed = reason
    for (const stream of [...this.#streams.values()]) stream.fail(reason, 'the other side has closed')
    for (const waiter of this.#waiters.drain()) waiter({ done: true, value: undefined })
    this.#waiting.drain()
    this.#timer?.cancel()
  }

  /** A message came: whether it is a frame of a stream. */
  #take({ data, senderTag, repliedBy }: ArrivedMessage): boolean {
    const frame = decodeStreamFrame(data)
    if (frame === undefined) return false
    const key =
      senderTag !== undefined
        ? acceptedKey(senderTag, frame.streamId)
        : repliedBy !== undefined
          ? openedKey(repliedBy, frame.streamId)
          : undefined
    const stream = key === undefined ? undefined : this.#streams.get(key)
    if (stream !== undefined) {
      if (frame.type === STREAM_FRAME_TYPES.open) this.#options.onDrop('stream-opened-twice')
      else this.#received(stream, frame)
      return true
    }
    if (key !== undefined && this.#endedKeys.has(key)) this.#options.onDrop('stream-frame-late')
    else if (!this.#listening) return false
    else if (key === undefined || senderTag === undefined) this.#options.onDrop('stream-frame-of-stranger')
    else if (frame.type === STREAM_FRAME_TYPES.open) this.#accept(key, senderTag, frame)
    else if (frame.type === STREAM_FRAME_TYPES.data || frame.type === STREAM_FRAME_TYPES.openAck) this.#keep(key, frame)
    else this.#options.onDrop('stream-frame-of-stranger')
    return true
  }

  #received(stream: StreamEnd, frame: StreamFrame): void {
    stream.received(frame)
    this.#checkHeld(stream)
  }

  #checkHeld(stream: StreamEnd): void {
    if (this.#heldBytes <= MOST_HELD_BYTES) return
    const error = streamError(
      'MIX_STREAM_OVERFLOW',
      'The streams of this client hold more than 128 MiB that was not read.',
    )
    stream.fail(error, 'no memory is left for it')
  }

  #keep(key: string, frame: StreamFrame): void {
    this.#orphans.add(key, frame, this.#options.clock.monotonic())
    this.#tickLater()
  }

  #accept(key: string, senderTag: string, { streamId, reserved, content }: StreamFrame): void {
    const isOurs = reserved !== RESERVED.official
    const isNobody = this.#readers === 0 || this.#closed !== undefined
    if (isNobody || this.#streams.size >= MOST_STREAMS || this.#waiting.size >= MOST_WAITING) {
      this.#options.onDrop('stream-refused')
      this.#orphans.take(key)
      if (isOurs) this.#tellRefused(senderTag, streamId, isNobody ? 'nobody listens' : 'too many streams')
      return
    }
    const { client } = this.#options
    const [lane, controlLane] = [this.#number(), this.#number()]
    const stream = this.#stream(key, {
      id: streamId,
      role: 'acceptor',
      speech: isOurs ? 'ours' : 'official',
      replySurbs: 0,
      senderTag,
      send: (frame, _blocks, isControl) => client.reply(senderTag, frame, { lane: isControl ? controlLane : lane }),
      dropQueued: () => client.closeLane(lane),
      onEnd: () => {},
    })
    stream.start()
    stream.receivedFirst(content)
    this.#checkHeld(stream)
    for (const frame of this.#orphans.take(key)) this.#received(stream, frame)
    if (stream.isOver) return
    const waiter = this.#waiters.shift()
    if (waiter === undefined) this.#waiting.push(stream)
    else waiter({ done: false, value: stream })
  }

  #stream(key: string, { onEnd, ...options }: Omit<StreamEndOptions, 'clock' | 'onHeld' | 'onDrop'>): StreamEnd {
    const { clock, onDrop } = this.#options
    const stream = new StreamEnd({
      ...options,
      clock,
      onDrop,
      onHeld: (bytes) => {
        this.#heldBytes += bytes
      },
      onEnd: () => {
        onEnd()
        this.#streams.delete(key)
        if (this.#waiting.size > 0) this.#waiting.retain((waiting) => waiting !== stream)
        this.#remember(key)
      },
    })
    this.#streams.set(key, stream)
    this.#tickLater()
    return stream
  }

  /** Nobody took it. */
  #refuse(stream: StreamEnd): void {
    this.#options.onDrop('stream-refused')
    stream.fail(streamError('MIX_STREAM_CLOSED', 'Nobody took the stream.'), 'nobody listens', true)
  }

  /** Frames of a stream that we do not have, such as one of before a restart, are dropped: one of ours must know that they are missing. */
  #refuseUnknown(key: string, { reserved, streamId }: StreamFrame): void {
    const [, senderTag] = key.split(' ')
    if (reserved === RESERVED.official) return
    // Its Open may still come.
    this.#remember(key)
    if (reserved !== RESERVED.reset) this.#tellRefused(senderTag!, streamId, 'there is no such stream')
  }

  #remember(endedKey: string): void {
    this.#endedKeys.add(endedKey)
    if (this.#endedKeys.size > ENDED_STREAMS) this.#endedKeys.delete(this.#endedKeys.keys().next().value!)
  }

  #tellRefused(senderTag: string, streamId: bigint, text: string): void {
    if (this.#refusals >= MOST_REFUSALS) return
    this.#refusals++
    const content = encodeReset({ refused: true, text })
    const frame = { streamId, type: STREAM_FRAME_TYPES.openAck, sequence: 0, reserved: RESERVED.reset, content }
    const done = () => {
      this.#refusals--
    }
    this.#options.client.reply(senderTag, encodeStreamFrame(frame)).acknowledged.then(done, done)
  }

  #tickLater(): void {
    if (this.#closed !== undefined) return
    this.#timer ??= this.#options.clock.setTimer(TICK_MS, () => this.#tick(), { background: true })
  }

  #tick(): void {
    this.#timer = undefined
    const nowMs = this.#options.clock.monotonic()
    for (const stream of [...this.#streams.values()]) stream.tick(nowMs)
    this.#orphans.expire(nowMs)
    if (this.#streams.size > 0 || this.#orphans.streams > 0) this.#tickLater()
  }

  /** A random u64. */
  #number(): bigint {
    const bytes = this.#options.random.bytes(8)
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
  }
}

/** Answers come by the reply blocks that we gave to the peer's address, so nobody else can write into a stream that we opened. */
function openedKey(address: string, id: bigint): string {
  return `to ${address} ${id}`
}

function acceptedKey(senderTag: string, id: bigint): string {
  return `from ${senderTag} ${id}`
}
