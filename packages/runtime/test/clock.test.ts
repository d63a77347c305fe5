/** The clocks: what `VirtualClock` promises to those who replay a run, and what both promise to everybody. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RealClock, SeededRandom, sleep, type Timer, uniform, VirtualClock } from '@mixwright/runtime'
import fc from 'fast-check'

describe('VirtualClock', () => {
  it('stands still by itself, and both of its times move together', () => {
    const clock = new VirtualClock(1_000)
    assert.deepEqual([clock.now(), clock.monotonic()], [1_000, 0])
    clock.advance(250)
    assert.deepEqual([clock.now(), clock.monotonic()], [1_250, 250])
  })

  it('fires timers in order of due time, then of creation, each at its own time', () => {
    const delays = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 40 })
    const property = fc.property(delays, fc.integer({ min: 0, max: 60 }), (list, by) => {
      const clock = new VirtualClock()
      const fired: { index: number; at: number }[] = []
      for (const [index, delay] of list.entries())
        clock.setTimer(delay, () => fired.push({ index, at: clock.monotonic() }))
      clock.advance(by)
      const expected = list
        .map((at, index) => ({ index, at }))
        .filter(({ at }) => at <= by)
        .sort((a, b) => a.at - b.at || a.index - b.index)
      assert.deepEqual(fired, expected)
      assert.equal(clock.pending, list.length - expected.length)
      assert.equal(clock.monotonic(), by)
    })
    fc.assert(property)
  })

  it('fires what a timer starts, if it falls due within the same advance', () => {
    const clock = new VirtualClock()
    const times: number[] = []
    const again = () => {
      times.push(clock.monotonic())
      clock.setTimer(10, again)
    }
    clock.setTimer(10, again)
    clock.advance(35)
    assert.deepEqual(times, [10, 20, 30])
  })

  it('does not fire what was cancelled, however often', () => {
    const clock = new VirtualClock()
    const timer = clock.setTimer(5, () => assert.fail('cancelled'))
    timer.cancel()
    timer.cancel()
    clock.advance(10)
    assert.equal(clock.pending, 0)
  })

  it('keeps the order under any mixture of timers started, cancelled and fired', () => {
    const step = fc.oneof(
      fc.record({ start: fc.integer({ min: 0, max: 20 }) }),
      fc.record({ cancel: fc.nat() }),
      fc.record({ advance: fc.integer({ min: 0, max: 8 }) }),
    )
    const property = fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const clock = new VirtualClock()
      const timers: Timer[] = []
      const fired: number[] = []
      // The model: a list, sorted anew at every advance.
      let waiting: { index: number; due: number }[] = []
      const expected: number[] = []
      for (const step of steps) {
        if ('start' in step) {
          const index = timers.length
          waiting.push({ index, due: clock.monotonic() + step.start })
          timers.push(clock.setTimer(step.start, () => fired.push(index)))
        } else if ('cancel' in step) {
          const index = step.cancel % (timers.length + 1)
          timers[index]?.cancel()
          waiting = waiting.filter((timer) => timer.index !== index)
        } else {
          clock.advance(step.advance)
          const due = waiting.filter((timer) => timer.due <= clock.monotonic())
          expected.push(...due.sort((a, b) => a.due - b.due || a.index - b.index).map(({ index }) => index))
          waiting = waiting.filter((timer) => timer.due > clock.monotonic())
        }
        assert.deepEqual(fired, expected)
        assert.equal(clock.pending, waiting.length)
      }
    })
    fc.assert(property)
  })

  it('keeps the order of thousands when half of them are cancelled', () => {
    const clock = new VirtualClock()
    const random = new SeededRandom('thousands of timers')
    const fired: number[] = []
    const delays = Array.from({ length: 4_000 }, () => Math.floor(uniform(random) * 1e6))
    const timers = delays.map((delay) => clock.setTimer(delay, () => fired.push(clock.monotonic())))
    const kept = delays.filter((_, index) => {
      const cancelled = uniform(random) < 0.5
      if (cancelled) timers[index]!.cancel()
      return !cancelled
    })
    assert.equal(clock.pending, kept.length)
    while (clock.nextEvent());
    assert.deepEqual(
      fired,
      kept.sort((a, b) => a - b),
    )
  })

  it('lets a timer cancel another that is due at the same time, and itself', () => {
    const clock = new VirtualClock()
    const own = clock.setTimer(5, () => {
      own.cancel()
      other.cancel()
    })
    const other = clock.setTimer(5, () => assert.fail('cancelled'))
    clock.advance(5)
    assert.equal(clock.pending, 0)
  })

  it('jumps from event to event', () => {
    const clock = new VirtualClock()
    let fired = 0
    clock.setTimer(3_600_000, () => fired++)
    assert.equal(clock.nextEvent(), true)
    assert.deepEqual([fired, clock.monotonic()], [1, 3_600_000])
    assert.equal(clock.nextEvent(), false)
  })

  it('takes a delay in the past as none', () => {
    const clock = new VirtualClock()
    clock.advance(100)
    let at = -1
    clock.setTimer(-5, () => {
      at = clock.monotonic()
    })
    clock.advance(0)
    assert.equal(at, 100)
    clock.setTimer(Number.NaN, () => {
      at = 0
    })
    clock.advance(0)
    assert.equal(at, 0)
  })
})

describe('a virtual timer', () => {
  it('moves time however short its delay is beside the time that has passed', () => {
    const clock = new VirtualClock()
    clock.advance(1e9)
    const before = clock.monotonic()
    // As who waits for a moment that rounding puts just behind now.
    const again = () => clock.monotonic() === before && clock.setTimer(1e-12, again)
    again()
    clock.nextEvent()
    assert.ok(clock.monotonic() > before)
  })
})

describe('RealClock', () => {
  it('tells the time of day, and a time that never goes back', () => {
    const clock = new RealClock()
    assert.ok(clock.now() > Date.UTC(2025, 0, 1))
    let last = clock.monotonic()
    for (let i = 0; i < 1_000; i++) {
      const next = clock.monotonic()
      assert.ok(next >= last)
      last = next
    }
  })

  it('fires a timer, and not a cancelled one', async () => {
    const clock = new RealClock()
    clock.setTimer(0, () => assert.fail('cancelled')).cancel()
    await new Promise<void>((resolve) => clock.setTimer(1, resolve, { background: false }))
  })
})

describe('sleep', () => {
  it('resolves when the clock says so, not before', async () => {
    const clock = new VirtualClock()
    let done = false
    const sleeping = sleep(clock, 100).then(() => {
      done = true
    })
    clock.advance(99)
    await Promise.resolve()
    assert.equal(done, false)
    clock.advance(1)
    await sleeping
  })

  it('rejects with the reason of the signal and leaves no timer', async () => {
    const clock = new VirtualClock()
    const controller = new AbortController()
    const reason = new Error('enough')
    const sleeping = sleep(clock, 100, controller.signal)
    controller.abort(reason)
    await assert.rejects(sleeping, reason)
    await assert.rejects(sleep(clock, 100, controller.signal), reason)
    assert.equal(clock.pending, 0)
  })
})
