/**
 * Time as the network counts it (03-directory §7): epochs of one length from a genesis, and the key rotation that each
 * belongs to. Clients compute the same from the documents and their own clock, so epochs must advance on time.
 */
import { MixError } from '@mixwright/runtime'
import {
  formatRfc3339,
  type Interval,
  type KeyRotationInfo,
  type KeyRotationState,
  nextRotationStart,
  rotationIdAt,
  rotationStart,
} from '@mixwright/wire'

/** Nodes and clients misbehave on shorter ones (03-directory §7). */
const SHORTEST_EPOCH_MS = 15_000
/** Epochs per interval, as on the public network. */
const EPOCHS_IN_INTERVAL = 720

export interface EpochSchedule {
  /** Start of epoch 0, Unix milliseconds. */
  readonly genesisMs: number
  /** At least 15 000. */
  readonly durationMs: number
  /** Epochs that one Sphinx key lasts; at least 3. */
  readonly validityEpochs: number
}

export interface Epoch {
  /** Absolute epoch id. */
  readonly id: number
  readonly startMs: number
  readonly endMs: number
  readonly rotationId: number
}

/** Error: `MIX_OPTIONS` when the schedule would not work. */
export function checkSchedule({ genesisMs, durationMs, validityEpochs }: EpochSchedule): void {
  const whole = [genesisMs, durationMs, validityEpochs].every(Number.isSafeInteger)
  if (whole && genesisMs >= 0 && durationMs >= SHORTEST_EPOCH_MS && validityEpochs >= 3) return
  const message = `Epochs must last at least ${SHORTEST_EPOCH_MS / 1000} seconds, and a key at least 3 epochs.`
  throw new MixError('MIX_OPTIONS', message, { kind: 'usage' })
}

/** The epoch at `nowMs`; before the genesis it is the first. */
export function epochAt(schedule: EpochSchedule, nowMs: number): Epoch {
  return epochOf(schedule, Math.max(0, Math.floor((nowMs - schedule.genesisMs) / schedule.durationMs)))
}

/** The epoch of this absolute id. */
export function epochOf(schedule: EpochSchedule, id: number): Epoch {
  const startMs = schedule.genesisMs + id * schedule.durationMs
  return { id, startMs, endMs: startMs + schedule.durationMs, rotationId: rotationIdAt(rotationState(schedule), id) }
}

export function intervalOf(schedule: EpochSchedule, epoch: Epoch): Interval {
  return {
    id: Math.floor(epoch.id / EPOCHS_IN_INTERVAL),
    epochs_in_interval: EPOCHS_IN_INTERVAL,
    current_epoch_start: formatRfc3339(epoch.startMs),
    current_epoch_id: epoch.id % EPOCHS_IN_INTERVAL,
    epoch_length: duration(schedule.durationMs),
    total_elapsed_epochs: epoch.id,
  }
}

export function keyRotationInfo(schedule: EpochSchedule, epoch: Epoch): KeyRotationInfo {
  const state = rotationState(schedule)
  return {
    key_rotation_state: { validity_epochs: state.validityEpochs, initial_epoch_id: state.initialEpochId },
    current_absolute_epoch_id: epoch.id,
    current_epoch_start: formatRfc3339(epoch.startMs),
    epoch_duration: duration(schedule.durationMs),
    progress: {
      current_key_rotation_id: epoch.rotationId,
      current_rotation_starting_epoch: rotationStart(state, epoch.id),
      current_rotation_ending_epoch: nextRotationStart(state, epoch.id) - 1,
    },
  }
}

function rotationState(schedule: EpochSchedule): KeyRotationState {
  return { validityEpochs: schedule.validityEpochs, initialEpochId: 0 }
}

function duration(ms: number): { secs: number; nanos: number } {
  return { secs: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 }
}
