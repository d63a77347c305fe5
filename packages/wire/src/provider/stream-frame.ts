/**
 * The frame of a stream inside a mixnet message (06-service-providers §7): a kind of two bytes, little endian, 14 bytes of
 * attributes, big endian, and the content. Other kinds of frames are not ours. Order, loss and life of streams are left to
 * the client.
 */
const HEADER_BYTES = 16
const STREAM_KIND = 3

/** `open` and `data` are understood by every release, the others only by newer ones. */
export const STREAM_FRAME_TYPES = { open: 0, data: 1, openAck: 2, ping: 3, pong: 4 } as const

export interface StreamFrame {
  /** u64. */
  readonly streamId: bigint
  /** One of `STREAM_FRAME_TYPES`. */
  readonly type: number
  /** u32, wrapping. */
  readonly sequence: number
  /** One byte, 0 in official frames, which ignore it. */
  readonly reserved: number
  readonly content: Uint8Array
}

/** 16 bytes and the content. */
export function encodeStreamFrame({ streamId, type, sequence, reserved, content }: StreamFrame): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + content.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, STREAM_KIND, true)
  view.setBigUint64(2, streamId)
  view.setUint8(10, type)
  view.setUint32(11, sequence)
  view.setUint8(15, reserved)
  bytes.set(content, HEADER_BYTES)
  return bytes
}

/** Undefined: this is no stream frame, or one of an unknown type. `content` is a view. */
export function decodeStreamFrame(bytes: Uint8Array): StreamFrame | undefined {
  if (bytes.length < HEADER_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const type = view.getUint8(10)
  if (view.getUint16(0, true) !== STREAM_KIND || type > STREAM_FRAME_TYPES.pong) return undefined
  return {
    streamId: view.getBigUint64(2),
    type,
    sequence: view.getUint32(11),
    reserved: view.getUint8(15),
    content: bytes.subarray(HEADER_BYTES),
  }
}
