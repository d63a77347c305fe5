/** Building packets: sizes, limits and refusals, the short way to a route's keys, and that all providers agree. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromHex, MixError, SeededRandom, toHex } from '@mixwright/runtime'
import fc from 'fast-check'
import {
  buildPacket,
  createSurb,
  PACKET_SIZES,
  type PacketOptions,
  packetSizeByLength,
  packetSizeByTag,
  peel,
  surbToBytes,
  useSurb,
} from '../src/index.js'
import { expandHopKeys } from '../src/keys.js'
import { clampedRepresentative, routeKeys, sharedSecretsByChain } from '../src/route-secrets.js'
import { follow, testRoute } from './network-of-keys.js'
import { LOW_ORDER_POINTS, providers } from './vectors.js'

const all = await providers()
const fastest = all[0]!
const code = (expected: string) => (error: unknown) => error instanceof MixError && error.code === expected

describe('packet sizes', () => {
  it('tag and length lead to the same size', () => {
    const lengths = { regular: 2413, ack: 386, extended32: 33133, extended8: 8557, extended16: 16749 }
    for (const size of Object.values(PACKET_SIZES)) {
      assert.equal(size.packetBytes, lengths[size.name])
      assert.equal(packetSizeByTag(size.tag), size)
      assert.equal(packetSizeByLength(size.packetBytes), size)
    }
    for (const tag of [0, 6, 7, 255]) assert.equal(packetSizeByTag(tag), undefined)
    for (const length of [0, 365, 2412, 2414, 2371, 377]) assert.equal(packetSizeByLength(length), undefined)
  })
})

for (const crypto of all)
  describe(`building with ${crypto.name}`, () => {
    const random = new SeededRandom('build')
    const destination = random.bytes(32)

    it('in every size a message of N − 17 bytes fits and one of N − 16 throws', () => {
      const { secrets, route, delaysNanos } = testRoute(crypto, random, 2)
      for (const packetSize of Object.values(PACKET_SIZES)) {
        const options = { route, delaysNanos, destination, packetSize }
        for (const bytes of [packetSize.plaintextBytes, 0, 1]) {
          const message = random.bytes(bytes)
          const packet = buildPacket(crypto, random, { ...options, message })
          assert.equal(packet.length, packetSize.packetBytes)
          const outcome = follow(crypto, secrets, packet)
          assert.ok(outcome.kind === 'final')
          assert.deepEqual(outcome.message, message)
          assert.deepEqual(outcome.destination, destination)
        }
        const message = new Uint8Array(packetSize.plaintextBytes + 1)
        assert.throws(() => buildPacket(crypto, random, { ...options, message }), code('MIX_SPHINX_MESSAGE_TOO_LONG'))
      }
    })

    it('a payload of 33 bytes works, one of 32 throws', () => {
      const { secrets, route, delaysNanos } = testRoute(crypto, random, 5)
      const options = { route, delaysNanos, destination, message: random.bytes(16) }
      const outcome = follow(crypto, secrets, buildPacket(crypto, random, { ...options, payloadBytes: 33 }))
      assert.ok(outcome.kind === 'final')
      assert.deepEqual(outcome.message, options.message)
      for (const payloadBytes of [32, 0, -1, 33.5, Number.NaN])
        assert.throws(() => buildPacket(crypto, random, { ...options, payloadBytes }), code('MIX_SPHINX_PAYLOAD_SIZE'))
    })

    it('1 to 5 hops in versions 258 and 259, the same keys the short way and by the chain', () => {
      for (let hops = 1; hops <= 5; hops++)
        for (const version of [258, 259] as const) {
          const { secrets, route, delaysNanos } = testRoute(crypto, random, hops)
          const message = random.bytes(21)
          const packet = buildPacket(crypto, random, {
            ...{ route, delaysNanos, destination, version, message },
            packetSize: PACKET_SIZES.ack,
          })
          const outcome = follow(crypto, secrets, packet)
          assert.ok(outcome.kind === 'final')
          assert.equal(outcome.version, version)
          assert.deepEqual(outcome.message, message)
          const [secret, publicKeys] = [random.bytes(32), route.map((node) => node.publicKey)] as const
          const short = routeKeys(crypto, secret, publicKeys)
          sharedSecretsByChain(crypto, secret, publicKeys).forEach((shared, i) => {
            const { expanded } = short[i]!
            assert.deepEqual(expanded, expandHopKeys(crypto, [shared])[0]!.expanded.subarray(0, expanded.length))
          })
        }
    })

    it('a low-order public key throws', () => {
      const { route, delaysNanos } = testRoute(crypto, random, 2)
      const bad = [route[0]!, { address: route[1]!.address, publicKey: fromHex(LOW_ORDER_POINTS[2]!) }]
      const options = { route: bad, delaysNanos, destination, payloadBytes: 38, message: random.bytes(1) }
      assert.throws(() => buildPacket(crypto, random, options), code('MIX_SPHINX_PUBLIC_KEY'))
    })
  })

describe('building', () => {
  const random = new SeededRandom('building')

  it('refuses routes and fields of a wrong length', () => {
    const { route, delaysNanos } = testRoute(fastest, random, 3)
    const good: PacketOptions = {
      ...{ route, delaysNanos, destination: random.bytes(32), message: random.bytes(3) },
      packetSize: PACKET_SIZES.ack,
    }
    assert.equal(buildPacket(fastest, random, good).length, 386)
    const six = testRoute(fastest, random, 6)
    const bad: Partial<PacketOptions>[] = [
      { route: [], delaysNanos: [] },
      { route: six.route, delaysNanos: six.delaysNanos },
      { delaysNanos: delaysNanos.slice(1) },
      { delaysNanos: [0n, 0n, -1n] },
      { delaysNanos: [1n << 64n, 0n, 0n] },
      { route: [{ ...route[0]!, address: new Uint8Array(31) }, ...route.slice(1)] },
      { route: [{ ...route[0]!, publicKey: new Uint8Array(33) }, ...route.slice(1)] },
      { destination: new Uint8Array(31) },
      { identifier: new Uint8Array(15) },
      { initialSecret: new Uint8Array(31) },
      { finalHopPadding: new Uint8Array(127) },
    ]
    for (const options of bad)
      assert.throws(
        () => buildPacket(fastest, random, { ...good, ...options } as PacketOptions),
        code('MIX_SPHINX_ROUTE'),
      )
    for (const version of [0, 1, 257, 260])
      assert.throws(
        () => buildPacket(fastest, random, { ...good, version } as unknown as PacketOptions),
        code('MIX_SPHINX_VERSION'),
      )
  })

  it('the largest delay and an identifier arrive as they were given', () => {
    const { secrets, route } = testRoute(fastest, random, 2)
    const identifier = random.bytes(16)
    const packet = buildPacket(fastest, random, {
      ...{ route, delaysNanos: [(1n << 64n) - 1n, 5n], destination: random.bytes(32), identifier },
      ...{ payloadBytes: 38, message: random.bytes(21) },
    })
    const first = peel(fastest, secrets[0]!, packet)
    assert.ok(first.kind === 'forward')
    assert.equal(first.delayNanos, (1n << 64n) - 1n)
    assert.deepEqual(first.nextHop, { family: 6, host: '2001:db8::1', port: 1790 })
    const last = peel(fastest, secrets[1]!, first.packet)
    assert.ok(last.kind === 'final')
    assert.deepEqual(last.identifier, identifier)
  })

  it('the final block is padded with random bytes, never with zeros', () => {
    const { secrets, route, delaysNanos } = testRoute(fastest, random, 1)
    const options = {
      route,
      delaysNanos,
      destination: new Uint8Array(32),
      payloadBytes: 38,
      message: new Uint8Array(21),
    }
    const padding = (seed: string) => {
      const packet = buildPacket(fastest, new SeededRandom(seed), { ...options, initialSecret: secrets[0]! })
      const keys = expandHopKeys(fastest, [fastest.x25519(secrets[0]!, packet.subarray(0, 32))!])[0]!
      return fastest.aes128Ctr(keys.stream, packet.subarray(48, 348)).subarray(52)
    }
    assert.notDeepEqual(padding('a'), padding('b'))
    assert.ok(padding('a').filter((byte) => byte === 0).length < 12)
  })

  it('a scalar has a clamped representative, which it shares with its negative', () => {
    const order = 0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3edn
    for (let i = 0; i < 5000; i++) {
      const scalar = BigInt(`0x${toHex(random.bytes(40))}`) % order
      const bytes = clampedRepresentative(scalar)
      assert.ok(bytes !== undefined)
      assert.equal(bytes[0]! & 7, 0)
      assert.equal(bytes[31]! >> 6, 1)
      const value = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
      assert.ok(value % order === scalar || value % order === order - scalar)
      assert.deepEqual(clampedRepresentative(order - scalar), bytes)
    }
    // The exception, for which routes fall back to the chain: small multiples of 8, and their negatives.
    assert.equal(clampedRepresentative(order - 8n), undefined)
    assert.equal(clampedRepresentative(8n), undefined)
  })

  it('all providers build the same bytes and peel them alike', (t) => {
    let packets = 0
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom(258 as const, 259 as const),
        fc.integer({ min: 33, max: 2100 }),
        fc.nat(0xffffffff),
        (hops, version, payloadBytes, seed) => {
          const { secrets, route, delaysNanos } = testRoute(fastest, new SeededRandom(`route ${seed}`), hops)
          const message = new SeededRandom(`message ${seed}`).bytes(seed % (payloadBytes - 16))
          const header = { route, delaysNanos, destination: secrets[0]!, version }
          const built = all.map((crypto) =>
            buildPacket(crypto, new SeededRandom(`packet ${seed}`), { ...header, payloadBytes, message }),
          )
          const replies = all.map((crypto) => {
            const surb = createSurb(crypto, new SeededRandom(`surb ${seed}`), header)
            return [surbToBytes(surb), useSurb(crypto, surb, { payloadBytes, message })] as const
          })
          for (let i = 1; i < all.length; i++) {
            assert.deepEqual(built[i], built[0])
            assert.deepEqual(replies[i], replies[0])
          }
          for (const packet of [built[0]!, replies[0]![1].packet]) {
            const [expected, ...others] = all.map((crypto) => follow(crypto, secrets, packet))
            for (const other of others) assert.deepEqual(other, expected)
            assert.ok(expected?.kind === 'final')
            assert.deepEqual(expected.message, message)
            packets++
          }
        },
      ),
      { numRuns: 40, seed: 1 },
    )
    t.diagnostic(`${packets} packets, ${all.length} providers`)
  })
})
