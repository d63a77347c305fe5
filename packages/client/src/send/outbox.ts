/**
 * Messages from `send` until they are acknowledged or given up: waiting for room, in the lanes, in the store where that
 * persists. Back-pressure is here, and every bound of it.
 *
 * | bound | at it |
 * |---|---|
 * | a lane holds 500 messages or 4 MiB that have not been sent | further ones wait, and so does their `queued` |
 * | 20 000 messages or 64 MiB are neither acknowledged nor failed | all further ones wait |
 * | 100 000 messages or 64 MiB wait | `MIX_QUEUE_FULL` |
 */
import { concatBytes, MixError, type Random, utf8 } from '@mixwright/runtime'
import { ChunkedMessage, decodeRecipient, encodeBase58, encodeRecipient } from '@mixwright/wire'
import { FRAGMENT_SPACE } from '../packet/packet-builder.js'
import type { ClientStore } from '../store/client-store.js'
import type { Journal } from '../store/journal.js'
import type { Lanes } from './lanes.js'
import { type Destination, Handle, type MessageOutcome, OutgoingMessage } from './outgoing-message.js'

const LANE_MESSAGES = 500
const LANE_BYTES = 4 * 1024 ** 2
const UNSETTLED_MESSAGES = 20_000
const UNSETTLED_BYTES = 64 * 1024 ** 2
const WAITING_MESSAGES = 100_000
const WAITING_BYTES = 64 * 1024 ** 2

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
  /** Whether a later process should go on with it. */
  readonly keep: boolean
  readonly onEnd?: (outcome: MessageOutcome) => void
}

export interface OutboxOptions {
  readonly random: Random
  readonly journal: Journal
  readonly persistent: boolean
  readonly lanes: Lanes
  /** Something was put in a lane. */
  readonly onQueued: (message: OutgoingMessage) => void
  readonly onEnd: (message: OutgoingMessage, outcome: MessageOutcome) => void
}

interface Waiting {
  readonly submission: Submission
  readonly handle: Handle
  /** Stop listening to the submission's signal. */
  readonly stopListening: (() => void) | undefined
}

interface LaneLoad {
  messages: number
  bytes: number
  readonly waiting: Waiting[]
}

export class Outbox {
  readonly #options: OutboxOptions
  readonly #loads = new Map<string, LaneLoad>()
  readonly #unsettled = new Set<OutgoingMessage>()
  /** In a lane and not sent whole yet. */
  readonly #unsent = new Set<OutgoingMessage>()
  #unsettledBytes = 0
  #waitingMessages = 0
  #waitingBytes = 0
  #nextId = 1
  #closed: MixError | undefined

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  /** Messages that wait for room. */
  get waiting(): number {
    return this.#waitingMessages
  }

  /** Messages neither acknowledged nor failed, waiting ones included, and their bytes. */
  get messages(): number {
    return this.#unsettled.size + this.#waitingMessages
  }

  get bytes(): number {
    return this.#unsettledBytes + this.#waitingBytes
  }

