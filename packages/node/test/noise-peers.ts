/** Keys and peers for the Noise tests. */
import { fromHex, type Random } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import type { NoiseKeyPair } from '../src/noise/handshake.js'
import type { NoisePeers } from '../src/noise/noise-policy.js'

export function newKeyPair(crypto: CryptoProvider, random: Random): NoiseKeyPair {
  const secret = random.bytes(32)
  return { secret, publicKey: crypto.x25519Base(secret) }
}

/** Peers as a directory lists them: key by address and port. Remembers what it was asked. */
export class ListedPeers implements NoisePeers {
  readonly asked: string[] = []
  readonly #keys: ReadonlyMap<string, Uint8Array>

  constructor(keys: Readonly<Record<string, Uint8Array>> = {}) {
    this.#keys = new Map(Object.entries(keys))
  }

  noiseKeyOf({ host, port }: { host: string; port: number }): Uint8Array | undefined {
    this.asked.push(`${host} ${port}`)
    return this.#keys.get(`${host} ${port}`)
  }

  speaksNoise(ip: string): boolean {
    this.asked.push(ip)
    return [...this.#keys.keys()].some((key) => key.startsWith(`${ip} `))
  }
}

/** The points of Curve25519 of which every multiple by a clamped scalar is zero: canonical ones, then p and p + 1. */
export const LOW_ORDER_POINTS: readonly Uint8Array[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map(fromHex)
