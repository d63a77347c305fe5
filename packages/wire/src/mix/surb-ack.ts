/**
 * The SURB-ack in front of every message at its final hop (01-sphinx §8, 02-gateway §9.1): a complete ack-size packet
 * that the recipient's gateway sends home, with the address of its first hop.
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 19 | first hop, zero padded |
 * | 19 | 386 | Sphinx packet of ack size |
 * | 405 | rest | message |
 */
import { concatBytes } from '@mixwright/runtime'
import { decodeNodeAddress, encodeNodeAddress, type NodeAddress } from '@mixwright/sphinx'

/** Bytes of the padded first-hop address. */
export const ACK_ADDRESS_BYTES = 19
/** Bytes of an ack-size Sphinx packet. */
export const ACK_PACKET_BYTES = 386
/** Bytes of the whole SURB-ack: 405. */
export const SURB_ACK_BYTES = ACK_ADDRESS_BYTES + ACK_PACKET_BYTES

export interface SurbAck {
  readonly firstHop: NodeAddress
  /** 386 bytes. */
  readonly packet: Uint8Array
}

/** Cut the SURB-ack off a final-hop plaintext; undefined when too short or its address is unreadable. Views, not copies. */
export function splitSurbAck(
  plaintext: Uint8Array,
): { readonly ack: SurbAck; readonly message: Uint8Array } | undefined {
  if (plaintext.length < SURB_ACK_BYTES) return undefined
  const decoded = decodeNodeAddress(plaintext.subarray(0, ACK_ADDRESS_BYTES))
  if (decoded === undefined) return undefined
  const packet = plaintext.subarray(ACK_ADDRESS_BYTES, SURB_ACK_BYTES)
  return { ack: { firstHop: decoded.address, packet }, message: plaintext.subarray(SURB_ACK_BYTES) }
}

/** The 405 bytes that go in front of a message. */
export function encodeSurbAck(ack: SurbAck): Uint8Array {
  if (ack.packet.length !== ACK_PACKET_BYTES) throw new RangeError(`an ack packet has ${ACK_PACKET_BYTES} bytes`)
  return concatBytes(encodeNodeAddress(ack.firstHop, ACK_ADDRESS_BYTES), ack.packet)
}
