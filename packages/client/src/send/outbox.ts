/**
 * Messages from `send` until they are acknowledged or given up: waiting for room, in the lanes, in the store where that
 * persists. Back-pressure is here; the bounds:
 *
 * | bound | at it |
 * |---|---|
 * | a lane holds 500 messages or 4 MiB that have not been sent; for replies, of each sender tag | further ones wait, and so does their `queued` |
 * | 20 000 messages or 64 MiB are neither acknowledged nor failed; replies count apart | all further ones wait |
 * | 100 000 messages or 64 MiB wait; replies count apart | `MIX_QUEUE_FULL` |
 * | a message is three days old, as when our own gateway never comes back | `MIX_EXPIRED` |
 */
import { type Clock, MixError, type Random } from '@mixwright/runtime'
import { ChunkedMessage } from '@mixwright/wire'
import { Fifo } from '../fifo.js'
import { FRAGMENT_SPACE } from '../packet/packet-builder.js'
import type { ClientStore } from '../store/client-store.js'
import type { Journal } from '../store/journal.js'
import { whenAborted } from '../when-aborted.js'
import { type Lanes, laneKey } from './lanes.js'
import { decodeOutboxRecord, encodeOutboxRecord, type OutboxRecord, outboxId, outboxKey } from './outbox-record.js'
import { type Destination, Handle, type MessageOutcome, OutgoingMessage } from './outgoing-message.js'
import { APP_BYTES, Load, type Room, Rooms, WAITING_MESSAGES } from './room.js'

const LANE_MESSAGES = 500
const LANE_BYTES = 4 * 1024 ** 2
/** As long as a recipient keeps what it has of a message. Time in which the machine sleeps may not count. */
const LIFETIME_MS = 3 * 24 * 3_600_000

/** A message to be sent. */
export interface Submission {
  readonly destination: Destination
  readonly lane: string
  /** Bytes that it costs while it waits. */
  readonly bytes: number
  /** The bytes of its NymMessage, made when there is room; undefined while they cannot be made. */
  readonly build: () => Uint8Array | undefined
  readonly maximumRetransmissions: number
  readonly signal?: AbortSignal | undefined
  readonly onEnd?: (outcome: MessageOutcome) => void
}

export interface OutboxOptions {
  readonly clock: Clock
  readonly random: Random
  readonly journal: Journal
  readonly persistent: boolean
  readonly lanes: Lanes
  /** Something was put in a lane. */
  readonly onQueued: (message: OutgoingMessage) => void
  /** Undefined: a message of an app that never came into a lane. */
  readonly onEnd: (message: OutgoingMessage | undefined, outcome: MessageOutcome) => void
}

/** A message that was submitted. */
interface Entry {
  readonly submission: Submission
  readonly handle: Handle
  /** When it was submitted, by the clock that never jumps. */
  readonly bornMs: number
  /** Once it is in a lane. */
  message?: OutgoingMessage
  stopListening?: () => void
}

/** What waits for a lane, and what is in it. */
interface Queue {
  readonly key: string
  readonly lane: string
  readonly destination: Destination
  readonly room: Room
  readonly unsent: Load
  readonly waiting: Fifo<Entry>
  /** Of those that wait, how many were given up. */
  givenUp: number
}

export class Outbox {
  readonly #options: OutboxOptions
  readonly #rooms = new Rooms()
  /** Queues that are not empty. */
  readonly #queues = new Map<string, Queue>()
  /** Those where messages wait; the one that was served longest ago first. */
  readonly #waiting = new Set<Queue>()
  /** With when they were submitted or, by an earlier process, restored. */
  readonly #underWay = new Map<OutgoingMessage, number>()
  /** In a lane and not sent whole yet, with the queue of it. */
  readonly #unsent = new Map<OutgoingMessage, Queue>()
  /** Of the messages under way: two under one id would take each other's acks. */
  readonly #setIds = new Set<number>()
  #nextId = 1
  #closed: MixError | undefined

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  /** Messages of the app neither acknowledged nor failed, waiting ones included. */
  get messages(): number {
    return this.#sum(({ messages }) => messages)
  }

  /** Their bytes. */
  get bytes(): number {
    return this.#sum(({ bytes }) => bytes)
  }

