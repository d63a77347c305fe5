/**
 * What an app asks of the daemon over the local websocket (04-client §4.18.2, §4.18.4), as text and as bytes, in both
 * directions. A request that cannot be read becomes the error to answer with.
 *
 * Text is JSON `{"type":"send",…}`. In bytes, after the tag:
 * 00 send: address 96 ‖ connection id u64 ‖ length u64 ‖ data
 * 01 send anonymously: reply SURBs u32 ‖ the same
 * 02 reply: sender tag 16 ‖ connection id u64 ‖ length u64 ‖ data
 * 03 own address
 * 04 connection closed, 05 length of its queue: connection id u64
 *
 * In bytes connection id 0 means none, in text it is a connection. The last two have no text form with official daemons;
 * ours reads `closedConnection` and `getLaneQueueLength` with a `connectionId`.
 */
import { concatBytes, utf8 } from '@mixwright/runtime'
import { decodeAnyBase58 } from '../base58.js'
import { formatSenderTag, SENDER_TAG_BYTES } from '../client/nym-message.js'
import {
  decodeRecipient,
  encodeRecipient,
  formatRecipient,
  type PointCheck,
  parseRecipient,
  RECIPIENT_BYTES,
  type Recipient,
} from '../recipient.js'
import { type ApiError, apiError } from './api-error.js'
import { JsonFault, JsonObject } from './json-object.js'
import { decodeU64, encodePrefixed, encodeU64, lossyText } from './message-data.js'

/** What the three messages have in common. */
interface Message {
  /** u64, the lane to queue in; its queue's length is answered. Undefined: the common lane, and no answer. */
  readonly connectionId: bigint | undefined
  readonly data: Uint8Array
  /** What the app calls the message in its receipts: a string or 64-bit integer; has no byte form, and official daemons ignore it. */
  readonly id?: string | bigint
}

export type WebsocketRequest =
  | (Message & { readonly kind: 'send'; readonly recipient: Recipient })
  | (Message & {
      readonly kind: 'send-anonymous'
      readonly recipient: Recipient
      /** u32. */
      readonly replySurbs: number
    })
  | (Message & {
      readonly kind: 'reply'
      /** 16 bytes. */
      readonly senderTag: Uint8Array
    })
  | { readonly kind: 'self-address' }
  | { readonly kind: 'closed-connection'; readonly connectionId: bigint }
  | { readonly kind: 'get-lane-queue-length'; readonly connectionId: bigint }

const SEND = 0
const SEND_ANONYMOUS = 1
const REPLY = 2
const SELF_ADDRESS = 3
const CLOSED_CONNECTION = 4
const GET_LANE_QUEUE_LENGTH = 5

const TEXT_TYPES = ['send', 'sendAnonymous', 'reply', 'selfAddress', 'closedConnection', 'getLaneQueueLength']

/** Write a request as bytes. Throws a `RangeError` for a sender tag that is not 16 bytes. */
export function encodeWebsocketRequest(request: WebsocketRequest): Uint8Array {
  switch (request.kind) {
    case 'send':
      return concatBytes(Uint8Array.of(SEND), encodeRecipient(request.recipient), lengthAndData(request))
    case 'send-anonymous': {
      const head = new Uint8Array(5)
      head[0] = SEND_ANONYMOUS
      new DataView(head.buffer).setUint32(1, request.replySurbs)
      return concatBytes(head, encodeRecipient(request.recipient), lengthAndData(request))
    }
    case 'reply':
      if (request.senderTag.length !== SENDER_TAG_BYTES)
        throw new RangeError(`a sender tag has ${SENDER_TAG_BYTES} bytes`)
      return concatBytes(Uint8Array.of(REPLY), request.senderTag, lengthAndData(request))
    case 'self-address':
      return Uint8Array.of(SELF_ADDRESS)
    case 'closed-connection':
      return concatBytes(Uint8Array.of(CLOSED_CONNECTION), encodeU64(request.connectionId))
    case 'get-lane-queue-length':
      return concatBytes(Uint8Array.of(GET_LANE_QUEUE_LENGTH), encodeU64(request.connectionId))
  }
}

