/**
 * A client whose network is itself: what is sent to its own address comes back as a message, everything is written down,
 * and a test decides when a message is queued, or that it fails.
 */
import type { Client, ClientStatus, MessageData, ReceivedMessage, SendHandle, SendOptions } from '@mixwright/client'
import { MixError } from '@mixwright/runtime'

export interface SentMessage {
  /** `reply` for an answer to `to`, a sender tag. */
  readonly kind: 'send' | 'reply'
  readonly to: string
  readonly data: Uint8Array
  readonly options: SendOptions
}

export const TAG = '5DU2L2vQsyTXuu9NEUKT3f'

export class LoopbackClient implements Client {
  readonly sent: SentMessage[] = []
  readonly closedLanes: (bigint | number)[] = []
  /** Messages that the readers have taken, that is have asked for the next one after. */
  taken = 0
  /** What each message waits for before it is queued. */
  gate: Promise<void> = Promise.resolve()
  /** What the next messages fail with, in place of being queued or, `late`, of being acknowledged. */
  failure: { readonly reason: MixError; readonly late: boolean } | undefined
  laneLengths = new Map<bigint | number, number>()
  readonly #inbox: ReceivedMessage[] = []
  #wake = () => {}
  #closed = false

  constructor(readonly address: string) {}

  send(to: string, data: MessageData, options: SendOptions = {}): SendHandle {
    return this.#take({ kind: 'send', to, data: data as Uint8Array, options })
  }

  reply(senderTag: string, data: MessageData, options: SendOptions = {}): SendHandle {
    return this.#take({ kind: 'reply', to: senderTag, data: data as Uint8Array, options })
  }

  /** A message comes from somebody else. */
  receive(data: Uint8Array, senderTag?: string): void {
    const text = () => new TextDecoder().decode(data)
    this.#inbox.push({
      data,
      senderTag,
      text,
      reply: (answer, options) => this.reply(senderTag ?? '', answer, options),
    })
    this.#wake()
  }

  async *messages(): AsyncGenerator<ReceivedMessage, void, undefined> {
    for (;;) {
      const message = this.#inbox[0]
      if (message !== undefined) {
        yield message
        this.#inbox.shift()
        this.taken++
      } else if (this.#closed) return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }

  intercept(): () => void {
    throw new Error('nobody asks')
  }

  async requesters(): Promise<readonly []> {
    return []
  }

  openStream(): never {
    throw new Error('nobody asks')
  }

  streams(): never {
    throw new Error('nobody asks')
  }

  laneLength(lane: bigint | number): number {
    return this.laneLengths.get(lane) ?? 0
  }

  closeLane(lane: bigint | number): void {
    this.closedLanes.push(lane)
  }

  status(): ClientStatus {
    throw new Error('nobody asks')
  }

  on(): () => void {
    return () => {}
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#wake()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #take(message: SentMessage): SendHandle {
    const { failure } = this
    this.sent.push(message)
    const queued = this.gate.then(() => {
      if (failure && !failure.late) throw failure.reason
      if (message.to === this.address) this.receive(message.data, message.options.anonymous ? TAG : undefined)
    })
    const acknowledged = queued.then(() => {
      if (failure) throw failure.reason
    })
    acknowledged.catch(() => {})
    return {
      queued,
      sent: queued,
      acknowledged,
      progress: { packets: 0, sent: 0, acknowledged: 0, retransmissions: 0 },
    }
  }
}

export function mixError(code: `MIX_${string}`, message: string): MixError {
  return new MixError(code, message, { kind: 'usage' })
}
