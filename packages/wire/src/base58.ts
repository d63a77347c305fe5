/** Base58 with the Bitcoin alphabet and no checksum: how keys, signatures and addresses are written as text. */
import { base58 } from '@scure/base'

/** Text of bytes; leading zero bytes become leading `1`. 32 bytes give 43 or 44 characters, rarely fewer. */
export function encodeBase58(bytes: Uint8Array): string {
  return base58.encode(bytes)
}

/** Longest text that is decoded, characters: decoding takes quadratic time, and nothing of ours is longer than a signature. */
const LONGEST_TEXT = 128

/** Bytes of a text, or undefined when it is no base58 or does not decode to `length` bytes. */
export function decodeBase58(text: string, length: number): Uint8Array | undefined {
  const bytes = decodeAnyBase58(text)
  return bytes?.length === length ? bytes : undefined
}

/** Bytes of a text, however many; undefined when it is no base58 or longer than 128 characters. */
export function decodeAnyBase58(text: string): Uint8Array | undefined {
  if (text.length > LONGEST_TEXT) return undefined
  try {
    return base58.decode(text)
  } catch {
    return undefined
  }
}