/** Read a request from bytes. Its data is a view. */
export function decodeWebsocketRequest(bytes: Uint8Array, isPoint: PointCheck): WebsocketRequest | ApiError {
  const body = bytes.subarray(1)
  switch (bytes[0]) {
    case undefined:
      return apiError('empty-request', 'no data provided')
    case SEND: {
      if (body.length < RECIPIENT_BYTES + MESSAGE_HEAD_BYTES) return tooShort('send')
      const recipient = decodeRecipient(new Uint8Array(body.subarray(0, RECIPIENT_BYTES)), isPoint)
      const message = readMessage(body.subarray(RECIPIENT_BYTES))
      if (recipient === undefined) return badRecipient()
      return message.kind === 'error' ? message : { ...message, kind: 'send', recipient }
    }
    case SEND_ANONYMOUS: {
      if (body.length < 4 + RECIPIENT_BYTES + MESSAGE_HEAD_BYTES) return tooShort('send_anonymous')
      const replySurbs = new DataView(body.buffer, body.byteOffset).getUint32(0)
      const recipient = decodeRecipient(new Uint8Array(body.subarray(4, 4 + RECIPIENT_BYTES)), isPoint)
      const message = readMessage(body.subarray(4 + RECIPIENT_BYTES))
      if (recipient === undefined) return badRecipient()
      return message.kind === 'error' ? message : { ...message, kind: 'send-anonymous', recipient, replySurbs }
    }
    case REPLY: {
      if (body.length < SENDER_TAG_BYTES + MESSAGE_HEAD_BYTES) return tooShort('reply')
      const senderTag = new Uint8Array(body.subarray(0, SENDER_TAG_BYTES))
      const message = readMessage(body.subarray(SENDER_TAG_BYTES))
      return message.kind === 'error' ? message : { ...message, kind: 'reply', senderTag }
    }
    case SELF_ADDRESS:
      return { kind: 'self-address' }
    case CLOSED_CONNECTION:
      if (body.length !== 8) return malformed('The received closed connection has invalid length')
      return { kind: 'closed-connection', connectionId: decodeU64(body) }
    case GET_LANE_QUEUE_LENGTH:
      if (body.length !== 8) return malformed('The received get lane queue lengths has invalid length')
      return { kind: 'get-lane-queue-length', connectionId: decodeU64(body) }
    default:
      return apiError('unknown-request', `${bytes[0]} does not correspond to any valid request tag`)
  }
}

/** Write a request as text. Data that is no UTF-8 cannot be said in text: it becomes U+FFFD. */
export function formatWebsocketRequest(request: WebsocketRequest): string {
  switch (request.kind) {
    case 'send':
      return object('send', { recipient: formatRecipient(request.recipient), ...messageMembers(request) })
    case 'send-anonymous': {
      const { recipient, replySurbs } = request
      return object('sendAnonymous', { recipient: formatRecipient(recipient), replySurbs, ...messageMembers(request) })
    }
    case 'reply':
      return object('reply', { senderTag: formatSenderTag(request.senderTag), ...messageMembers(request) })
    case 'self-address':
      return object('selfAddress', {})
    case 'closed-connection':
      return object('closedConnection', { connectionId: request.connectionId })
    case 'get-lane-queue-length':
      return object('getLaneQueueLength', { connectionId: request.connectionId })
  }
}

/** Read a request from text. */
export function parseWebsocketRequest(text: string, isPoint: PointCheck): WebsocketRequest | ApiError {
  try {
    return readRequest(new JsonObject(text), isPoint)
  } catch (fault) {
    if (fault instanceof JsonFault) return malformed(fault.message)
    throw fault
  }
}

