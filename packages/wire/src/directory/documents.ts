/**
 * The documents of the directory (03-directory §4), each field in its official order: that order is the bincode encoding.
 * A value is the JSON value; `toBincode` and `fromJson` of schema.ts do the rest.
 */
import { publicKey, taggedSphinxKey as sphinxKey, versionedNoiseKeySchema } from './key-text.js'
import { performance } from './performance.js'
import {
  bool,
  choice,
  ipAddress,
  list,
  optional,
  type Schema,
  string,
  struct,
  tagged,
  u8,
  u16,
  u32,
  u64,
  type ValueOf,
} from './schema.js'
import { humanTime, rfc3339Time } from './timestamp.js'

export const durationSchema = struct({ secs: u64, nanos: u32 })

/** An interval of epochs and where in it we are. `total_elapsed_epochs` is the absolute epoch id. */
export const intervalSchema = struct({
  id: u32,
  epochs_in_interval: u32,
  current_epoch_start: rfc3339Time,
  current_epoch_id: u32,
  epoch_length: durationSchema,
  total_elapsed_epochs: u32,
})
export type Interval = ValueOf<typeof intervalSchema>

export type TopologyRequestStatus = 'no-updates' | { fresh: Interval }
const topologyRequestStatus = tagged<TopologyRequestStatus>([
  ['no-updates'],
  ['fresh', intervalSchema as Schema<unknown>],
])

/** What a node is in this epoch. */
export type NodeRole = { Mixnode: { layer: number } } | 'EntryGateway' | 'ExitGateway' | 'Standby' | 'Inactive'
const nodeRole = tagged<NodeRole>([
  ['Mixnode', struct({ layer: u8 }) as Schema<unknown>],
  ['EntryGateway'],
  ['ExitGateway'],
  ['Standby'],
  ['Inactive'],
])

/** What a node says it can be. */
export const declaredRolesSchema = struct({ mixnode: bool, entry: bool, exit_nr: bool, exit_ipr: bool })
export type DeclaredRoles = ValueOf<typeof declaredRolesSchema>

const entryInformation = struct({ hostname: optional(string), ws_port: u16, wss_port: optional(u16) })

/** A node as clients need it. The first of `ip_addresses` is the mix address. */
export const skimmedNodeSchema = struct({
  node_id: u32,
  ed25519_identity_pubkey: publicKey,
  ip_addresses: list(ipAddress),
  mix_port: u16,
  x25519_sphinx_pubkey: publicKey,
  role: nodeRole,
  supported_roles: declaredRolesSchema,
  entry: optional(entryInformation),
  performance,
})
export type SkimmedNode = ValueOf<typeof skimmedNodeSchema>

/** A node as nodes need it: with its Noise key. */
export const semiSkimmedNodeSchema = struct({
  basic: skimmedNodeSchema,
  x25519_noise_versioned_key: optional(versionedNoiseKeySchema),
})

/** Clients compare all but `refreshed_at` between lists and pages: one object per snapshot. */
export const nodesMetadataSchema = struct({
  status: optional(topologyRequestStatus),
  absolute_epoch_id: u32,
  rotation_id: u32,
  refreshed_at: humanTime,
})
export type NodesMetadata = ValueOf<typeof nodesMetadataSchema>

const pagination = struct({ total: u64, page: u32, size: u64 })

/** A page of a list. */
export function paginated<T>(item: Schema<T>): Schema<Paginated<T>> {
  return struct({ pagination, data: list(item) as Schema<unknown> }) as unknown as Schema<Paginated<T>>
}
export interface Paginated<T> {
  pagination: ValueOf<typeof pagination>
  data: T[]
}

/** Everything in one page: the only form we serve. */
export function onePage<T>(data: T[]): Paginated<T> {
  return { pagination: { total: data.length, page: 0, size: data.length }, data }
}

export const skimmedNodesSchema = struct({ metadata: nodesMetadataSchema, nodes: paginated(skimmedNodeSchema) })
export type SkimmedNodes = ValueOf<typeof skimmedNodesSchema>
export const semiSkimmedNodesSchema = struct({ metadata: nodesMetadataSchema, nodes: paginated(semiSkimmedNodeSchema) })

/** The older wrapper, without epoch and rotation. */
export const skimmedNodesV1Schema = struct({
  status: optional(topologyRequestStatus),
  refreshed_at: humanTime,
  nodes: paginated(skimmedNodeSchema),
})

/** The oldest wrapper. */
export const cachedNodesSchema = struct({ refreshed_at: humanTime, nodes: list(skimmedNodeSchema) })

export const rewardedSetSchema = struct({
  epoch_id: u32,
  entry_gateways: list(u32),
  exit_gateways: list(u32),
  layer1: list(u32),
  layer2: list(u32),
  layer3: list(u32),
  standby: list(u32),
})
export type RewardedSet = ValueOf<typeof rewardedSetSchema>

/** Which addresses are some node's, and whose: an entry for every address that was asked after. */
export const nodesByAddressesSchema = struct({ existence: addressMap(optional(u32)) })
export type NodesByAddresses = ValueOf<typeof nodesByAddressesSchema>

/** JSON only: its Rust type cannot be written as bincode. */
export const keyRotationInfoSchema = struct({
  key_rotation_state: struct({ validity_epochs: u32, initial_epoch_id: u32 }),
  current_absolute_epoch_id: u32,
  current_epoch_start: rfc3339Time,
  epoch_duration: durationSchema,
  progress: struct({
    current_key_rotation_id: u32,
    current_rotation_starting_epoch: u32,
    current_rotation_ending_epoch: u32,
  }),
})
export type KeyRotationInfo = ValueOf<typeof keyRotationInfoSchema>

