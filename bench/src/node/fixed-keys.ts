/**
 * What the prepared packets are made for: fixed keys of the node under test and a fixed address of the sink behind it, so that
 * packets can be prepared once and used by every row and every run. They protect nobody.
 */
import { SeededRandom } from '@mixwright/runtime'
import type { CryptoProvider, NodeAddress } from '@mixwright/sphinx'
import type { KeyRotation } from '@mixwright/wire'

/** Rotation of the node's Sphinx key, and the hint in every frame: even. */
export const ROTATION_ID = 2
export const ROTATION: KeyRotation = 2

/** All addresses of the benchmark are this machine's. */
export const HOST = '127.0.0.1'
/** Where the sink listens: the next hop inside every packet. */
export const SINK_PORT = 28_731
export const SINK_ADDRESS: NodeAddress = { family: 4, host: HOST, port: SINK_PORT }

export interface KeyPair {
  readonly secret: Uint8Array
  readonly publicKey: Uint8Array
}

/** X25519 key pair of one party and purpose. */
export function keyPair(
  crypto: CryptoProvider,
  name: 'node-sphinx' | 'node-noise' | 'sink-sphinx' | 'generator-noise',
): KeyPair {
  const secret = new SeededRandom(`mixwright bench:node ${name}`).bytes(32)
  return { secret, publicKey: crypto.x25519Base(secret) }
}
