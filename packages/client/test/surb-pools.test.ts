import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { VirtualClock } from '@mixwright/runtime'
import type { KeyRotation } from '@mixwright/wire'
import fc from 'fast-check'
import { SurbPools } from '../src/replies/surb-pools.js'
import { Journal } from '../src/store/journal.js'
import { memoryStore } from '../src/store/memory-store.js'
import { numberOf, stubSurbs, stubTag } from './stub-surbs.js'

const TAG = stubTag(1)
const SECOND = 1000
const UNKNOWN: KeyRotation = 0
const ODD: KeyRotation = 1
const EVEN: KeyRotation = 2

function scene(kept: number, store = memoryStore()) {
  const journal = new Journal(store, new VirtualClock(), () => {})
  const pools = new SurbPools(kept, journal)
  /** Blocks come, with consecutive numbers from the tag's first on. */
  const receive = (
    count: number,
    options: { tag?: string; rotation?: KeyRotation; asked?: boolean; at?: number } = {},
  ) =>
    pools.received(
      options.tag ?? TAG,
      stubSurbs(count),
      options.rotation ?? ODD,
      options.asked ?? false,
      options.at ?? 0,
    )
  /** As many data packets leave as may. */
  const sendData = (most = Number.POSITIVE_INFINITY) => {
    let sent = 0
    while (sent < most && pools.canTake(TAG, 'data')) {
      assert.ok(pools.take(TAG))
      sent++
    }
    return sent
  }
  /** Ask for what `shortage` says, with one block. */
  const ask = (waitingPackets: number) => {
    const amount = pools.shortage(TAG, waitingPackets)
    if (amount === 0) return 0
    pools.requested(TAG, amount)
    assert.ok(pools.canTake(TAG, 'surb-request'))
    pools.take(TAG)
    return amount
  }
  const counts = (tag = TAG) => [...pools.counts()].find(({ senderTag }) => senderTag === tag)
  return { pools, journal, receive, sendData, ask, counts }
}

/** For one tag, so many reply packets wait. */
const waiting = (packets: number, tag = TAG) => new Map([[tag, packets]])

describe('reply blocks in hand', () => {
  it('ten, as clients attach by default: all but those kept back answer at once', () => {
    const { receive, sendData, pools } = scene(5)
    receive(10)
    assert.equal(sendData(), 5)
    assert.ok(pools.canTake(TAG, 'surb-request'))
  })

  it('ten, ten of them kept back as official clients do: one asks for ten more, and nineteen answer nine packets', () => {
    const { receive, sendData, ask, pools } = scene(10)
    receive(10)
    assert.equal(sendData(), 0)
    assert.equal(ask(1), 10)
    assert.equal(pools.available(TAG), 9)
    receive(10, { asked: true })
    assert.equal(pools.available(TAG), 19)
    assert.equal(sendData(), 9)
  })

  it('ten, twenty of them kept back as official ephemeral clients do: we ask for what is missing, in one request', () => {
    const { receive, sendData, ask } = scene(20)
    receive(10)
    assert.equal(ask(1), 12)
    receive(12, { asked: true })
    assert.equal(sendData(1), 1)
  })

  it('as many as kept back and as the answer has packets: it leaves at once', () => {
    for (const kept of [10, 20]) {
      const { receive, sendData, ask } = scene(kept)
      receive(kept + 3)
      assert.equal(ask(3), 0)
      assert.equal(sendData(), 3)
    }
  })

  it('are used oldest first, each once', () => {
    const { receive, pools, counts } = scene(1)
    receive(3)
    const numbers = [1, 2, 3, 4].map(() => pools.take(TAG)).map((pooled) => pooled && numberOf(pooled.surb))
    assert.deepEqual(numbers, [0, 1, 2, undefined])
    assert.deepEqual(counts(), { senderTag: TAG, surbs: 0, requested: 0 })
  })

  it('of a tag that nobody knows are none', () => {
    const { pools, counts } = scene(5)
    assert.deepEqual([pools.isKnown(TAG), pools.available(TAG), pools.shortage(TAG, 9)], [false, 0, 0])
    assert.equal(pools.take(TAG), undefined)
    pools.requested(TAG, 5)
    assert.equal(counts(), undefined)
  })
})

