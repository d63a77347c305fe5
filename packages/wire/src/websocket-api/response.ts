/**
 * What the daemon tells an app over the local websocket (04-client §4.18.3, §4.18.5), as text and as bytes, in both
 * directions. An answer that cannot be read becomes an error of the kinds that an app has for it.
 *
 * Text is JSON `{"type":"received",…}`, members in this order. In bytes, after the tag:
 * 00 error: kind u8 ‖ length u64 ‖ text
 * 01 received: 00, or 01 ‖ sender tag 16; then length u64 ‖ data
 * 02 own address: 96
 * 03 length of a queue: lane u64 ‖ packets u64
 * 10 receipt, for apps that ask for it: see `receipt.ts`
 */
import { concatBytes, utf8 } from '@mixwright/runtime'
import { formatSenderTag, parseSenderTag, SENDER_TAG_BYTES } from '../client/nym-message.js'
import {
  decodeRecipient,
  encodeRecipient,
  formatRecipient,
  type PointCheck,
  parseRecipient,
  RECIPIENT_BYTES,
  type Recipient,
} from '../recipient.js'
import { type ApiError, apiError, apiErrorByte, apiErrorOfByte, formatApiError, parseApiError } from './api-error.js'
import { JsonFault, JsonObject } from './json-object.js'
import { decodeU64, encodePrefixed, encodeU64, lossyText } from './message-data.js'
import { decodeReceipt, encodeReceipt, formatReceipt, RECEIPT, type Receipt, receiptOf } from './receipt.js'

export type WebsocketResponse =
  | ApiError
  | {
      readonly kind: 'received'
      /** 16 bytes; undefined when the sender can not be answered. */
      readonly senderTag: Uint8Array | undefined
      readonly data: Uint8Array
    }
  | { readonly kind: 'self-address'; readonly recipient: Recipient }
  | {
      readonly kind: 'lane-queue-length'
      /** u64, the connection id. */
      readonly lane: bigint
      /** Packets. */
      readonly queueLength: bigint
    }
  | Receipt

const ERROR = 0
const RECEIVED = 1
const SELF_ADDRESS = 2
const LANE_QUEUE_LENGTH = 3
const WITHOUT_TAG = 0
const WITH_TAG = 1

/** Write an answer as bytes. */
export function encodeWebsocketResponse(response: WebsocketResponse): Uint8Array {
  switch (response.kind) {
    case 'error':
      return concatBytes(Uint8Array.of(ERROR, apiErrorByte(response.error)), encodePrefixed(utf8(response.message)))
    case 'received': {
      const { senderTag, data } = response
      const head = senderTag === undefined ? [WITHOUT_TAG] : [WITH_TAG, ...senderTag]
      return concatBytes(Uint8Array.of(RECEIVED, ...head), encodePrefixed(data))
    }
    case 'self-address':
      return concatBytes(Uint8Array.of(SELF_ADDRESS), encodeRecipient(response.recipient))
    case 'lane-queue-length':
      return concatBytes(Uint8Array.of(LANE_QUEUE_LENGTH), encodeU64(response.lane), encodeU64(response.queueLength))
    case 'receipt':
      return encodeReceipt(response)
  }
}

/** Read an answer from bytes. Received data is a view. */
export function decodeWebsocketResponse(bytes: Uint8Array, isPoint: PointCheck): WebsocketResponse {
  const body = bytes.subarray(1)
  switch (bytes[0]) {
    case undefined:
      return apiError('empty-response', 'no data provided')
    case ERROR: {
      if (body.length < 9) return tooShort('error')
      const error = apiErrorOfByte(body[0]!)
      const text = dataOf(body.subarray(1))
      if (error === undefined || text === undefined) return malformed('not an error')
      return apiError(error, lossyText(text))
    }
    case RECEIVED: {
      const tagged = body[0] === WITH_TAG
      const head = tagged ? 1 + SENDER_TAG_BYTES : 1
      if (body.length < head + 8) return tooShort('received')
      const data = dataOf(body.subarray(head))
      if (body[0]! > WITH_TAG || data === undefined) return malformed('not a received message')
      const senderTag = tagged ? new Uint8Array(body.subarray(1, head)) : undefined
      return { kind: 'received', senderTag, data }
    }
    case SELF_ADDRESS: {
      if (body.length !== RECIPIENT_BYTES) return tooShort('self_address')
      const recipient = decodeRecipient(new Uint8Array(body), isPoint)
      return recipient === undefined ? malformed('not an address') : { kind: 'self-address', recipient }
    }
    case LANE_QUEUE_LENGTH:
      if (body.length !== 16) return tooShort('lane_queue_length')
      return { kind: 'lane-queue-length', lane: decodeU64(body), queueLength: decodeU64(body.subarray(8)) }
    case RECEIPT:
      return decodeReceipt(body) ?? malformed('not a receipt')
    default:
      return apiError('unknown-response', `${bytes[0]} does not correspond to any valid response tag`)
  }
}

/** Write an answer as text. Data that is no UTF-8 becomes U+FFFD. */
export function formatWebsocketResponse(response: WebsocketResponse): string {
  switch (response.kind) {
    case 'error':
      return JSON.stringify({ type: 'error', message: formatApiError(response) })
    case 'received': {
      const senderTag = response.senderTag === undefined ? null : formatSenderTag(response.senderTag)
      return JSON.stringify({ type: 'received', message: lossyText(response.data), senderTag })
    }
    case 'self-address':
      return JSON.stringify({ type: 'selfAddress', address: formatRecipient(response.recipient) })
    case 'lane-queue-length':
      return `{"type":"laneQueueLength","lane":${response.lane},"queue_length":${response.queueLength}}`
    case 'receipt':
      return formatReceipt(response)
  }
}

/** Read an answer from text. */
export function parseWebsocketResponse(text: string, isPoint: PointCheck): WebsocketResponse {
  try {
    return readResponse(new JsonObject(text), isPoint)
  } catch (fault) {
    if (fault instanceof JsonFault) return malformed(fault.message)
    throw fault
  }
}

function readResponse(json: JsonObject, isPoint: PointCheck): WebsocketResponse {
  switch (json.get('type')) {
    case 'error':
      return parseApiError(json.string('message'))
    case 'received': {
      const data = utf8(json.string('message'))
      const given = json.get('senderTag')
      if (given === null || given === undefined) return { kind: 'received', senderTag: undefined, data }
      const senderTag = parseSenderTag(json.string('senderTag'))
      return senderTag === undefined ? malformed('not a sender tag') : { kind: 'received', senderTag, data }
    }
    case 'selfAddress': {
      const recipient = parseRecipient(json.string('address'), isPoint)
      return recipient === undefined ? malformed('not an address') : { kind: 'self-address', recipient }
    }
    case 'laneQueueLength': {
      const lane = json.unsigned('lane', 64)
      return { kind: 'lane-queue-length', lane, queueLength: json.unsigned('queue_length', 64) }
    }
    case 'receipt':
      return receiptOf(json)
  }
  return malformed('unknown or missing `type`')
}

/** The data behind its length; undefined when the length is another. */
function dataOf(bytes: Uint8Array): Uint8Array | undefined {
  const data = bytes.subarray(8)
  return decodeU64(bytes) === BigInt(data.length) ? data : undefined
}

function tooShort(what: string): ApiError {
  return apiError('too-short-response', `not enough data provided to recover '${what}'`)
}

function malformed(message: string): ApiError {
  return apiError('malformed-response', message)
}
