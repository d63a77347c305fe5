/** Routes for the tests: nodes with secret keys from a seeded generator, and packets followed through all of them. */
import assert from 'node:assert/strict'
import type { Random } from '@mixwright/runtime'
import { type CryptoProvider, encodeNodeAddress, type PeelOutcome, peel, type RouteNode } from '../src/index.js'
import { expandHopKeys } from '../src/keys.js'

export interface TestRoute {
  readonly secrets: readonly Uint8Array[]
  readonly route: readonly RouteNode[]
  readonly delaysNanos: readonly bigint[]
}

/** A route of so many hops; hop i listens on 10.0.0.i, IPv6 at every second one. */
export function testRoute(crypto: CryptoProvider, random: Random, hops: number): TestRoute {
  const secrets = Array.from({ length: hops }, () => random.bytes(32))
  const route = secrets.map((secret, i) => ({
    address: encodeNodeAddress(
      i % 2 === 0 ? { family: 4, host: `10.0.0.${i}`, port: 1789 } : { family: 6, host: `2001:db8::${i}`, port: 1790 },
      32,
    ),
    publicKey: crypto.x25519Base(secret),
  }))
  return { secrets, route, delaysNanos: secrets.map((_, i) => BigInt(i) * 1_000_000n) }
}

/** Peel at every hop in turn; the outcome of the last one, or of the first that is no forward. */
export function follow(crypto: CryptoProvider, secrets: readonly Uint8Array[], packet: Uint8Array): PeelOutcome {
  let current = packet
  for (const [i, secret] of secrets.entries()) {
    const outcome = peel(crypto, secret, current)
    if (outcome.kind !== 'forward' || i === secrets.length - 1) return outcome
    assert.equal(outcome.packet.length, packet.length)
    current = outcome.packet
  }
  throw new Error('a route has hops')
}

/**
 * A packet whose header is genuine for one node and whose decrypted routing block starts with `block` (at most 300
 * bytes): what a malicious sender can make.
 */
export function forgePacket(
  crypto: CryptoProvider,
  random: Random,
  publicKey: Uint8Array,
  block: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  const secret = random.bytes(32)
  const keys = expandHopKeys(crypto, [crypto.x25519(secret, publicKey)!])[0]!
  const plain = random.bytes(300)
  plain.set(block)
  const beta = crypto.aes128Ctr(keys.stream, plain)
  const packet = new Uint8Array(348 + payload.length)
  packet.set(crypto.x25519Base(secret))
  packet.set(crypto.hmacSha256(keys.mac, beta).subarray(0, 16), 32)
  packet.set(beta, 48)
  packet.set(payload, 348)
  return packet
}