export const healthSchema = struct({
  status: choice(['up']),
  chain_status: tagged<'synced' | 'unknown' | { stalled: { approximate_amount: string } }>([
    ['synced'],
    ['unknown'],
    ['stalled', struct({ approximate_amount: string }) as Schema<unknown>],
  ]),
  uptime: u64,
})

export const buildInformationSchema = struct({
  binary_name: string,
  build_timestamp: string,
  build_version: string,
  commit_sha: string,
  commit_timestamp: string,
  commit_branch: string,
  rustc_version: string,
  rustc_channel: string,
  cargo_profile: string,
  cargo_triple: string,
})
export type BuildInformation = ValueOf<typeof buildInformationSchema>

export const auxiliaryDetailsSchema = struct({
  location: optional(string),
  announce_ports: struct({ verloc_port: optional(u16), mix_port: optional(u16) }),
  accepted_operator_terms_and_conditions: bool,
})
export type AuxiliaryDetails = ValueOf<typeof auxiliaryDetailsSchema>

export const websocketsSchema = struct({ ws_port: u16, wss_port: optional(u16) })
export type Websockets = ValueOf<typeof websocketsSchema>

const providerAddress = struct({ address: string })
const digests = mapOf(['blake3', 'shake128', 'shake256', 'sha256'], string)

/** Read where official nodes announce it; never announced by ours. */
const lewesProtocol = struct({
  content: struct({
    enabled: bool,
    control_port: u16,
    data_port: u16,
    x25519: publicKey,
    kem_keys: mapOf(['mlkem768', 'mceliece'], digests),
  }),
  signature: string,
})

/** A network requester that a node carries. */
export const carriedRequesterSchema = struct({ address: string, uses_exit_policy: bool })
export type CarriedRequester = ValueOf<typeof carriedRequesterSchema>

/** A node's self-description as the directory passes it on; key names differ from the node's own (03-directory Trap 9). */
const descriptionFields = {
  last_polled: humanTime,
  host_information: struct({
    ip_address: list(ipAddress),
    hostname: optional(string),
    keys: struct({
      ed25519: publicKey,
      x25519: publicKey,
      current_x25519_sphinx_key: sphinxKey,
      pre_announced_x25519_sphinx_key: optional(sphinxKey),
      x25519_versioned_noise: optional(versionedNoiseKeySchema),
    }),
  }),
  declared_role: declaredRolesSchema,
  auxiliary_details: auxiliaryDetailsSchema,
  build_information: buildInformationSchema,
  network_requester: optional(carriedRequesterSchema),
  ip_packet_router: optional(providerAddress),
  authenticator: optional(providerAddress),
  wireguard: optional(struct({ port: u16, tunnel_port: u16, metadata_port: u16, public_key: string })),
  mixnet_websockets: websocketsSchema,
}
const contractNodeType = choice(['legacy_mixnode', 'legacy_gateway', 'nym_node'])

export const describedNodeV1Schema = struct({
  node_id: u32,
  contract_node_type: contractNodeType,
  description: struct(descriptionFields),
})
export type DescribedNodeV1 = ValueOf<typeof describedNodeV1Schema>

export const describedNodeV2Schema = struct({
  node_id: u32,
  contract_node_type: contractNodeType,
  description: struct({ ...descriptionFields, lewes_protocol: optional(lewesProtocol) }),
})
export type DescribedNodeV2 = ValueOf<typeof describedNodeV2Schema>

/** A map whose keys are enum variants, written in their order. */
function mapOf<T>(keys: readonly string[], inner: Schema<T>): Schema<Record<string, T>> {
  const key = choice(keys)
  return {
    write(writer, value) {
      const present = keys.filter((name) => Object.hasOwn(value, name))
      writer.varint(present.length)
      for (const name of present) {
        key.write(writer, name)
        inner.write(writer, value[name]!)
      }
    },
    read(reader) {
      const value: Record<string, T> = {}
      const count = reader.count()
      for (let i = 0; i < count; i++) {
        const name = key.read(reader)
        value[name] = inner.read(reader)
      }
      return value
    },
    check(value, path) {
      const checked: Record<string, T> = {}
      const source = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
      for (const name of keys)
        if (Object.hasOwn(source, name)) checked[name] = inner.check(source[name], `${path}.${name}`)
      return checked
    },
  }
}

/** A map from IP addresses, in the order of its entries. */
function addressMap<T>(inner: Schema<T>): Schema<Record<string, T>> {
  return {
    write(writer, value) {
      const entries = Object.entries(value)
      writer.varint(entries.length)
      for (const [address, item] of entries) {
        ipAddress.write(writer, address)
        inner.write(writer, item)
      }
    },
    read(reader) {
      const value: Record<string, T> = {}
      const count = reader.count()
      for (let i = 0; i < count; i++) {
        const address = ipAddress.read(reader)
        value[address] = inner.read(reader)
      }
      return value
    },
    check(value, path) {
      const checked: Record<string, T> = {}
      const source = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
      for (const [address, item] of Object.entries(source)) {
        const place = `${path}.${address}`
        checked[ipAddress.check(address, place)] = inner.check(item, place)
      }
      return checked
    },
  }
}
