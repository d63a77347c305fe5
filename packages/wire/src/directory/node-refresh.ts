/**
 * What a node posts to be read again (03-directory §4): who it is and when it asks, signed with its identity. How old a request
 * may be is the directory's to judge.
 */
import { concatBytes, utf8 } from '@mixwright/runtime'
import { publicKey } from './key-text.js'
import { list, struct, u8, u64, type ValueOf } from './schema.js'

/** JSON only; the signature is a list of 64 numbers, the timestamp Unix seconds. */
export const nodeRefreshSchema = struct({ node_identity: publicKey, request_timestamp: u64, signature: list(u8) })
export type NodeRefresh = ValueOf<typeof nodeRefreshSchema>

const PURPOSE = utf8('describe-cache-refresh-request')

/** The bytes that are signed: 32 bytes of identity, 8 of the timestamp in seconds, big endian, and a text. */
export function nodeRefreshText(identityKey: Uint8Array, timestamp: number): Uint8Array {
  const time = new Uint8Array(8)
  new DataView(time.buffer).setBigInt64(0, BigInt(timestamp))
  return concatBytes(identityKey, time, PURPOSE)
}
