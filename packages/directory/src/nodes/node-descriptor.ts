/**
 * A reading in the forms that others need (03-directory §7, §18): as the descriptor that authorities vote on, and the Sphinx key
 * that it gives for a key rotation.
 */
import { LEGACY_ROTATION_ID, type NodeDescriptor } from '@mixwright/wire'
import type { NodeReading, SignedNodeReading } from './node-reader.js'

/** A Sphinx key and its rotation, base58. */
export type TaggedKey = NodeReading['hostInformation']['keys']['primary_x25519_sphinx_key']

/** What a node said, as authorities pass it on. */
export function descriptorOf(reading: SignedNodeReading): NodeDescriptor {
  const { hostInformation, hostSignature, roles, websockets, auxiliaryDetails, buildInformation, networkRequester } =
    reading
  return {
    host_information: { data: hostInformation, signature: hostSignature },
    declared_role: {
      mixnode: roles.mixnode_enabled,
      entry: roles.gateway_enabled,
      exit_nr: roles.network_requester_enabled,
      exit_ipr: roles.ip_packet_router_enabled,
    },
    mixnet_websockets: websockets,
    auxiliary_details: auxiliaryDetails,
    build_information: buildInformation,
    network_requester: networkRequester,
  }
}

/** All keys that a node shows at present. */
export function keysOf({ hostInformation }: NodeReading): TaggedKey[] {
  const { primary_x25519_sphinx_key: primary, pre_announced_x25519_sphinx_key: next } = hostInformation.keys
  return next === null ? [primary] : [primary, next]
}

/** The key of a rotation: shown now or, by a node whose clock is ahead, `earlier`. Undefined when it has none. */
export function keyOfRotation(
  reading: NodeReading,
  rotationId: number,
  earlier: readonly TaggedKey[] = [],
): string | undefined {
  const keys = [...keysOf(reading), ...earlier]
  const key =
    keys.find(({ rotation_id }) => rotation_id === rotationId) ??
    keys.find(({ rotation_id }) => rotation_id === LEGACY_ROTATION_ID)
  return key?.public_key
}
