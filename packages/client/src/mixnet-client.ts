/**
 * The client: its parts put together, and the interface of `api.ts` over them. What comes down: `send` → outbox → lanes →
 * stream → transmitter → gateway. What comes up: gateway → receiver → replies and inbox → `messages()`.
 */
import { type Clock, type Logger, MixError, type Random } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  encodeBase58,
  encodeNymMessage,
  formatRecipient,
  formatSenderTag,
  type NymMessage,
  type Recipient,
} from '@mixwright/wire'
import type {
  Client,
  ClientEvents,
  ClientStatus,
  MessageData,
  ReceivedMessage,
  SendHandle,
  SendOptions,
} from './api.js'
import { checkedAddress, checkedReplySurbs, checkedTag, laneName } from './arguments.js'
import type { ClientKeys } from './client-keys.js'
import type { TopologyKeeper } from './directory/topology-keeper.js'
import { Emitter } from './emitter.js'
import type { GatewayKeeper } from './gateway/gateway-keeper.js'
import { messageBytes } from './message-data.js'
import { PacketBuilder } from './packet/packet-builder.js'
import type { Profile } from './profile.js'
import { FragmentJournal } from './receive/fragment-journal.js'
import { Inbox, type InboxMessage } from './receive/inbox.js'
import { Receiver } from './receive/receiver.js'
import { MESSAGE_RETRANSMISSIONS, REPLY_RETRANSMISSIONS, ReplyController } from './replies/reply-controller.js'
import { SurbIssuer } from './replies/surb-issuer.js'
import { SurbPools } from './replies/surb-pools.js'
import { ADDITIONAL_SURBS_LANE, Lanes, SURB_REQUEST_LANE } from './send/lanes.js'
import { Outbox, type Submission } from './send/outbox.js'
import { Handle, type MessageOutcome, type OutgoingMessage } from './send/outgoing-message.js'
import { SendStream } from './send/send-stream.js'
import { Transmitter } from './send/transmitter.js'
import type { ClientStore } from './store/client-store.js'
import { Journal } from './store/journal.js'

