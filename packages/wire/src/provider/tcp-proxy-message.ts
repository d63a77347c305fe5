/**
 * The message of the Rust SDK's `tcp_proxy` (06-service-providers §7.2): bincode of fixed width, little endian. Read and
 * written for peers that still use it; nothing of ours builds on it.
 */
const SESSION_ID_BYTES = 16
const DATA = 0
const CLOSE = 1

export interface TcpProxyMessage {
  /** Undefined: the connection is closed. */
  readonly data: Uint8Array | undefined
  /** UUID, 16 bytes. */
  readonly sessionId: Uint8Array
  /** u16: of a client from 1, of a server from 0. */
  readonly messageId: number
}

/** 38 bytes and the data, or 30 for a close. Throws a `RangeError` for a session id that is not 16 bytes. */
export function encodeTcpProxyMessage({ data, sessionId, messageId }: TcpProxyMessage): Uint8Array {
  if (sessionId.length !== SESSION_ID_BYTES) throw new RangeError(`a session id has ${SESSION_ID_BYTES} bytes`)
  const tail = data === undefined ? 4 : 12 + data.length
  const bytes = new Uint8Array(tail + 8 + SESSION_ID_BYTES + 2)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, data === undefined ? CLOSE : DATA, true)
  if (data !== undefined) {
    view.setBigUint64(4, BigInt(data.length), true)
    bytes.set(data, 12)
  }
  view.setBigUint64(tail, BigInt(SESSION_ID_BYTES), true)
  bytes.set(sessionId, tail + 8)
  view.setUint16(tail + 8 + SESSION_ID_BYTES, messageId, true)
  return bytes
}

/** Undefined: it is none. Bytes behind it are ignored, as official peers do. The parts are views. */
export function decodeTcpProxyMessage(bytes: Uint8Array): TcpProxyMessage | undefined {
  if (bytes.length < 4) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const variant = view.getUint32(0, true)
  if (variant > CLOSE) return undefined
  const data = variant === DATA ? prefixed(bytes, 4) : undefined
  if (variant === DATA && data === undefined) return undefined
  const tail = data === undefined ? 4 : 12 + data.length
  const sessionId = prefixed(bytes, tail)
  const end = tail + 8 + SESSION_ID_BYTES
  if (sessionId?.length !== SESSION_ID_BYTES || bytes.length < end + 2) return undefined
  return { data, sessionId, messageId: view.getUint16(end, true) }
}

/** Bytes behind their length, a u64. */
function prefixed(bytes: Uint8Array, offset: number): Uint8Array | undefined {
  const start = offset + 8
  if (bytes.length < start) return undefined
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(offset, true)
  return length > BigInt(bytes.length - start) ? undefined : bytes.subarray(start, start + Number(length))
}
