/**
 * A client without a network for a requester to live in, and the clients that talk to it: messages take no time, or lie in a bag
 * until they are let out in any order. What becomes of a send handle is up to the test.
 */
import type { ArrivedMessage, Client, SendHandle } from '@mixwright/client'
import { type Random, uniform } from '@mixwright/runtime'
import {
  CURRENT_VERSIONS,
  decodeProviderResponse,
  encodeBase58,
  encodeProviderRequest,
  formatRecipient,
  OrderedBuffer,
  type ProviderRequest,
  type ProviderResponse,
  type ProviderVersions,
  type Recipient,
} from '@mixwright/wire'

/** An answer as it left the requester. */
export interface Sent {
  readonly to: string
  readonly lane: bigint
  readonly bytes: Uint8Array
  readonly response: Exclude<ReturnType<typeof decodeProviderResponse>, { kind: 'malformed' }>
  /** Settle its handle where the test holds handles. */
  readonly leave: () => void
  readonly arrive: () => void
  readonly fail: () => void
}

export class ScriptedClient {
  readonly sent: Sent[] = []
  readonly closedLanes: bigint[] = []
  /** Handles stay pending until the test settles them. */
  holdSent = false
  holdAcks = false
  /** Sender tags whose replies fail. */
  readonly deadTags = new Set<string>()
  /** Waiting in the inbox at the start. */
  inbox: Uint8Array[] = []
  #interceptors: ((message: ArrivedMessage) => boolean)[] = []
  readonly #listeners = new Map<string, (sent: Sent) => void>()

  get client(): Client {
    return {
      intercept: (take: (message: ArrivedMessage) => boolean) => {
        this.#interceptors.unshift(take)
        return () => {
          this.#interceptors = this.#interceptors.filter((other) => other !== take)
        }
      },
      send: (to: string, data: Uint8Array, { lane }: { lane: bigint }) => this.#send(to, data, lane),
      reply: (tag: string, data: Uint8Array, { lane }: { lane: bigint }) => this.#send(tag, data, lane),
      closeLane: (lane: bigint) => this.closedLanes.push(lane),
      status: () => ({ inbox: { messages: this.inbox.length } }),
      messages: () => ({
        next: async () => ({ done: false, value: this.inbox.shift() }),
        return: async () => ({ done: true, value: undefined }),
      }),
    } as unknown as Client
  }

  get interceptors(): number {
    return this.#interceptors.length
  }

  /** A message comes. Returns whether the requester took it. */
  deliver(data: Uint8Array, senderTag?: string, repliedBy?: string): boolean {
    const message = { data, senderTag, repliedBy } as ArrivedMessage
    return this.#interceptors.some((take) => take(message))
  }

  /** Who listens to the answers to an address or a tag. */
  listen(to: string, listener: (sent: Sent) => void): void {
    this.#listeners.set(to, listener)
  }

  answers<K extends ProviderResponse['kind']>(kind: K): Extract<ProviderResponse, { kind: K }>[] {
    return this.sent.map(({ response }) => response).filter((one) => one.kind === kind) as never
  }

  #send(to: string, bytes: Uint8Array, lane: bigint): SendHandle {
    const response = decodeProviderResponse(bytes)
    if (response.kind === 'malformed') throw new Error(`the requester sends malformed bytes: ${response.reason}`)
    const left = settling()
    const acknowledged = settling()
    const fail = () => {
      left.reject(new Error('lost'))
      acknowledged.reject(new Error('lost'))
    }
    const sent: Sent = { to, lane, bytes, response, leave: left.resolve, arrive: acknowledged.resolve, fail }
    this.sent.push(sent)
    if (this.deadTags.has(to)) fail()
    else {
      if (!this.holdSent) left.resolve()
      if (!this.holdAcks) acknowledged.resolve()
      this.#listeners.get(to)?.(sent)
    }
    const progress = { packets: 1, sent: 0, acknowledged: 0, retransmissions: 0 }
    return { queued: Promise.resolve(), sent: left.promise, acknowledged: acknowledged.promise, progress }
  }
}

