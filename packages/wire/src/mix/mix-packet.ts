/**
 * The mix packet: what a client hands to its gateway inside a binary frame, and what a node hands to its forwarder
 * (02-gateway §7.2). A Sphinx packet, where it goes next, and the rotation hint that travels with it.
 *
 * | v1 | v2 | bytes | field |
 * |---|---|---|---|
 * | 0 | 0 | 1 | packet type, 0 = mix (Sphinx); everything else is refused |
 * | – | 1 | 1 | key rotation |
 * | 1 | 2 | 7 or 19 | next hop, unpadded |
 * | … | … | rest | Sphinx packet, exactly one of the five sizes |
 */
import { concatBytes } from '@mixwright/runtime'
import { decodeNodeAddress, encodeNodeAddress, type NodeAddress, packetSizeByLength } from '@mixwright/sphinx'
import { isKeyRotation, type KeyRotation, UNKNOWN_ROTATION } from './key-rotation.js'

export const PACKET_TYPE_MIX = 0

export interface MixPacket {
  readonly nextHop: NodeAddress
  readonly rotation: KeyRotation
  /** 386, 2413, 8557, 16749 or 33133 bytes. */
  readonly packet: Uint8Array
}

export type MixPacketVersion = 1 | 2

export type MixPacketError = 'too-short' | 'packet-type' | 'key-rotation' | 'next-hop-address' | 'packet-size'

export type DecodedMixPacket =
  | { readonly kind: 'ok'; readonly mixPacket: MixPacket }
  | { readonly kind: 'error'; readonly error: MixPacketError }

/** Read a mix packet of the given layout. The Sphinx packet is a view into `bytes`, not a copy. Never throws. */
export function decodeMixPacket(bytes: Uint8Array, version: MixPacketVersion): DecodedMixPacket {
  if (bytes.length < version + 1) return refuse('too-short')
  if (bytes[0] !== PACKET_TYPE_MIX) return refuse('packet-type')
  const rotation = version === 2 ? bytes[1] : UNKNOWN_ROTATION
  if (!isKeyRotation(rotation)) return refuse('key-rotation')
  const decoded = decodeNodeAddress(bytes.subarray(version))
  if (decoded === undefined) return refuse('next-hop-address')
  const packet = bytes.subarray(version + decoded.length)
  if (packetSizeByLength(packet.length) === undefined) return refuse('packet-size')
  return { kind: 'ok', mixPacket: { nextHop: decoded.address, rotation, packet } }
}

/** Write a mix packet; version 1 loses the rotation. */
export function encodeMixPacket(mixPacket: MixPacket, version: MixPacketVersion): Uint8Array {
  const head = version === 2 ? Uint8Array.of(PACKET_TYPE_MIX, mixPacket.rotation) : Uint8Array.of(PACKET_TYPE_MIX)
  return concatBytes(head, encodeNodeAddress(mixPacket.nextHop), mixPacket.packet)
}

function refuse(error: MixPacketError): DecodedMixPacket {
  return { kind: 'error', error }
}
