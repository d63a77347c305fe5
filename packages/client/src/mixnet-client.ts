/**
 * The client: its parts put together, and the interface of `api.ts` over them. What comes down: `send` → outbox → lanes →
 * stream → transmitter → gateway. What comes up: gateway → receiver → replies and inbox → `messages()`.
 */
import { type Clock, type Logger, MixError, type Random, type Timer } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { formatRecipient, formatSenderTag, type NymMessage, type Recipient } from '@mixwright/wire'
import type {
  ArrivedMessage,
  Client,
  ClientEvents,
  ClientStatus,
  MessageData,
  ReceivedMessage,
  SendHandle,
  SendOptions,
} from './api.js'
import { laneName } from './arguments.js'
import type { ClientKeys } from './client-keys.js'
import { clientStatus } from './client-status.js'
import type { ListedRequester } from './directory/topology.js'
import type { TopologyKeeper } from './directory/topology-keeper.js'
import { Emitter } from './emitter.js'
import type { GatewayKeeper } from './gateway/gateway-keeper.js'
import { messageBytes } from './message-data.js'
import { PacketBuilder } from './packet/packet-builder.js'
import type { Profile } from './profile.js'
import { FinishedSets } from './receive/finished-sets.js'
import { FragmentJournal } from './receive/fragment-journal.js'
import { Hold } from './receive/hold.js'
import { Inbox, type InboxMessage } from './receive/inbox.js'
import { Receiver } from './receive/receiver.js'
import { ReplyController } from './replies/reply-controller.js'
import { SurbIssuer } from './replies/surb-issuer.js'
import { SurbPools } from './replies/surb-pools.js'
import { ADDITIONAL_SURBS_LANE, Lanes, SURB_REQUEST_LANE } from './send/lanes.js'
import { Outbox, type Submission } from './send/outbox.js'
import { Handle, type MessageOutcome, type OutgoingMessage } from './send/outgoing-message.js'
import { SendStream } from './send/send-stream.js'
import { Transmitter } from './send/transmitter.js'
import type { ClientStore } from './store/client-store.js'
import { Journal } from './store/journal.js'
import type { IncomingStream, OpenStreamOptions, OutgoingStream } from './streams/stream-api.js'
import { StreamMux } from './streams/stream-mux.js'
import { messageTo, replyTo, type WithData } from './submissions.js'

/** How often messages that are too old are looked for. */
const EXPIRE_MS = 600_000
const DEFAULT_FLUSH_MS = 5000
/** Timers cannot be longer. */
const LONGEST_FLUSH_MS = 2 ** 31 - 1

/** What a client is made of. */
export interface ClientParts {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly crypto: CryptoProvider
  readonly store: ClientStore
  readonly keys: ClientKeys
  readonly profile: Profile
  readonly constantLoops: boolean
  readonly keptReplySurbs: number
}

export class MixnetClient implements Client {
  readonly #parts: ClientParts
  readonly #journal: Journal
  readonly #emitter: Emitter
  readonly #lanes: Lanes
  readonly #pools: SurbPools
  readonly #issuer: SurbIssuer
  readonly #outbox: Outbox
  readonly #inbox: Inbox
  readonly #hold: Hold
  readonly #receiver: Receiver
  readonly #replies: ReplyController
  readonly #transmitter: Transmitter
  readonly #stream: SendStream
  #topology!: TopologyKeeper
  #gateway!: GatewayKeeper
  #recipient!: Recipient
  #builder!: PacketBuilder
  #address = ''
  #state: 'open' | 'closing' | 'closed' = 'open'
  #closing: Promise<void> | undefined
  readonly #ending = new AbortController()
  /** Messages of the app. */
  readonly #messages = { sent: 0, acknowledged: 0, failed: 0 }
  /** The one that was added last comes first. */
  #interceptors: { readonly take: (message: ArrivedMessage) => boolean }[] = []
  /** From the first stream on. */
  #streams: StreamMux | undefined
  #whenIdle: (() => void) | undefined
  #expiring: Timer | undefined