/** Of a reply block inside a message. */
const REPLY_SURB_BYTES = 460
const DEFAULT_FLUSH_MS = 5000
/** How soon a failing store is looked at again. */
const STORE_RETRY_MS = 1000

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
  /** Why the client has hung up by itself. */
  readonly #held = new Set<'inbox' | 'store'>()
  #messagesSent = 0
  #messagesAcknowledged = 0
  #messagesFailed = 0
  #whenIdle: (() => void) | undefined

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
      random,
      journal: this.#journal,
      persistent,
      lanes: this.#lanes,
      onQueued: (message) => this.#onQueued(message),
      onEnd: (message, outcome) => this.#onEnd(message, outcome),
    })
    this.#inbox = new Inbox(this.#journal, (full) => this.#hold('inbox', full))
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
      isOnline: () => this.#gateway.state === 'up' && this.#topology.current !== undefined,
      onDrop: (reason) => this.#receiver.drop(reason),
      onChange: (senderTag) => this.#tellReplies(senderTag),
    })
    this.#receiver = new Receiver({
      clock,
      crypto,
      keys,
      fragments: new FragmentJournal(this.#journal),
      persistent,
      takeReplyKey: (digest) => this.#issuer.take(digest),
      onAck: (identifier) => {
        const known = this.#transmitter.acknowledged(identifier)
        if (known) this.#goOn()
        return known
      },
      onMessage: (message) => this.#onMessage(message),
    })
  }

  /** Take the network and the gateway, and begin; to be called once, before anything else. */
  async start(topology: TopologyKeeper, gateway: GatewayKeeper): Promise<void> {
    const { store } = this.#parts
    this.#topology = topology
    this.moveTo(gateway)
    this.#replies.start()
    if (!store.persistent) return
    await Promise.all([this.#issuer.restore(store), this.#pools.restore(store), this.#inbox.restore(store)])
    await this.#receiver.restore(store)
    const resumed = await this.#outbox.restore(store)
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
    if (this.#journal.pressure >= 1) this.#holdUntilStored()
  }

  /** The link to the gateway came up, or went down. */
  linkChanged(state: 'up' | 'down' | 'paused' | 'replaced', reason?: MixError): void {
    if (state === 'up') {
      this.#lanes.reopenAll()
      this.#stream.start()
    } else this.#stream.stop()
    this.#emitter.emit('gateway', { state, ...(reason && { reason }), address: this.#address })
  }

  /** The network was read anew. */
  topologyChanged(): void {
    const { lastRead } = this.#topology
    this.#transmitter.topologyChanged(lastRead)
    this.#emitter.emit('topology', { epochId: lastRead.epochId, rotationId: lastRead.rotationId })
  }

  /** It could not be read. */
  topologyFailed(reason: MixError): void {
    const { lastRead } = this.#topology
    this.#parts.logger.warn({ code: reason.code, reason: reason.message }, 'the directory cannot be read')
    this.#emitter.emit('topology', { epochId: lastRead.epochId, rotationId: lastRead.rotationId, reason })
  }

  /** Its keys have rotated. */
  rotated(): void {
    this.#replies.rotated()
  }

  get address(): string {
    return this.#address
  }

  send(to: string, data: MessageData, options: SendOptions = {}): SendHandle {
    const handle = new Handle()
    const { replySurbs = 0, anonymous = replySurbs > 0, signal } = options
    this.#submitWhenRead(handle, data, () => {
      const recipient = checkedAddress(to)
      const surbCount = checkedReplySurbs(replySurbs)
      const lane = laneName(options.lane)
      return (bytes) => ({
        destination: { kind: 'recipient', recipient, gateway: encodeBase58(recipient.gateway) },
        lane,
        bytes: bytes.length + REPLY_SURB_BYTES * surbCount,
        build: anonymous
          ? () => {
              const surbs = this.#replies.issue(surbCount)
              if (surbs === undefined) return undefined
              const senderTag = this.#issuer.tagFor(recipient)
              return encodeNymMessage({ kind: 'repliable', senderTag, content: { kind: 'data', surbs, data: bytes } })
            }
          : () => encodeNymMessage({ kind: 'plain', data: bytes }),
        maximumRetransmissions: MESSAGE_RETRANSMISSIONS,
        signal,
        keep: true,
      })
    })
    return handle
  }

  reply(
    senderTag: string,
    data: MessageData,
    { lane, signal }: Omit<SendOptions, 'replySurbs' | 'anonymous'> = {},
  ): SendHandle {
    const handle = new Handle()
    this.#submitWhenRead(handle, data, () => {
      const tag = checkedTag(senderTag, (text) => this.#pools.isKnown(text))
      const name = laneName(lane)
      return (bytes) => {
        if (bytes.length === 0)
          throw new MixError('MIX_REPLY_EMPTY', 'A reply has at least one byte.', { kind: 'usage' })
        return {
          destination: { kind: 'sender-tag', senderTag: tag, purpose: 'data' },
          lane: name,
          bytes: bytes.length,
          build: () => encodeNymMessage({ kind: 'reply', content: { kind: 'data', data: bytes } }),
          maximumRetransmissions: REPLY_RETRANSMISSIONS,
          signal,
          keep: true,
        }
      }
    })
    return handle
  }

  async *messages(): AsyncIterableIterator<ReceivedMessage> {
    for await (const message of this.#inbox.read()) yield this.#received(message)
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

  status(): ClientStatus {
    const { clock } = this.#parts
    const { lastRead, reason } = this.#topology
    const replies = new Map<string, { surbs: number; requested: number; waitingPackets: number }>()
    for (const { senderTag, surbs, requested } of this.#pools.counts())
      replies.set(senderTag, { surbs, requested, waitingPackets: this.#lanes.waitingFor(senderTag) })
    return {
      address: this.#address,
      gateway: {
        identity: this.#gateway.identity,
        websocketUrls: lastRead.gateways.get(this.#gateway.identity)?.websocketUrls ?? [],
        state: this.#state === 'closed' ? 'closed' : this.#gateway.state,
        reason: this.#gateway.reason,
        losses: this.#gateway.losses,
      },
      topology: {
        epochId: lastRead.epochId,
        rotationId: lastRead.rotationId,
        ageMs: clock.now() - lastRead.readAt,
        reason,
      },
      queue: {
        packets: this.#lanes.packets,
        messages: this.#outbox.messages,
        bytes: this.#outbox.bytes,
        lanes: this.#lanes.lengths(),
      },
      unacknowledgedPackets: this.#transmitter.unacknowledged,
      replies,
      inbox: { messages: this.#inbox.messages, bytes: this.#inbox.bytes },
      counters: {
        packetsSent: this.#transmitter.packetsSent,
        coverSent: this.#transmitter.coverSent,
        retransmissions: this.#transmitter.retransmissions,
        acksReceived: this.#receiver.acks,
        coverReceived: this.#receiver.cover,
        fragmentsReceived: this.#receiver.fragments,
        duplicateFragments: this.#receiver.duplicates,
        messagesReceived: this.#receiver.messages,
        messagesSent: this.#messagesSent,
        messagesAcknowledged: this.#messagesAcknowledged,
        messagesFailed: this.#messagesFailed,
        dropped: this.#receiver.dropped,
      },
    }
  }

  close({ flushMs = DEFAULT_FLUSH_MS }: { readonly flushMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(flushMs)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(flushMs: number): Promise<void> {
    this.#state = 'closing'
    if (this.#outbox.messages > 0 && flushMs > 0) {
      const { promise, resolve } = whenever()
      this.#whenIdle = resolve
      const timer = this.#parts.clock.setTimer(flushMs, resolve)
      await promise
      timer.cancel()
    }
    this.#state = 'closed'
    this.#outbox.close(new MixError('MIX_CLIENT_CLOSED', 'The client was closed.', { kind: 'usage' }))
    this.#stream.stop()
    this.#transmitter.close()
    this.#replies.close()
    this.#topology.close()
    await this.#gateway.close()
    this.#inbox.close()
    await this.#journal.close().catch(() => {})
    await this.#parts.store.close()
  }

  /** Check the arguments now, read the data (at once where it is no stream), submit. Every error goes to the handle. */
  #submitWhenRead(handle: Handle, data: MessageData, check: () => (bytes: Uint8Array) => Submission): void {
    try {
      if (this.#state !== 'open') throw new MixError('MIX_CLIENT_CLOSED', 'The client is closed.', { kind: 'usage' })
      const submission = check()
      const bytes = messageBytes(data)
      if (bytes instanceof Uint8Array) this.#outbox.submit(submission(bytes), handle)
      else bytes.then((read) => this.#outbox.submit(submission(read), handle)).catch((reason) => handle.fail(reason))
      this.#messagesSent++
    } catch (reason) {
      handle.fail(reason)
    }
  }

  #onQueued({ destination }: OutgoingMessage): void {
    if (destination.kind === 'sender-tag' && destination.purpose === 'data') {
      this.#replies.askIfShort(destination.senderTag)
      if (!this.#pools.canTake(destination.senderTag, 'data')) this.#tellReplies(destination.senderTag)
    }
    this.#stream.wake()
  }

  #onEnd(message: OutgoingMessage, outcome: MessageOutcome): void {
    this.#transmitter.forget(message)
    const ofTheApp = message.lane !== SURB_REQUEST_LANE && message.lane !== ADDITIONAL_SURBS_LANE
    if (ofTheApp) {
      if (outcome.kind === 'acknowledged') this.#messagesAcknowledged++
      else this.#messagesFailed++
      const reason = outcome.kind === 'failed' && outcome.reason instanceof MixError ? outcome.reason : undefined
      this.#emitter.emit('message', { id: message.id, outcome: outcome.kind, ...(reason && { reason }) })
    }
    if (this.#outbox.messages === 0) this.#whenIdle?.()
  }

  /** Acks have come, or packets are to be sent again. */
  #goOn(): void {
    this.#outbox.settle()
    this.#stream.wake()
  }

  #onMessage(message: NymMessage): void {
    switch (message.kind) {
      case 'plain':
        this.#inbox.add({ data: message.data, senderTag: undefined })
        return
      case 'repliable': {
        const { senderTag, content } = message
        this.#replies.received(senderTag, content.surbs, content.kind === 'additional-surbs')
        if (content.kind === 'data') this.#inbox.add({ data: content.data, senderTag: formatSenderTag(senderTag) })
        this.#stream.wake()
        return
      }
      case 'reply':
        if (message.content.kind === 'data') this.#inbox.add({ data: message.content.data, senderTag: undefined })
        else this.#replies.requested(message.content)
    }
  }

  /** Hang up while more would only pile up here: the gateway keeps it for us. */
  #hold(reason: 'inbox' | 'store', on: boolean): void {
    if (!on) {
      if (this.#held.delete(reason) && this.#held.size === 0) this.#gateway.resume()
      return
    }
    this.#held.add(reason)
    if (this.#held.size > 1) return
    this.#gateway.pause()
    this.linkChanged('paused')
  }

  /** A store that does not keep up, or fails, must not fill the memory with what waits for it. */
  #holdUntilStored(): void {
    if (this.#held.has('store')) return
    this.#hold('store', true)
    const flush = () => {
      if (this.#state === 'closed') return
      this.#journal.flush().then(
        () => this.#hold('store', false),
        () => this.#parts.clock.setTimer(STORE_RETRY_MS, flush, { background: true }),
      )
    }
    flush()
  }

  #received({ data, senderTag }: InboxMessage): ReceivedMessage {
    return {
      data,
      senderTag,
      text: () => new TextDecoder().decode(data),
      reply: (answer, options) => this.reply(senderTag ?? '', answer, options),
    }
  }

  #tellReplies(senderTag: string): void {
    const waitingPackets = this.#lanes.waitingFor(senderTag)
    this.#emitter.emit('replies', { senderTag, waitingPackets, surbs: this.#pools.available(senderTag) })
  }
}

function whenever(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
