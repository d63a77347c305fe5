/**
 * Messages between clients in memory, on a virtual clock: late, in any order, sent again where lost, for tests of streams. Official peers
 * (nym-sdk 1.21, 06-service-providers §7.1) are here too, as far as they go: Open and Data, and nothing else.
 */
import { MixError, SeededRandom, uniform, VirtualClock } from '@mixwright/runtime'
import {
  decodeStreamFrame,
  encodeStreamFrame,
  formatRecipient,
  formatSenderTag,
  STREAM_FRAME_TYPES,
  type StreamFrame,
} from '@mixwright/wire'
import type { ArrivedMessage, Client, SendHandle, SendOptions } from '../src/api.js'
import { StreamMux } from '../src/streams/stream-mux.js'

export interface Sent {
  readonly from: string
  readonly frame: StreamFrame
  readonly replySurbs: number
  readonly lane: string
}

type BusClient = Pick<Client, 'send' | 'reply' | 'closeLane' | 'intercept'> & { readonly address: string }

export class StreamBus {
  readonly clock = new VirtualClock()
  readonly random: SeededRandom
  /** Every frame, as it was handed over. */
  readonly sent: Sent[] = []
  readonly delayMs: number
  /** Probability that an attempt is lost; the next is made 400 ms later. */
  loss = 0
  readonly #peers = new Map<string, Endpoint>()

  constructor(seed: string, delayMs = 500) {
    this.random = new SeededRandom(seed)
    this.delayMs = delayMs
  }

  /** A client with streams. */
  client(): { readonly address: string; readonly mux: StreamMux; readonly end: Endpoint; readonly drops: string[] } {
    const end = this.endpoint()
    const drops: string[] = []
    const random = this.random.fork(end.address)
    const mux = new StreamMux({ client: end, clock: this.clock, random, onDrop: (reason) => drops.push(reason) })
    return { address: end.address, mux, end, drops }
  }

  endpoint(): Endpoint {
    const key = () => this.random.bytes(32)
    const address = formatRecipient({ identity: key(), encryption: key(), gateway: key() })
    const end = new Endpoint(this, address)
    this.#peers.set(address, end)
    return end
  }

  find(address: string): Endpoint | undefined {
    return this.#peers.get(address)
  }

  /** After how long a message arrives, milliseconds. */
  arrival(): number {
    let ms = this.delayMs * uniform(this.random)
    while (uniform(this.random) < this.loss) ms += 400
    return ms
  }

  /** Let time go on until it is settled; its outcome. */
  async until<T>(promise: Promise<T>, limitMs = 3_600_000): Promise<T> {
    let settled = false
    const settle = () => {
      settled = true
    }
    promise.then(settle, settle)
    const end = this.clock.monotonic() + limitMs
    for (;;) {
      await this.turn()
      if (settled) return promise
      if (this.clock.monotonic() > end || !this.clock.nextEvent()) throw new Error('it does not settle')
    }
  }

  /** Everything that can happen now happens. */
  turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve))
  }

  async advance(ms: number): Promise<void> {
    const end = this.clock.monotonic() + ms
    while (this.clock.monotonic() < end) {
      this.clock.advance(Math.min(50, end - this.clock.monotonic()))
      await this.turn()
    }
  }
}

export class Endpoint implements BusClient {
  readonly address: string
  /** Its gateway takes nothing any more. */
  isDead = false
  readonly #bus: StreamBus
  readonly #tags = new Map<string, { readonly tag: string }>()
  readonly #owners = new Map<string, string>()
  readonly messages: ArrivedMessage[] = []
  #takers: ((message: ArrivedMessage) => boolean)[] = []
  readonly #waiting = new Map<string, Set<(reason: unknown) => void>>()

  constructor(bus: StreamBus, address: string) {
    this.#bus = bus
    this.address = address
  }

  send(to: string, data: unknown, options: SendOptions = {}): SendHandle {
    const peer = this.#bus.find(to)
    const known = this.#tags.get(to) ?? { tag: formatSenderTag(this.#bus.random.bytes(16)) }
    this.#tags.set(to, known)
    peer?.learn(known.tag, this.address)
    const senderTag = options.anonymous ? known.tag : undefined
    return this.#deliver(peer, data as Uint8Array, options, { senderTag, repliedBy: undefined })
  }

  reply(senderTag: string, data: unknown, options: SendOptions = {}): SendHandle {
    const peer = this.#bus.find(this.#owners.get(senderTag) ?? '')
    return this.#deliver(peer, data as Uint8Array, options, { senderTag: undefined, repliedBy: this.address })
  }

  learn(tag: string, owner: string): void {
    this.#owners.set(tag, owner)
  }