  constructor(parts: ClientParts) {
    const { clock, random, logger, crypto, store, keys, profile } = parts
    const { persistent } = store
    this.#parts = parts
    this.#emitter = new Emitter(logger)
    this.#journal = new Journal(store, clock, (error) =>
      logger.error({ code: error.code, reason: error.message }, 'the store does not take what is written'),
    )
    this.#lanes = new Lanes(random)
    this.#pools = new SurbPools(parts.keptReplySurbs, this.#journal)
    this.#issuer = new SurbIssuer(random, this.#journal)
    this.#outbox = new Outbox({
      clock,
      random,
      journal: this.#journal,
      persistent,
      lanes: this.#lanes,
      onQueued: (message) => this.#onQueued(message),
      onEnd: (message, outcome) => this.#onEnd(message, outcome),
    })
    this.#hold = new Hold({
      clock,
      journal: this.#journal,
      onHold: () => this.#hangUp(),
      onRelease: () => this.#gateway.resume(),
    })
    this.#inbox = new Inbox({ journal: this.#journal, persistent, onFull: (isFull) => this.#hold.onInboxFull(isFull) })
    const topology = () => this.#topology.current
    this.#transmitter = new Transmitter({
      clock,
      lanes: this.#lanes,
      pools: this.#pools,
      builder: () => this.#builder,
      paced: profile.averageSendingDelayMs > 0,
      topology,
      send: (packet) => void this.#gateway.send(packet),
      onUnknownGateway: () => void this.#topology.refreshNow(),
      onProgress: () => this.#goOn(),
      onReplies: (senderTag) => this.#replies.askIfShort(senderTag),
    })
    this.#stream = new SendStream({
      clock,
      random,
      profile,
      constantLoops: parts.constantLoops,
      unsentBytes: () => (this.#gateway.state === 'up' ? this.#gateway.unsentBytes : undefined),
      transmit: (filling) => {
        const sent = this.#transmitter.transmit(filling)
        this.#outbox.settle()
        return sent
      },
    })
    this.#replies = new ReplyController({
      clock,
      pools: this.#pools,
      issuer: this.#issuer,
      lanes: this.#lanes,
      outbox: this.#outbox,
      builder: () => this.#builder,
      address: () => this.#recipient,
      topology,
      schedule: () => this.#topology.schedule,
      isOnline: () => this.#isOnline(),
      onDrop: (reason) => this.#receiver.drop(reason),
      onChange: (senderTag) => this.#tellReplies(senderTag),
    })
    this.#receiver = new Receiver({
      clock,
      crypto,
      keys,
      fragments: new FragmentJournal(this.#journal),
      finished: new FinishedSets(this.#journal),
      persistent,
      takeReplyKey: (digest) => this.#issuer.take(digest),
      onAck: (identifier) => {
        const known = this.#transmitter.acknowledged(identifier)
        if (known) this.#goOn()
        return known
      },
      onMessage: (message, givenTo) => this.#onMessage(message, givenTo),
    })
  }

  /** Take the network and the gateway, and begin; to be called once, before anything else. */
  async start(topology: TopologyKeeper, gateway: GatewayKeeper): Promise<void> {
    const { store } = this.#parts
    this.#topology = topology
    this.moveTo(gateway)
    this.#replies.start()
    this.#expireLater()
    if (!store.persistent) return
    await Promise.all([this.#issuer.restore(store), this.#pools.restore(store), this.#inbox.restore(store)])
    await this.#receiver.restore(store)
    const resumed = await this.#outbox.restore(store)
    this.#messages.sent += resumed
    if (resumed > 0) this.#parts.logger.info({ messages: resumed }, 'unfinished messages of an earlier run go on')
  }

  /** From now on this is the gateway, and its identity a part of the address. */
  moveTo(gateway: GatewayKeeper): void {
    const { crypto, random, keys, profile } = this.#parts
    this.#gateway = gateway
    this.#recipient = { identity: keys.identityKey, encryption: keys.encryptionKey, gateway: gateway.identityKey }
    this.#address = formatRecipient(this.#recipient)
    this.#builder = new PacketBuilder(crypto, random, keys, this.#recipient, gateway.identity, profile)
  }

  /** The gateway pushed something. */
  received(bytes: Uint8Array): void {
    this.#receiver.receive(bytes)
    this.#hold.onWritten()
  }

  #hangUp(): void {
    this.#gateway.pause()
    this.linkChanged('paused')
  }

  /** Packets can be sent, and acks and replies come home. */
  #isOnline(): boolean {
    const topology = this.#topology.current
    return this.#gateway.state === 'up' && topology !== undefined && this.#builder.isUsable(topology)
  }

  /** The link to the gateway came up, or went down. */
  linkChanged(state: 'up' | 'down' | 'paused' | 'replaced', reason?: MixError): void {
    // What an earlier run left for the app may be too much already.
    if (state === 'up' && this.#hold.isHeld) return this.#hangUp()
    if (state === 'up') {
      this.#lanes.reopenAll()
      this.#stream.start()
    } else this.#stream.stop()
    this.#emitter.emit('gateway', { state, ...(reason && { reason }), address: this.#address })
  }

  /** The network was read anew. */
  topologyChanged(): void {
    const { lastRead } = this.#topology
    this.#transmitter.topologyRead(lastRead)
    this.#emitter.emit('topology', { epochId: lastRead.epochId, rotationId: lastRead.rotationId })
  }

  /** It could not be read. */
  topologyFailed(reason: MixError): void {
    const { lastRead } = this.#topology
    this.#parts.logger.warn({ code: reason.code, reason: reason.message }, 'the directory cannot be read')
    this.#transmitter.topologyRead(lastRead)
    this.#emitter.emit('topology', { epochId: lastRead.epochId, rotationId: lastRead.rotationId, reason })
  }

  /** Its keys have rotated. */
  rotated(): void {
    this.#replies.rotated()
  }

  /** Aborts when the client closes, after it has flushed. */
  get ending(): AbortSignal {
    return this.#ending.signal
  }

  get address(): string {
    return this.#address
  }

  send(to: string, data: MessageData, options?: SendOptions): SendHandle {
    const from = { replies: this.#replies, issuer: this.#issuer }
    return this.#submit(data, options?.signal, () => messageTo(to, options ?? {}, from))
  }

  reply(senderTag: string, data: MessageData, options?: Omit<SendOptions, 'replySurbs' | 'anonymous'>): SendHandle {
    return this.#submit(data, options?.signal, () => replyTo(senderTag, options ?? {}, this.#pools))
  }

  messages(): AsyncIterableIterator<ReceivedMessage> {
    return this.#inbox.read((message) => this.#received(message))
  }

  intercept(take: (message: ArrivedMessage) => boolean): () => void {
    const interceptor = { take }
    this.#interceptors.unshift(interceptor)
    return () => {
      this.#interceptors = this.#interceptors.filter((other) => other !== interceptor)
    }
  }

  openStream(address: string, options?: OpenStreamOptions): OutgoingStream {
    return this.#mux.open(address, options)
  }

  streams(): AsyncIterableIterator<IncomingStream> {
    return this.#mux.incoming()
  }

  get #mux(): StreamMux {
    const { clock, random } = this.#parts
    this.#streams ??= new StreamMux({
      client: this,
      clock,
      random,
      onDrop: (reason) => this.#receiver.drop(reason),
    })
    if (this.#state !== 'open') this.#streams.close(clientClosed())
    return this.#streams
  }

  on<E extends keyof ClientEvents>(event: E, listener: (detail: ClientEvents[E]) => void): () => void {
    return this.#emitter.on(event, listener)
  }

  laneLength(lane: bigint | number): number {
    return this.#lanes.length(laneName(lane))
  }

  closeLane(lane: bigint | number): void {
    const reason = new MixError('MIX_LANE_CLOSED', 'The lane of this message was closed.', { kind: 'usage' })
    this.#outbox.closeLane(laneName(lane), reason)
  }

  requesters(signal?: AbortSignal): Promise<readonly ListedRequester[]> {
    return this.#topology.readRequesters(signal)
  }

  status(): ClientStatus {
    return clientStatus({
      address: this.#address,
      isClosed: this.#state === 'closed',
      clock: this.#parts.clock,
      topology: this.#topology,
      gateway: this.#gateway,
      lanes: this.#lanes,
      outbox: this.#outbox,
      pools: this.#pools,
      transmitter: this.#transmitter,
      receiver: this.#receiver,
      inbox: this.#inbox,
      messages: this.#messages,
    })
  }

  close({ flushMs = DEFAULT_FLUSH_MS }: { readonly flushMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(flushMs)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #expireLater(): void {
    const expire = () => {
      this.#expireLater()
      this.#outbox.expire()
    }
    this.#expiring = this.#parts.clock.setTimer(EXPIRE_MS, expire, { background: true })
  }

  async #close(flushMs: number): Promise<void> {
    this.#streams?.close(clientClosed())
    this.#state = 'closing'
    if (this.#outbox.messages > 0 && flushMs > 0) {
      const { promise, resolve } = whenever()
      this.#whenIdle = resolve
      const timer = this.#parts.clock.setTimer(Math.min(flushMs, LONGEST_FLUSH_MS), resolve)
      await promise
      timer.cancel()
    }
    this.#state = 'closed'
    const reason = clientClosed()
    this.#ending.abort(reason)
    this.#outbox.close(reason)
    this.#stream.stop()
    this.#transmitter.close()
    this.#replies.close()
    this.#expiring?.cancel()
    this.#topology.close()
    this.#hold.close()
    await this.#gateway.close()
    this.#inbox.close()
    await this.#journal.close().catch(() => {})
    await this.#parts.store.close()
  }

  /** Check the arguments now, read the data (at once where it is no stream), submit. Every error goes to the handle. */
  #submit(data: MessageData, signal: AbortSignal | undefined, check: () => WithData): SendHandle {
    const handle = new Handle()
    const submit = (submission: Submission) => {
      this.#messages.sent++
      this.#outbox.submit(submission, handle)
    }
    try {
      if (this.#state !== 'open') throw new MixError('MIX_CLIENT_CLOSED', 'The client is closed.', { kind: 'usage' })
      const withData = check()
      signal?.throwIfAborted()
      const bytes = messageBytes(data, this.#ending.signal, ...(signal ? [signal] : []))
      if (bytes instanceof Uint8Array) submit(withData(bytes))
      else bytes.then((read) => submit(withData(read))).catch((reason) => handle.fail(reason))
    } catch (reason) {
      handle.fail(reason)
    }
    return handle
  }

  #onQueued({ destination }: OutgoingMessage): void {
    if (destination.kind === 'sender-tag' && destination.purpose === 'data') {
      this.#replies.askIfShort(destination.senderTag)
      if (!this.#pools.canTake(destination.senderTag, 'data')) this.#tellReplies(destination.senderTag)
    }
    this.#stream.wake()
  }

  /** Without a message: one of the app that never came into a lane. */
  #onEnd(message: OutgoingMessage | undefined, { kind, ...outcome }: MessageOutcome): void {
    if (message !== undefined && kind === 'failed') this.#transmitter.forget(message)
    if (message === undefined || (message.lane !== SURB_REQUEST_LANE && message.lane !== ADDITIONAL_SURBS_LANE)) {
      this.#messages[kind]++
      const reason = 'reason' in outcome && outcome.reason instanceof MixError ? outcome.reason : undefined
      if (message) this.#emitter.emit('message', { id: message.id, outcome: kind, ...(reason && { reason }) })
    }
    if (this.#outbox.messages === 0) this.#whenIdle?.()
  }

  /** Acks have come, or packets are to be sent again. */
  #goOn(): void {
    this.#outbox.settle()
    this.#stream.wake()
  }

  #onMessage(message: NymMessage, givenTo: string | undefined): void {
    switch (message.kind) {
      case 'plain':
        this.#arrived({ data: message.data, senderTag: undefined })
        return
      case 'repliable': {
        const { senderTag, content } = message
        this.#replies.received(senderTag, content.surbs, content.kind === 'additional-surbs')
        if (content.kind === 'data') this.#arrived({ data: content.data, senderTag: formatSenderTag(senderTag) })
        this.#stream.wake()
        return
      }
      case 'reply':
        if (message.content.kind === 'data')
          this.#arrived({ data: message.content.data, senderTag: undefined }, givenTo)
        else this.#replies.requested(message.content, givenTo)
    }
  }

  #arrived(message: InboxMessage, repliedBy?: string): void {
    for (const { take } of [...this.#interceptors]) {
      try {
        if (take({ ...this.#received(message), repliedBy })) return
      } catch (error) {
        this.#parts.logger.error({ reason: String(error) }, 'an interceptor of messages failed')
      }
    }
    this.#inbox.add(message)
  }

  #received({ data, senderTag }: InboxMessage): ReceivedMessage {
    return {
      data,
      senderTag,
      text: () => new TextDecoder('utf-8', { ignoreBOM: true }).decode(data),
      reply: (answer, options) => this.reply(senderTag ?? '', answer, options),
    }
  }

  #tellReplies(senderTag: string): void {
    const waitingPackets = this.#lanes.waitingFor(senderTag)
    this.#emitter.emit('replies', { senderTag, waitingPackets, surbs: this.#pools.available(senderTag) })
  }
}

function clientClosed(): MixError {
  return new MixError('MIX_CLIENT_CLOSED', 'The client was closed.', { kind: 'usage' })
}

function whenever(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
