/**
 * Where a node learns about the network it works in: a directory over HTTP (`directory-source.ts`), several of them verified
 * against pinned keys, or in a simulation the directory itself.
 */
import { type Logger, MixError } from '@mixwright/runtime'
import type { KeyRotationState } from '@mixwright/wire'
import type { ListedPeer } from './network-view.js'

export interface NetworkTopology {
  readonly peers: readonly ListedPeer[]
  /** A listed node in each of the layers 1 to 3, and a gateway. */
  readonly routable: boolean
}

/** The directory's epochs and key rotations, and where it stands in them. */
export interface RotationInfo extends KeyRotationState {
  readonly epochMs: number
  /** Absolute id of the epoch that runs, and when it began, Unix milliseconds. */
  readonly epochId: number
  readonly epochStartMs: number
}

/** Each call may fail with a `MixError` of kind `network` or `peer`; none takes longer than ten seconds. */
export interface NetworkSource {
  keyRotation(): Promise<RotationInfo>
  topology(): Promise<NetworkTopology>
  /** Which of at most 100 addresses belong to a node that the directory knows. */
  known(ips: readonly string[]): Promise<ReadonlySet<string>>
  /** Ask to be read again now: a signed note of who asks and when. Failures are only worth a log line. */
  announce(): Promise<void>
}

/**
 * A question in the background failed: an outage is worth a line for who debugs, anything else is a fault of ours. A node goes on
 * with what it knows in both cases.
 */
export function logFailure(logger: Logger, error: unknown, message: string): void {
  logger[error instanceof MixError ? 'debug' : 'error']({ reason: (error as Error).message }, message)
}
