/**
 * A client without a network: a test says what comes, and when replies are queued and acknowledged. Its readers are
 * those of the real one: a message is taken when its reader asks for the next one, or ends.
 */
import type { Client, IncomingStream, MessageData, ReceivedMessage, SendHandle } from '@mixwright/client'
import { MixError } from '@mixwright/runtime'

type Asker = (message: ReceivedMessage | undefined) => void

export class ServiceClient {
  readonly address = 'identity.encryption@gateway'
  readonly replies: { readonly to: string; readonly text: string }[] = []
  /** Texts of messages that have left the store. */
  readonly taken: string[] = []
  /** What each reply waits for before it is queued. */
  gate: Promise<void> = Promise.resolve()
  /** What each reply waits for before it is acknowledged. */
  acknowledgement: Promise<void> = Promise.resolve()
  gatewayState: 'up' | 'down' = 'up'
  isClosed = false
  readonly #inbox: ReceivedMessage[] = []
  readonly #askers = new Set<Asker>()
  readonly #streams: IncomingStream[] = []
  #onStream = () => {}
  #streamsEnded = false

  get asClient(): Client {
    return this as unknown as Client
  }

  receive(text: string, senderTag?: string): void {
    const data = new TextEncoder().encode(text)
    const message: ReceivedMessage = {
      data,
      senderTag,
      text: () => text,
      reply: (answer) => this.#reply(senderTag ?? '', answer),
    }
    for (const asker of this.#askers) {
      this.#askers.delete(asker)
      return asker(message)
    }
    this.#inbox.push(message)
  }

  messages(): AsyncIterableIterator<ReceivedMessage> {
    let given: ReceivedMessage | undefined
    let asking: Asker | undefined
    const taken = () => {
      if (given && !this.isClosed) this.taken.push(given.text())
      given = undefined
    }
    const present = (message: ReceivedMessage | undefined): IteratorResult<ReceivedMessage> => {
      given = message
      return message ? { done: false, value: message } : { done: true, value: undefined }
    }
    const reader: AsyncIterableIterator<ReceivedMessage> = {
      next: async () => {
        taken()
        const first = this.#inbox.shift()
        if (first || this.isClosed) return present(first)
        return new Promise((resolve) => {
          asking = (message) => resolve(present(message))
          this.#askers.add(asking)
        })
      },
      return: async () => {
        taken()
        if (asking && this.#askers.delete(asking)) asking(undefined)
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]: () => reader,
    }
    return reader
  }

  /** Somebody opens a stream: what the service writes is kept in `written`, what it is aborted with in `aborted`. */
  open(senderTag: string, ...chunks: readonly string[]): ScriptedStream {
    const stream = new ScriptedStream(senderTag, chunks)
    this.#streams.push(stream)
    this.#onStream()
    return stream
  }

  streams(): AsyncIterableIterator<IncomingStream> {
    const iterator: AsyncIterableIterator<IncomingStream> = {
      next: async () => {
        for (;;) {
          const value = this.#streams.shift()
          if (value) return { done: false, value }
          if (this.#streamsEnded || this.isClosed) return { done: true, value: undefined }
          await new Promise<void>((resolve) => {
            this.#onStream = resolve
          })
        }
      },
      return: async () => {
        this.#streamsEnded = true
        this.#onStream()
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  status(): unknown {
    const reason =
      this.gatewayState === 'down' ? new MixError('MIX_GATEWAY_LOST', 'It is gone.', { kind: 'network' }) : undefined
    return {
      address: this.address,
      gateway: { identity: 'gateway', websocketUrls: [], state: this.gatewayState, reason, losses: 2 },
      topology: { epochId: 7, rotationId: 0, ageMs: 1500, reason: undefined },
      queue: { packets: 0, messages: 0, bytes: 0, lanes: new Map() },
      unacknowledgedPackets: 3,
      replies: new Map([['tag', { surbs: 11, requested: 0, waitingPackets: 0 }]]),
      inbox: { messages: this.#inbox.length, bytes: 0 },
      counters: { packetsSent: 42, dropped: { malformed: 4 } },
    }
  }

  async close(): Promise<void> {
    this.isClosed = true
    for (const asker of this.#askers) asker(undefined)
    this.#onStream()
  }

  #reply(to: string, data: MessageData): SendHandle {
    this.replies.push({ to, text: typeof data === 'string' ? data : new TextDecoder().decode(data as Uint8Array) })
    const queued = this.gate
    const acknowledged = queued.then(() => this.acknowledgement)
    acknowledged.catch(() => {})
    return {
      queued,
      sent: queued,
      acknowledged,
      progress: { packets: 0, sent: 0, acknowledged: 0, retransmissions: 0 },
    }
  }
}

export class ScriptedStream implements IncomingStream {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
  readonly id = 1n
  readonly closed: Promise<void>
  readonly written: string[] = []
  aborted: unknown
  #end!: () => void

  constructor(
    readonly senderTag: string,
    chunks: readonly string[],
  ) {
    this.closed = new Promise((resolve) => {
      this.#end = resolve
    })
    this.readable = new ReadableStream({
      start: (controller) => {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
        controller.close()
      },
    })
    this.writable = new WritableStream({
      write: (chunk) => void this.written.push(new TextDecoder().decode(chunk)),
      close: () => this.#end(),
    })
  }

  abort(reason?: unknown): void {
    this.aborted = reason
    this.#end()
  }
}
