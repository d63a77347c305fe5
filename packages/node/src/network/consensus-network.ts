/**
 * The network as its authorities have signed it (03-directory §18), for nodes that are given pinned keys: key rotation, list
 * of nodes and known addresses come from the verified document alone. Asking to be read again goes to every directory, as
 * without keys.
 */
import type { Clock } from '@mixwright/runtime'
import {
  type ConsensusNode,
  ConsensusSource,
  type ConsensusSourceOptions,
  decodeBase58,
  epochInUse,
  isRoutable,
  type NetworkDocument,
  rotationScheduleOf,
  skimmedNode,
} from '@mixwright/wire'
import { canonicalIp } from '../link/ip-address.js'
import type { NetworkSource, NetworkTopology, RotationInfo } from './network-source.js'
import type { ListedPeer } from './network-view.js'

export interface ConsensusNetworkOptions extends ConsensusSourceOptions {
  /** Takes the announcements. */
  readonly announceTo: Pick<NetworkSource, 'announce'>
}

/** One question, milliseconds, as `NetworkSource` promises. */
const DEADLINE_MS = 10_000

export class ConsensusNetwork implements NetworkSource {
  readonly #clock: Clock
  readonly #source: ConsensusSource
  readonly #announceTo: Pick<NetworkSource, 'announce'>

  /** Error: `MIX_OPTIONS` for keys or a threshold that are none. */
  constructor(options: ConsensusNetworkOptions) {
    const baseUrls = options.baseUrls.map((url) => url.replace(/\/+$/, ''))
    this.#clock = options.clock
    this.#announceTo = options.announceTo
    this.#source = new ConsensusSource({ deadlineMs: DEADLINE_MS, ...options, baseUrls })
  }

  async keyRotation(): Promise<RotationInfo> {
    const { document, epochId } = await this.#read()
    const { knownEpochId, knownEpochStartMs, ...schedule } = rotationScheduleOf(document.schedule, epochId)
    return { ...schedule, epochId: knownEpochId, epochStartMs: knownEpochStartMs }
  }

  async topology(): Promise<NetworkTopology> {
    const { document } = await this.#read()
    return { peers: document.nodes.map(peerOf), routable: isRoutable(document) }
  }

  async known(ips: readonly string[]): Promise<ReadonlySet<string>> {
    const { document } = await this.#read()
    const listed = new Set(document.nodes.flatMap((node) => peerOf(node).ipAddresses.map(canonicalIp)))
    return new Set(ips.filter((ip) => listed.has(canonicalIp(ip))))
  }

  announce(): Promise<void> {
    return this.#announceTo.announce()
  }

  async #read(): Promise<{ readonly document: NetworkDocument; readonly epochId: number }> {
    const { document } = await this.#source.read()
    return { document, epochId: epochInUse(document, this.#clock.now()) }
  }
}

function peerOf(node: ConsensusNode): ListedPeer {
  const { ip_addresses, mix_port } = skimmedNode(node, 0)
  const noise = node.descriptor.host_information.data.keys.x25519_versioned_noise
  const noiseKey = noise ? decodeBase58(noise.x25519_pubkey, 32) : undefined
  return { ipAddresses: ip_addresses, mixPort: mix_port, ...(noiseKey && { noiseKey }) }
}
