/** What a node says about itself to a directory (05-mixnode §12), as data; serving it is `node-api.ts`'s. */
import { type CryptoProvider, nodeAddress } from '@mixwright/sphinx'
import {
  type AuxiliaryDetails,
  type BuildInformation,
  type ExitPolicy,
  encodeBase58,
  NOISE_VERSION,
  type SignedHostInformation,
  signHostInformation,
  type Websockets,
} from '@mixwright/wire'
import type { SphinxKey } from '../keys/sphinx-keys.js'

/**
 * The release that we announce. Official programs read features out of it: clients need ≥ 1.30 for some services, and
 * nodes rank versions; no `lewes_protocol` goes with it (03-directory Trap 18).
 */
const ANNOUNCED_RELEASE = '1.37.0'

export interface NodeDescription {
  /** Signed at each reading: keys rotate. */
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
  readonly operator: OperatorDescription
  readonly networkRequester: CarriedRequester | undefined
}

/** A network requester inside the node (06-service-providers §9). */
export interface CarriedRequester {
  /** `identity.encryption@gateway`, the gateway being this node. */
  readonly address: string
  /** Asked at each request: it may be read anew. */
  exitPolicy(): CarriedPolicy
}

export interface CarriedPolicy {
  /** Where it comes from; empty when not from the web. */
  readonly upstream: string
  /** Unix seconds. */
  readonly lastUpdated: number
  readonly policy: ExitPolicy
}

/** What the operator tells people about the node. */
export interface OperatorDescription {
  readonly moniker: string
  readonly website: string
  readonly security_contact: string
  readonly details: string
}

export interface NodeFacts {
  readonly role: 'mixnode' | 'gateway'
  readonly identityKey: Uint8Array
  readonly identitySeed: Uint8Array
  readonly sphinxKey: SphinxKey
  /** The secondary key, if any: it is announced only when it is the next rotation's. */
  readonly secondaryKey?: SphinxKey | undefined
  /** X25519, 32 bytes; without it peers speak plain TCP to us. */
  readonly noiseKey?: Uint8Array | undefined
  /** IP addresses under which others reach this node, in any spelling; the first is where peers connect. */
  readonly announcedIps: readonly string[]
  readonly hostname?: string | undefined
  /** Country, two capital letters. */
  readonly location?: string | undefined
  readonly mixPort: number
  readonly verlocPort?: number | undefined
  /** Of mix nodes too: a directory drops a node that does not answer with one. */
  readonly websocketPort: number
  /** Websocket over TLS; gateways only. */
  readonly secureWebsocketPort?: number | undefined
  readonly operator?: Partial<OperatorDescription> | undefined
  readonly networkRequester?: CarriedRequester | undefined
}

export function describeNode(crypto: CryptoProvider, facts: NodeFacts): NodeDescription {
  const { role, sphinxKey, secondaryKey, noiseKey } = facts
  const tagged = ({ rotationId, publicKey }: SphinxKey) => ({
    rotation_id: rotationId,
    public_key: encodeBase58(publicKey),
  })
  const data = {
    ip_address: facts.announcedIps.map((ip) => nodeAddress(ip, 0)?.host ?? ip),
    hostname: facts.hostname ?? null,
    keys: {
      ed25519_identity: encodeBase58(facts.identityKey),
      x25519_sphinx: encodeBase58(sphinxKey.publicKey),
      primary_x25519_sphinx_key: tagged(sphinxKey),
      pre_announced_x25519_sphinx_key:
        secondaryKey?.rotationId === sphinxKey.rotationId + 1 ? tagged(secondaryKey) : null,
      x25519_versioned_noise: noiseKey
        ? { supported_version: NOISE_VERSION, x25519_pubkey: encodeBase58(noiseKey) }
        : null,
    },
  }
  return {
    get hostInformation() {
      return signHostInformation(crypto, data, facts.identitySeed)
    },
    roles: {
      mixnode_enabled: role === 'mixnode',
      gateway_enabled: role === 'gateway',
      network_requester_enabled: facts.networkRequester !== undefined,
      ip_packet_router_enabled: false,
    },
    websockets: { ws_port: facts.websocketPort, wss_port: facts.secureWebsocketPort ?? null },
    auxiliaryDetails: {
      location: facts.location ?? null,
      announce_ports: { verloc_port: facts.verlocPort ?? null, mix_port: facts.mixPort },
      accepted_operator_terms_and_conditions: true,
    },
    buildInformation: BUILD_INFORMATION,
    operator: { ...UNDESCRIBED, ...facts.operator },
    networkRequester: facts.networkRequester,
  }
}

const UNDESCRIBED: OperatorDescription = { moniker: 'mixwright', website: '', security_contact: '', details: '' }

/** What we say of our build; embedded providers say it of themselves too, by another name. */
export const BUILD_INFORMATION: BuildInformation = {
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
}
