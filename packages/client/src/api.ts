/**
 * The whole interface of the library, types only: what `connect` takes and what it gives. Limits and defaults stand beside
 * each option.
 */
import type { Clock, Logger, MixError, Random } from '@mixwright/runtime'
import type { ListedRequester, TopologySource } from './directory/topology.js'
import type { GatewayDoor } from './gateway/gateway-link.js'
import type { Profile, ProfileName } from './profile.js'
import type { ClientStore } from './store/client-store.js'
import type { IncomingStream, OpenStreamOptions, OutgoingStream } from './streams/stream-api.js'

export type { ByteStream } from './streams/byte-stream.js'
export type { ClientStream, IncomingStream, OpenStreamOptions, OutgoingStream } from './streams/stream-api.js'

/** What may be sent: text goes as its UTF-8 bytes; a stream is read to its end first. */
export type MessageData = string | Uint8Array | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>

export interface ConnectOptions {
  /** Base URL of a nym-api, such as `http://127.0.0.1:17890/api`; several: the next is asked when one fails. */
  readonly directory: string | readonly string[] | TopologySource
  /**
   * Base58 Ed25519 keys of all directory authorities of the network: only what enough of them have signed is believed then,
   * and `directory` names where to ask. Without, whoever answers there chooses your hops. @default none
   */
  readonly authorities?: readonly string[]
  /** How many authorities must have signed. @default more than two thirds */
  readonly authorityThreshold?: number
  /** Where keys and unfinished business are kept. @default memory: a new address each time */
  readonly store?: ClientStore
  /**
   * `random`, `latency` (measured, weighted by 1/latency) or the base58 identity of a gateway. A client with a stored
   * registration keeps its gateway; naming another one then is an error. @default 'random'
   */
  readonly gateway?: string
  /**
   * When the gateway has been out of reach for this long, register with another one. The address changes then, and what
   * the old gateway holds is lost. @default never
   */
  readonly replaceGatewayAfterMs?: number
  /** Cost and privacy; see `PROFILES`, or give a whole profile of your own. @default 'default' */
  readonly profile?: ProfileName | Profile
  /**
   * Send loop cover at its own constant rate whatever is sent, and fill empty slots of the main stream with cover that does
   * not come home: the data packets that the gateway pushes to this client then say nothing about its sending; the acks, which
   * are shorter, still do. Doubles the traffic.
   * @default false
   */
  readonly constantLoops?: boolean
  /** Mean time between two readings of the directory, milliseconds. @default 300000 */
  readonly refreshMs?: number
  /** SURBs kept back per sender for requests of more, several because requests get lost; the rest answer. @default 5 */
  readonly keptReplySurbs?: number
  /** Abort connecting; after `connect` has resolved, it closes the client. */
  readonly signal?: AbortSignal
  /** @default silent */
  readonly logger?: Logger
  /** Tests only. @default the machine's */
  readonly clock?: Clock
  /** Tests only. @default the operating system's */
  readonly random?: Random
  /**
   * Another way to the gateway, made for our Ed25519 identity (32 bytes): that of a client inside a node, or of a network that is not
   * there. @default the gateway's websocket
   */
  readonly door?: GatewayDoor | ((identity: Uint8Array) => GatewayDoor)
}

export interface SendOptions {
  /** Reply blocks attached, so that the recipient can answer without learning our address. 0 to 500. @default 0 */
  readonly replySurbs?: number
  /**
   * Send as an anonymous message even without SURBs: the recipient gets our sender tag. @default true when `replySurbs` > 0
   */
  readonly anonymous?: boolean
  /** Messages of one lane leave in order; lanes share the stream fairly. A number from 0 to 2^64 − 1. @default one common lane */
  readonly lane?: bigint | number
  /** Give up on this message: what was not sent is not sent, and the handle's promises reject with the signal's reason. */
  readonly signal?: AbortSignal
}

/** How far a message is. Promises are settled always, by an error with a reason at the latest; an unread rejection is silent. */
export interface SendHandle {
  /** Kept: in the queue (await it for back-pressure), and in the store where that persists. */
  readonly queued: Promise<void>
  /** Every packet was handed to the gateway. */
  readonly sent: Promise<void>
  /** The recipient's gateway has every packet: delivered, or stored for the recipient. */
  readonly acknowledged: Promise<void>
  /** Packets in all, sent at least once, acknowledged, and sent again. All 0 until queued. */
  readonly progress: SendProgress
}

export interface SendProgress {
  readonly packets: number
  readonly sent: number
  readonly acknowledged: number
  readonly retransmissions: number
}

/** A message that came. */
export interface ReceivedMessage {
  readonly data: Uint8Array
  /** As UTF-8; malformed bytes become U+FFFD. */
  text(): string
  /** 16 bytes in base58 when the sender is anonymous: names the sender for as long as it keeps its tag, proves nothing. */
  readonly senderTag: string | undefined
  /** Answer by the sender's reply blocks. At least one byte. Fails with `MIX_REPLY_NO_TAG` when there is no sender tag. */
  reply(data: MessageData, options?: Omit<SendOptions, 'replySurbs' | 'anonymous'>): SendHandle
}

/** A message at the moment it comes. */
export interface ArrivedMessage extends ReceivedMessage {
  /**
   * The address to which we gave the reply block by which it came: who answered. Undefined when it was sent to our address, or answers
   * an earlier run.
   */
  readonly repliedBy: string | undefined
}

