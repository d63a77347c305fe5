/**
 * Everything that the directory publishes at one moment, as one immutable object (03-directory §7): all routes answer from
 * the same one, so no two lists ever disagree. Each document is written once, at its first request.
 */
import {
  cachedNodesSchema,
  type DescribedNodeV2,
  describedNodeV1Schema,
  describedNodeV2Schema,
  formatHumanTime,
  formatPerformance,
  fromJson,
  type Interval,
  intervalSchema,
  type KeyRotationInfo,
  keyRotationInfoSchema,
  type NodeRole,
  type NodesMetadata,
  onePage,
  paginated,
  type RewardedSet,
  rewardedSetSchema,
  type Schema,
  type SkimmedNode,
  semiSkimmedNodesSchema,
  skimmedNodesSchema,
  skimmedNodesV1Schema,
  textHash,
  toBincode,
} from '@mixwright/wire'
import { type Epoch, type EpochSchedule, intervalOf, keyRotationInfo } from '../epoch.js'
import { keyOfRotation, type TaggedKey } from '../nodes/node-descriptor.js'
import type { NodeReading } from '../nodes/node-reader.js'
import type { Layers } from './layers.js'

/** Port that a node without one in its description listens on (05-mixnode §3). */
const DEFAULT_MIX_PORT = 1789

/** A node that the directory believes in. */
export interface ListedNode {
  readonly nodeId: number
  readonly reading: NodeReading
  /** In [0, 1]; 1 until probing says otherwise. */
  readonly performance: number
  /** Keys that it showed earlier: a node whose clock is ahead has rotated, and answers to the old one still. @default none */
  readonly earlierKeys?: readonly TaggedKey[]
}

/** Below, clients leave a node out (03-directory §3.5). */
export const USABLE_PERFORMANCE = 0.5

/** A document in both encodings, each made when first asked for. */
export class Document<T = unknown> {
  readonly value: T
  readonly #schema: Schema<T> | undefined
  #json: string | undefined
  #bincode: Uint8Array | undefined

  /** Without a schema there is no bincode form. */
  constructor(value: T, schema?: Schema<T>) {
    this.value = value
    this.#schema = schema
  }

  get json(): string {
    this.#json ??= JSON.stringify(this.value)
    return this.#json
  }

  get bincode(): Uint8Array | undefined {
    if (this.#schema && this.#bincode === undefined) this.#bincode = toBincode(this.#schema, this.value)
    return this.#bincode
  }
}

/** The lists of nodes that clients ask for. */
export type NodeListName = 'all' | 'mixnodes-active' | 'mixnodes-all' | 'entry-gateways' | 'exit-gateways'

export class Snapshot {
  readonly epoch: Epoch
  readonly interval: Interval
  readonly rewardedSet: RewardedSet
  readonly nodes: readonly SkimmedNode[]
  readonly layers: Layers
  /** What it was made of. */
  readonly listed: readonly ListedNode[]
  readonly #schedule: EpochSchedule
  readonly #refreshedAtMs: number
  readonly #refreshedAt: string
  readonly #rotationInfo: KeyRotationInfo
  readonly #documents = new Map<string, Document>()
  #nodeByIp: ReadonlyMap<string, number> | undefined

  constructor(
    schedule: EpochSchedule,
    epoch: Epoch,
    listed: readonly ListedNode[],
    layers: Layers,
    refreshedAtMs: number,
  ) {
    this.epoch = epoch
    this.interval = intervalOf(schedule, epoch)
    this.layers = layers
    this.listed = listed
    this.#schedule = schedule
    this.#refreshedAtMs = refreshedAtMs
    this.#refreshedAt = formatHumanTime(refreshedAtMs)
    this.#rotationInfo = keyRotationInfo(schedule, epoch)
    const gateways = listed.filter(({ reading }) => reading.roles.gateway_enabled).map(({ nodeId }) => nodeId)
    const [layer1 = [], layer2 = [], layer3 = []] = layers.map((layer) => [...layer])
    this.rewardedSet = {
      epoch_id: epoch.id,
      entry_gateways: gateways,
      exit_gateways: [],
      layer1,
      layer2,
      layer3,
      standby: [],
    }
    const layerOf = new Map(layers.flatMap((ids, index) => ids.map((id) => [id, index + 1] as const)))
    this.nodes = listed.map((node) => skim(node, epoch, roleOf(node, layerOf.get(node.nodeId))))
  }