describe('asking for more', () => {
  it('is for what is missing, ten at least and fifty at most, and counts what is on its way', () => {
    const { receive, ask, pools, counts } = scene(5)
    receive(20)
    assert.equal(pools.shortage(TAG, 0), 0)
    assert.equal(pools.shortage(TAG, 15), 0)
    assert.equal(pools.shortage(TAG, 16), 10)
    assert.equal(pools.shortage(TAG, 40), 26)
    assert.equal(ask(1000), 50)
    assert.equal(ask(60), 0, '50 are coming and 19 are here')
    assert.deepEqual(counts(), { senderTag: TAG, surbs: 19, requested: 50 })
  })

  it('for a large reply goes on until 400 are here or on their way', () => {
    const { receive, ask, counts } = scene(5)
    receive(20)
    let asked = 0
    while (ask(10_000) > 0) asked++
    assert.equal(asked, 8)
    assert.equal(counts()!.requested, 400)
  })

  it('needs one to ask with', () => {
    const { receive, pools } = scene(5)
    receive(1)
    pools.take(TAG)
    assert.equal(pools.shortage(TAG, 3), 0)
  })

  it('is forgotten when the answers came, also in parts, also too many, or when the request failed', () => {
    const { receive, pools, counts } = scene(5)
    receive(5)
    pools.requested(TAG, 50)
    receive(30)
    assert.equal(counts()!.requested, 50, 'blocks that were not asked for answer no request')
    receive(30, { asked: true })
    assert.equal(counts()!.requested, 20)
    receive(30, { asked: true })
    assert.equal(counts()!.requested, 0)
    pools.requested(TAG, 10)
    pools.requested(TAG, -10)
    pools.requested(TAG, -10)
    assert.equal(counts()!.requested, 0)
  })
})

describe('a silent peer', () => {
  it('is asked again every ten seconds, six times, and then given up', () => {
    const { receive, pools, ask } = scene(10)
    receive(10)
    assert.equal(ask(3), 10)
    const told: string[] = []
    for (let at = 5 * SECOND; at <= 300 * SECOND; at += 5 * SECOND) {
      for (const advice of pools.check(waiting(3), 5 * SECOND)) {
        told.push(`${at / SECOND} ${advice.kind === 'request' ? advice.amount : advice.kind}`)
        if (advice.kind === 'give-up')
          return assert.equal(told.join(', '), '15 10, 25 10, 35 10, 45 10, 55 10, 65 10, 70 give-up')
        pools.requested(TAG, advice.amount)
        pools.take(TAG)
      }
    }
    assert.fail(`never given up: ${told}`)
  })

  it('that cannot be asked is given up after five minutes', () => {
    const { receive, pools } = scene(10)
    receive(1)
    pools.take(TAG)
    for (let at = 5; at <= 300; at += 5) assert.deepEqual(pools.check(waiting(1), 5 * SECOND), [])
    assert.deepEqual(pools.check(waiting(1), 5 * SECOND), [{ kind: 'give-up', senderTag: TAG }])
  })

  it('is not given up as soon as anything comes of it, nor while nothing waits', () => {
    const { receive, pools } = scene(10)
    receive(1)
    pools.take(TAG)
    for (let round = 0; round < 10; round++) {
      assert.deepEqual(pools.check(waiting(5), 290 * SECOND), [])
      if (round % 2 > 0) assert.deepEqual(pools.check(new Map(), 290 * SECOND), [])
      else {
        receive(1)
        pools.take(TAG)
      }
    }
  })

  it('whose blocks are all gone, as those of a reply that an earlier run left, is given up too', () => {
    const { pools } = scene(5)
    let advice = pools.check(waiting(2, 'unknown'), 5 * SECOND)
    for (let at = 5; at < 305; at += 5) {
      assert.deepEqual(advice, [])
      advice = pools.check(waiting(2, 'unknown'), 5 * SECOND)
    }
    assert.deepEqual(advice, [{ kind: 'give-up', senderTag: 'unknown' }])
    pools.check(new Map(), 5 * SECOND)
    pools.purge(1, () => false)
    assert.ok(!pools.isKnown('unknown'), 'and forgotten')
  })

  it('to whom only a request is queued, with no block left to send it by, is given up at once', () => {
    const { receive, pools } = scene(5)
    receive(1)
    assert.deepEqual(pools.check(waiting(0), 5 * SECOND), [])
    pools.take(TAG)
    assert.deepEqual(pools.check(waiting(0), 5 * SECOND), [{ kind: 'give-up', senderTag: TAG }])
  })

  it('is not what a reply waits for that has its blocks and waits for slots', () => {
    const { receive, pools } = scene(5)
    receive(100)
    for (let at = 0; at < 3600; at += 5) assert.deepEqual(pools.check(waiting(80), 5 * SECOND), [])
    assert.equal(pools.available(TAG), 100)
  })
})

