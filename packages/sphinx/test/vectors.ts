/** The test vectors of the official crates as the tests of this package read them; each file describes its fields. */
import { readFileSync } from 'node:fs'
import { type CryptoProvider, type CryptoProviderName, loadCryptoProvider, type NodeAddress } from '../src/index.js'

export interface VectorHop {
  readonly node_secret: string
  readonly node_public: string
  readonly alpha_in: string
  readonly shared_secret: string
  readonly expanded: Readonly<Record<string, string>>
  readonly version: number
  readonly type: 'forward' | 'final'
  readonly next_hop_address?: string
  readonly delay_nanos?: string
  readonly packet_out?: string
}

/** A packet or a SURB with everything that it was built from, and what every hop made of it. */
export interface PacketCase {
  readonly name: string
  readonly version: number
  readonly payload_size: number
  readonly initial_secret: string
  readonly message: string
  readonly destination: string
  readonly identifier: string
  readonly delays_nanos: readonly string[]
  readonly node_addresses: readonly string[]
  readonly final_hop_padding: string
  readonly packet: string
  readonly hops: readonly VectorHop[]
  readonly recovered_plaintext: string
}

export interface SurbCase extends PacketCase {
  readonly surb: string
  readonly uses_key_seeds: boolean
  readonly first_hop: string
}

export interface KeyCase {
  readonly x: string
  readonly alpha: string
  readonly node_secret: string
  readonly node_public: string
  readonly shared_secret: string
  readonly expanded_288: string
  readonly expanded: Readonly<Record<string, string>>
  readonly next_alpha_x25519: string
}

export interface LionessCase {
  readonly len: number
  readonly key: string
  readonly plaintext: string
  readonly ciphertext: string
  readonly decrypt_of_plaintext: string
}

/** A file of `vectors/` at the top of the repository; this file runs from `dist/test`. */
export function readVectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../../vectors/${name}.json`, import.meta.url), 'utf8')) as T
}

/** Every provider of this machine. All three are expected: where sodium-native has no binary, its tests fail on purpose. */
export const PROVIDER_NAMES: readonly CryptoProviderName[] = ['sodium-native', 'libsodium-wasm', 'noble']

export async function providers(): Promise<CryptoProvider[]> {
  return Promise.all(PROVIDER_NAMES.map((name) => loadCryptoProvider(name)))
}

/** `host:port`, with brackets around IPv6, as the vectors write it. */
export function socketText(address: NodeAddress): string {
  return address.family === 6 ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/** Points of order 1, 2, 4 and 8, some in two spellings; every multiplication gives zero. */
export const LOW_ORDER_POINTS = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]
