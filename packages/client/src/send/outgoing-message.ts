/**
 * A message on its way: what is left to send of it, what was acknowledged, and the promises of its handle. It knows nothing
 * of queues or packets.
 */
import type { ChunkedMessage, Recipient } from '@mixwright/wire'
import type { SendHandle, SendProgress } from '../api.js'

/** Where a message goes: to an address, or by the reply blocks of an anonymous sender. */
export type Destination =
  | { readonly kind: 'recipient'; readonly recipient: Recipient; readonly gateway: string }
  | {
      readonly kind: 'sender-tag'
      readonly senderTag: string
      /** A request for more reply blocks may use the last one; data may not. */
      readonly purpose: 'data' | 'surb-request'
    }

/** A promise that is made only when somebody asks for it, so that a rejection nobody reads disturbs nobody. */
class Outcome {
  #state: 'pending' | 'resolved' | { readonly reason: unknown } = 'pending'
  #promise: Promise<void> | undefined
  #settle: { resolve(): void; reject(reason: unknown): void } | undefined

  get promise(): Promise<void> {
    if (this.#promise === undefined) {
      this.#promise = new Promise((resolve, reject) => {
        if (this.#state === 'pending') this.#settle = { resolve, reject }
        else if (this.#state === 'resolved') resolve()
        else reject(this.#state.reason)
      })
      // Whoever awaits it gets the reason all the same.
      this.#promise.catch(() => {})
    }
    return this.#promise
  }

  resolve(): void {
    if (this.#state !== 'pending') return
    this.#state = 'resolved'
    this.#settle?.resolve()
  }

  reject(reason: unknown): void {
    if (this.#state !== 'pending') return
    this.#state = { reason }
    this.#settle?.reject(reason)
  }
}

const NOTHING: SendProgress = { packets: 0, sent: 0, acknowledged: 0, retransmissions: 0 }

/** The app's side of a message; lives from `send` on, before there is anything to cut into packets. */
export class Handle implements SendHandle {
  readonly #queued = new Outcome()
  readonly #sent = new Outcome()
  readonly #acknowledged = new Outcome()
  #failed = false
  #lastProgress = NOTHING
  /** Set while the message is in the queue or on its way; let go then, so that whoever keeps handles keeps no messages. */
  message: OutgoingMessage | undefined

  get queued(): Promise<void> {
    return this.#queued.promise
  }

  get sent(): Promise<void> {
    return this.#sent.promise
  }

  get acknowledged(): Promise<void> {
    return this.#acknowledged.promise
  }

  get progress(): SendProgress {
    const { message } = this
    if (message === undefined) return this.#lastProgress
    const { packets, sent, acknowledged, retransmissions } = message
    return { packets, sent, acknowledged, retransmissions }
  }

  get failed(): boolean {
    return this.#failed
  }

  markQueued(): void {
    this.#queued.resolve()
  }

  markSent(): void {
    this.#sent.resolve()
  }

  markAcknowledged(): void {
    // Acks can be faster than the store.
    this.#queued.resolve()
    this.#sent.resolve()
    this.#acknowledged.resolve()
    this.#letGo()
  }

  /** What has not been settled is rejected. */
  fail(reason: unknown): void {
    this.#failed = true
    this.#queued.reject(reason)
    this.#sent.reject(reason)
    this.#acknowledged.reject(reason)
    this.#letGo()
  }

  #letGo(): void {
    this.#lastProgress = this.progress
    this.message = undefined
  }
}

/** How a message ended, told once. */
export type MessageOutcome = { readonly kind: 'acknowledged' } | { readonly kind: 'failed'; readonly reason: unknown }

export class OutgoingMessage {
  /** Counts messages of this process. */
  readonly id: number
  readonly destination: Destination
  /** Where it queues; see `lanes.ts`. */
  readonly lane: string
  readonly chunks: ChunkedMessage
  /** Per packet; then the message fails. */
  readonly maximumRetransmissions: number
  readonly handle: Handle
  readonly #onSent: (message: OutgoingMessage) => void
  readonly #onEnd: (message: OutgoingMessage, outcome: MessageOutcome) => void
  /** One byte per packet: whether its ack has come. One packet needs none. */
  readonly #acknowledgedPackets: Uint8Array | undefined
  #sent = 0
  #acknowledged = 0
  #retransmissions = 0
  #ended = false

  constructor(options: {
    readonly id: number
    readonly destination: Destination
    readonly lane: string
    readonly chunks: ChunkedMessage
    readonly maximumRetransmissions: number
    readonly handle: Handle
    /** Every packet was handed to the gateway. */
    readonly onSent: (message: OutgoingMessage) => void
    readonly onEnd: (message: OutgoingMessage, outcome: MessageOutcome) => void
  }) {
    this.id = options.id
    this.destination = options.destination
    this.lane = options.lane
    this.chunks = options.chunks
    this.maximumRetransmissions = options.maximumRetransmissions
    this.handle = options.handle
    this.#onSent = options.onSent
    this.#onEnd = options.onEnd
    if (this.packets > 1) this.#acknowledgedPackets = new Uint8Array(this.packets)
    options.handle.message = this
  }

  get packets(): number {
    return this.chunks.fragments
  }

  get sent(): number {
    return this.#sent
  }

  get acknowledged(): number {
    return this.#acknowledged
  }

  get retransmissions(): number {
    return this.#retransmissions
  }

  /** Acknowledged whole, or failed: nothing more of it is sent. */
  get ended(): boolean {
    return this.#ended
  }

  /** Whether packet `index` need not be sent any more. */
  isSettled(index: number): boolean {
    return this.#ended || this.#acknowledgedPackets?.[index] === 1
  }

  /** A packet was handed to the gateway for the first time. */
  packetSent(): void {
    if (++this.#sent < this.packets) return
    this.handle.markSent()
    this.#onSent(this)
  }

  packetRetransmitted(): void {
    this.#retransmissions++
  }

  packetAcknowledged(index: number): void {
    if (this.isSettled(index)) return
    if (this.#acknowledgedPackets) this.#acknowledgedPackets[index] = 1
    if (++this.#acknowledged < this.packets) return
    this.#ended = true
    this.handle.markAcknowledged()
    this.#onEnd(this, { kind: 'acknowledged' })
  }

  /** Give up. Packets still queued are skipped; acks still to come are ignored. */
  fail(reason: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.handle.fail(reason)
    this.#onEnd(this, { kind: 'failed', reason })
  }
}
