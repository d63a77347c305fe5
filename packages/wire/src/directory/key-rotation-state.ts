/** Which Sphinx key rotation an epoch belongs to (03-directory §7). */

export interface KeyRotationState {
  /** Epochs that one rotation lasts; at least 1. */
  readonly validityEpochs: number
  /** Absolute epoch in which rotation 0 began. */
  readonly initialEpochId: number
}

export function rotationIdAt({ validityEpochs, initialEpochId }: KeyRotationState, epochId: number): number {
  return Math.floor(Math.max(0, epochId - initialEpochId) / validityEpochs)
}

/** First epoch of the rotation that `epochId` belongs to. */
export function rotationStart(state: KeyRotationState, epochId: number): number {
  return state.initialEpochId + state.validityEpochs * rotationIdAt(state, epochId)
}

/** First epoch of the following rotation. */
export function nextRotationStart(state: KeyRotationState, epochId: number): number {
  return rotationStart(state, epochId) + state.validityEpochs
}