describe('a rotation of keys', () => {
  it('makes blocks stale: used after fresh ones, asked for anew, at most fifty', () => {
    const { receive, pools } = scene(5)
    receive(80)
    receive(7, { tag: stubTag(2) })
    assert.deepEqual(pools.rotated(), [
      { kind: 'request', senderTag: TAG, amount: 50 },
      { kind: 'request', senderTag: stubTag(2), amount: 7 },
    ])
    assert.deepEqual(pools.rotated(), [], 'stale ones are not asked for again')
    pools.received(TAG, stubSurbs(2, 1000), EVEN, true, 0)
    assert.deepEqual(
      [1, 2, 3].map(() => numberOf(pools.take(TAG)!.surb)),
      [1000, 1001, 0],
    )
  })

  it('lets each fresh block beyond those kept back replace one stale block', () => {
    const { receive, pools } = scene(5)
    receive(80)
    pools.rotated()
    receive(5, { rotation: EVEN })
    assert.equal(pools.available(TAG), 85)
    receive(3, { rotation: EVEN })
    assert.equal(pools.available(TAG), 85)
  })

  it('asks five hundred tags anew: those heard of, or answered, last', () => {
    const { receive, pools } = scene(0)
    for (let tag = 0; tag < 600; tag++) receive(2, { tag: stubTag(tag) })
    pools.take(stubTag(0))
    const asked = new Set(pools.rotated().map(({ senderTag }) => senderTag))
    assert.equal(asked.size, 500)
    assert.deepEqual(
      [0, 1, 100, 101, 599].map((tag) => asked.has(stubTag(tag))),
      [true, false, false, true, true],
    )
  })

  it('ends with a purge: of what is too old, and of what is dead by its rotation', () => {
    const { receive, pools, counts } = scene(5)
    receive(2, { at: 10 })
    receive(3, { at: 20, rotation: ODD })
    receive(4, { at: 20, rotation: UNKNOWN })
    pools.rotated()
    receive(5, { at: 30, rotation: UNKNOWN })
    pools.purge(15, () => false)
    assert.equal(counts()!.surbs, 12)
    pools.purge(15, ({ rotation }, isStale) => (rotation === UNKNOWN ? isStale : rotation !== EVEN))
    assert.equal(counts()!.surbs, 5)
  })

  it('leaves no tag behind of which nothing is left and nothing waits', () => {
    const { receive, pools } = scene(5)
    receive(2, { at: 10 })
    pools.requested(TAG, 50)
    pools.purge(11, () => false)
    assert.ok(!pools.isKnown(TAG), 'what was asked for long ago does not come any more')
    receive(2, { at: 10 })
    pools.shortage(TAG, 4)
    pools.purge(11, () => false)
    assert.ok(pools.isKnown(TAG), 'a reply waits')
  })
})

