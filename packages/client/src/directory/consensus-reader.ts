/**
 * Reads the network from the document that its authorities have signed (03-directory §18), so that no single directory can
 * choose our hops: whatever comes is verified against pinned keys. Fetching and verifying are `ConsensusSource`'s; when to
 * read is left to `topology-keeper.ts`.
 */
import type { Logger } from '@mixwright/runtime'
import {
  ConsensusSource,
  epochInUse,
  isGateway,
  rewardedSetOf,
  rotationScheduleOf,
  scheduledRotation,
  skimmedNode,
  type VerifiedDocument,
} from '@mixwright/wire'
import { cleanBaseUrl, type DirectoryReaderOptions, requireBaseUrls } from './directory-reader.js'
import { listedRequester } from './listed-requester.js'
import type { ListedRequester, RotationSchedule, Topology, TopologySource } from './topology.js'
import { TopologyBuilder } from './topology-builder.js'

export interface ConsensusReaderOptions extends DirectoryReaderOptions {
  /** Base58 Ed25519 keys of all authorities of the network. */
  readonly authorities: readonly string[]
  /** How many of them must have signed. @default more than two thirds */
  readonly threshold?: number | undefined
  readonly logger: Logger
}

export class ConsensusReader implements TopologySource {
  readonly #options: ConsensusReaderOptions
  readonly #source: ConsensusSource
  readonly #builder: TopologyBuilder
  #reading: Promise<VerifiedDocument> | undefined

  /** Error: `MIX_OPTIONS` for base URLs, keys or a threshold that are none. */
  constructor(options: ConsensusReaderOptions) {
    const { baseUrls, clock, crypto, preferTls = false } = options
    requireBaseUrls(baseUrls)
    this.#options = options
    this.#source = new ConsensusSource({ ...options, baseUrls: baseUrls.map(cleanBaseUrl) })
    this.#builder = new TopologyBuilder({ clock, crypto, preferTls })
  }

  /** Errors: `MIX_DIRECTORY_UNVERIFIED`, `MIX_DIRECTORY_UNREACHABLE`, `MIX_DIRECTORY_UNUSABLE`; the signal's reason. */
  async read(signal?: AbortSignal): Promise<Topology> {
    const { document } = await this.#verified(signal)
    const epochId = epochInUse(document, this.#options.clock.now())
    const rotationId = scheduledRotation(document.schedule, epochId)
    const skimmed = (nodes: typeof document.nodes) => nodes.map((node) => skimmedNode(node, rotationId))
    const network = {
      rewarded: rewardedSetOf(document, epochId),
      mixnodes: skimmed(document.nodes.filter(({ layer }) => layer > 0)),
      gateways: skimmed(document.nodes.filter(isGateway)),
      epochId,
      rotationId,
    }
    return this.#builder.build(network, this.#options.baseUrls.join(', '))
  }

  /** Errors: `MIX_DIRECTORY_UNVERIFIED`, `MIX_DIRECTORY_UNREACHABLE`; the signal's reason. */
  async readSchedule(signal?: AbortSignal): Promise<RotationSchedule> {
    const { document } = await this.#verified(signal)
    return rotationScheduleOf(document.schedule, document.epoch_id)
  }

  /** Errors: `MIX_DIRECTORY_UNVERIFIED`, `MIX_DIRECTORY_UNREACHABLE`; the signal's reason. */
  async readRequesters(signal?: AbortSignal): Promise<readonly ListedRequester[]> {
    const { document } = await this.#verified(signal)
    return document.nodes.flatMap(({ descriptor: { declared_role, network_requester, host_information } }) =>
      declared_role.exit_nr ? listedRequester(network_requester, host_information.data.keys.ed25519_identity) : [],
    )
  }

  /** The document; who asks while it is being read gets the same. */
  #verified(signal?: AbortSignal): Promise<VerifiedDocument> {
    this.#reading ??= this.#source.read(signal).finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }
}
