import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { rotationStep } from '../src/keys/key-rotation.js'

const STATE = { validityEpochs: 4, initialEpochId: 2 }
/** Epochs 2–5 are rotation 0, 6–9 rotation 1, 10–13 rotation 2. */
const step = (primary: number, secondary: number | undefined, epoch: number) =>
  rotationStep({ primary, secondary }, epoch, STATE)

describe('the step of key rotation that is due', () => {
  it('follows the table: overlap, middle, last epoch', () => {
    assert.equal(step(1, 0, 6), undefined)
    assert.deepEqual(step(1, 0, 7), { kind: 'forget', rotationId: 0 })
    assert.equal(step(1, undefined, 7), undefined)
    assert.equal(step(1, undefined, 8), undefined)
    assert.deepEqual(step(1, undefined, 9), { kind: 'pre-announce', rotationId: 2 })
    assert.equal(step(1, 2, 9), undefined)
    assert.deepEqual(step(1, 2, 10), { kind: 'swap' })
    assert.equal(step(2, 1, 10), undefined)
  })

  it('brings a node that was away up to date, whatever it missed', () => {
    for (const [primary, secondary] of [
      [0, undefined],
      [0, 1],
      [1, 0],
      [1, 2],
      [7, undefined],
      [8, 7],
      [7, 8],
    ] as const) {
      for (let epoch = 0; epoch < 30; epoch++) {
        let keys: { primary: number; secondary: number | undefined } = { primary, secondary }
        let steps = 0
        for (let due = step(primary, secondary, epoch); due; due = step(keys.primary, keys.secondary, epoch)) {
          if (due.kind === 'pre-announce') keys = { ...keys, secondary: due.rotationId }
          else if (due.kind === 'swap') keys = { primary: keys.secondary!, secondary: keys.primary }
          else keys = { ...keys, secondary: undefined }
          assert.ok(++steps < 6, `no end from ${primary}/${secondary} in epoch ${epoch}`)
        }
        assert.equal(keys.primary, Math.floor(Math.max(0, epoch - 2) / 4))
      }
    }
  })

  it('keeps both keys when the epoch goes back: a directory that was ahead, or a clock', () => {
    assert.deepEqual(step(2, 1, 9), { kind: 'swap' })
    assert.equal(step(1, 2, 8), undefined)
  })
})
