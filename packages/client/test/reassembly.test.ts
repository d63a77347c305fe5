/** Reassembly: whole messages under every disorder, then peers who mean harm. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SeededRandom, shuffled } from '@mixwright/runtime'
import { ChunkedMessage, decodeFragment, type Fragment } from '@mixwright/wire'
import fc from 'fast-check'
import { Reassembly, type ReassemblyOutcome } from '../src/receive/reassembly.js'

/** Counted for each kept fragment beside its payload. */
const OVERHEAD = 128

function fragmentsOf(message: ChunkedMessage): Fragment[] {
  return Array.from({ length: message.fragments }, (_, index) => decodeFragment(message.fragment(index))!)
}

function cut(length: number, space: number, seed: string): { message: ChunkedMessage; fragments: Fragment[] } {
  const random = new SeededRandom(seed)
  const message = ChunkedMessage.cut(random.bytes(length), space, random)
  return { message, fragments: fragmentsOf(message) }
}

/** A fragment with 10 bytes of payload. */
const piece = (setId: number, total: number, position: number, links: Partial<Fragment> = {}): Fragment => ({
  setId,
  total,
  position,
  payload: new Uint8Array(10).fill(position),
  ...links,
})

/** All fragments of a set of 255, linked as asked. */
const fullSet = (setId: number, previousSetId?: number, nextSetId?: number): Fragment[] =>
  Array.from({ length: 255 }, (_, at) => {
    if (at === 0 && previousSetId !== undefined) return piece(setId, 255, 1, { previousSetId })
    if (at === 254 && nextSetId !== undefined) return piece(setId, 255, 255, { nextSetId })
    return piece(setId, 255, at + 1)
  })

const kinds = (outcomes: readonly ReassemblyOutcome[]) => outcomes.map(({ kind }) => kind)
const takeAll = (reassembly: Reassembly, fragments: readonly Fragment[], nowMs = 0) =>
  fragments.map((fragment) => reassembly.take(fragment, nowMs))

function assertEmpty(reassembly: Reassembly): void {
  assert.deepEqual([reassembly.openSets, reassembly.bufferedBytes], [0, 0])
}