function settling() {
  let resolve!: () => void
  let reject!: (reason: unknown) => void
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

export const recipientOf = (number: number): Recipient => {
  const key = new Uint8Array(32).fill(number)
  return { identity: key, encryption: key, gateway: key }
}

export const tagOf = (number: number) => encodeBase58(new Uint8Array(16).fill(number))

/** How a scripted connection is answered, and which versions it speaks. */
export interface PeerOptions {
  readonly id?: bigint
  readonly versions?: ProviderVersions
  readonly returnAddress?: Recipient
  readonly senderTag?: string
}

let nextId = 0xfedc_ba98_0000_0000n

/** One connection as a client sees it. */
export class ScriptedConnection {
  readonly id: bigint
  readonly #bus: ScriptedClient
  readonly #options: PeerOptions
  readonly #incoming = new OrderedBuffer()
  #sequence = 0n
  readonly chunks: Uint8Array[] = []
  bytes = 0
  /** The close was reached in order. */
  closed = false
  /** Data or a close with a number beyond the close. */
  afterClose = 0
  closes = 0
  error: string | undefined
  credit: bigint | undefined
  messages = 0
  #waiters: { readonly when: () => boolean; readonly resolve: () => void }[] = []
  /** What happens to a message on its way to us; by default it comes at once. */
  onWay: (deliver: () => void) => void = (deliver) => deliver()

  constructor(bus: ScriptedClient, options: PeerOptions = { senderTag: tagOf(1) }) {
    this.id = options.id ?? nextId++
    this.#bus = bus
    this.#options = options
    const to = options.returnAddress ? formatRecipient(options.returnAddress) : options.senderTag
    if (to) bus.listen(to, (sent) => Peers.of(bus).route(sent))
    Peers.of(bus).add(this)
  }

  request(request: Omitted<ProviderRequest>): Uint8Array {
    const { versions = CURRENT_VERSIONS } = this.#options
    return encodeProviderRequest({ versions, connectionId: this.id, ...request } as ProviderRequest)
  }

  deliver(bytes: Uint8Array): void {
    this.#bus.deliver(bytes, this.#options.senderTag)
  }

  connect(remote: string): void {
    this.deliver(this.request({ kind: 'connect', remote, returnAddress: this.#options.returnAddress }))
  }

  /** The next message, not delivered. */
  message(data: Uint8Array, closed = false): Uint8Array {
    return this.request({ kind: 'send', sequence: this.#sequence++, closed, data })
  }

  send(data: Uint8Array | string, closed = false): void {
    this.deliver(this.message(typeof data === 'string' ? new TextEncoder().encode(data) : data, closed))
  }

  close(): void {
    this.send('', true)
  }

  grant(limit: bigint): void {
    this.deliver(this.request({ kind: 'credit', limit }))
  }

  /** What came, as text. */
  get text(): string {
    return Buffer.concat(this.chunks).toString()
  }

  until(when: () => boolean): Promise<void> {
    if (when()) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push({ when, resolve }))
  }

  received({ response }: Sent): void {
    this.onWay(() => {
      this.#take(response)
      this.#waiters = this.#waiters.filter(({ when, resolve }) => !when() || resolve())
    })
  }

  #take(response: Sent['response']): void {
    this.messages++
    if (response.kind === 'connection-error') this.error = response.message
    if (response.kind === 'credit') this.credit = response.limit
    if (response.kind !== 'data') return
    if (response.closed) this.closes++
    if (this.closed) this.afterClose++
    this.#incoming.write(response.sequence, response.data, response.closed)
    const read = this.#incoming.read()
    for (const chunk of read?.data ?? []) {
      this.chunks.push(chunk)
      this.bytes += chunk.length
    }
    if (read?.closed) this.closed = true
  }
}

/** All connections that talk to one requester. */
class Peers {
  static readonly #all = new WeakMap<ScriptedClient, Peers>()
  readonly #connections = new Map<bigint, ScriptedConnection>()

  static of(bus: ScriptedClient): Peers {
    let peers = Peers.#all.get(bus)
    if (peers === undefined) {
      peers = new Peers()
      Peers.#all.set(bus, peers)
    }
    return peers
  }

  add(connection: ScriptedConnection): void {
    this.#connections.set(connection.id, connection)
  }

  route(sent: Sent): void {
    const { response } = sent
    if ('connectionId' in response) this.#connections.get(response.connectionId)?.received(sent)
  }
}

type Omitted<T> = T extends unknown ? Omit<T, 'versions' | 'connectionId'> : never

/** Lets what is put in out in any order, some of it twice. At most `size` lie in it. */
export class Bag {
  readonly #random: Random
  readonly #size: number
  readonly #deliveries: (() => void)[] = []

  constructor(random: Random, size: number) {
    this.#random = random
    this.#size = size
  }

  put = (deliver: () => void): void => {
    if (this.#deliveries.length === 0) setImmediate(() => this.#empty())
    this.#deliveries.push(deliver)
    if (uniform(this.#random) < 0.05) this.#deliveries.push(deliver)
    while (this.#deliveries.length > this.#size) this.#letOut()
  }

  #letOut(): void {
    const index = Math.floor(uniform(this.#random) * this.#deliveries.length)
    this.#deliveries.splice(index, 1)[0]!()
  }

  #empty(): void {
    while (this.#deliveries.length > 0) this.#letOut()
  }
}
