/**
 * What the binary messages of the local websocket are made of (04-client §4.18.4): numbers of 64 bits and data behind its
 * length. And how the text messages say data that is meant to be text.
 */
import { concatBytes } from '@mixwright/runtime'

/** 8 bytes. */
export function encodeU64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, value)
  return bytes
}

/** Of the first 8 bytes. */
export function decodeU64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
}

/** Length u64 ‖ data. */
export function encodePrefixed(data: Uint8Array): Uint8Array {
  return concatBytes(encodeU64(BigInt(data.length)), data)
}

/** As UTF-8, everything else as U+FFFD. */
export function lossyText(data: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(data)
}
