import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SeededRandom } from '@mixwright/runtime'
import fc from 'fast-check'
import { PoissonSchedule } from '../src/send/poisson-schedule.js'
import { FULL_LINK_BYTES, RateControl } from '../src/send/rate-control.js'

/** Observe at every 20 ms of this time. */
function observe(rate: RateControl, unsentBytes: number, fromMs: number, toMs: number): number[] {
  const multipliers: number[] = []
  for (let nowMs = fromMs; nowMs < toMs; nowMs += 20) {
    rate.observe(unsentBytes, nowMs)
    multipliers.push(rate.multiplier)
  }
  return multipliers
}

describe('the rate of the main stream', () => {
  it('is as planned on a link that takes everything', () => {
    assert.deepEqual(new Set(observe(new RateControl(), 0, 0, 60_000)), new Set([1]))
  })

  it('slows down on a full link, one step in a second, to a sixth', () => {
    const rate = new RateControl()
    const multipliers = observe(rate, FULL_LINK_BYTES, 0, 20_000)
    assert.deepEqual([multipliers[0], multipliers.at(-1)], [2, 6])
    const changes = multipliers.flatMap((multiplier, i) => (multiplier === multipliers[i - 1] ? [] : [i * 20]))
    assert.deepEqual(changes, [0, 1020, 2040, 3060, 4080])
  })

  it('goes back, one step in two seconds, and only after two calm ones', () => {
    const rate = new RateControl()
    observe(rate, FULL_LINK_BYTES, 0, 10_000)
    // Neither full nor calm: above a third.
    assert.deepEqual(new Set(observe(rate, FULL_LINK_BYTES / 2, 10_000, 20_000)), new Set([6]))
    const multipliers = observe(rate, 0, 20_000, 40_000)
    assert.equal(multipliers.at(-1), 1)
    const changes = multipliers.flatMap((multiplier, i) => (multiplier === (multipliers[i - 1] ?? 6) ? [] : [i * 20]))
    assert.equal(changes.length, 5)
    assert.ok(changes[0]! >= 1980 && changes[0]! <= 2040, `${changes[0]}`)
    for (const [i, at] of changes.entries()) if (i > 0) assert.ok(at - changes[i - 1]! > 2000)
  })

  it('stays between 1 and 6, and moves one step at a time, whatever the link does', () => {
    const step = fc.tuple(fc.integer({ min: 0, max: 3 * FULL_LINK_BYTES }), fc.integer({ min: 0, max: 5000 }))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: 'max' }), (steps) => {
        const rate = new RateControl()
        let nowMs = 0
        for (const [unsentBytes, elapsedMs] of steps) {
          const before = rate.multiplier
          nowMs += elapsedMs
          rate.observe(unsentBytes, nowMs)
          assert.ok(rate.multiplier >= 1 && rate.multiplier <= 6)
          assert.ok(Math.abs(rate.multiplier - before) <= 1)
          if (rate.multiplier < before) assert.ok(unsentBytes <= FULL_LINK_BYTES / 3)
          if (rate.multiplier > before) assert.ok(unsentBytes >= FULL_LINK_BYTES)
        }
      }),
    )
  })
})

describe('the slots of a stream', () => {
  it('count from the slot before, not from when it was served', () => {
    const [prompt, late] = ['prompt', 'late'].map(() => new PoissonSchedule(new SeededRandom('slots'), 20, 0))
    for (let slot = 0; slot < 1000; slot++) {
      assert.equal(prompt!.nextMs, late!.nextMs)
      prompt!.advance(prompt!.nextMs)
      late!.advance(late!.nextMs + 900)
    }
  })

  it('that were missed for more than a second are left out', () => {
    const schedule = new PoissonSchedule(new SeededRandom('sleep'), 20, 0)
    schedule.advance(3_600_000)
    assert.ok(schedule.nextMs >= 3_600_000)
  })

  it('come less often on a link that is slow', () => {
    const schedule = new PoissonSchedule(new SeededRandom('slow'), 20, 0)
    for (let slot = 0; slot < 5000; slot++) schedule.advance(schedule.nextMs, 3)
    // Six standard deviations of a sum of exponential draws.
    assert.ok(Math.abs(schedule.nextMs / 5000 - 60) < (6 * 60) / Math.sqrt(5000), `${schedule.nextMs / 5000}`)
  })
})
