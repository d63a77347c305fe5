/** Lengths of the Sphinx packet and its parts, bytes (01-sphinx §2). Every other file of this package takes them from here. */

/** Longest route of a packet. */
export const MAX_HOPS = 5
/** X25519 public value that opens a packet. */
export const ALPHA_BYTES = 32
/** HMAC-SHA256 over beta, cut to its first bytes. */
export const MAC_BYTES = 16
/** What one hop takes from beta: its routing block (44) and the next MAC (16). */
export const HOP_BYTES = 60
/** Encrypted routing information of all hops. */
export const BETA_BYTES = HOP_BYTES * MAX_HOPS
/** alpha ‖ gamma ‖ beta: 348. */
export const HEADER_BYTES = ALPHA_BYTES + MAC_BYTES + BETA_BYTES
/** Key stream that a hop needs: beta and the hop's worth of zeros that it appends. */
export const KEYSTREAM_BYTES = BETA_BYTES + HOP_BYTES
/** Node address inside a routing block, zero-padded. */
export const ADDRESS_BYTES = 32
export const DESTINATION_BYTES = 32
export const IDENTIFIER_BYTES = 16
/** Sixteen zero bytes in front of the message and the marker behind it. */
export const PAYLOAD_OVERHEAD_BYTES = 17
/** LIONESS needs more than its 32-byte left half. */
export const MIN_PAYLOAD_BYTES = 33

/** LIONESS key. */
export const PAYLOAD_KEY_BYTES = 192
/** What a payload key is derived from, version 259. */
export const PAYLOAD_SEED_BYTES = 16

/** Flags of a routing block. */
export const FORWARD_HOP = 1
export const FINAL_HOP = 2

/** Full payload keys; what official clients up to 1.21 send as cover traffic. */
export const VERSION_FULL_KEYS = 258
/** Payload key seeds; what everybody sends, and how unknown numbers are treated. */
export const VERSION_KEY_SEEDS = 259

/** Versions that need unclamped multiplication: refused. */
export function isUnsupportedVersion(version: number): boolean {
  return version === 1 || version === 257
}
