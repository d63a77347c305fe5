/**
 * From what is known of the nodes to what is published (03-directory §9, §18): one immutable snapshot. A pure function, so that
 * whoever has the same readings, scores and previous document publishes the same.
 */
import type { Epoch, EpochSchedule } from '../epoch.js'
import { keyOfRotation } from '../nodes/node-descriptor.js'
import { type Layers, layersFor } from './layers.js'
import { type ListedNode, Snapshot, USABLE_PERFORMANCE } from './snapshot.js'

/** What the next document builds on. */
export interface EarlierDocument {
  readonly epochId: number
  /** SHA-256, hexadecimal. */
  readonly hash: string
  readonly layers: Layers
}

export interface PublicationInput {
  readonly schedule: EpochSchedule
  readonly epoch: Epoch
  /** By `nodeId`, ascending. */
  readonly listed: readonly ListedNode[]
  readonly earlier: EarlierDocument | undefined
  /** The document in force. */
  readonly last: Snapshot | undefined
  readonly nowMs: number
}

export interface Publication {
  readonly snapshot: Snapshot
  /** Whether the network can be routed as it is now. If not, the snapshot holds on to the last that could be. */
  readonly routable: boolean
}

/**
 * The document to publish. What cannot be routed helps nobody: then nodes of the last good one stay as they were, beside those that
 * still answer, whose keys stay fresh.
 */
export function nextPublication(input: PublicationInput): Publication {
  const { listed, last, nowMs } = input
  const present = snapshotOf(input, listed, nowMs)
  if (present.routable || !last?.routable) return { snapshot: present, routable: present.routable }
  const kept = snapshotOf(input, withLost(listed, last.listed), last.refreshedAtMs)
  return { snapshot: kept.routable ? kept : last.inEpoch(input.epoch), routable: false }
}

function snapshotOf(
  { schedule, epoch, earlier }: PublicationInput,
  listed: readonly ListedNode[],
  refreshedAtMs: number,
): Snapshot {
  const candidates = listed
    .filter(({ reading }) => reading.roles.mixnode_enabled)
    .map(({ nodeId, performance, reading, earlierKeys }) => {
      return { nodeId, performance, hasKey: keyOfRotation(reading, epoch.rotationId, earlierKeys) !== undefined }
    })
  const layers = layersFor({
    candidates,
    previous: earlier?.layers ?? [],
    newEpoch: earlier?.epochId !== epoch.id,
    seed: `${earlier?.hash ?? ''} ${epoch.id}`,
  })
  return new Snapshot(schedule, epoch, listed, layers, refreshedAtMs)
}

/** Together with the nodes of the last good document that are lost or of no use now, with the performance of then. */
function withLost(listed: readonly ListedNode[], before: readonly ListedNode[]): ListedNode[] {
  const nodes = new Map(before.map((node) => [node.nodeId, node]))
  for (const node of listed) {
    const lost = node.performance < USABLE_PERFORMANCE ? nodes.get(node.nodeId) : undefined
    nodes.set(node.nodeId, lost ? { ...node, performance: lost.performance } : node)
  }
  return [...nodes.values()].sort((a, b) => a.nodeId - b.nodeId)
}
