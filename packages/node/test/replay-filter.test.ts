import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { SeededRandom } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import fc from 'fast-check'
import { FULL_PAGE_RANGE, fits, PAGE_BYTES, pageShape, QuotientPage } from '../src/replay/quotient-page.js'
import { capacityDepth, ReplayFilter } from '../src/replay/replay-filter.js'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

/** Numbers below `range`, repeatable and quick: xorshift128 from a seed. */
function numbers(seed: string): (range: number) => number {
  const state = new Uint32Array(new SeededRandom(seed).bytes(16).buffer)
  const word = () => {
    let t = state[3]!
    t ^= t << 11
    t ^= t >>> 8
    state.copyWithin(1, 0, 3)
    state[0] = t ^ state[1]! ^ (state[1]! >>> 19)
    return state[0]!
  }
  return (range) => Math.floor(((word() * 2 ** 20 + (word() >>> 12)) / 2 ** 52) * range)
}

function tag(number: number): Uint8Array {
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setFloat64(0, number)
  return bytes
}

function contents(page: QuotientPage): number[] {
  const sorted = new Float64Array(page.size)
  page.read(sorted)
  return [...sorted]
}

describe('a quotient page', () => {
  it('has the layout that its memory was reckoned with', () => {
    const full = pageShape(FULL_PAGE_RANGE)
    assert.deepEqual(full, { range: 45 * 2 ** 27, divisor: 2 ** 17, remainderBits: 17, slots: 46_464, limit: 45_158 })
    assert.equal(4096 * PAGE_BYTES, 475_791_360)
    for (let halvings = -12; halvings <= 4; halvings++) {
      const { range, divisor, remainderBits, slots } = pageShape(FULL_PAGE_RANGE / 2 ** halvings)
      assert.ok(divisor <= 2 ** remainderBits && Math.ceil(range / divisor) <= slots - 384, `${halvings} halvings`)
      assert.ok((slots * (remainderBits + 3)) / 8 <= PAGE_BYTES)
    }
  })

  // Few numbers per home, many, neighbours that crowd, and remainders of every width.
  const ranges = [5_000, 100_000, FULL_PAGE_RANGE / 16, FULL_PAGE_RANGE, FULL_PAGE_RANGE * 4096]
  const number = fc.oneof(
    fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    fc.integer({ min: 0, max: 400 }).map((n) => n / 1e6),
    fc.integer({ min: 1, max: 400 }).map((n) => 1 - n / 1e5),
  )

  it('is the same as a set, for any numbers in any order', () => {
    fc.assert(
      fc.property(fc.constantFrom(...ranges), fc.array(number, { maxLength: 600, size: 'max' }), (range, fractions) => {
        const page = new QuotientPage(pageShape(range))
        const set = new Set<number>()
        for (const fraction of fractions) {
          const n = Math.floor(fraction * range)
          assert.equal(page.insert(n), set.has(n) ? 'known' : 'fresh')
          set.add(n)
        }
        for (const n of set) assert.equal(page.insert(n), 'known')
        assert.deepEqual(
          contents(page),
          [...set].sort((a, b) => a - b),
        )
      }),
      { seed: 5, numRuns: 300 },
    )
  })

  it('is the same as a set at every load up to full, and then still knows what it has', () => {
    for (const range of [FULL_PAGE_RANGE / 16, FULL_PAGE_RANGE, FULL_PAGE_RANGE * 4096]) {
      const shape = pageShape(range)
      const page = new QuotientPage(shape)
      const set = new Set<number>()
      const draw = numbers(`page ${range}`)
      while (set.size < shape.limit) {
        const n = draw(range)
        assert.equal(page.insert(n), set.has(n) ? 'known' : 'fresh')
        set.add(n)
        if (set.size % 15_000 === 0) for (const known of set) assert.equal(page.insert(known), 'known')
      }
      for (const known of set) assert.equal(page.insert(known), 'known')
      let beyond = 0
      while (set.has(beyond)) beyond++
      assert.equal(page.insert(beyond), 'full')
      const sorted = [...set].sort((a, b) => a - b)
      assert.deepEqual(contents(page), sorted)
      const half = pageShape(range / 2)
      const lower = Float64Array.from(sorted.filter((n) => n < range / 2))
      assert.ok(fits(half, lower))
      page.rebuild(half, lower)
      assert.deepEqual(contents(page), [...lower])
      for (const n of lower) assert.equal(page.insert(n), 'known')
    }
  })

  it('is full, and loses nothing, when numbers crowd at its end', () => {
    const shape = pageShape(FULL_PAGE_RANGE)
    const page = new QuotientPage(shape)
    let added = 0
    while (page.insert(FULL_PAGE_RANGE - 1 - added) === 'fresh') added++
    assert.equal(added, 384)
    for (let n = 1; n <= added; n++) assert.equal(page.insert(FULL_PAGE_RANGE - n), 'known')
    const more = Float64Array.from({ length: added + 1 }, (_, n) => FULL_PAGE_RANGE - 1 - added + n)
    assert.equal(fits(shape, more.subarray(1)), true)
    assert.equal(fits(shape, more), false)
  })
})