export interface ClientStatus {
  readonly address: string
  readonly gateway: {
    readonly identity: string
    /** Where it listens for clients, best first, as the network tells; empty when the network does not know it. */
    readonly websocketUrls: readonly string[]
    /** `paused`: the app does not take its messages, so the client has hung up until it does. */
    readonly state: 'connecting' | 'up' | 'down' | 'paused' | 'closed'
    /** Why it is down. */
    readonly reason: MixError | undefined
    /** Connections lost since the start. */
    readonly losses: number
  }
  readonly topology: {
    readonly epochId: number
    readonly rotationId: number
    /** Age of what we know of the network, milliseconds. */
    readonly ageMs: number
    /** Why the last refresh failed, undefined when it did not. */
    readonly reason: MixError | undefined
  }
  /** Packets that wait for a slot, in all and by lane; messages that are neither acknowledged nor failed, and their bytes. */
  readonly queue: {
    readonly packets: number
    readonly messages: number
    readonly bytes: number
    readonly lanes: ReadonlyMap<string, number>
  }
  /** Sent and neither acknowledged nor failed. */
  readonly unacknowledgedPackets: number
  /** Per sender tag: reply blocks in hand, asked for, and reply packets that wait for some. */
  readonly replies: ReadonlyMap<
    string,
    { readonly surbs: number; readonly requested: number; readonly waitingPackets: number }
  >
  /** Messages received that the app has not taken. */
  readonly inbox: { readonly messages: number; readonly bytes: number }
  readonly counters: ClientCounters
}

/** Everything counted since the start. */
export interface ClientCounters {
  readonly packetsSent: number
  readonly coverSent: number
  readonly retransmissions: number
  readonly acksReceived: number
  readonly coverReceived: number
  readonly fragmentsReceived: number
  readonly duplicateFragments: number
  readonly messagesReceived: number
  readonly messagesSent: number
  readonly messagesAcknowledged: number
  readonly messagesFailed: number
  /** What was dropped of what the gateway pushed, by reason. */
  readonly dropped: Readonly<Record<string, number>>
}

/** What `client.on` tells; everything else is in `status()`. */
export interface ClientEvents {
  /** The link to the gateway came up, went down (with the reason), or changed to another gateway (with the new address). */
  gateway: {
    readonly state: 'up' | 'down' | 'paused' | 'replaced'
    readonly reason?: MixError
    readonly address: string
  }
  /** The network was read anew (a rotation of keys may have happened), or could not be read. */
  topology: { readonly epochId: number; readonly rotationId: number; readonly reason?: MixError }
  /** A message was acknowledged, or failed for good. `id` counts messages since the start. */
  message: { readonly id: number; readonly outcome: 'acknowledged' | 'failed'; readonly reason?: MixError }
  /** Replies to this tag wait for reply blocks, or go on. */
  replies: { readonly senderTag: string; readonly waitingPackets: number; readonly surbs: number }
}

export interface Client extends AsyncDisposable {
  /** `identity.encryption@gateway`. */
  readonly address: string
  /**
   * Returns at once. Errors of the arguments (`MIX_ADDRESS`, `MIX_MESSAGE_TOO_LARGE`, `MIX_QUEUE_FULL`, …) come through the
   * handle as well: it never throws.
   */
  send(to: string, data: MessageData, options?: SendOptions): SendHandle
  /** Answer an anonymous sender by its tag (base58); what `message.reply` does. */
  reply(senderTag: string, data: MessageData, options?: Omit<SendOptions, 'replySurbs' | 'anonymous'>): SendHandle
  /**
   * Messages as they come; each goes to one reader. Ends when the client closes. A message counts as taken, and leaves a
   * persistent store, when the next one is asked for.
   */
  messages(): AsyncIterableIterator<ReceivedMessage>
  /**
   * Look at each message before `messages()` does: those for which `take` returns true do not come there, and are never stored. The
   * one that was added last is asked first. Returns how to stop.
   */
  intercept(take: (message: ArrivedMessage) => boolean): () => void
  /**
   * Open a stream to a client that takes `streams()`. Returns at once, and never throws: errors, those of the arguments too
   * (`MIX_ADDRESS`, `MIX_REPLY_SURBS`, `MIX_STREAM_LIMIT`), come through `opened`, `closed` and the streams. What is
   * written first arrives, or is an error within 10 s. One write of up to 64 KiB is one message.
   */
  openStream(address: string, options?: OpenStreamOptions): OutgoingStream
  /**
   * Streams that others open; each goes to one reader. From the first call on, messages that are frames of streams do not come to
   * `messages()`. 64 may wait; further ones, and all while nobody reads this, are refused. Ends when the client closes.
   */
  streams(): AsyncIterableIterator<IncomingStream>
  /** Network requesters that the directory lists, read now; none where the network is known otherwise. Errors: `MIX_DIRECTORY_…`. */
  requesters(signal?: AbortSignal): Promise<readonly ListedRequester[]>
  status(): ClientStatus
  /** Listen; returns how to stop. */
  on<E extends keyof ClientEvents>(event: E, listener: (detail: ClientEvents[E]) => void): () => void
  /** Packets of a lane that wait, replies without SURBs included. */
  laneLength(lane: bigint | number): number
  /** Drop what waits in a lane; its handles reject with `MIX_LANE_CLOSED`. */
  closeLane(lane: bigint | number): void
  /**
   * End: refuse new messages, wait until what was sent is acknowledged (at most `flushMs`, @default 5000), fail the rest with
   * `MIX_CLIENT_CLOSED` (in a persistent store they wait for the next start), release everything.
   */
  close(options?: { readonly flushMs?: number }): Promise<void>
}