describe('bounds of what peers may leave here', () => {
  it('a thousand blocks of a tag: the newest', () => {
    const { pools } = scene(5)
    pools.received(TAG, stubSurbs(1500), ODD, false, 0)
    assert.equal(pools.available(TAG), 1000)
    assert.equal(numberOf(pools.take(TAG)!.surb), 500)
  })

  it('fifty thousand in all, and ten thousand tags: who was heard of longest ago goes, but not while replies wait', () => {
    const { receive, pools } = scene(5)
    receive(1000, { tag: stubTag(0) })
    pools.shortage(stubTag(0), 5)
    for (let tag = 1; tag <= 60; tag++) receive(1000, { tag: stubTag(tag) })
    let surbs = 0
    for (const count of pools.counts()) surbs += count.surbs
    assert.ok(surbs <= 50_000, String(surbs))
    assert.deepEqual(
      [pools.isKnown(stubTag(0)), pools.isKnown(stubTag(1)), pools.isKnown(stubTag(60))],
      [true, false, true],
    )
    for (let tag = 100; tag < 12_000; tag++) receive(0, { tag: stubTag(tag) })
    assert.ok([...pools.counts()].length <= 10_000)
    assert.ok(pools.isKnown(stubTag(0)))
  })
})

describe('the store', () => {
  it('gives the next process what was not used, in order, and nothing else', async () => {
    const store = memoryStore({ persistent: true })
    const first = scene(5, store)
    first.receive(30, { at: 7 })
    first.receive(3, { tag: stubTag(2), rotation: EVEN })
    for (let number = 0; number < 20; number++) first.pools.take(TAG)
    await first.journal.close()
    await store.write([
      { table: 'reply-surbs', key: 'garbage', value: new Uint8Array(500) },
      { table: 'reply-surbs', key: `${TAG} 5`, value: new Uint8Array(5) },
    ])

    const second = scene(5, store)
    await second.pools.restore(store)
    assert.deepEqual([second.pools.available(TAG), second.pools.available(stubTag(2))], [10, 3])
    second.receive(1, { at: 9 })
    const taken = second.pools.take(TAG)!
    assert.deepEqual([numberOf(taken.surb), taken.rotation, taken.receivedAtMs], [20, ODD, 7])
    for (let number = 0; number < 9; number++) second.pools.take(TAG)
    assert.equal(second.pools.take(TAG)!.receivedAtMs, 9, 'no entry was overwritten by a new one')
    await second.journal.close()
    const left = [...(await store.load('reply-surbs')).keys()].filter((key) => key.startsWith(TAG) && key.length > 30)
    assert.deepEqual(left, [])
  })
})

describe('pools under any use', () => {
  it('never count less than nothing, nor blocks that are not there', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('receive' as const), tag: fc.nat(2), count: fc.nat(60), asked: fc.boolean() }),
      fc.record({ kind: fc.constant('take' as const), tag: fc.nat(2), count: fc.nat(60) }),
      fc.record({ kind: fc.constant('ask' as const), tag: fc.nat(2), count: fc.nat(900) }),
      fc.record({ kind: fc.constant('fail' as const), tag: fc.nat(2), count: fc.nat(50) }),
      fc.record({ kind: fc.constantFrom('rotate' as const, 'check' as const), tag: fc.nat(2), count: fc.nat(3) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const { pools } = scene(5)
        const model = new Map<string, number>()
        for (const { kind, tag: number, count, ...step } of steps) {
          const tag = stubTag(number)
          const before = model.get(tag) ?? 0
          if (kind === 'receive') {
            pools.received(tag, stubSurbs(count), ODD, 'asked' in step && step.asked, 0)
            // Stale ones may have been replaced.
            assert.ok(pools.available(tag) >= count && pools.available(tag) <= before + count)
            model.set(tag, pools.available(tag))
          } else if (kind === 'take') {
            for (let i = 0; i < count && pools.canTake(tag, 'data'); i++) {
              assert.ok(pools.take(tag))
              model.set(tag, model.get(tag)! - 1)
            }
            assert.ok((model.get(tag) ?? 0) >= Math.min(5, before))
          } else if (kind === 'ask') {
            const amount = pools.shortage(tag, count)
            assert.ok(amount === 0 || (amount >= 10 && amount <= 50 && before > 0))
            pools.requested(tag, amount)
          } else if (kind === 'fail') pools.requested(tag, -count)
          else if (kind === 'rotate') pools.rotated()
          else pools.check(new Map([[tag, count]]), 20 * SECOND)
          for (const { senderTag, surbs, requested } of pools.counts()) {
            assert.equal(surbs, model.get(senderTag) ?? 0)
            assert.ok(requested >= 0 && requested < 450)
          }
        }
      }),
    )
  })
})
