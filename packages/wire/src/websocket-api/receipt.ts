/**
 * What became of a message of an app: our own addition to the local websocket, sent only to apps that ask for it by
 * connecting to `/?receipts=1`. Each message gets `queued`, `sent` and `acknowledged` in this order, or `failed` in place of
 * the first that does not happen.
 *
 * Text is JSON, members in this order, null where there is nothing to say:
 * `{"type":"receipt","messageId":1,"id":"mine","connectionId":42,"state":"failed","reason":"MIX_…: …"}`
 * In bytes, after the tag 10: state u8 ‖ message id u64 ‖ connection id u64 (0 = none) ‖ length u64 ‖ reason in UTF-8.
 */
import { concatBytes, utf8 } from '@mixwright/runtime'
import { JsonFault, type JsonObject } from './json-object.js'
import { decodeU64, encodePrefixed, encodeU64, lossyText } from './message-data.js'

/** In the order of their bytes. `queued`: it is in the client's queue; `acknowledged`: the recipient's gateway has all of it. */
const STATES = ['queued', 'sent', 'acknowledged', 'failed'] as const

export type ReceiptState = (typeof STATES)[number]

export interface Receipt {
  readonly kind: 'receipt'
  /** Counts the messages that this connection was asked to send, from 1. */
  readonly messageId: bigint
  /** What the app called the message, in text only. */
  readonly id?: string | bigint
  readonly connectionId: bigint | undefined
  readonly state: ReceiptState
  /** Why it failed: a code of docs/errors.md, a colon, and the reason for people. */
  readonly reason: string | undefined
}

/** The tag of a receipt in bytes. */
export const RECEIPT = 0x10

/** State, two ids and the length of the reason. */
const HEAD_BYTES = 1 + 8 + 8 + 8

/** With its tag. */
export function encodeReceipt({ state, messageId, connectionId, reason }: Receipt): Uint8Array {
  const head = Uint8Array.of(RECEIPT, STATES.indexOf(state))
  return concatBytes(head, encodeU64(messageId), encodeU64(connectionId ?? 0n), encodePrefixed(utf8(reason ?? '')))
}

/** Without its tag; undefined when it is none. */
export function decodeReceipt(body: Uint8Array): Receipt | undefined {
  const state = STATES[body[0]!]
  if (body.length < HEAD_BYTES || state === undefined) return undefined
  const reason = body.subarray(HEAD_BYTES)
  if (decodeU64(body.subarray(17)) !== BigInt(reason.length)) return undefined
  return {
    kind: 'receipt',
    messageId: decodeU64(body.subarray(1)),
    connectionId: decodeU64(body.subarray(9)) || undefined,
    state,
    reason: lossyText(reason) || undefined,
  }
}

export function formatReceipt({ messageId, id, connectionId, state, reason }: Receipt): string {
  const called = typeof id === 'bigint' ? id : JSON.stringify(id ?? null)
  const members = `"messageId":${messageId},"id":${called},"connectionId":${connectionId ?? null},"state":"${state}"`
  return `{"type":"receipt",${members},"reason":${JSON.stringify(reason ?? null)}}`
}

/** Throws a `JsonFault` when a member is missing or wrong. */
export function receiptOf(json: JsonObject): Receipt {
  const state = STATES.find((name) => name === json.get('state'))
  if (state === undefined) throw new JsonFault('unknown or missing `state`')
  const id = json.get('id')
  return {
    kind: 'receipt',
    messageId: json.unsigned('messageId', 64),
    ...((typeof id === 'string' || typeof id === 'bigint') && { id }),
    connectionId: json.get('connectionId') === null ? undefined : json.unsigned('connectionId', 64),
    state,
    reason: json.get('reason') === null ? undefined : json.string('reason'),
  }
}
