/**
 * The Sphinx keys that a node holds: one primary, and around a key rotation a secondary (05-mixnode §10). Which of them
 * a frame may have been made for is decided by its rotation hint (05-mixnode §7.1). Rotating them is somebody else's.
 */
import type { KeyRotation } from '@mixwright/wire'

export interface SphinxKey {
  /** u32, see 03-directory §7. */
  readonly rotationId: number
  /** X25519, 32 bytes each. */
  readonly secret: Uint8Array
  readonly publicKey: Uint8Array
}

export class SphinxKeys {
  readonly primary: SphinxKey
  readonly secondary: SphinxKey | undefined
  readonly #both: readonly SphinxKey[]
  readonly #primaryOnly: readonly SphinxKey[]
  readonly #secondaryOnly: readonly SphinxKey[]

  constructor(primary: SphinxKey, secondary?: SphinxKey) {
    this.primary = primary
    this.secondary = secondary
    this.#primaryOnly = [primary]
    this.#secondaryOnly = secondary ? [secondary] : []
    this.#both = [...this.#primaryOnly, ...this.#secondaryOnly]
  }

  /**
   * The keys to try, in order. Unknown rotation (every v7 frame): the primary, and the secondary if the header MAC
   * fails. Odd or even: the primary if its id has that parity, else the secondary whatever its parity. May be empty:
   * the key has expired.
   */
  candidates(rotation: KeyRotation): readonly SphinxKey[] {
    if (rotation === 0) return this.#both
    const primaryParity = this.primary.rotationId % 2 === 0 ? 2 : 1
    return rotation === primaryParity ? this.#primaryOnly : this.#secondaryOnly
  }
}