describe('a replay filter', () => {
  const secret = new Uint8Array(64).fill(7)

  it('knows every tag again, through all splits and past its capacity', () => {
    const filter = new ReplayFilter(crypto, secret, 1)
    const capacity = 2 * 43_946
    let falsePositives = 0
    for (let n = 0; n < 2 * capacity; n++) {
      if (filter.insert(filter.fingerprint(tag(n))) !== 'fresh') falsePositives++
      // An early and a late one each time, and everything at the end: each page has been split several times by then.
      assert.equal(filter.insert(filter.fingerprint(tag(n >>> 1))), 'known')
    }
    for (let n = 0; n < 2 * capacity; n++) assert.equal(filter.insert(filter.fingerprint(tag(n))), 'known')
    assert.equal(filter.size + falsePositives, 2 * capacity)
    assert.ok(filter.bytes >= 4 * PAGE_BYTES && filter.bytes <= 8 * PAGE_BYTES)
    assert.ok(falsePositives <= 8, `${falsePositives} where 1.3 are expected`)
  })

  it('refuses what finds no room at 16 times the capacity', () => {
    const filter = new ReplayFilter(crypto, secret, 0)
    const draw = numbers('full')
    const known: number[] = []
    let full = 0
    // All into the first of 16 pages, which cannot be split once more.
    for (let n = 0; n < 60_000; n++) {
      const fingerprint = draw(filter.range / 16)
      const outcome = filter.insert(fingerprint)
      if (outcome === 'full') full++
      else known.push(fingerprint)
    }
    assert.equal(filter.size + full + (known.length - filter.size), 60_000)
    assert.ok(full > 0)
    for (const fingerprint of known) assert.equal(filter.insert(fingerprint), 'known')
    assert.equal(filter.insert(filter.range - 1), 'fresh')
  })

  it('takes a fresh tag for a known one as often as n / M says', () => {
    // Far past the capacity of the smallest filter, n / M is about 1e-4: enough to be counted.
    const filter = new ReplayFilter(crypto, secret, 0)
    const draw = numbers('false positives')
    const capacity = 43_946
    while (filter.size < 11 * capacity) filter.insert(draw(filter.range))
    assert.ok(Math.abs(filter.falsePositiveRate - (11 * capacity) / (45 * 2 ** 27)) < 1e-12)
    let expected = 0
    let seen = 0
    for (let n = 0; n < 250_000; n++) {
      expected += filter.falsePositiveRate
      if (filter.insert(filter.fingerprint(tag(-n - 1))) !== 'fresh') seen++
    }
    assert.ok(Math.abs(seen - expected) < 4 * Math.sqrt(expected), `${seen} seen, ${expected} expected`)
  })

  it('keeps 180 million tags at a rate of 7.3e-6 in 480 MB, by the formula', () => {
    assert.equal(capacityDepth(180_000_000), 12)
    assert.ok(180_000_000 / new ReplayFilter(crypto, secret, 12).range < 7.3e-6)
    assert.equal(capacityDepth(1), 0)
    assert.equal(capacityDepth(43_947), 1)
    assert.equal(capacityDepth(1e12), 15)
  })

  it('spreads the tags that a sender may choose: unlike secrets, unlike fingerprints', () => {
    const other = new ReplayFilter(crypto, new Uint8Array(64).fill(8), 12)
    const filter = new ReplayFilter(crypto, secret, 12)
    const depth = 256
    const counts = new Array<number>(depth).fill(0)
    for (let n = 0; n < 20_000; n++) {
      const fingerprint = filter.fingerprint(tag(n))
      assert.ok(Number.isInteger(fingerprint) && fingerprint >= 0 && fingerprint < filter.range)
      assert.notEqual(fingerprint, other.fingerprint(tag(n)))
      counts[Math.floor((fingerprint / filter.range) * depth)]!++
    }
    const mean = 20_000 / depth
    const chiSquared = counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0)
    assert.ok(chiSquared < 255 + 5 * Math.sqrt(510), `chi squared ${chiSquared}`)
  })

  it('takes memory as tags come', () => {
    const filter = new ReplayFilter(crypto, secret, 12)
    const draw = numbers('memory')
    const bytesAt = (tags: number) => {
      while (filter.size < tags) filter.insert(draw(filter.range))
      return filter.bytes
    }
    assert.equal(bytesAt(0), PAGE_BYTES)
    assert.equal(bytesAt(1_000), PAGE_BYTES)
    const atMillion = bytesAt(1_000_000)
    assert.ok(atMillion > 3_500_000 && atMillion < 8_000_000, `${atMillion} bytes for a million tags`)
  })
})