  /** Take a message; never throws, but for a signal that is none. */
  submit(submission: Submission, handle = new Handle()): Handle {
    const { signal, bytes } = submission
    const entry: Entry = { submission, handle, bornMs: this.#options.clock.monotonic() }
    const room = this.#rooms.of(submission.lane, submission.destination)
    if (signal?.aborted) this.#refuse(entry, room, signal.reason)
    else if (this.#closed) this.#refuse(entry, room, this.#closed)
    else if (!room.mayWait(bytes)) this.#refuse(entry, room, queueFull())
    else {
      this.#listen(entry)
      const queue = this.#queue(submission.lane, submission.destination)
      queue.waiting.push(entry)
      room.waiting.add(bytes)
      this.#waiting.add(queue)
      this.#admit(queue)
    }
    return handle
  }

  /** Packets have left or messages have ended: let in what waits. */
  settle(): void {
    let left = this.#waiting.size
    for (const queue of this.#waiting) {
      if (left-- === 0) return
      this.#admit(queue)
    }
  }

  /** Give up all that waits or lies in a lane. */
  closeLane(lane: string, reason: MixError): void {
    this.#giveUp((queue) => queue.lane === lane, reason)
  }

  /** Give up all replies to a sender tag that wait or lie in a lane, and requests to it; also what is to be sent again. */
  giveUpReplies(senderTag: string, reason: MixError): void {
    const { lanes } = this.#options
    for (const message of lanes.messagesFor(senderTag)) message.fail(reason)
    this.#giveUp(({ destination: to }) => to.kind === 'sender-tag' && to.senderTag === senderTag, reason)
  }

  /** Fail what is too old, so that nothing is pending for ever; to be called now and then. */
  expire(): void {
    const oldestMs = this.#options.clock.monotonic() - LIFETIME_MS
    for (const [message, bornMs] of [...this.#underWay]) if (bornMs <= oldestMs) message.fail(expired())
    for (const queue of [...this.#waiting]) {
      for (let entry = queue.waiting.first; entry !== undefined; entry = queue.waiting.first) {
        if (!entry.handle.failed && entry.bornMs > oldestMs) break
        queue.waiting.shift()
        if (entry.handle.failed) queue.givenUp--
        else {
          this.#endWaiting(queue, entry)
          this.#refuse(entry, queue.room, expired())
        }
      }
      this.#tidy(queue)
    }
    this.settle()
  }

  /** Fail what is left, and all that comes later. In a persistent store it stays for the next start. */
  close(reason: MixError): void {
    this.#closed = reason
    for (const queue of [...this.#waiting]) this.#refuseWaiting(queue, reason)
    for (const message of [...this.#underWay.keys()]) message.fail(reason)
  }

  /** Go on with what an earlier process did not finish; what is malformed is left out. Returns how many messages. */
  async restore(store: ClientStore): Promise<number> {
    let resumed = 0
    for (const [key, value] of await store.load('outbox')) {
      const id = outboxId(key)
      const record = Number.isNaN(id) ? undefined : decodeOutboxRecord(value)
      if (record === undefined) {
        this.#options.journal.delete('outbox', key)
        continue
      }
      this.#nextId = Math.max(this.#nextId, id + 1)
      this.#enter(id, record, this.#queue(record.lane, record.destination))
      resumed++
    }
    return resumed
  }

  #sum(of: (load: Load) => number): number {
    return this.#rooms.ofApp.reduce((sum, { underWay, waiting }) => sum + of(underWay) + of(waiting), 0)
  }

  #queue(lane: string, destination: Destination): Queue {
    const key = laneKey(lane, destination)
    let queue = this.#queues.get(key)
    if (queue === undefined) {
      const room = this.#rooms.of(lane, destination)
      queue = { key, lane, destination, room, unsent: new Load(), waiting: new Fifo(), givenUp: 0 }
      this.#queues.set(key, queue)
    }
    return queue
  }

  /** Let in what there is room for. An app may submit more from within: each message is off the queue before it is told. */
  #admit(queue: Queue): void {
    const { room, unsent, waiting } = queue
    while (room.hasSpace) {
      // An empty lane takes one message of any size.
      if (unsent.messages > 0 && (unsent.messages >= LANE_MESSAGES || unsent.bytes >= LANE_BYTES)) break
      const entry = waiting.first
      if (entry === undefined) break
      if (entry.handle.failed) {
        waiting.shift()
        queue.givenUp--
        continue
      }
      let bytes: Uint8Array | undefined
      try {
        // The signal of many messages tells one after the other.
        entry.submission.signal?.throwIfAborted()
        bytes = entry.submission.build()
        if (bytes === undefined) break
      } catch (reason) {
        this.#endWaiting(queue, waiting.shift()!)
        this.#refuse(entry, room, reason)
        continue
      }
      this.#endWaiting(queue, waiting.shift()!)
      // Others have their turn before this queue has another.
      this.#waiting.delete(queue)
      this.#waiting.add(queue)
      const { destination, lane, maximumRetransmissions } = entry.submission
      this.#enter(this.#nextId++, { destination, lane, maximumRetransmissions, chunks: this.#cut(bytes) }, queue, entry)
    }
    this.#tidy(queue)
  }

  #cut(bytes: Uint8Array): ChunkedMessage {
    for (;;) {
      const chunks = ChunkedMessage.cut(bytes, FRAGMENT_SPACE, this.#options.random)
      if (!chunks.setIds.some((setId) => this.#setIds.has(setId))) return chunks
    }
  }

  /** Without an entry: a message of an earlier process. */
  #enter(id: number, record: OutboxRecord, queue: Queue, entry?: Entry): void {
    const { persistent, journal, lanes, onQueued } = this.#options
    const { chunks } = record
    const { room, unsent } = queue
    const handle = entry?.handle ?? new Handle()
    const kept = persistent && room.isOfApp
    const message = new OutgoingMessage({
      ...record,
      id,
      handle,
      onSent: (sent) => this.#leaveLane(sent),
      onEnd: (ended, outcome) => {
        this.#underWay.delete(ended)
        room.underWay.remove(chunks.message.length)
        for (const setId of chunks.setIds) this.#setIds.delete(setId)
        this.#leaveLane(ended)
        if (outcome.kind === 'failed') lanes.sweep()
        const isShutdown = outcome.kind === 'failed' && outcome.reason === this.#closed
        if (kept && !isShutdown) journal.delete('outbox', outboxKey(id))
        entry?.stopListening?.()
        entry?.submission.onEnd?.(outcome)
        this.#options.onEnd(ended, outcome)
      },
    })
    if (entry) entry.message = message
    this.#underWay.set(message, entry?.bornMs ?? this.#options.clock.monotonic())
    this.#unsent.set(message, queue)
    unsent.add(chunks.message.length)
    room.underWay.add(chunks.message.length)
    for (const setId of chunks.setIds) this.#setIds.add(setId)
    if (kept) {
      if (entry) journal.put('outbox', outboxKey(id), encodeOutboxRecord(record))
      journal.flush().then(
        () => handle.markQueued(),
        (reason) => message.fail(reason),
      )
    } else handle.markQueued()
    lanes.add(message)
    onQueued(message)
  }

  /** The message no longer takes room in its lane. */
  #leaveLane(message: OutgoingMessage): void {
    const queue = this.#unsent.get(message)
    if (queue === undefined) return
    this.#unsent.delete(message)
    queue.unsent.remove(message.chunks.message.length)
    this.#tidy(queue)
  }

  #tidy(queue: Queue): void {
    if (queue.waiting.size > 0) return
    this.#waiting.delete(queue)
    if (queue.unsent.messages === 0 && this.#queues.get(queue.key) === queue) this.#queues.delete(queue.key)
  }

  #giveUp(isMeant: (queue: Queue) => boolean, reason: MixError): void {
    for (const queue of [...this.#waiting]) if (isMeant(queue)) this.#refuseWaiting(queue, reason)
    for (const [message, queue] of [...this.#unsent]) if (isMeant(queue)) message.fail(reason)
    this.settle()
  }

  #refuseWaiting(queue: Queue, reason: MixError): void {
    for (const entry of queue.waiting.drain()) {
      if (entry.handle.failed) continue
      this.#endWaiting(queue, entry)
      this.#refuse(entry, queue.room, reason)
    }
    queue.givenUp = 0
    this.#tidy(queue)
  }

  #endWaiting({ room }: Queue, { submission }: Entry): void {
    room.waiting.remove(submission.bytes)
  }

  /** A message that never came into a lane. */
  #refuse({ submission, handle, stopListening }: Entry, { isOfApp }: Room, reason: unknown): void {
    const outcome = { kind: 'failed', reason } as const
    stopListening?.()
    handle.fail(reason)
    submission.onEnd?.(outcome)
    if (isOfApp) this.#options.onEnd(undefined, outcome)
  }

  #listen(entry: Entry): void {
    const { signal } = entry.submission
    if (signal === undefined) return
    entry.stopListening = whenAborted(signal, () => {
      if (entry.message) entry.message.fail(signal.reason)
      else this.#giveUpWaiting(entry, signal.reason)
      this.settle()
    })
  }

  /** It stays in the queue until it is its turn, or until half of the queue is such. */
  #giveUpWaiting(entry: Entry, reason: unknown): void {
    const { lane, destination } = entry.submission
    const queue = this.#queue(lane, destination)
    this.#endWaiting(queue, entry)
    queue.givenUp++
    this.#refuse(entry, queue.room, reason)
    if (2 * queue.givenUp <= queue.waiting.size) return
    queue.waiting.retain(({ handle }) => !handle.failed)
    queue.givenUp = 0
    this.#tidy(queue)
  }
}

function expired(): MixError {
  const message = 'The message could not be sent, or was not acknowledged, for three days.'
  return new MixError('MIX_EXPIRED', message, { kind: 'network', retry: true })
}

function queueFull(): MixError {
  const message = 'More messages wait than this client holds. Await `queued` of a message before sending more.'
  return new MixError('MIX_QUEUE_FULL', message, {
    kind: 'local',
    retry: true,
    data: { messages: WAITING_MESSAGES, bytes: APP_BYTES },
  })
}
