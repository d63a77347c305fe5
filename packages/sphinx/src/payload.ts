/** The payload before and after its layers of encryption (01-sphinx §7.1): 16 zero bytes ‖ message ‖ 01 ‖ zeros. */
import { MixError } from '@mixwright/runtime'
import { MIN_PAYLOAD_BYTES, PAYLOAD_OVERHEAD_BYTES } from './constants.js'
import type { CryptoProvider } from './crypto/provider.js'
import { lionessEncrypt } from './lioness.js'
import type { PacketSize } from './packet-size.js'

const CHECK_BYTES = 16
const MARKER = 1

/** The size of a payload: one of Nym's packet sizes, or a number of bytes (33 or more). */
export type PayloadLength = { readonly packetSize: PacketSize } | { readonly payloadBytes: number }

/** Payload bytes of a size. Throws `MIX_SPHINX_PAYLOAD_SIZE` below 33. */
export function payloadLength(size: PayloadLength): number {
  const bytes = 'packetSize' in size ? size.packetSize.payloadBytes : size.payloadBytes
  if (!Number.isSafeInteger(bytes) || bytes < MIN_PAYLOAD_BYTES)
    throw new MixError('MIX_SPHINX_PAYLOAD_SIZE', `a payload has at least ${MIN_PAYLOAD_BYTES} bytes`, {
      kind: 'usage',
      data: { payloadBytes: bytes },
    })
  return bytes
}

/**
 * Pad `message` into `payload` (zeroed by the caller) and encrypt it in place under all keys, the last hop's first.
 * Throws `MIX_SPHINX_MESSAGE_TOO_LONG` when message and 17 bytes of overhead do not fit.
 */
export function sealPayload(
  crypto: CryptoProvider,
  payload: Uint8Array,
  message: Uint8Array,
  keysInRouteOrder: readonly Uint8Array[],
): void {
  const longest = payload.length - PAYLOAD_OVERHEAD_BYTES
  if (message.length > longest)
    throw new MixError('MIX_SPHINX_MESSAGE_TOO_LONG', `the message has more than the ${longest} bytes that fit`, {
      kind: 'usage',
      data: { messageBytes: message.length, longest },
    })
  payload.set(message, CHECK_BYTES)
  payload[CHECK_BYTES + message.length] = MARKER
  for (let i = keysInRouteOrder.length - 1; i >= 0; i--) lionessEncrypt(crypto, keysInRouteOrder[i]!, payload)
}

/** The message in a decrypted payload, a view; undefined when the zeros or the marker are missing. */
export function recoverMessage(payload: Uint8Array): Uint8Array | undefined {
  if (payload.length < PAYLOAD_OVERHEAD_BYTES) return undefined
  let check = 0
  for (let i = 0; i < CHECK_BYTES; i++) check |= payload[i]!
  if (check !== 0) return undefined
  // Messages may contain the marker's value: it is the last one that counts. What follows it is not looked at.
  const marker = payload.lastIndexOf(MARKER)
  return marker < CHECK_BYTES ? undefined : payload.subarray(CHECK_BYTES, marker)
}
