/**
 * What is said between one app and the client (04-client §4.18), as a state machine without a socket: a frame in gives one
 * action; what becomes of messages, and what arrives, gives frames out. An answer has the kind, text or binary, of its
 * request; a pushed message has the kind of the last request, and is binary before any.
 *
 * Who reads and writes the frames, and when, is `attached-app.ts`'s business; the layouts are `@mixwright/wire`'s.
 */
import type { ReceivedMessage } from '@mixwright/client'
import { MixError } from '@mixwright/runtime'
import {
  type ApiError,
  apiError,
  decodeWebsocketRequest,
  encodeWebsocketResponse,
  formatWebsocketResponse,
  parseRecipient,
  parseSenderTag,
  parseWebsocketRequest,
  type ReceiptState,
  type WebsocketRequest,
  type WebsocketResponse,
} from '@mixwright/wire'

/** A websocket message. */
export type AppFrame =
  | { readonly kind: 'text'; readonly data: string }
  | { readonly kind: 'binary'; readonly data: Uint8Array }

type FrameKind = AppFrame['kind']

/** A message to be sent, as the app asked for it. Keep it: what becomes of the message is told with it. */
export interface Order {
  readonly request: Extract<WebsocketRequest, { kind: 'send' | 'send-anonymous' | 'reply' }>
  readonly frameKind: FrameKind
  /** Counts the messages of this conversation, from 1. */
  readonly messageId: bigint
}

/** What a request asks of whoever carries the conversation. */
export type Action =
  | { readonly type: 'answer'; readonly frame: AppFrame }
  | { readonly type: 'close-lane'; readonly lane: bigint }
  /** Send it, then tell `queued` or `refused`, and after `queued` each `receipt`. */
  | { readonly type: 'send'; readonly order: Order }

/** What a conversation asks about the app and the client. */
export interface ConversationFacts {
  /** The app asked for receipts. */
  readonly receipts: boolean
  /** The client's address. */
  address(): string
  /** Packets that wait in a lane. */
  laneLength(lane: bigint): number
}

/** Longest name that an app may give a message in order to know its receipts, characters: they are kept until the ack. */
const LONGEST_ID = 256

/** Whether a key of an address is a point of its curve is found out by the client, which has the cryptography. */
const anyKey = () => true

export class Conversation {
  readonly #facts: ConversationFacts
  #lastKind: FrameKind = 'binary'
  #messages = 0n

  constructor(facts: ConversationFacts) {
    this.#facts = facts
  }

  /** A request came; an unreadable one is answered with the error that official daemons answer. */
  read(frame: AppFrame): Action {
    this.#lastKind = frame.kind
    const request =
      frame.kind === 'text' ? parseWebsocketRequest(frame.data, anyKey) : decodeWebsocketRequest(frame.data, anyKey)
    switch (request.kind) {
      case 'error':
        return answer(request, frame.kind)
      case 'self-address': {
        const recipient = parseRecipient(this.#facts.address(), anyKey)!
        return answer({ kind: 'self-address', recipient }, frame.kind)
      }
      case 'get-lane-queue-length':
        return answer(this.#laneQueueLength(request.connectionId), frame.kind)
      case 'closed-connection':
        return { type: 'close-lane', lane: request.connectionId }
      default:
        if (this.#facts.receipts && typeof request.id === 'string' && request.id.length > LONGEST_ID)
          return answer(malformed(`\`id\` is longer than ${LONGEST_ID} characters`), frame.kind)
        return { type: 'send', order: { request, frameKind: frame.kind, messageId: ++this.#messages } }
    }
  }

  /** The message of an order is in the client's queue. */
  queued(order: Order): AppFrame[] {
    return [...this.#lengthOfItsLane(order), ...this.receipt(order, 'queued')]
  }

  /**
   * The client did not take the message. Only an address that is none is an error of the protocol; all else is told by
   * receipts alone, since an app that knows none counts on the same answer as for a message that was taken.
   */
  refused(order: Order, reason: Error): AppFrame[] {
    if (reason instanceof MixError && reason.code === 'MIX_ADDRESS')
      return [frameOf(malformed('recipient is malformed - one of its keys is none'), order.frameKind)]
    return [...this.#lengthOfItsLane(order), ...this.receipt(order, 'failed', reason)]
  }

  /** Something became of the message of an order; nothing is said to apps that did not ask for receipts. */
  receipt({ request, messageId, frameKind }: Order, state: ReceiptState, failure?: Error): AppFrame[] {
    if (!this.#facts.receipts) return []
    const { id, connectionId } = request
    const reason = failure instanceof MixError ? `${failure.code}: ${failure.message}` : failure?.message
    const receipt = { kind: 'receipt', messageId, connectionId, state, reason } as const
    return [frameOf(id === undefined ? receipt : { ...receipt, id }, frameKind)]
  }

  /** A message for the app. */
  push({ data, senderTag }: ReceivedMessage): AppFrame {
    const tag = senderTag === undefined ? undefined : parseSenderTag(senderTag)
    return frameOf({ kind: 'received', senderTag: tag, data }, this.#lastKind)
  }

  #lengthOfItsLane({ request: { connectionId }, frameKind }: Order): AppFrame[] {
    return connectionId === undefined ? [] : [frameOf(this.#laneQueueLength(connectionId), frameKind)]
  }

  #laneQueueLength(lane: bigint): WebsocketResponse {
    return { kind: 'lane-queue-length', lane, queueLength: BigInt(this.#facts.laneLength(lane)) }
  }
}

function answer(response: WebsocketResponse, kind: FrameKind): Action {
  return { type: 'answer', frame: frameOf(response, kind) }
}

function frameOf(response: WebsocketResponse, kind: FrameKind): AppFrame {
  return kind === 'text'
    ? { kind, data: formatWebsocketResponse(response) }
    : { kind, data: encodeWebsocketResponse(response) }
}

function malformed(detail: string): ApiError {
  return apiError('malformed-request', detail)
}