  /** Take a message; never throws. */
  submit(submission: Submission, handle = new Handle()): Handle {
    const refusal = this.#closed ?? (this.#isFull(submission.bytes) ? queueFull() : undefined)
    if (refusal !== undefined || submission.signal?.aborted) {
      refuse(submission, handle, refusal ?? submission.signal?.reason)
      return handle
    }
    const load = this.#load(submission.lane)
    load.waiting.push({ submission, handle, stopListening: this.#listen(submission, handle) })
    this.#waitingMessages++
    this.#waitingBytes += submission.bytes
    this.#admit(submission.lane, load)
    return handle
  }

  /** Packets have left or messages have ended: let in what waits. */
  settle(): void {
    if (this.#waitingMessages === 0) return
    for (const [lane, load] of this.#loads) this.#admit(lane, load)
  }

  /** Give up all that waits or lies in a lane. */
  closeLane(lane: string, reason: MixError): void {
    const load = this.#loads.get(lane)
    for (const { handle, submission } of load?.waiting.splice(0) ?? []) {
      this.#notWaiting(submission)
      refuse(submission, handle, reason)
    }
    for (const message of this.#options.lanes.messagesOf(lane)) message.fail(reason)
    this.#options.lanes.sweep()
    this.settle()
  }

  /** Fail what is left, and all that comes later. In a persistent store it stays for the next start. */
  close(reason: MixError): void {
    this.#closed = reason
    for (const load of this.#loads.values()) {
      for (const { handle, submission } of load.waiting.splice(0)) {
        this.#notWaiting(submission)
        refuse(submission, handle, reason)
      }
    }
    for (const message of [...this.#unsettled]) message.fail(reason)
  }

  /** Go on with what an earlier process did not finish; what is malformed is left out. Returns how many messages. */
  async restore(store: ClientStore): Promise<number> {
    let resumed = 0
    for (const [key, value] of await store.load('outbox')) {
      this.#nextId = Math.max(this.#nextId, (Number.parseInt(key, 36) || 0) + 1)
      const record = decodeRecord(value)
      if (record === undefined) {
        this.#options.journal.delete('outbox', key)
        continue
      }
      this.#enter(Number.parseInt(key, 36), record, new Handle())
      resumed++
    }
    return resumed
  }

  #isFull(bytes: number): boolean {
    return this.#waitingMessages >= WAITING_MESSAGES || this.#waitingBytes + bytes > WAITING_BYTES
  }

  #load(lane: string): LaneLoad {
    let load = this.#loads.get(lane)
    if (load === undefined) {
      load = { messages: 0, bytes: 0, waiting: [] }
      this.#loads.set(lane, load)
    }
    return load
  }

  #admit(lane: string, load: LaneLoad): void {
    let admitted = 0
    while (admitted < load.waiting.length) {
      // An empty lane takes one message of any size.
      if (load.messages > 0 && (load.messages >= LANE_MESSAGES || load.bytes >= LANE_BYTES)) break
      if (this.#unsettled.size >= UNSETTLED_MESSAGES) break
      if (this.#unsettled.size > 0 && this.#unsettledBytes >= UNSETTLED_BYTES) break
      const { submission, handle, stopListening } = load.waiting[admitted]!
      if (!handle.failed) {
        let message: Uint8Array | undefined
        try {
          message = submission.build()
        } catch (reason) {
          refuse(submission, handle, reason)
        }
        if (message === undefined && !handle.failed) break
        if (message !== undefined) {
          const { destination, maximumRetransmissions } = submission
          const chunks = ChunkedMessage.cut(message, FRAGMENT_SPACE, this.#options.random)
          const record = { destination, lane, maximumRetransmissions, chunks }
          this.#enter(this.#nextId++, record, handle, submission, stopListening)
        }
        this.#notWaiting(submission)
      }
      admitted++
    }
    load.waiting.splice(0, admitted)
    if (load.messages === 0 && load.waiting.length === 0) this.#loads.delete(lane)
  }

  #enter(
    id: number,
    record: OutboxRecord,
    handle: Handle,
    submission?: Submission,
    stopListening?: (() => void) | undefined,
  ): void {
    const { persistent, journal, lanes, onQueued } = this.#options
    const kept = persistent && (submission?.keep ?? true)
    const message = new OutgoingMessage({
      ...record,
      id,
      handle,
      onSent: (sent) => this.#leaveLane(sent),
      onEnd: (ended, outcome) => {
        this.#unsettled.delete(ended)
        this.#unsettledBytes -= ended.chunks.message.length
        this.#leaveLane(ended)
        const isShutdown = outcome.kind === 'failed' && outcome.reason === this.#closed
        if (kept && !isShutdown) journal.delete('outbox', keyOf(id))
        stopListening?.()
        submission?.onEnd?.(outcome)
        this.#options.onEnd(ended, outcome)
      },
    })
    const load = this.#load(record.lane)
    load.messages++
    load.bytes += record.chunks.message.length
    this.#unsettled.add(message)
    this.#unsent.add(message)
    this.#unsettledBytes += record.chunks.message.length
    if (kept && submission !== undefined) journal.put('outbox', keyOf(id), encodeRecord(record))
    if (kept)
      journal.flush().then(
        () => handle.markQueued(),
        (reason) => message.fail(reason),
      )
    else handle.markQueued()
    lanes.add(message)
    onQueued(message)
  }

  /** The message no longer takes room in its lane. */
  #leaveLane(message: OutgoingMessage): void {
    if (!this.#unsent.delete(message)) return
    const load = this.#load(message.lane)
    load.messages--
    load.bytes -= message.chunks.message.length
    if (load.messages === 0 && load.waiting.length === 0) this.#loads.delete(message.lane)
  }

  #notWaiting({ bytes }: Submission): void {
    this.#waitingMessages--
    this.#waitingBytes -= bytes
  }

  #listen(submission: Submission, handle: Handle): (() => void) | undefined {
    const { signal } = submission
    if (signal === undefined) return undefined
    const onAbort = () => {
      if (handle.message !== undefined) {
        handle.message.fail(signal.reason)
        this.#options.lanes.sweep()
      } else if (!handle.failed) {
        this.#notWaiting(submission)
        refuse(submission, handle, signal.reason)
      }
      this.settle()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    return () => signal.removeEventListener('abort', onAbort)
  }
}

/** A message that never came into a lane. */
function refuse(submission: Submission, handle: Handle, reason: unknown): void {
  if (handle.failed) return
  handle.fail(reason)
  submission.onEnd?.({ kind: 'failed', reason })
}

function queueFull(): MixError {
  const message = 'More messages wait than this client holds. Await `queued` of a message before sending more.'
  return new MixError('MIX_QUEUE_FULL', message, {
    kind: 'local',
    retry: true,
    data: { messages: WAITING_MESSAGES, bytes: WAITING_BYTES },
  })
}

/** What the store keeps of a message. */
interface OutboxRecord {
  readonly destination: Destination
  readonly lane: string
  readonly maximumRetransmissions: number
  readonly chunks: ChunkedMessage
}

const keyOf = (id: number) => id.toString(36).padStart(10, '0')

/** Length of the head, u32 ‖ head, JSON ‖ bytes of the NymMessage. */
function encodeRecord({ destination, lane, maximumRetransmissions, chunks }: OutboxRecord): Uint8Array {
  const to =
    destination.kind === 'recipient'
      ? [...encodeRecipient(destination.recipient)]
      : { tag: destination.senderTag, purpose: destination.purpose }
  const head = utf8(JSON.stringify({ to, lane, maximumRetransmissions, setIds: chunks.setIds }))
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, head.length)
  return concatBytes(length, head, chunks.message)
}

function decodeRecord(value: Uint8Array): OutboxRecord | undefined {
  try {
    const headEnd = 4 + new DataView(value.buffer, value.byteOffset, value.length).getUint32(0)
    const { to, lane, maximumRetransmissions, setIds } = JSON.parse(
      new TextDecoder().decode(value.subarray(4, headEnd)),
    )
    const chunks = ChunkedMessage.resume(value.slice(headEnd), FRAGMENT_SPACE, setIds)
    if (!Array.isArray(to))
      return {
        destination: { kind: 'sender-tag', senderTag: String(to.tag), purpose: to.purpose },
        lane,
        maximumRetransmissions,
        chunks,
      }
    const recipient = decodeRecipient(Uint8Array.from(to), () => true)!
    const gateway = encodeBase58(recipient.gateway)
    return { destination: { kind: 'recipient', recipient, gateway }, lane, maximumRetransmissions, chunks }
  } catch {
    return undefined
  }
}
