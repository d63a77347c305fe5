/**
 * The agreed document as the snapshot that all official routes show (03-directory §18): the same bytes at every authority. The
 * other way, from a reading to a node of our vote, is `descriptorOf` of `node-descriptor.ts`.
 */
import { FULL_SCORE, type NetworkDocument, type NodeDescriptor, scheduledStartMs } from '@mixwright/wire'
import { LAYERS } from '../document/layers.js'
import { type ListedNode, Snapshot } from '../document/snapshot.js'
import { type EpochSchedule, epochAt } from '../epoch.js'
import type { SignedNodeReading } from '../nodes/node-reader.js'

/** What the official routes show while `document` is in force in the epoch `epochId`, its own or a later one. */
export function documentSnapshot(document: NetworkDocument, schedule: EpochSchedule, epochId: number): Snapshot {
  // Times are the epoch's, not ours: two authorities never do anything at the same moment.
  const startMs = scheduledStartMs(document.schedule, epochId)
  const listed = document.nodes.map(({ node_id, score, descriptor }): ListedNode => {
    return { nodeId: node_id, reading: readingOf(descriptor, startMs), performance: score / FULL_SCORE }
  })
  const layers = Array.from({ length: LAYERS }, (_, index) =>
    document.nodes.filter(({ layer }) => layer === index + 1).map(({ node_id }) => node_id),
  )
  return new Snapshot(schedule, epochAt(schedule, startMs), listed, layers, startMs)
}

function readingOf(descriptor: NodeDescriptor, readAtMs: number): SignedNodeReading {
  const {
    host_information,
    declared_role,
    mixnet_websockets,
    auxiliary_details,
    build_information,
    network_requester,
  } = descriptor
  return {
    readAtMs,
    hostInformation: host_information.data,
    hostSignature: host_information.signature,
    roles: {
      mixnode_enabled: declared_role.mixnode,
      gateway_enabled: declared_role.entry,
      network_requester_enabled: declared_role.exit_nr,
      ip_packet_router_enabled: declared_role.exit_ipr,
    },
    buildInformation: build_information,
    websockets: mixnet_websockets,
    auxiliaryDetails: auxiliary_details,
    networkRequester: network_requester,
  }
}
