/**
 * What our peers say to each other beside the official frames (docs/decisions/0014). A frame whose reserved byte is not zero comes from
 * one of ours; official peers write zero there and ignore it on reading. What is ours alone travels in OpenAck frames, which
 * official peers either do not know, and drop, or take for what they know already.
 */
import { utf8 } from '@mixwright/runtime'

/** The reserved byte. The last three only in OpenAck frames. */
export const RESERVED = {
  /** The sender is an official peer, or speaks to one. */
  official: 0,
  /** The frame is what its type says, from one of ours. */
  ours: 1,
  /** Content: `Credit`. */
  credit: 2,
  /** The sender's direction ends. It has the sequence number after the last Data frame. */
  end: 3,
  /** The stream is over, in both directions. Content: `Reset`. */
  reset: 4,
} as const

/** Both absolute, so that order and repetition do not matter: the largest counts. */
export interface Credit {
  /** Bytes that came without a gap; the end counts as one more. */
  readonly received: number
  /** Bytes that may be sent in all. */
  readonly limit: number
}

const CREDIT_BYTES = 16

/** 16 bytes: received u64, limit u64, big endian. */
export function encodeCredit({ received, limit }: Credit): Uint8Array {
  const bytes = new Uint8Array(CREDIT_BYTES)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, BigInt(received))
  view.setBigUint64(8, BigInt(limit))
  return bytes
}

/** Undefined when it is none. What comes behind it is ignored. */
export function decodeCredit(content: Uint8Array): Credit | undefined {
  if (content.length < CREDIT_BYTES) return undefined
  const view = new DataView(content.buffer, content.byteOffset, content.length)
  return { received: Number(view.getBigUint64(0)), limit: Number(view.getBigUint64(8)) }
}

export interface Reset {
  /** The stream was not taken at all; another attempt may be. */
  readonly refused: boolean
  readonly text: string
}

/** Longest text of a reset, bytes. */
const TEXT_BYTES = 200

/** One byte, 1 for refused, and up to 200 of text. */
export function encodeReset({ refused, text }: Reset): Uint8Array {
  return new Uint8Array([refused ? 1 : 0, ...utf8(text).subarray(0, TEXT_BYTES)])
}

export function decodeReset(content: Uint8Array): Reset {
  const text = new TextDecoder().decode(content.subarray(1, 1 + TEXT_BYTES))
  return { refused: content[0] === 1, text }
}
