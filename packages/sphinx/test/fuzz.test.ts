/**
 * Mutation fuzz of the peel, from a seed: whatever arrives ends in an outcome, never in a throw, and what is no
 * genuine packet is dropped. The counts are printed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, type Random, SeededRandom, shuffled, uniform } from '@mixwright/runtime'
import { buildPacket, PACKET_SIZES, peel } from '../src/index.js'
import { forgePacket, testRoute } from './network-of-keys.js'
import { providers } from './vectors.js'

/** Noble peels a hundred times slower. */
const ROUNDS = { 'sodium-native': 6000, 'libsodium-wasm': 3000, noble: 300 }

const below = (random: Random, bound: number) => Math.floor(uniform(random) * bound)

/** One way each to spoil a packet; `other` is another genuine packet. */
const MUTATIONS: Record<string, (packet: Uint8Array, other: Uint8Array, random: Random) => Uint8Array> = {
  'flip bits': (packet, _, random) => {
    for (let i = below(random, 8); i >= 0; i--) packet[below(random, packet.length)]! ^= 1 << below(random, 8)
    return packet
  },
  'cut short': (packet, _, random) => packet.subarray(0, below(random, packet.length)),
  'append bytes': (packet, _, random) => concatBytes(packet, random.bytes(1 + below(random, 500))),
  'splice with another': (packet, other, random) => {
    const at = below(random, 348)
    packet.set(other.subarray(at, Math.min(packet.length, at + 1 + below(random, 348))), at)
    return packet
  },
  'random bytes of its length': (packet, _, random) => random.bytes(packet.length),
  'zero a range': (packet, _, random) => packet.fill(0, below(random, packet.length)),
  'shuffle the header': (packet, _, random) => {
    packet.set(shuffled([...packet.subarray(0, 348)], random))
    return packet
  },
}

for (const crypto of await providers())
  describe(`fuzz with ${crypto.name}`, () => {
    it('mutated packets', (t) => {
      const random = new SeededRandom('fuzz mutated')
      const { secrets, route, delaysNanos } = testRoute(crypto, random, 3)
      const options = { route, delaysNanos, destination: random.bytes(32), message: random.bytes(21) }
      const [a, b] = [PACKET_SIZES.ack, PACKET_SIZES.regular].map((packetSize) =>
        buildPacket(crypto, random, { ...options, packetSize }),
      ) as [Uint8Array, Uint8Array]
      const counts = new Map<string, number>()
      const names = Object.keys(MUTATIONS)
      for (let i = 0; i < ROUNDS[crypto.name]; i++) {
        const [packet, other] = i % 2 === 0 ? [a, b] : [b, a]
        const name = names[i % names.length]!
        const mutated = MUTATIONS[name]!(new Uint8Array(packet), other, random)
        const outcome = peel(crypto, secrets[0]!, mutated)
        // A change of the payload alone leaves a genuine header: it travels on.
        if (outcome.kind !== 'drop') assert.deepEqual(mutated.slice(32, 348), packet.slice(32, 348), name)
        const key = outcome.kind === 'drop' ? outcome.reason : outcome.kind
        counts.set(key, (counts.get(key) ?? 0) + 1)
      }
      t.diagnostic(`${ROUNDS[crypto.name]} mutated packets: ${JSON.stringify(Object.fromEntries(counts))}`)
      assert.ok((counts.get('header-mac') ?? 0) > ROUNDS[crypto.name] / 3)
      assert.equal(counts.get('final'), undefined)
    })

    it('genuine headers around any routing block and payload', (t) => {
      const random = new SeededRandom('fuzz forged')
      const [secret] = testRoute(crypto, random, 1).secrets
      const publicKey = crypto.x25519Base(secret!)
      const counts = new Map<string, number>()
      const rounds = ROUNDS[crypto.name] / 4
      for (let i = 0; i < rounds; i++) {
        const block = random.bytes(60)
        block[0] = below(random, 4)
        if (i % 2 === 0) block.set([0, below(random, 2), below(random, 6)], 1)
        if (i % 3 !== 0) block[4] = 3 + below(random, 4)
        const packet = forgePacket(crypto, random, publicKey, block, random.bytes(33 + below(random, 100)))
        const outcome = peel(crypto, secret!, packet)
        const key = outcome.kind === 'drop' ? outcome.reason : outcome.kind
        counts.set(key, (counts.get(key) ?? 0) + 1)
        if (block[0] === 0 || block[0] === 3) assert.equal(key, 'routing-flag')
        else assert.ok(['forward', 'payload', 'unsupported-version', 'next-hop-address'].includes(key), key)
      }
      t.diagnostic(`${rounds} forged packets: ${JSON.stringify(Object.fromEntries(counts))}`)
      for (const key of ['forward', 'payload', 'unsupported-version', 'next-hop-address', 'routing-flag'])
        assert.ok((counts.get(key) ?? 0) > 0, key)
    })
  })