  /** Whether a client can be routed: a node that works in every layer, and such a gateway. */
  get routable(): boolean {
    const working = new Set(
      this.listed.flatMap(({ nodeId, performance }) => (performance >= USABLE_PERFORMANCE ? nodeId : [])),
    )
    return [...this.layers, this.rewardedSet.entry_gateways].every((ids) => ids.some((id) => working.has(id)))
  }

  /** SHA-256 of what it says about whom, hexadecimal: the same for the same network in the same epoch. */
  get hash(): string {
    return textHash(JSON.stringify([this.epoch.id, this.rewardedSet, this.nodes]))
  }

  /** When its nodes were read, Unix milliseconds. */
  get refreshedAtMs(): number {
    return this.#refreshedAtMs
  }

  /** The node that has an IP address, in canonical text; one of them, if there are several. */
  nodeAt(ip: string): number | undefined {
    this.#nodeByIp ??= new Map(
      this.nodes.flatMap(({ node_id, ip_addresses }) => ip_addresses.map((address) => [address, node_id] as const)),
    )
    return this.#nodeByIp.get(ip)
  }

  /** The same nodes in a later epoch. */
  inEpoch(epoch: Epoch): Snapshot {
    return new Snapshot(this.#schedule, epoch, this.listed, this.layers, this.#refreshedAtMs)
  }

  /** A list of nodes in the present wrapper. */
  nodeList(name: NodeListName): Document {
    return this.#document(`v2 ${name}`, () => {
      // The list of all nodes carries no status; the others all carry the very same one.
      const metadata = this.#metadata(name === 'all' ? null : { fresh: this.interval })
      return new Document({ metadata, nodes: onePage(this.#named(name)) }, skimmedNodesSchema)
    })
  }

  /** All nodes with their Noise keys, for nodes. */
  get semiSkimmed(): Document {
    return this.#document('semi-skimmed', () => {
      const nodes = this.listed.map(({ reading }, index) => ({
        basic: this.nodes[index]!,
        x25519_noise_versioned_key: reading.hostInformation.keys.x25519_versioned_noise,
      }))
      return new Document({ metadata: this.#metadata(null), nodes: onePage(nodes) }, semiSkimmedNodesSchema)
    })
  }

  /** The answer to a client that says it knows this epoch already. */
  get noUpdates(): Document {
    return this.#document('no updates', () => {
      return new Document(
        { metadata: this.#metadata('no-updates'), nodes: onePage<SkimmedNode>([]) },
        skimmedNodesSchema,
      )
    })
  }

  /** The same lists in the older wrapper, without epoch and rotation. */
  nodeListV1(name: NodeListName): Document {
    return this.#document(`v1 ${name}`, () => {
      const status = name === 'all' ? null : { fresh: this.interval }
      return new Document(
        { status, refreshed_at: this.#refreshedAt, nodes: onePage(this.#named(name)) },
        skimmedNodesV1Schema,
      )
    })
  }

  /** The same lists in the oldest wrapper. */
  cachedNodes(name: NodeListName): Document {
    return this.#document(`cached ${name}`, () => {
      return new Document({ refreshed_at: this.#refreshedAt, nodes: this.#named(name) }, cachedNodesSchema)
    })
  }

  get rewardedSetDocument(): Document {
    return this.#document('rewarded set', () => new Document(this.rewardedSet, rewardedSetSchema))
  }

  get keyRotationInfo(): Document {
    return this.#document('rotation', () => new Document(fromJson(keyRotationInfoSchema, this.#rotationInfo)))
  }

  get currentEpoch(): Document {
    return this.#document('epoch', () => new Document(this.interval, intervalSchema))
  }

