/**
 * The message that fragments carry (04-client §4.3), from its kind byte to the app's bytes, before padding.
 *
 * plain:     00 ‖ data
 * repliable: 01 ‖ sender tag 16 ‖ content tag ‖ reply SURBs ‖ data; content tags 0–2 with SURBs of v1, 3–5 of v2
 * reply:     02 ‖ 00 ‖ data, at least 1, or 02 ‖ 01 ‖ address 96 ‖ amount u32
 *
 * Reads all of them, writes v2 only.
 */
import { concatBytes } from '@mixwright/runtime'
import { decodeBase58, encodeBase58 } from '../base58.js'
import { decodeRecipient, encodeRecipient, type PointCheck, RECIPIENT_BYTES, type Recipient } from '../recipient.js'
import { decodeReplySurbs, decodeReplySurbsV1, encodeReplySurbs, type ReplySurbs } from './reply-surb.js'

/** Names an anonymous sender towards one recipient. */
export const SENDER_TAG_BYTES = 16

export type NymMessage =
  | { readonly kind: 'plain'; readonly data: Uint8Array }
  | {
      readonly kind: 'repliable'
      /** 16 bytes. */
      readonly senderTag: Uint8Array
      readonly content: RepliableContent
    }
  | { readonly kind: 'reply'; readonly content: ReplyContent }

/** What an anonymous sender says. A heartbeat is never sent; who gets one keeps the SURBs. */
export type RepliableContent =
  | { readonly kind: 'data'; readonly surbs: ReplySurbs; readonly data: Uint8Array }
  | { readonly kind: 'additional-surbs'; readonly surbs: ReplySurbs }
  | { readonly kind: 'heartbeat'; readonly surbs: ReplySurbs }

/** What goes back over SURBs: an answer of at least one byte, or a request for `amount` (u32) more SURBs, sent to `recipient`. */
export type ReplyContent =
  | { readonly kind: 'data'; readonly data: Uint8Array }
  | { readonly kind: 'surb-request'; readonly recipient: Recipient; readonly amount: number }

const PLAIN = 0
const REPLIABLE = 1
const REPLY = 2
/** Kinds of repliable content in the order of their tags, v1 from 0, v2 from 3. */
const REPLIABLE_CONTENTS = ['data', 'additional-surbs', 'heartbeat'] as const
const FIRST_V2_CONTENT = 3
const REPLY_DATA = 0
const SURB_REQUEST = 1

/** Write a message. Throws a `RangeError` for a reply without data, for a tag of another length, and as `encodeReplySurbs`. */
export function encodeNymMessage(message: NymMessage): Uint8Array {
  switch (message.kind) {
    case 'plain':
      return concatBytes(Uint8Array.of(PLAIN), message.data)
    case 'repliable': {
      const { senderTag, content } = message
      if (senderTag.length !== SENDER_TAG_BYTES) throw new RangeError(`a sender tag has ${SENDER_TAG_BYTES} bytes`)
      const contentTag = FIRST_V2_CONTENT + REPLIABLE_CONTENTS.indexOf(content.kind)
      const data = content.kind === 'data' ? content.data : new Uint8Array(0)
      const surbs = encodeReplySurbs(content.surbs)
      return concatBytes(Uint8Array.of(REPLIABLE), senderTag, Uint8Array.of(contentTag), surbs, data)
    }
    case 'reply': {
      const { content } = message
      if (content.kind === 'data') {
        if (content.data.length === 0) throw new RangeError('a reply has at least one byte')
        return concatBytes(Uint8Array.of(REPLY, REPLY_DATA), content.data)
      }
      const amount = new Uint8Array(4)
      new DataView(amount.buffer).setUint32(0, content.amount)
      return concatBytes(Uint8Array.of(REPLY, SURB_REQUEST), encodeRecipient(content.recipient), amount)
    }
  }
}

/** Read a message; undefined when it is malformed. Data is a view, tags and SURBs are copies. */
export function decodeNymMessage(bytes: Uint8Array, isPoint: PointCheck): NymMessage | undefined {
  const body = bytes.subarray(1)
  switch (bytes[0]) {
    case PLAIN:
      return { kind: 'plain', data: body }
    case REPLIABLE:
      return decodeRepliable(body)
    case REPLY: {
      const content = decodeReply(body, isPoint)
      return content && { kind: 'reply', content }
    }
  }
  return undefined
}

function decodeRepliable(body: Uint8Array): NymMessage | undefined {
  const contentTag = body[SENDER_TAG_BYTES]
  if (contentTag === undefined) return undefined
  const kind = REPLIABLE_CONTENTS[contentTag % FIRST_V2_CONTENT]
  if (kind === undefined || contentTag >= FIRST_V2_CONTENT + REPLIABLE_CONTENTS.length) return undefined
  const decode = contentTag < FIRST_V2_CONTENT ? decodeReplySurbsV1 : decodeReplySurbs
  const list = decode(body.subarray(SENDER_TAG_BYTES + 1))
  if (list === undefined) return undefined
  const senderTag = new Uint8Array(body.subarray(0, SENDER_TAG_BYTES))
  const surbs = list.replySurbs
  // What follows the SURBs of the other two kinds is ignored, as official peers do.
  const content = kind === 'data' ? { kind, surbs, data: list.rest } : { kind, surbs }
  return { kind: 'repliable', senderTag, content }
}

function decodeReply(body: Uint8Array, isPoint: PointCheck): ReplyContent | undefined {
  if (body.length < 2) return undefined
  const data = body.subarray(1)
  if (body[0] === REPLY_DATA) return { kind: 'data', data }
  if (body[0] !== SURB_REQUEST || data.length !== RECIPIENT_BYTES + 4) return undefined
  const recipient = decodeRecipient(new Uint8Array(data.subarray(0, RECIPIENT_BYTES)), isPoint)
  const amount = new DataView(data.buffer, data.byteOffset).getUint32(RECIPIENT_BYTES)
  return recipient && { kind: 'surb-request', recipient, amount }
}

/** A sender tag as text: base58. */
export function formatSenderTag(senderTag: Uint8Array): string {
  return encodeBase58(senderTag)
}

/** The 16 bytes of a sender tag's text; undefined when it is none. */
export function parseSenderTag(text: string): Uint8Array | undefined {
  return decodeBase58(text, SENDER_TAG_BYTES)
}
