/**
 * The content of an ack packet (04-client §4.7): iv 16 ‖ AES-128-CTR of a fragment identifier, under a key that never leaves
 * the client. There is no check in it: 21 random bytes decrypt to a random identifier.
 */
import { encryptBlocks } from '#aes-blocks'
import {
  decodeFragmentIdentifier,
  encodeFragmentIdentifier,
  FRAGMENT_IDENTIFIER_BYTES,
  type FragmentIdentifier,
} from './fragment.js'

const IV_BYTES = 16
/** Bytes of an ack, by which a client tells it from data. */
export const ACK_MESSAGE_BYTES = IV_BYTES + FRAGMENT_IDENTIFIER_BYTES

/** Write an ack: 21 bytes. `ackKey` and `iv`: 16 bytes each, the iv fresh and random. */
export function sealAck(ackKey: Uint8Array, iv: Uint8Array, id: FragmentIdentifier): Uint8Array {
  const content = new Uint8Array(ACK_MESSAGE_BYTES)
  content.set(iv)
  content.set(xorKeyStream(ackKey, iv, encodeFragmentIdentifier(id)), IV_BYTES)
  return content
}

/** Which fragment an ack is for; undefined when it is none: not 21 bytes, or no identifier. */
export function openAck(ackKey: Uint8Array, content: Uint8Array): FragmentIdentifier | undefined {
  if (content.length !== ACK_MESSAGE_BYTES) return undefined
  return decodeFragmentIdentifier(xorKeyStream(ackKey, content.subarray(0, IV_BYTES), content.subarray(IV_BYTES)))
}

/** Counter mode needs one block of key stream for an identifier: the counter block itself, encrypted. */
function xorKeyStream(ackKey: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array {
  const stream = encryptBlocks(ackKey, iv)
  return data.map((byte, i) => byte ^ stream[i]!)
}
