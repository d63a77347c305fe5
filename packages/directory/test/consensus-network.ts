/** Authorities, nodes and votes for the tests of the consensus. */
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  encodeBase58,
  identityOf,
  type NodeDescriptor,
  type Schedule,
  signHostInformation,
  type VotedNode,
} from '@mixwright/wire'

export const EPOCH_MS = 60_000
export const SCHEDULE: Schedule = { genesis_ms: 0, duration_ms: EPOCH_MS, validity_epochs: 4 }

export const authoritySeed = (index: number) => new Uint8Array(32).fill(200 + index)
export function authorityKey(crypto: CryptoProvider, index: number): string {
  return encodeBase58(crypto.ed25519PublicKey(authoritySeed(index)))
}

/** A node by its number, 1 to 99; `address` makes another descriptor of the same node. */
export function descriptorOf(
  crypto: CryptoProvider,
  node: number,
  { entry = false, address = `192.0.2.${node}`, rotation = 0 } = {},
): NodeDescriptor {
  const seed = new Uint8Array(32).fill(node)
  const key = encodeBase58(crypto.x25519Base(seed))
  const data = {
    ip_address: [address],
    hostname: null,
    keys: {
      ed25519_identity: encodeBase58(crypto.ed25519PublicKey(seed)),
      x25519_sphinx: key,
      primary_x25519_sphinx_key: { rotation_id: rotation, public_key: key },
      pre_announced_x25519_sphinx_key: null,
      x25519_versioned_noise: null,
    },
  }
  return {
    host_information: signHostInformation(crypto, data, seed),
    declared_role: { mixnode: !entry, entry, exit_nr: false, exit_ipr: false },
    mixnet_websockets: { ws_port: 9000, wss_port: null },
    network_requester: null,
    auxiliary_details: {
      location: null,
      announce_ports: { verloc_port: null, mix_port: 1789 },
      accepted_operator_terms_and_conditions: true,
    },
    build_information: {
      binary_name: 'nym-node',
      build_timestamp: 'x',
      build_version: '1.31.0',
      commit_sha: 'x',
      commit_timestamp: 'x',
      commit_branch: 'x',
      rustc_version: 'x',
      rustc_channel: 'x',
      cargo_profile: 'x',
      cargo_triple: 'x',
    },
  }
}

/** Mix nodes 1 to `mixnodes` and one gateway, number 90, all with the same score. */
export function networkView(crypto: CryptoProvider, mixnodes = 3, score = 100): VotedNode[] {
  const nodes = Array.from({ length: mixnodes }, (_, index) => descriptorOf(crypto, index + 1))
  return sortedNodes([...nodes, descriptorOf(crypto, 90, { entry: true })].map((descriptor) => ({ descriptor, score })))
}

/** As a vote must list them. */
export function sortedNodes(nodes: readonly VotedNode[]): VotedNode[] {
  return [...nodes].sort((a, b) => (identityOf(a.descriptor) < identityOf(b.descriptor) ? -1 : 1))
}
