/**
 * From lists of nodes to a topology (03-directory §6.3): layers as the rewarded set says, without nodes that are malformed,
 * perform badly or have unusable keys. Where the lists come from, and whether to believe them, is the readers' matter.
 */
import { type Clock, MixError } from '@mixwright/runtime'
import type { CryptoProvider, RouteNode } from '@mixwright/sphinx'
import { performancePercent, type RewardedSet, type SkimmedNode } from '@mixwright/wire'
import { gatewayNode, type KeyCheck, routeNode } from './listed-node.js'
import type { GatewayNode, Topology } from './topology.js'

/** Nodes below are left out, percent, as by official clients. */
const MINIMUM_PERFORMANCE = 50
/** Any scalar: with a point of low order all of them give zero. */
const PROBE_SCALAR = new Uint8Array(32).fill(1)

export interface TopologyBuilderOptions {
  readonly clock: Clock
  /** Tells which Sphinx keys are points of low order. */
  readonly crypto: CryptoProvider
  /** Connect to gateways over TLS where they offer it. */
  readonly preferTls: boolean
}

export interface ListedNetwork {
  readonly rewarded: RewardedSet
  readonly mixnodes: readonly SkimmedNode[]
  readonly gateways: readonly SkimmedNode[]
  readonly epochId: number
  readonly rotationId: number
}

export class TopologyBuilder {
  readonly #options: TopologyBuilderOptions
  /** Sphinx keys of the last topology that are usable: checking one costs a point multiplication. */
  #usableKeys: ReadonlySet<string> = new Set()

  constructor(options: TopologyBuilderOptions) {
    this.#options = options
  }

  /** `url`, of who shows this network, is for the error: `MIX_DIRECTORY_UNUSABLE`. */
  build({ rewarded, mixnodes, gateways, epochId, rotationId }: ListedNetwork, url: string): Topology {
    const keys = new Set<string>()
    const hopById = new Map<number, RouteNode>()
    for (const node of mixnodes) {
      const hop = performs(node) ? routeNode(node, this.#keyCheck(node, keys)) : undefined
      if (hop !== undefined) hopById.set(node.node_id, hop)
    }
    const gatewayByIdentity = new Map<string, GatewayNode>()
    for (const node of gateways) {
      if (!performs(node)) continue
      const gateway = gatewayNode(node, this.#keyCheck(node, keys), this.#options.preferTls)
      if (gateway !== undefined) gatewayByIdentity.set(gateway.identity, gateway)
    }
    this.#usableKeys = keys

    const layer = (ids: readonly number[]) => [...new Set(ids)].flatMap((id) => hopById.get(id) ?? [])
    const layers = [layer(rewarded.layer1), layer(rewarded.layer2), layer(rewarded.layer3)] as const
    const empty = layers.findIndex((nodes) => nodes.length === 0)
    if (empty >= 0) throw unusable(url, `layer ${empty + 1} has no usable node`)
    if (gatewayByIdentity.size === 0) throw unusable(url, 'there is no usable gateway')
    return { layers, gateways: gatewayByIdentity, epochId, rotationId, readAt: this.#options.clock.now() }
  }

  /** The check for the key of this node; usable keys are noted in `usable`, for the next topology. */
  #keyCheck({ x25519_sphinx_pubkey: text }: SkimmedNode, usable: Set<string>): KeyCheck {
    return (publicKey) => {
      const isUsable =
        usable.has(text) ||
        this.#usableKeys.has(text) ||
        this.#options.crypto.x25519(PROBE_SCALAR, publicKey) !== undefined
      if (isUsable) usable.add(text)
      return isUsable
    }
  }
}

function performs({ performance }: SkimmedNode): boolean {
  return performancePercent(performance)! >= MINIMUM_PERFORMANCE
}

function unusable(url: string, reason: string): MixError {
  const message = `The network that the directory at ${url} shows cannot be used: ${reason}.`
  return new MixError('MIX_DIRECTORY_UNUSABLE', message, { kind: 'network', retry: true, data: { url, reason } })
}
