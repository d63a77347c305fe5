/**
 * A network document as the lists that everybody knows (03-directory §4, §5): for readers that verify the document and for
 * authorities that serve the lists, so that both show the same network.
 */
import type { RewardedSet, SkimmedNode } from '../directory/documents.js'
import { formatPerformance } from '../directory/performance.js'
import { LEGACY_ROTATION_ID } from '../mix/key-rotation.js'
import {
  type ConsensusNode,
  FULL_SCORE,
  isGateway,
  type NetworkDocument,
  type Schedule,
  scheduledEpoch,
  scheduledRotation,
  scheduledStartMs,
} from './network-document.js'

/** Port of a node that announces none (05-mixnode §3). */
const DEFAULT_MIX_PORT = 1789
/** How far a reader's clock may be ahead of the authorities', milliseconds. */
const CLOCK_TOLERANCE_MS = 2_000

/** The epoch in which a document is used at `nowMs`: its own, or a later one while nothing follows it. */
export function epochInUse({ epoch_id, schedule }: NetworkDocument, nowMs: number): number {
  return Math.max(epoch_id, scheduledEpoch(schedule, nowMs - CLOCK_TOLERANCE_MS))
}

/** Whether a node has announced the Sphinx key of a rotation, or has one for all times. */
export function hasKeyOf(rotationId: number, { descriptor }: Pick<ConsensusNode, 'descriptor'>): boolean {
  const { primary_x25519_sphinx_key: primary, pre_announced_x25519_sphinx_key: next } =
    descriptor.host_information.data.keys
  return [rotationId, LEGACY_ROTATION_ID].includes(primary.rotation_id) || next?.rotation_id === rotationId
}

/** A node as clients need it, with the Sphinx key of `rotationId`, or its old one when it has announced none. */
export function skimmedNode(node: ConsensusNode, rotationId: number): SkimmedNode {
  const { host_information, declared_role, mixnet_websockets, auxiliary_details } = node.descriptor
  const { hostname, ip_address, keys } = host_information.data
  const { primary_x25519_sphinx_key: primary, pre_announced_x25519_sphinx_key: next } = keys
  return {
    node_id: node.node_id,
    ed25519_identity_pubkey: keys.ed25519_identity,
    ip_addresses: [...ip_address],
    mix_port: auxiliary_details.announce_ports.mix_port ?? DEFAULT_MIX_PORT,
    x25519_sphinx_pubkey: next?.rotation_id === rotationId ? next.public_key : primary.public_key,
    role: node.layer > 0 ? { Mixnode: { layer: node.layer } } : isGateway(node) ? 'EntryGateway' : 'Inactive',
    supported_roles: { ...declared_role },
    entry: declared_role.entry ? { hostname, ...mixnet_websockets } : null,
    performance: formatPerformance(node.score / FULL_SCORE),
  }
}

/** Who does what in an epoch. */
export function rewardedSetOf({ nodes }: NetworkDocument, epochId: number): RewardedSet {
  const layer = (wanted: number) => nodes.filter(({ layer }) => layer === wanted).map(({ node_id }) => node_id)
  return {
    epoch_id: epochId,
    entry_gateways: nodes.filter(isGateway).map(({ node_id }) => node_id),
    exit_gateways: [],
    layer1: layer(1),
    layer2: layer(2),
    layer3: layer(3),
    standby: [],
  }
}

/** Epochs and rotations, where they stand in an epoch. */
export function rotationScheduleOf(schedule: Schedule, epochId: number) {
  return {
    validityEpochs: schedule.validity_epochs,
    initialEpochId: 0,
    epochMs: schedule.duration_ms,
    knownEpochId: epochId,
    knownEpochStartMs: scheduledStartMs(schedule, epochId),
    rotationId: scheduledRotation(schedule, epochId),
  }
}