describe('a message', () => {
  // §4.25 check 1, for the arithmetic of any fragment space; the marker makes the length one more.
  const lengths = (space: number) => {
    const U = space - 7
    const S1 = 255 * U
    const [E, M] = [S1 - 3, S1 - 6]
    const borders = [1, U - 1, U, U + 1, S1 - 1, S1, S1 + 1, 2 * E - 1, 2 * E, 2 * E + 1, 2 * E + M + 1]
    return [...new Set(borders.flatMap((n) => [n - 1, n]).filter((n) => n > 0))]
  }

  for (const space of [20, 1611])
    it(`comes back whole at every border of the arithmetic, fragments of ${space} bytes`, () => {
      for (const length of lengths(space)) {
        const { message, fragments } = cut(length, space, `${length}`)
        const reassembly = new Reassembly()
        const outcomes = takeAll(reassembly, shuffled(fragments, new SeededRandom(`order ${length}`)))
        assert.deepEqual(kinds(outcomes.slice(0, -1)), new Array(fragments.length - 1).fill('kept'))
        const { kind, ...rest } = outcomes.at(-1)!
        assert.equal(kind, 'complete', `${length} bytes`)
        assert.deepEqual(rest, { message: message.message, setIds: message.setIds, evicted: [] })
        assertEmpty(reassembly)
      }
    })

  it('comes once each, whatever the order, with duplicates, among others', () => {
    const space = 20
    const length = fc.oneof(fc.constantFrom(...lengths(space)), fc.integer({ min: 1, max: 12_000 }))
    fc.assert(
      fc.property(fc.array(length, { minLength: 1, maxLength: 4 }), fc.string(), (lengths, seed) => {
        const messages = lengths.map((length, index) => cut(length, space, `${seed} ${index}`))
        const random = new SeededRandom(seed)
        const once = messages.flatMap(({ fragments }) => fragments)
        const reassembly = new Reassembly()
        const whole: ReassemblyOutcome[] = []
        for (const fragment of shuffled([...once, ...once.slice(0, once.length / 2)], random)) {
          const outcome = reassembly.take(fragment, 0)
          if (outcome.kind === 'complete') whole.push(outcome)
          else assert.match(outcome.kind, /kept|duplicate/)
        }
        const bySet = new Map(whole.map((outcome) => ['setIds' in outcome && outcome.setIds[0], outcome]))
        assert.equal(whole.length, messages.length)
        for (const { message } of messages)
          assert.deepEqual(bySet.get(message.setIds[0]!), {
            kind: 'complete',
            message: message.message,
            setIds: message.setIds,
            evicted: [],
          })
        assertEmpty(reassembly)
        // Acks got lost: everything comes again.
        assert.deepEqual(new Set(kinds(takeAll(reassembly, once))), new Set(['duplicate']))
        assertEmpty(reassembly)
      }),
      { numRuns: 40 },
    )
  })

  it('of a hundred sets, in any order of sets', () => {
    const { message, fragments } = cut(100 * 255 * 13 - 6 * 99 - 1, 20, 'hundred')
    assert.equal(message.setIds.length, 100)
    const sets = Array.from({ length: 100 }, (_, set) => fragments.slice(255 * set, 255 * (set + 1)))
    const orders = [sets, sets.toReversed(), shuffled(sets, new SeededRandom('sets'))]
    for (const order of orders) {
      const reassembly = new Reassembly()
      const last = takeAll(reassembly, order.flat()).at(-1)!
      assert.equal(last.kind, 'complete')
      assert.deepEqual(last.kind === 'complete' && [last.message, last.setIds], [message.message, message.setIds])
      assertEmpty(reassembly)
    }
  })

  it('is made of copies: the network uses its buffers again', () => {
    const { message, fragments } = cut(100, 20, 'copies')
    const reassembly = new Reassembly()
    const buffer = Buffer.alloc(13)
    let last: ReassemblyOutcome | undefined
    for (const fragment of fragments) {
      buffer.set(fragment.payload)
      last = reassembly.take({ ...fragment, payload: buffer.subarray(0, fragment.payload.length) }, 0)
      buffer.fill(0xee)
    }
    assert.deepEqual(last?.kind === 'complete' && last.message, message.message)
  })

  it('without padding, or with nothing before it, is malformed, and its sets are used up', () => {
    const reassembly = new Reassembly()
    for (const [setId, payload] of [
      [1, Uint8Array.of(5, 0, 0)],
      [2, Uint8Array.of(1, 0, 0)],
      [3, new Uint8Array(0)],
    ] as const) {
      const fragment = piece(setId, 1, 1, { payload })
      assert.deepEqual(reassembly.take(fragment, 0), { kind: 'malformed', setIds: [setId], evicted: [] })
      assert.equal(reassembly.take(fragment, 0).kind, 'duplicate')
    }
    assertEmpty(reassembly)
  })
})

