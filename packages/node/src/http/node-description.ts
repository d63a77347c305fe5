/** What a node says about itself to a directory (05-mixnode §12), as data; serving it is `node-api.ts`'s. */
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  type AuxiliaryDetails,
  type BuildInformation,
  encodeBase58,
  type HostInformation,
  type SignedHostInformation,
  signHostInformation,
  type Websockets,
} from '@mixwright/wire'
import type { SphinxKey } from '../mix/sphinx-keys.js'

/**
 * The release that we announce. Official programs read features out of it: clients need ≥ 1.30 for some services, and
 * nodes rank versions; no `lewes_protocol` goes with it (03-directory Trap 18).
 */
const ANNOUNCED_RELEASE = '1.37.0'

export interface NodeDescription {
  readonly hostInformation: SignedHostInformation
  readonly roles: {
    readonly mixnode_enabled: boolean
    readonly gateway_enabled: boolean
    readonly network_requester_enabled: boolean
    readonly ip_packet_router_enabled: boolean
  }
  readonly websockets: Websockets
  readonly auxiliaryDetails: AuxiliaryDetails
  readonly buildInformation: BuildInformation
}

export interface NodeFacts {
  readonly role: 'mixnode' | 'gateway'
  readonly identityKey: Uint8Array
  readonly identitySeed: Uint8Array
  readonly sphinxKey: SphinxKey
  /** Keys of the next rotation are announced before it begins. */
  readonly preAnnouncedKey?: SphinxKey
  readonly announcedIp: string
  readonly mixPort: number
  /** Of mix nodes too: a directory drops a node that does not answer with one. */
  readonly websocketPort: number
}

export function describeNode(crypto: CryptoProvider, facts: NodeFacts): NodeDescription {
  const tagged = ({ rotationId, publicKey }: SphinxKey) => ({
    rotation_id: rotationId,
    public_key: encodeBase58(publicKey),
  })
  const data: HostInformation = {
    ip_address: [facts.announcedIp],
    hostname: null,
    keys: {
      ed25519_identity: encodeBase58(facts.identityKey),
      x25519_sphinx: encodeBase58(facts.sphinxKey.publicKey),
      primary_x25519_sphinx_key: tagged(facts.sphinxKey),
      pre_announced_x25519_sphinx_key: facts.preAnnouncedKey ? tagged(facts.preAnnouncedKey) : null,
      // Null: peers speak plain TCP to us.
      x25519_versioned_noise: null,
    },
  }
  return {
    hostInformation: signHostInformation(crypto, data, facts.identitySeed),
    roles: {
      mixnode_enabled: facts.role === 'mixnode',
      gateway_enabled: facts.role === 'gateway',
      network_requester_enabled: false,
      ip_packet_router_enabled: false,
    },
    websockets: { ws_port: facts.websocketPort, wss_port: null },
    auxiliaryDetails: {
      location: null,
      announce_ports: { verloc_port: null, mix_port: facts.mixPort },
      accepted_operator_terms_and_conditions: true,
    },
    buildInformation: {
      // Directories score any other name as 0.
      binary_name: 'nym-node',
      build_timestamp: '2026-11-24T00:00:00.000000000Z',
      build_version: ANNOUNCED_RELEASE,
      commit_sha: 'unknown',
      commit_timestamp: '2026-11-24T00:00:00.000000000Z',
      commit_branch: 'mixwright',
      rustc_version: 'none',
      rustc_channel: 'none',
      cargo_profile: 'none',
      cargo_triple: 'none',
    },
  }
}
