import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SeededRandom, uniform, VirtualClock } from '@mixwright/runtime'
import { DelayWheel } from '../src/mix/delay-wheel.js'

describe('the delay wheel', () => {
  it('releases each item at its time rounded up to the next quarter of a millisecond, never early', () => {
    const clock = new VirtualClock()
    const random = new SeededRandom('wheel')
    const released: { due: number; at: number }[] = []
    const wheel = new DelayWheel<number>(clock, (due) => released.push({ due, at: clock.monotonic() }))
    const total = 5000
    for (let i = 0; i < total; i++) {
      const due = clock.monotonic() + uniform(random) * 9_999
      assert.ok(wheel.insert(due, due))
      if (i % 7 === 0) clock.advance(uniform(random))
    }
    clock.advance(10_001)
    assert.equal(released.length, total)
    assert.equal(wheel.size, 0)
    for (const { due, at } of released) assert.ok(at >= due && at - due <= 0.25, `due ${due}, released ${at}`)
  })

  it('clamps a longer delay to the maximum', () => {
    const clock = new VirtualClock()
    let releasedAt: number | undefined
    const wheel = new DelayWheel<null>(clock, () => {
      releasedAt = clock.monotonic()
    })
    wheel.insert(null, clock.monotonic() + 3_600_000)
    clock.advance(9_999)
    assert.equal(releasedAt, undefined)
    clock.advance(2)
    assert.equal(releasedAt, 10_000)
  })

  it('re-arms when an earlier item comes, and accepts items during a release', () => {
    const clock = new VirtualClock()
    const order: string[] = []
    const wheel: DelayWheel<string> = new DelayWheel(clock, (item) => {
      order.push(`${item}@${clock.monotonic()}`)
      if (item === 'first') wheel.insert('nested', clock.monotonic() + 1)
    })
    wheel.insert('last', 20)
    wheel.insert('first', 5)
    clock.advance(30)
    assert.deepEqual(order, ['first@5', 'nested@6', 'last@20'])
  })

  it('survives a clock that stood still for longer than the wheel turns', () => {
    const clock = new VirtualClock()
    const released: number[] = []
    const wheel = new DelayWheel<number>(clock, (item) => released.push(item))
    wheel.insert(1, 10)
    clock.advance(1_000_000)
    wheel.insert(2, clock.monotonic() + 10)
    clock.advance(11)
    assert.deepEqual(released, [1, 2])
  })

  it('refuses past its capacity and counts what it forgets', () => {
    const wheel = new DelayWheel<number>(new VirtualClock(), () => {}, { capacity: 2 })
    assert.deepEqual([wheel.insert(1, 5), wheel.insert(2, 5), wheel.insert(3, 5)], [true, true, false])
    assert.equal(wheel.clear(), 2)
    assert.equal(wheel.size, 0)
  })
})
