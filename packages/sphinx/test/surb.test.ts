/** SURBs: their two forms by length, refusals, and use with every packet size. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MixError, SeededRandom } from '@mixwright/runtime'
import fc from 'fast-check'
import { createSurb, PACKET_SIZES, surbFromBytes, surbToBytes, useSurb } from '../src/index.js'
import { follow, testRoute } from './network-of-keys.js'
import { providers } from './vectors.js'

const random = new SeededRandom('surb')

/** 380 bytes with a readable first hop, and so much key material. */
function surbBytes(materialBytes: number): Uint8Array {
  const bytes = random.bytes(380 + materialBytes)
  bytes[348] = 4
  return bytes
}

describe('reading SURBs', () => {
  it('takes 1 to 5 seeds and 1 to 5 full keys, and gives the same bytes back', () => {
    for (const [form, keyBytes] of [
      ['key-seeds', 16],
      ['full-keys', 192],
    ] as const)
      for (let hops = 1; hops <= 5; hops++) {
        const bytes = surbBytes(keyBytes * hops)
        const surb = surbFromBytes(bytes)
        assert.equal(surb?.form, form)
        assert.equal(surb?.keys.length, hops)
        assert.deepEqual(surbToBytes(surb!), bytes)
      }
  })

  it('refuses every other length', () => {
    assert.equal(surbFromBytes(new Uint8Array(0)), undefined)
    assert.equal(surbFromBytes(surbBytes(0).subarray(0, 379)), undefined)
    let refused = 0
    for (let material = 0; material <= 1200; material++) {
      const fits =
        (material % 16 === 0 && material >= 16 && material <= 80) ||
        (material % 192 === 0 && material >= 192 && material <= 960)
      assert.equal(surbFromBytes(surbBytes(material)) !== undefined, fits, `${material} bytes of material`)
      if (!fits) refused++
    }
    assert.equal(refused, 1201 - 10)
  })

  it('refuses a first hop that is no address', () => {
    const bytes = surbBytes(64)
    bytes[348] = 5
    assert.equal(surbFromBytes(bytes), undefined)
  })

  it('keeps a copy, of a Buffer too', () => {
    const bytes = Buffer.from(surbBytes(64))
    const before = Uint8Array.from(bytes)
    const surb = surbFromBytes(bytes)
    bytes.fill(0)
    assert.deepEqual(surbToBytes(surb!), before)
  })

  it('never throws on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1500, size: 'max' }), (bytes) => void surbFromBytes(bytes)),
      { numRuns: 300 },
    )
  })
})

for (const crypto of await providers())
  describe(`SURBs with ${crypto.name}`, () => {
    it('both forms carry a message of every size to their maker', () => {
      for (const version of [258, 259] as const) {
        const { secrets, route, delaysNanos } = testRoute(crypto, random, 4)
        const destination = random.bytes(32)
        const made = createSurb(crypto, random, { route, delaysNanos, destination, version })
        assert.equal(surbToBytes(made).length, version === 258 ? 1148 : 444)
        for (const packetSize of [PACKET_SIZES.ack, PACKET_SIZES.regular, PACKET_SIZES.extended8]) {
          const message = random.bytes(packetSize.plaintextBytes)
          const { nextHop, packet } = useSurb(crypto, surbFromBytes(surbToBytes(made))!, { packetSize, message })
          assert.deepEqual(nextHop, { family: 4, host: '10.0.0.0', port: 1789 })
          assert.equal(packet.length, packetSize.packetBytes)
          const outcome = follow(crypto, secrets, packet)
          assert.ok(outcome.kind === 'final')
          assert.deepEqual(outcome.destination, destination)
          assert.deepEqual(outcome.message, message)
        }
        const tooLong = { packetSize: PACKET_SIZES.ack, message: new Uint8Array(22) }
        assert.throws(
          () => useSurb(crypto, made, tooLong),
          (error) => error instanceof MixError && error.code === 'MIX_SPHINX_MESSAGE_TOO_LONG',
        )
      }
    })
  })
