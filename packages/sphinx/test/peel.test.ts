/** Peeling bad packets: each way to be bad ends in its own drop, at the right hop, and never in a throw. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromHex, SeededRandom, toHex } from '@mixwright/runtime'
import {
  buildPacket,
  type CryptoProvider,
  finishPeels,
  openHeaders,
  PACKET_SIZES,
  type PeelDropReason,
  type PeelOutcome,
  peel,
} from '../src/index.js'
import { expandHopKeys, payloadKeys } from '../src/keys.js'
import { lionessEncrypt } from '../src/lioness.js'
import { follow, forgePacket, testRoute } from './network-of-keys.js'
import { LOW_ORDER_POINTS, providers } from './vectors.js'

const all = await providers()
const drop = (reason: PeelDropReason): PeelOutcome => ({ kind: 'drop', reason })

for (const crypto of all)
  describe(`peeling with ${crypto.name}`, () => {
    const random = new SeededRandom('peel')
    const { secrets, route, delaysNanos } = testRoute(crypto, random, 4)
    const message = random.bytes(21)
    const options = { route, delaysNanos, destination: random.bytes(32), packetSize: PACKET_SIZES.ack, message }
    const packet = buildPacket(crypto, random, options)

    it('every flipped header bit but the top one of alpha is a MAC failure at the first hop', (t) => {
      let flips = 0
      for (let bit = 0; bit < 348 * 8; bit++) {
        const broken = new Uint8Array(packet)
        broken[bit >> 3]! ^= 1 << (bit & 7)
        const outcome = peel(crypto, secrets[0]!, broken)
        if (bit === 31 * 8 + 7) {
          // X25519 ignores this bit: the same packet, the same replay tag.
          assert.deepEqual(outcome, peel(crypto, secrets[0]!, packet))
          continue
        }
        assert.deepEqual(outcome, drop('header-mac'), `bit ${bit}`)
        flips++
      }
      t.diagnostic(`${flips} flipped bits, each a header-mac drop`)
      assert.equal(flips, 2783)
    })

    it('a flipped payload bit passes to the end and fails there', () => {
      for (const bit of [0, 7, 128, 255, 256, 257, 303]) {
        const broken = new Uint8Array(packet)
        broken[348 + (bit >> 3)]! ^= 1 << (bit & 7)
        assert.deepEqual(follow(crypto, secrets, broken), drop('payload'))
        assert.equal(follow(crypto, secrets.slice(0, 3), broken).kind, 'forward')
      }
    })

    it('a low-order alpha is a drop of its own', () => {
      for (const point of LOW_ORDER_POINTS) {
        const broken = new Uint8Array(packet)
        broken.set(fromHex(point))
        assert.deepEqual(peel(crypto, secrets[0]!, broken), drop('low-order-point'))
      }
    })

    it('another node’s key is a MAC failure', () => {
      assert.deepEqual(peel(crypto, secrets[1]!, packet), drop('header-mac'))
    })

    it('fewer bytes than a header and a payload', () => {
      for (const length of [0, 1, 32, 348, 365, 380])
        assert.deepEqual(peel(crypto, secrets[0]!, packet.subarray(0, length)), drop('too-short'))
      assert.equal(peel(crypto, secrets[0]!, packet.subarray(0, 381)).kind, 'forward')
    })

    it('genuine headers with a bad routing block', () => {
      const { publicKey, address } = route[0]!
      const outcome = (block: number[], rest: Uint8Array = address) => {
        const forged = forgePacket(crypto, random, publicKey, Uint8Array.from([...block, ...rest]), random.bytes(38))
        return peel(crypto, secrets[0]!, forged)
      }
      for (const flag of [0, 3, 128, 255]) assert.deepEqual(outcome([flag, 0, 1, 3]), drop('routing-flag'))
      for (const flag of [1, 2])
        for (const [high, low] of [
          [0, 1],
          [1, 1],
        ] as const) {
          assert.deepEqual(outcome([flag, 0, high, low]), drop('unsupported-version'))
          assert.deepEqual(outcome([flag, 9, high, low]), drop('unsupported-version'))
        }
      for (const family of [0, 5, 255])
        assert.deepEqual(outcome([1, 0, 1, 3], new Uint8Array(32).fill(family)), drop('next-hop-address'))
      assert.deepEqual(outcome([2, 0, 1, 3]), drop('payload'))
      // The first version byte is not looked at; numbers nobody knows are 259.
      for (const [first, high, low] of [
        [7, 1, 3],
        [0, 0, 0],
        [0, 1, 0],
        [0, 1, 4],
        [0, 255, 255],
      ] as const) {
        const forward = outcome([1, first, high, low])
        assert.ok(forward.kind === 'forward')
        assert.equal(forward.version, high * 256 + low)
      }
    })

    it('garbage behind the marker is accepted, missing zeros or marker are not', () => {
      const { publicKey } = route[0]!
      const seal = (payload: Uint8Array) => {
        // The keys are known only once the packet is forged, so its payload is put in afterwards.
        const forged = forgePacket(crypto, random, publicKey, Uint8Array.of(2, 0, 1, 3), payload)
        const keys = expandHopKeys(crypto, [crypto.x25519(secrets[0]!, forged.subarray(0, 32))!])[0]!
        lionessEncrypt(crypto, payloadKeys(crypto, [{ keys, version: 259 }])[0]!, forged.subarray(348))
        return peel(crypto, secrets[0]!, forged)
      }
      const padded = (...bytes: number[]) => {
        const payload = new Uint8Array(38)
        payload.set(bytes, 16)
        return payload
      }
      const good = seal(padded(5, 1, 0, 0, 9))
      assert.equal(good.kind === 'final' && toHex(good.message), '05')
      const inside = seal(padded(1, 1, 0, 1))
      assert.equal(inside.kind === 'final' && toHex(inside.message), '010100')
      const empty = seal(padded(1))
      assert.equal(empty.kind === 'final' && empty.message.length, 0)
      assert.deepEqual(seal(padded()), drop('payload'))
      assert.deepEqual(seal(padded(5, 2, 3)), drop('payload'))
      const early = padded(5, 1)
      early[15] = 1
      assert.deepEqual(seal(early), drop('payload'))
    })

    it('the replay tag is there before the payload is touched, and is the same for another payload', () => {
      const changed = new Uint8Array(packet)
      changed[380]! ^= 1
      const [first, second] = openHeaders(crypto, secrets[0]!, [packet, changed])
      assert.ok(first?.kind === 'opened' && second?.kind === 'opened')
      assert.deepEqual(second.replayTag, first.replayTag)
      const [outcome] = finishPeels(crypto, [first])
      assert.ok(outcome?.kind === 'forward')
      assert.deepEqual(outcome.replayTag, second.replayTag)
      assert.ok(
        first.keys.expanded.every((byte) => byte === 0),
        'keys are wiped',
      )
      assert.ok(!first.replayTag.every((byte) => byte === 0))
    })

    it('many packets, good and bad, become what each becomes alone', () => {
      const spoilt = (at: number) => packet.map((byte, index) => (index === at ? byte ^ 1 : byte))
      const lowOrder = new Uint8Array(packet)
      lowOrder.set(fromHex(LOW_ORDER_POINTS[0]!))
      const packets = [
        packet,
        buildPacket(crypto, random, { ...options, version: 258 }),
        spoilt(60),
        buildPacket(crypto, random, { ...options, packetSize: PACKET_SIZES.regular }),
        packet.subarray(0, 380),
        lowOrder,
        buildPacket(crypto, random, { ...options, route: route.slice(0, 1), delaysNanos: [0n] }),
        forgePacket(crypto, random, route[0]!.publicKey, Uint8Array.of(3), packet.subarray(348)),
        spoilt(400),
        ...Array.from({ length: 10 }, () => buildPacket(crypto, random, options)),
      ]
      const alone = packets.map((one) => peel(crypto, secrets[0]!, one))
      for (const count of [0, 2, 3, 4, packets.length]) {
        const opened = openHeaders(crypto, secrets[0]!, packets.slice(0, count))
        const genuine = opened.filter((header) => header.kind === 'opened')
        const peeled = finishPeels(crypto, genuine)
        assert.ok(genuine.every(({ keys }) => keys.expanded.every((byte) => byte === 0)))
        assert.deepEqual(
          opened.map((header) => (header.kind === 'drop' ? header : peeled.shift())),
          alone.slice(0, count),
        )
      }
      const kinds = alone.map((outcome) => (outcome.kind === 'drop' ? outcome.reason : outcome.kind))
      assert.deepEqual(kinds.slice(0, 9), [
        'forward',
        'forward',
        'header-mac',
        'forward',
        'too-short',
        'low-order-point',
        'final',
        'routing-flag',
        'forward',
      ])
    })

    it('takes Buffers and leaves them as they are', () => {
      sharedMemory(crypto, secrets, packet, message)
    })
  })

/** `slice` of a Buffer shares memory where that of a Uint8Array copies: nothing may be decrypted in the input. */
function sharedMemory(
  crypto: CryptoProvider,
  secrets: readonly Uint8Array[],
  packet: Uint8Array,
  message: Uint8Array,
): void {
  let current = Buffer.from(packet)
  for (const secret of secrets) {
    const before = current.toString('hex')
    const outcome = peel(crypto, secret, current)
    assert.equal(current.toString('hex'), before)
    if (outcome.kind === 'final') assert.deepEqual(new Uint8Array(outcome.message), message)
    else {
      assert.ok(outcome.kind === 'forward')
      current = Buffer.from(outcome.packet)
    }
  }
}