  /** Self-descriptions of all nodes. */
  described(version: 1 | 2): Document {
    return this.#document(`described ${version}`, () => {
      const nodes = this.listed.map(describe)
      if (version === 2) return new Document(onePage(nodes), paginated(describedNodeV2Schema))
      return new Document(
        onePage(nodes.map((node) => fromJson(describedNodeV1Schema, node))),
        paginated(describedNodeV1Schema),
      )
    })
  }

  #metadata(status: NodesMetadata['status']): NodesMetadata {
    return {
      status,
      absolute_epoch_id: this.epoch.id,
      rotation_id: this.epoch.rotationId,
      refreshed_at: this.#refreshedAt,
    }
  }

  #named(name: NodeListName): SkimmedNode[] {
    switch (name) {
      case 'all':
        return [...this.nodes]
      case 'mixnodes-all':
        return this.nodes.filter(({ supported_roles }) => supported_roles.mixnode)
      case 'mixnodes-active':
        return this.nodes.filter(({ supported_roles, role }) => supported_roles.mixnode && role !== 'Inactive')
      case 'entry-gateways':
        return this.nodes.filter(({ supported_roles }) => supported_roles.entry)
      case 'exit-gateways':
        return this.nodes.filter(({ supported_roles }) => supported_roles.exit_nr && supported_roles.exit_ipr)
    }
  }

  #document<T>(name: string, make: () => Document<T>): Document {
    let document = this.#documents.get(name)
    if (document === undefined) {
      document = make() as Document
      this.#documents.set(name, document)
    }
    return document
  }
}

function roleOf({ reading }: ListedNode, layer: number | undefined): NodeRole {
  if (layer !== undefined) return { Mixnode: { layer } }
  return reading.roles.gateway_enabled ? 'EntryGateway' : 'Inactive'
}

/** The Sphinx key that belongs to the epoch's rotation; a late node's old key else, and it is read again (03-directory §7). */
function sphinxKeyFor({ reading, earlierKeys }: ListedNode, { rotationId }: Epoch): string {
  const primary = reading.hostInformation.keys.primary_x25519_sphinx_key.public_key
  return keyOfRotation(reading, rotationId, earlierKeys) ?? primary
}

/** The port that a node listens on for Sphinx packets. */
export function mixPortOf({ auxiliaryDetails }: NodeReading): number {
  return auxiliaryDetails.announce_ports.mix_port ?? DEFAULT_MIX_PORT
}

function skim(node: ListedNode, epoch: Epoch, role: NodeRole): SkimmedNode {
  const { hostInformation, websockets, roles } = node.reading
  const { hostname } = hostInformation
  return {
    node_id: node.nodeId,
    ed25519_identity_pubkey: hostInformation.keys.ed25519_identity,
    ip_addresses: [...hostInformation.ip_address],
    mix_port: mixPortOf(node.reading),
    x25519_sphinx_pubkey: sphinxKeyFor(node, epoch),
    role,
    supported_roles: {
      mixnode: roles.mixnode_enabled,
      entry: roles.gateway_enabled,
      exit_nr: roles.network_requester_enabled,
      exit_ipr: roles.ip_packet_router_enabled,
    },
    entry: roles.gateway_enabled ? { hostname, ws_port: websockets.ws_port, wss_port: websockets.wss_port } : null,
    performance: formatPerformance(node.performance),
  }
}

function describe({ nodeId, reading }: ListedNode): DescribedNodeV2 {
  const { hostInformation, roles, buildInformation, websockets, auxiliaryDetails, networkRequester } = reading
  const { keys } = hostInformation
  return {
    node_id: nodeId,
    contract_node_type: 'nym_node',
    description: {
      last_polled: formatHumanTime(reading.readAtMs),
      host_information: {
        ip_address: [...hostInformation.ip_address],
        hostname: hostInformation.hostname,
        keys: {
          ed25519: keys.ed25519_identity,
          x25519: keys.x25519_sphinx,
          current_x25519_sphinx_key: keys.primary_x25519_sphinx_key,
          pre_announced_x25519_sphinx_key: keys.pre_announced_x25519_sphinx_key,
          x25519_versioned_noise: keys.x25519_versioned_noise,
        },
      },
      declared_role: {
        mixnode: roles.mixnode_enabled,
        entry: roles.gateway_enabled,
        exit_nr: roles.network_requester_enabled,
        exit_ipr: roles.ip_packet_router_enabled,
      },
      auxiliary_details: auxiliaryDetails,
      build_information: buildInformation,
      network_requester: networkRequester,
      ip_packet_router: null,
      authenticator: null,
      wireguard: null,
      mixnet_websockets: websockets,
      lewes_protocol: null,
    },
  }
}
