/**
 * The frame between nodes (05-mixnode §4): a short header, then one Sphinx packet. There is no length field; the size
 * tag implies it. Version 8 carries the key rotation, version 7 does not; a receiver takes both, nothing is negotiated.
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 1 | frame version, 7 or 8 |
 * | 1 | 1 | packet size tag |
 * | 2 | 1 | packet type, 0 = mix |
 * | 3 | 1 | key rotation (version 8 only) |
 * | 3 or 4 | by tag | Sphinx packet |
 */
import { concatBytes } from '@mixwright/runtime'
import { type PacketSize, packetSizeByLength, packetSizeByTag } from '@mixwright/sphinx'
import { isKeyRotation, type KeyRotation, UNKNOWN_ROTATION } from './key-rotation.js'
import { PACKET_TYPE_MIX } from './mix-packet.js'

export type FrameVersion = 7 | 8

export interface Frame {
  readonly version: FrameVersion
  readonly size: PacketSize
  readonly rotation: KeyRotation
  /** Exactly `size.packetBytes` bytes. */
  readonly packet: Uint8Array
}

/** Why a byte stream cannot be a stream of frames. Each is fatal for its connection: there is no resynchronisation. */
export type FrameError = 'frame-version-old' | 'frame-version-new' | 'frame-rotation' | 'frame-size' | 'frame-type'

const OLDEST_VERSION = 7
const NEWEST_VERSION = 8
/** Largest header and largest packet together: what a decoder holds at most, bytes. */
export const MAX_FRAME_BYTES = 4 + 33133

/** Write one frame into a new array. Throws a `RangeError` when the packet has none of the five sizes. */
export function encodeFrame(packet: Uint8Array, rotation: KeyRotation, version: FrameVersion = 8): Uint8Array {
  return concatBytes(frameHeader(packet, rotation, version), packet)
}

/** All headers that there are, made when first asked for. */
const headers = new Map<number, Uint8Array>()

/**
 * What goes before `packet` on the wire: 3 or 4 bytes, of which there are a few different ones that are shared: not to be
 * written to. Throws a `RangeError` when the packet has none of the five sizes.
 */
export function frameHeader(packet: Uint8Array, rotation: KeyRotation, version: FrameVersion = 8): Uint8Array {
  const size = packetSizeByLength(packet.length)
  if (size === undefined) throw new RangeError(`no packet size has ${packet.length} bytes`)
  const key = (version << 16) | (size.tag << 8) | rotation
  let header = headers.get(key)
  if (header === undefined) {
    const bytes = [version, size.tag, PACKET_TYPE_MIX, rotation]
    header = Uint8Array.from(version === 8 ? bytes : bytes.slice(0, 3))
    headers.set(key, header)
  }
  return header
}

/**
 * Cuts frames out of a byte stream, in any chunking. Holds at most one unfinished frame (33 137 bytes). After an error
 * it ignores everything: the connection is over. Packets of frames that lie whole inside one chunk are views into it.
 */
export class FrameDecoder {
  #pending: Uint8Array | undefined
  #filled = 0
  #header = new Uint8Array(4)
  #headerFilled = 0
  #current: { version: FrameVersion; size: PacketSize; rotation: KeyRotation } | undefined
  #error: FrameError | undefined

  /** The error that ended this stream, if any. */
  get error(): FrameError | undefined {
    return this.#error
  }

  /** Whether the stream stands between two frames, so that an end here is a clean one. */
  get atBoundary(): boolean {
    return this.#headerFilled === 0 && this.#current === undefined
  }

  /** Take the next bytes; call `onFrame` for each frame that is now complete, in order. */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): FrameError | undefined {
    let offset = 0
    while (this.#error === undefined) {
      if (this.#current === undefined) {
        offset = this.#readHeader(chunk, offset)
        if (this.#current === undefined) break
      }
      const current: { version: FrameVersion; size: PacketSize; rotation: KeyRotation } = this.#current
      const needed = current.size.packetBytes
      const available = chunk.length - offset
      let packet: Uint8Array
      if (this.#pending === undefined && available >= needed) {
        packet = chunk.subarray(offset, offset + needed)
        offset += needed
      } else {
        if (available === 0) break
        this.#pending ??= new Uint8Array(needed)
        const take = Math.min(needed - this.#filled, available)
        this.#pending.set(chunk.subarray(offset, offset + take), this.#filled)
        this.#filled += take
        offset += take
        if (this.#filled < needed) break
        packet = this.#pending
      }
      this.#pending = undefined
      this.#filled = 0
      this.#current = undefined
      this.#headerFilled = 0
      onFrame({ ...current, packet })
    }
    return this.#error
  }

  /** Header bytes are judged in the order of 05-mixnode §4.4, the version not before three bytes are there. */
  #readHeader(chunk: Uint8Array, start: number): number {
    let offset = start
    const header = this.#header
    while (this.#headerFilled < 3 || (header[0] === 8 && this.#headerFilled < 4)) {
      if (offset === chunk.length) return offset
      header[this.#headerFilled++] = chunk[offset++]!
      if (this.#headerFilled === 3 && header[0]! < OLDEST_VERSION) return this.#fail('frame-version-old', offset)
      if (this.#headerFilled === 3 && header[0]! > NEWEST_VERSION) return this.#fail('frame-version-new', offset)
    }
    const version = header[0] as FrameVersion
    const rotation = version === 8 ? header[3] : UNKNOWN_ROTATION
    if (!isKeyRotation(rotation)) return this.#fail('frame-rotation', offset)
    const size = packetSizeByTag(header[1]!)
    if (size === undefined) return this.#fail('frame-size', offset)
    if (header[2] !== PACKET_TYPE_MIX) return this.#fail('frame-type', offset)
    this.#current = { version, size, rotation }
    return offset
  }

  #fail(error: FrameError, offset: number): number {
    this.#error = error
    this.#pending = undefined
    return offset
  }
}
