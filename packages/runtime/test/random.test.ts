/** Randomness: lengths, replay from a seed, independence of streams, and the two draws made from bytes. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, type Random, SeededRandom, SystemRandom, shuffled, toHex, uniform } from '@mixwright/runtime'
import fc from 'fast-check'

describe('SystemRandom', () => {
  it('gives as many bytes as asked for, also beyond what the system answers at once', () => {
    const random = new SystemRandom()
    for (const length of [0, 1, 32, 1_024, 1_025, 4_096, 65_536, 65_537, 200_000])
      assert.equal(random.bytes(length).length, length)
    const large = random.bytes(200_000)
    for (const part of [large.subarray(65_536, 65_600), large.subarray(199_936)])
      assert.notDeepEqual(part, new Uint8Array(64))
  })

  it('never hands out the same bytes twice', () => {
    const random = new SystemRandom()
    const seen = new Set(Array.from({ length: 2_000 }, () => toHex(random.bytes(16))))
    assert.equal(seen.size, 2_000)
    assert.ok(!seen.has('00'.repeat(16)))
  })
})

describe('SeededRandom', () => {
  it('replays the same bytes for the same seed, however they are asked for', () => {
    const lengths = fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 20 })
    fc.assert(
      fc.property(fc.string(), lengths, (seed, list) => {
        const pieces = new SeededRandom(seed)
        const total = list.reduce((sum, length) => sum + length, 0)
        assert.deepEqual(
          concatBytes(...list.map((length) => pieces.bytes(length))),
          new SeededRandom(seed).bytes(total),
        )
      }),
    )
  })

  it('gives these bytes for ever: a recorded run must replay in a later version', () => {
    assert.equal(toHex(new SeededRandom('mixwright').bytes(40)), RECORDED)
  })

  it('gives other bytes for another seed or label, the same for the same label, whenever it is forked', () => {
    const streams: Random[] = ['a', 'b'].flatMap((seed) => {
      const random = new SeededRandom(seed)
      return [random.fork('x'), random.fork('y'), random.fork('x').fork('y'), random]
    })
    assert.equal(new Set(streams.map((stream) => toHex(stream.bytes(32)))).size, streams.length)
    const random = new SeededRandom('a')
    const early = random.fork('x').bytes(32)
    random.bytes(1_000)
    assert.deepEqual(random.fork('x').bytes(32), early)
  })
})

/** SHA-256 in counter mode, computed apart from this code. */
const RECORDED = '2f6916c78c28583e286ecb6359a36e9ef67e13ff03f6da1974d7c875dfe4427da80e5b6f48de90d4'

/** Hands out prepared bytes. */
function fixed(bytes: readonly number[]): Random {
  const random: Random = { bytes: (length) => Uint8Array.from(bytes.slice(0, length)), fork: () => random }
  return random
}

describe('uniform', () => {
  it('reaches 0 and stays below 1', () => {
    assert.equal(uniform(fixed(new Array(7).fill(0))), 0)
    assert.equal(uniform(fixed(new Array(7).fill(0xff))), 1 - 2 ** -53)
    assert.equal(uniform(fixed([0x10, 0, 0, 0, 0, 0, 0])), 0.5)
    assert.equal(uniform(fixed([0, 0, 0, 0, 0, 0, 1])), 2 ** -53)
  })

  it('is even', () => {
    const random = new SeededRandom('uniform')
    const bins = new Array<number>(10).fill(0)
    for (let i = 0; i < 10_000; i++) bins[Math.floor(uniform(random) * 10)]!++
    for (const count of bins) assert.ok(count > 850 && count < 1_150, `${bins}`)
  })
})

describe('shuffled', () => {
  it('keeps every item and leaves the given array alone', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.string(), (items, seed) => {
        const before = [...items]
        const order = (a: number, b: number) => a - b
        assert.deepEqual(shuffled(items, new SeededRandom(seed)).sort(order), [...items].sort(order))
        assert.deepEqual(items, before)
      }),
    )
  })

  it('gives every order alike', () => {
    const random = new SeededRandom('shuffled')
    const counts = new Map<string, number>()
    for (let i = 0; i < 6_000; i++) {
      const order = shuffled(['a', 'b', 'c'], random).join('')
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    assert.equal(counts.size, 6)
    for (const count of counts.values()) assert.ok(count > 850 && count < 1_150, `${[...counts]}`)
  })
})