describe('limits', () => {
  it('count what is kept: payloads and a share for each fragment', () => {
    const reassembly = new Reassembly()
    takeAll(reassembly, [piece(1, 3, 1), piece(1, 3, 3), piece(2, 2, 1, { payload: new Uint8Array(0) })])
    assert.equal(reassembly.bufferedBytes, 20 + 3 * OVERHEAD)
    assert.equal(reassembly.openSets, 2)
    assert.equal(reassembly.take(piece(1, 3, 1), 0).kind, 'duplicate')
    assert.equal(reassembly.bufferedBytes, 20 + 3 * OVERHEAD)
  })

  it('open sets: the least recently touched goes, a duplicate touches', () => {
    const reassembly = new Reassembly({ openSets: 2 })
    takeAll(reassembly, [piece(1, 3, 1), piece(2, 3, 1), piece(1, 3, 1)])
    assert.deepEqual(reassembly.take(piece(3, 3, 1), 0), { kind: 'kept', evicted: [2] })
    assert.deepEqual(reassembly.take(piece(4, 3, 1), 0), { kind: 'kept', evicted: [1] })
    // A message that is whole at once needs no room.
    const single = piece(5, 1, 1, { payload: Uint8Array.of(7, 1) })
    assert.deepEqual(reassembly.take(single, 0).evicted, [])
    assert.equal(reassembly.openSets, 2)
  })

  it('bytes: as many sets go as it takes, the own one at last', () => {
    const reassembly = new Reassembly({ bufferedBytes: 1000 })
    takeAll(reassembly, [piece(1, 3, 1), piece(2, 3, 1), piece(3, 3, 1)])
    const big = (setId: number, bytes: number) => piece(setId, 2, 1, { payload: new Uint8Array(bytes) })
    assert.deepEqual(reassembly.take(big(4, 600), 0), { kind: 'kept', evicted: [1, 2] })
    assert.equal(reassembly.bufferedBytes, 138 + 728)
    assert.deepEqual(reassembly.take(big(5, 2000), 0), { kind: 'kept', evicted: [3, 4, 5] })
    assertEmpty(reassembly)
  })

  it('stale sets go with the next fragment, whatever that is', () => {
    const minutes = (n: number) => n * 60_000
    const reassembly = new Reassembly({ staleAfterMs: minutes(30) })
    reassembly.take(piece(1, 3, 1), 0)
    reassembly.take(piece(2, 3, 1), minutes(10))
    reassembly.take(piece(1, 3, 2), minutes(20))
    assert.deepEqual(reassembly.take(piece(2, 9, 1), minutes(40) - 1), { kind: 'inconsistent', evicted: [] })
    // A fragment that contradicts its set does not keep it alive.
    assert.deepEqual(reassembly.take(piece(1, 9, 1), minutes(40)), { kind: 'inconsistent', evicted: [2] })
    assert.deepEqual(reassembly.take(piece(3, 3, 1), minutes(50)), { kind: 'kept', evicted: [1] })
    assert.equal(reassembly.openSets, 1)
  })

  it('a set takes the whole sets that hang on it along', () => {
    const reassembly = new Reassembly({ staleAfterMs: 100 })
    takeAll(reassembly, fullSet(1, undefined, 2), 0)
    takeAll(reassembly, fullSet(2, 1, 3), 50)
    takeAll(reassembly, fullSet(3, 2, 4), 99)
    const outcome = reassembly.take(piece(9, 2, 1), 100)
    assert.deepEqual(outcome, { kind: 'kept', evicted: [1, 2, 3] })
    assert.equal(reassembly.openSets, 1)
  })

  it('remembered sets: the oldest are forgotten', () => {
    const reassembly = new Reassembly({ rememberedSetIds: 2 })
    const single = (setId: number) => piece(setId, 1, 1, { payload: Uint8Array.of(7, 1) })
    const sequence = [1, 2, 1, 3, 2, 1, 2, 3]
    const expected = ['complete', 'complete', 'duplicate', 'complete', 'duplicate', 'complete', 'complete', 'complete']
    assert.deepEqual(kinds(takeAll(reassembly, sequence.map(single))), expected)
  })
})

