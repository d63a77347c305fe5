/** The one-byte hint which Sphinx key of a node a packet was made for (01-sphinx §11.2). */

/** 0 unknown, 1 odd, 2 even. */
export type KeyRotation = 0 | 1 | 2

export const UNKNOWN_ROTATION: KeyRotation = 0
export const ODD_ROTATION: KeyRotation = 1
export const EVEN_ROTATION: KeyRotation = 2

/** Rotation id of nodes that predate rotation; always sent as unknown. */
export const LEGACY_ROTATION_ID = 0xffff_ffff

/** The wire value of a rotation id (u32): 0 and 2³²−1 → unknown, even → 2, odd → 1. */
export function rotationOfId(rotationId: number): KeyRotation {
  if (rotationId === 0 || rotationId === LEGACY_ROTATION_ID) return UNKNOWN_ROTATION
  return rotationId % 2 === 0 ? EVEN_ROTATION : ODD_ROTATION
}

/** Whether `byte` is one of the three values. */
export function isKeyRotation(byte: number | undefined): byte is KeyRotation {
  return byte === 0 || byte === 1 || byte === 2
}
