/**
 * The five sizes in which Nym sends Sphinx packets (01-sphinx §11.1). The size tag travels in the frame around a
 * packet, never in the packet.
 */
import { HEADER_BYTES, PAYLOAD_OVERHEAD_BYTES } from './constants.js'

export type PacketSizeName = 'regular' | 'ack' | 'extended32' | 'extended8' | 'extended16'

export interface PacketSize {
  /** The byte in frames. Not in order of length. */
  readonly tag: 1 | 2 | 3 | 4 | 5
  readonly name: PacketSizeName
  /** Whole packet on the wire. */
  readonly packetBytes: number
  /** Payload as encrypted: packet without its 348-byte header. */
  readonly payloadBytes: number
  /** Longest message: payload without its 17 bytes of padding overhead. */
  readonly plaintextBytes: number
}

export const PACKET_SIZES: Readonly<Record<PacketSizeName, PacketSize>> = {
  regular: packetSize(1, 'regular', 2048),
  ack: packetSize(2, 'ack', 21),
  extended32: packetSize(3, 'extended32', 32768),
  extended8: packetSize(4, 'extended8', 8192),
  extended16: packetSize(5, 'extended16', 16384),
}

const ALL: readonly PacketSize[] = Object.values(PACKET_SIZES)

/** The size with this tag, undefined for every other byte (6 and 7 are Outfox, not spoken). */
export function packetSizeByTag(tag: number): PacketSize | undefined {
  return ALL.find((size) => size.tag === tag)
}

/** The size of a packet of exactly so many bytes. */
export function packetSizeByLength(bytes: number): PacketSize | undefined {
  return ALL.find((size) => size.packetBytes === bytes)
}

function packetSize(tag: PacketSize['tag'], name: PacketSizeName, plaintextBytes: number): PacketSize {
  const payloadBytes = plaintextBytes + PAYLOAD_OVERHEAD_BYTES
  return { tag, name, packetBytes: HEADER_BYTES + payloadBytes, payloadBytes, plaintextBytes }
}