describe('peers who mean harm', () => {
  it('a million unfinished fragments stay within the limits, of payloads large or empty', () => {
    for (const { bytes, total, limits, kept } of [
      { bytes: 0, total: 255, limits: { openSets: 4096, bufferedBytes: 1_000_000_000 }, kept: 4096 },
      { bytes: 1604, total: 2, limits: { openSets: 1_000_000, bufferedBytes: 1_000_000 }, kept: 577 },
    ]) {
      const reassembly = new Reassembly(limits)
      const payload = new Uint8Array(bytes)
      let evicted = 0
      for (let setId = 1; setId <= 500_000; setId++) {
        evicted += reassembly.take({ setId, total, position: 2, payload }, 0).evicted.length
        if (reassembly.openSets > limits.openSets || reassembly.bufferedBytes > limits.bufferedBytes)
          assert.fail('beyond the limits')
      }
      assert.equal(reassembly.openSets, kept)
      assert.equal(evicted, 500_000 - kept)
      assert.equal(reassembly.bufferedBytes, kept * (bytes + OVERHEAD))
    }
  })

  it('totals that contradict the first are dropped, whichever came first', () => {
    const reassembly = new Reassembly()
    const [first, ...rest] = cut(100, 20, 'totals').fragments
    assert.equal(reassembly.take(first!, 0).kind, 'kept')
    for (const total of [first!.position, 255, first!.total - 1])
      assert.equal(reassembly.take({ ...first!, total }, 0).kind, 'inconsistent')
    assert.equal(reassembly.take({ ...first!, total: 255, position: 255 }, 0).kind, 'inconsistent')
    assert.equal(takeAll(reassembly, rest).at(-1)?.kind, 'complete')
  })

  it('loops of whole sets end, and leave when they are old', () => {
    const reassembly = new Reassembly({ staleAfterMs: 10 })
    const loop = [...fullSet(1, 3, 2), ...fullSet(2, 1, 3), ...fullSet(3, 2, 1)]
    assert.deepEqual(new Set(kinds(takeAll(reassembly, loop))), new Set(['kept']))
    const pair = [...fullSet(4, 5, 5), ...fullSet(5, 4, 4)]
    assert.deepEqual(new Set(kinds(takeAll(reassembly, pair))), new Set(['kept']))
    assert.equal(reassembly.openSets, 5)
    const { evicted } = reassembly.take(piece(9, 2, 1), 10)
    assert.deepEqual(new Set(evicted), new Set([1, 2, 3, 4, 5]))
    assert.equal(evicted.length, 5)
    assert.equal(reassembly.openSets, 1)
  })

  it('sets are joined only where each names the other', () => {
    const reassembly = new Reassembly()
    const liar = piece(9, 1, 1, { previousSetId: 1, payload: Uint8Array.of(6, 6, 1) })
    const honest = piece(2, 1, 1, { previousSetId: 1, payload: Uint8Array.of(7, 7, 1) })
    assert.equal(reassembly.take(liar, 0).kind, 'kept')
    takeAll(reassembly, fullSet(1, undefined, 2))
    assert.equal(reassembly.openSets, 2)
    const outcome = reassembly.take(honest, 0)
    assert.deepEqual(outcome.kind === 'complete' && outcome.setIds, [1, 2])
    // And a set that names a next one which does not name it back.
    takeAll(reassembly, fullSet(20, undefined, 21))
    assert.equal(reassembly.take(piece(21, 1, 1, { payload: Uint8Array.of(8, 1) }), 0).kind, 'complete')
    assert.equal(reassembly.openSets, 2)
  })

  it('a chain of thousands of whole sets is dropped at once, without recursion', () => {
    const reassembly = new Reassembly({ staleAfterMs: 10, bufferedBytes: 1e9 })
    const sets = 2000
    for (let set = 1; set <= sets; set++) takeAll(reassembly, fullSet(set, set + 1 === 2 ? sets + 1 : set - 1, set + 1))
    assert.equal(reassembly.openSets, sets)
    assert.equal(reassembly.take(piece(sets + 9, 2, 1), 10).evicted.length, sets)
  })

  it('random fragments of few sets: never an exception, the sums always right', () => {
    const id = fc.integer({ min: 1, max: 6 })
    const fragment = fc
      .record({
        setId: id,
        total: fc.constantFrom(1, 2, 255),
        at: fc.nat(),
        link: id,
        linked: fc.boolean(),
        text: fc.constantFrom([], [0], [1], [7, 1], [1, 0, 0], [7, 7]).map((bytes) => Uint8Array.from(bytes)),
      })
      .map(({ setId, total, at, link, linked, text: payload }): Fragment => {
        const position = total === 255 && at % 2 === 0 ? 255 : 1 + (at % total)
        if (!linked || link === setId) return { setId, total, position, payload }
        if (position === 1) return { setId, total, position, previousSetId: link, payload }
        return position === 255
          ? { setId, total, position, nextSetId: link, payload }
          : { setId, total, position, payload }
      })
    const outcomes = new Set<string>()
    fc.assert(
      fc.property(fc.array(fc.tuple(fragment, fc.nat({ max: 50 })), { maxLength: 200 }), (steps) => {
        const reassembly = new Reassembly({ openSets: 3, bufferedBytes: 700, rememberedSetIds: 2, staleAfterMs: 100 })
        let nowMs = 0
        for (const [next, waitMs] of steps) {
          nowMs += waitMs
          outcomes.add(reassembly.take(next, nowMs).kind)
          assert.ok(reassembly.openSets <= 3 && reassembly.bufferedBytes <= 700)
          assert.ok(reassembly.openSets > 0 || reassembly.bufferedBytes === 0)
        }
      }),
      { numRuns: 1000 },
    )
    assert.deepEqual(outcomes, new Set(['kept', 'duplicate', 'inconsistent', 'complete', 'malformed']))
  })
})