function readRequest(json: JsonObject, isPoint: PointCheck): WebsocketRequest | ApiError {
  if (json.get('type') === undefined) return malformed(`missing field \`type\`${json.place('type')}`)
  const type = json.string('type')
  switch (type) {
    case 'send': {
      const message = messageOf(json)
      const recipient = recipientOf(json, isPoint)
      return { kind: 'send', recipient, ...message }
    }
    case 'sendAnonymous': {
      const message = messageOf(json)
      const replySurbs = Number(json.unsigned('replySurbs', 32))
      const recipient = recipientOf(json, isPoint)
      return { kind: 'send-anonymous', recipient, replySurbs, ...message }
    }
    case 'reply': {
      const message = messageOf(json)
      return { kind: 'reply', senderTag: senderTagOf(json), ...message }
    }
    case 'selfAddress':
      return { kind: 'self-address' }
    case 'closedConnection':
      return { kind: 'closed-connection', connectionId: json.unsigned('connectionId', 64) }
    case 'getLaneQueueLength':
      return { kind: 'get-lane-queue-length', connectionId: json.unsigned('connectionId', 64) }
  }
  const expected = TEXT_TYPES.map((name) => `\`${name}\``).join(', ')
  return malformed(`unknown variant \`${type}\`, expected one of ${expected}${json.place('type')}`)
}

function messageOf(json: JsonObject): Message {
  const data = utf8(json.string('message'))
  const given = json.get('connectionId')
  const connectionId = given === undefined || given === null ? undefined : json.unsigned('connectionId', 64)
  const id = json.get('id')
  return { connectionId, data, ...((typeof id === 'string' || typeof id === 'bigint') && { id }) }
}

function recipientOf(json: JsonObject, isPoint: PointCheck): Recipient {
  const text = json.string('recipient')
  const recipient = parseRecipient(text, isPoint)
  if (recipient !== undefined) return recipient
  const missing = ['@', '.'].find((sign) => text.split(sign).length !== 2)
  if (missing === undefined) throw new JsonFault(badRecipient().message)
  throw new JsonFault(
    `recipient is malformed - the string address does not contain exactly a single '${missing}' character `,
  )
}

function senderTagOf(json: JsonObject): Uint8Array {
  const tag = decodeAnyBase58(json.string('senderTag'))
  if (tag === undefined) throw new JsonFault('the sender tag is no base58')
  if (tag.length === SENDER_TAG_BYTES) return tag
  const lengths = `Expected ${SENDER_TAG_BYTES}, but got ${tag.length}`
  throw new JsonFault(`Decoded AnonymousSenderTag has invalid length. ${lengths}`)
}

function messageMembers({ connectionId, data, id }: Message): Record<string, string | bigint | undefined> {
  return { message: lossyText(data), connectionId, id }
}

/** JSON by hand for the sake of `bigint`. */
function object(type: string, members: Record<string, string | number | bigint | undefined>): string {
  let text = `{"type":"${type}"`
  for (const [name, value] of Object.entries(members))
    if (value !== undefined) text += `,"${name}":${typeof value === 'string' ? JSON.stringify(value) : value}`
  return `${text}}`
}

/** Connection id and length. */
const MESSAGE_HEAD_BYTES = 16

function lengthAndData({ connectionId, data }: Message): Uint8Array {
  return concatBytes(encodeU64(connectionId ?? 0n), encodePrefixed(data))
}

function readMessage(bytes: Uint8Array): (Message & { readonly kind?: undefined }) | ApiError {
  const data = bytes.subarray(MESSAGE_HEAD_BYTES)
  const length = decodeU64(bytes.subarray(8))
  if (length !== BigInt(data.length))
    return malformed(`message len has inconsistent length. specified: ${length} got: ${data.length}`)
  return { connectionId: decodeU64(bytes) || undefined, data }
}

function tooShort(what: string): ApiError {
  return apiError('too-short-request', `not enough data provided to recover '${what}'`)
}

function malformed(message: string): ApiError {
  return apiError('malformed-request', message)
}

function badRecipient(): ApiError {
  return malformed('recipient is malformed - one of its keys is none')
}