  closeLane(lane: bigint | number): void {
    const reason = new MixError('MIX_LANE_CLOSED', 'closed', { kind: 'usage' })
    for (const fail of this.#waiting.get(String(lane)) ?? []) fail(reason)
  }

  intercept(take: (message: ArrivedMessage) => boolean): () => void {
    this.#takers.push(take)
    return () => {
      this.#takers = this.#takers.filter((other) => other !== take)
    }
  }

  /** What comes for it. */
  arrived(data: Uint8Array, from: { senderTag: string | undefined; repliedBy: string | undefined }): void {
    const message = { data, ...from, text: () => '', reply: () => this.reply(from.senderTag ?? '', data) }
    if (!this.#takers.some((take) => take(message))) this.messages.push(message)
  }

  #deliver(
    peer: Endpoint | undefined,
    data: Uint8Array,
    { lane, replySurbs = 0 }: SendOptions,
    from: { senderTag: string | undefined; repliedBy: string | undefined },
  ): SendHandle {
    const frame = decodeStreamFrame(data)
    if (frame) this.#bus.sent.push({ from: this.address, frame, replySurbs, lane: String(lane) })
    const waiting = this.#waiting.get(String(lane)) ?? new Set()
    this.#waiting.set(String(lane), waiting)
    const acknowledged = new Promise<void>((resolve, reject) => {
      waiting.add(reject)
      const { clock } = this.#bus
      clock.setTimer(this.#bus.arrival(), () => {
        if (peer === undefined || peer.isDead) return
        peer.arrived(data, from)
        clock.setTimer(this.#bus.arrival(), () => {
          waiting.delete(reject)
          resolve()
        })
      })
    })
    acknowledged.catch(() => {})
    const progress = { packets: 1, sent: 1, acknowledged: 0, retransmissions: 0 }
    return { queued: Promise.resolve(), sent: Promise.resolve(), acknowledged, progress }
  }
}

/** A stream as nym-sdk 1.21 has it: what it reads, and what it writes with. */
export class OfficialPeer {
  readonly end: Endpoint
  /** Messages of each stream, in order. */
  readonly read = new Map<bigint, Uint8Array[]>()
  /** Frames that its parser refused. */
  refused = 0
  readonly #next = new Map<bigint, number>()
  readonly #stored = new Map<bigint, Map<number, Uint8Array>>()
  readonly #tags = new Map<bigint, string>()
  readonly #written = new Map<bigint, number>()
  readonly #recipients = new Map<bigint, string>()

  constructor(bus: StreamBus) {
    this.end = bus.endpoint()
    this.end.intercept(({ data, senderTag }) => {
      const frame = decodeStreamFrame(data)
      if (frame === undefined || frame.type > STREAM_FRAME_TYPES.data) this.refused++
      else if (frame.type === STREAM_FRAME_TYPES.open && senderTag) {
        this.#tags.set(frame.streamId, senderTag)
        this.#begin(frame.streamId)
      } else this.#data(frame)
      return true
    })
  }

  open(to: string, id: bigint): void {
    this.#recipients.set(id, to)
    this.#begin(id)
    this.#send(id, STREAM_FRAME_TYPES.open, 0, new Uint8Array(0))
  }

  write(id: bigint, content: Uint8Array): void {
    const sequence = this.#written.get(id) ?? 0
    this.#written.set(id, sequence + 1)
    this.#send(id, STREAM_FRAME_TYPES.data, sequence, content)
  }

  #begin(id: bigint): void {
    if (!this.read.has(id)) this.read.set(id, [])
    this.#drain(id)
  }

  #data({ streamId, sequence, content }: StreamFrame): void {
    const stored = this.#stored.get(streamId) ?? new Map<number, Uint8Array>()
    this.#stored.set(streamId, stored)
    if (sequence >= (this.#next.get(streamId) ?? 0)) stored.set(sequence, content)
    if (stored.size > 256) this.#next.set(streamId, Math.min(...stored.keys()))
    if (this.read.has(streamId)) this.#drain(streamId)
  }

  #drain(id: bigint): void {
    for (let next = this.#next.get(id) ?? 0; ; next++) {
      const content = this.#stored.get(id)?.get(next)
      this.#next.set(id, next)
      if (content === undefined) return
      this.#stored.get(id)?.delete(next)
      this.read.get(id)?.push(content)
    }
  }

  #send(streamId: bigint, type: number, sequence: number, content: Uint8Array): void {
    const bytes = encodeStreamFrame({ streamId, type, sequence, reserved: 0, content })
    const to = this.#recipients.get(streamId)
    if (to !== undefined) this.end.send(to, bytes, { anonymous: true, replySurbs: 10 })
    else this.end.reply(this.#tags.get(streamId)!, bytes)
  }
}
