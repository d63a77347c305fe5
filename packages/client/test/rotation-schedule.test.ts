/** Epochs and rotations by the clock: the official arithmetic, and how long keys are good. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { EVEN_ROTATION, ODD_ROTATION, UNKNOWN_ROTATION } from '@mixwright/wire'
import {
  epochStartMs,
  expectedEpoch,
  expectedKeyRotation,
  expectedRotation,
  isEpochStuck,
  keysGoodUntilMs,
  rotationLifetimeMs,
  rotationStartMs,
} from '../src/directory/rotation-schedule.js'
import type { RotationSchedule, Topology } from '../src/directory/topology.js'
import { loadVectors } from './vectors.js'

const HOUR = 3_600_000
/** Epoch 53 started at this time; rotation 2 runs from epoch 53 to 76. */
const START = Date.UTC(2026, 4, 16, 11, 30)
const schedule: RotationSchedule = {
  validityEpochs: 24,
  initialEpochId: 5,
  epochMs: HOUR,
  knownEpochId: 53,
  knownEpochStartMs: START,
}

const topology = (epochId: number, rotationId: number, readAt: number): Topology => ({
  layers: [[], [], []],
  gateways: new Map(),
  epochId,
  rotationId,
  readAt,
})

describe('the schedule of rotations', () => {
  it('agrees with the official arithmetic in every epoch of the vectors', () => {
    interface Case {
      readonly epoch: number
      readonly initial_epoch_id: number
      readonly validity_epochs: number
      readonly rotation_id: number
      readonly rotation_start_epoch: number
      readonly next_rotation_start_epoch: number
    }
    const { cases } = loadVectors<{ cases: Case[] }>('directory-key-rotation')
    assert.ok(cases.length > 0)
    for (const vector of cases) {
      const state = {
        ...schedule,
        initialEpochId: vector.initial_epoch_id,
        validityEpochs: vector.validity_epochs,
      }
      const inEpoch = epochStartMs(state, vector.epoch) + HOUR / 2
      assert.equal(expectedEpoch(state, inEpoch), vector.epoch)
      assert.equal(expectedRotation(state, inEpoch), vector.rotation_id)
      assert.equal(rotationStartMs(state, vector.rotation_id), epochStartMs(state, vector.rotation_start_epoch))
      assert.equal(
        rotationStartMs(state, vector.rotation_id + 1),
        epochStartMs(state, vector.next_rotation_start_epoch),
      )
    }
  })

  it('turns exactly at the start of an epoch, forwards and backwards from the one that is known', () => {
    for (const [at, epoch] of [
      [START, 53],
      [START - 1, 52],
      [START + HOUR - 1, 53],
      [START + HOUR, 54],
      [START - 53 * HOUR, 0],
      [START - 54 * HOUR, 0],
    ] as const)
      assert.equal(expectedEpoch(schedule, at), epoch)
  })

  it('marks rotations odd and even, and the first not at all', () => {
    const rotations = [0, 1, 2, 3].map((id) => expectedKeyRotation(schedule, rotationStartMs(schedule, id)))
    assert.deepEqual(rotations, [UNKNOWN_ROTATION, ODD_ROTATION, EVEN_ROTATION, ODD_ROTATION])
    assert.equal(expectedKeyRotation(schedule, START - 1), ODD_ROTATION)
    assert.equal(rotationLifetimeMs(schedule), 25 * HOUR)
  })
})

describe('the epoch of a topology', () => {
  it('is stuck when neither our clock nor one two seconds off expects it', () => {
    for (const [epochId, offset, stuck] of [
      [53, 0, false],
      [52, 1_999, false],
      [52, 2_000, true],
      [54, HOUR - 2_000, false],
      [54, HOUR - 2_001, true],
      [53, 30 * 60_000, false],
      [53, 2 * HOUR, true],
    ] as const)
      assert.equal(isEpochStuck(schedule, topology(epochId, 2, START + offset)), stuck, `${epochId} at ${offset}`)
  })

  it('says how long its keys are good: one epoch into the next rotation, whenever it was read', () => {
    const end = START + 25 * HOUR
    assert.equal(keysGoodUntilMs(schedule, topology(53, 2, START)), end)
    assert.equal(keysGoodUntilMs(schedule, topology(76, 2, START + 23.9 * HOUR)), end)
    assert.equal(keysGoodUntilMs(schedule, topology(77, 3, START + 24 * HOUR)), end + 24 * HOUR)
  })

  it('stuck, or in a rotation that the schedule does not know, gives its keys a whole lifetime', () => {
    for (const [epochId, rotationId] of [
      [53, 2],
      [83, 0xffff_ffff],
      [83, 7],
    ] as const) {
      const readAt = START + 30 * HOUR
      assert.equal(keysGoodUntilMs(schedule, topology(epochId, rotationId, readAt)), readAt + 25 * HOUR)
    }
  })
})
