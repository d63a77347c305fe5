/**
 * What follows from the schedule of epochs and the time of day (03-directory §6.4, §7, 04-client §4.13.3): which epoch and
 * key rotation it should be now, how long the keys of a topology are good, and when the network's epochs are stuck. Pure;
 * times are Unix milliseconds. Purging reply blocks by these numbers is left to the reply controller.
 */
import { type KeyRotation, rotationIdAt, rotationOfId } from '@mixwright/wire'
import type { RotationSchedule, Topology } from './topology.js'

/** How far our clock and the directory's may be apart at the turn of an epoch, milliseconds. */
const TURN_TOLERANCE_MS = 2_000

/** Absolute id of the epoch that should run at `nowMs`; 0 before the first. */
export function expectedEpoch(schedule: RotationSchedule, nowMs: number): number {
  return Math.max(0, schedule.knownEpochId + Math.floor((nowMs - schedule.knownEpochStartMs) / schedule.epochMs))
}

/** When an epoch starts. */
export function epochStartMs({ knownEpochId, knownEpochStartMs, epochMs }: RotationSchedule, epochId: number): number {
  return knownEpochStartMs + (epochId - knownEpochId) * epochMs
}

/** Id of the key rotation that should be in force at `nowMs`. */
export function expectedRotation(schedule: RotationSchedule, nowMs: number): number {
  return rotationIdAt(schedule, expectedEpoch(schedule, nowMs))
}

/** The same as packets and reply blocks are marked with it; unknown in rotation 0. */
export function expectedKeyRotation(schedule: RotationSchedule, nowMs: number): KeyRotation {
  return rotationOfId(expectedRotation(schedule, nowMs))
}

/** When a rotation starts; the one before stays readable for one more epoch. */
export function rotationStartMs(schedule: RotationSchedule, rotationId: number): number {
  return epochStartMs(schedule, schedule.initialEpochId + schedule.validityEpochs * rotationId)
}

/** How long nodes hold a Sphinx key: its rotation and one epoch more. */
export function rotationLifetimeMs({ validityEpochs, epochMs }: RotationSchedule): number {
  return (validityEpochs + 1) * epochMs
}

/** Whether the topology's epoch was not the one that the schedule expected when it was read: rotations come late then. */
export function isEpochStuck(schedule: RotationSchedule, { epochId, readAt }: Topology): boolean {
  return (
    epochId !== expectedEpoch(schedule, readAt - TURN_TOLERANCE_MS) &&
    epochId !== expectedEpoch(schedule, readAt + TURN_TOLERANCE_MS)
  )
}

/**
 * Until when packets built with this topology can be read: one epoch into the following rotation. Where the schedule does
 * not say when that comes (epochs are stuck, or rotations are not numbered by it), a whole lifetime after the reading.
 */
export function keysGoodUntilMs(schedule: RotationSchedule, topology: Topology): number {
  const { epochId, rotationId, readAt } = topology
  if (isEpochStuck(schedule, topology) || rotationId !== rotationIdAt(schedule, epochId))
    return readAt + rotationLifetimeMs(schedule)
  return rotationStartMs(schedule, rotationId + 1) + schedule.epochMs
}
