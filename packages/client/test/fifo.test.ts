import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SeededRandom } from '@mixwright/runtime'
import fc from 'fast-check'
import { Fifo } from '../src/fifo.js'
import { DrawSet } from '../src/send/draw-set.js'

describe('a queue', () => {
  it('does what an array does', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.constant('push' as const) },
      { weight: 3, arbitrary: fc.constant('shift' as const) },
      { weight: 1, arbitrary: fc.constantFrom('retain' as const, 'drain' as const) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
        const fifo = new Fifo<number>()
        let model: number[] = []
        for (const [number, step] of steps.entries()) {
          if (step === 'push') {
            fifo.push(number)
            model.push(number)
          } else if (step === 'shift') assert.equal(fifo.shift(), model.shift())
          else if (step === 'retain') {
            fifo.retain((item) => item % 3 > 0)
            model = model.filter((item) => item % 3 > 0)
          } else {
            assert.deepEqual(fifo.drain(), model)
            model = []
          }
          assert.equal(fifo.size, model.length)
          assert.equal(fifo.first, model[0])
        }
        assert.deepEqual([...fifo], model)
      }),
    )
  })

  it('moves its items down as it is emptied, and loses none', () => {
    const fifo = new Fifo<number>()
    let taken = 0
    for (let item = 0; item < 1000; item++) {
      fifo.push(item)
      if (item % 10 > 0) assert.equal(fifo.shift(), taken++)
    }
    assert.equal(fifo.size, 100)
    while (fifo.size > 0) assert.equal(fifo.shift(), taken++)
    assert.equal(taken, 1000)
    assert.equal(fifo.shift(), undefined)
  })
})

describe('a set to draw from', () => {
  it('draws each of its items, and no other, about equally often', () => {
    const set = new DrawSet<number>()
    for (let item = 0; item < 10; item++) set.add(item)
    set.add(3)
    for (const item of [0, 9, 4, 4]) set.delete(item)
    assert.equal(set.size, 7)
    const random = new SeededRandom('draws')
    const counts = new Map<number | undefined, number>()
    for (let draw = 0; draw < 7000; draw++) {
      const item = set.draw(random)
      counts.set(item, (counts.get(item) ?? 0) + 1)
    }
    assert.deepEqual([...counts.keys()].sort(), [1, 2, 3, 5, 6, 7, 8])
    // Six standard deviations of a binomial distribution.
    for (const count of counts.values()) assert.ok(Math.abs(count - 1000) < 6 * 29.3, `${count} of 7000`)
    for (const item of counts.keys()) set.delete(item!)
    assert.equal(set.draw(random), undefined)
  })
})
