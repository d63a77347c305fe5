/**
 * Which mix node works in which layer (03-directory §9). Nodes keep their layer from epoch to epoch, so that a small
 * network does not tear its routes apart; newcomers fill the emptiest layer, and a layer that ran empty is filled by
 * moving one node out of the fullest.
 */
import { type Random, SeededRandom, shuffled } from '@mixwright/runtime'

export const LAYERS = 3

/** Node ids by layer, from layer 1. */
export type Layers = readonly (readonly number[])[]

/** Deal `nodeIds` into layers, starting from the previous deal. */
export function dealLayers(nodeIds: readonly number[], previous: Layers, random: Random): Layers {
  const present = new Set(nodeIds)
  const layers = Array.from({ length: LAYERS }, (_, layer) => (previous[layer] ?? []).filter((id) => present.has(id)))
  const dealt = new Set(layers.flat())
  const emptiest = () => layers.reduce((least, layer) => (layer.length < least.length ? layer : least))
  const fullest = () => layers.reduce((most, layer) => (layer.length > most.length ? layer : most))
  for (const id of shuffled(
    nodeIds.filter((id) => !dealt.has(id)),
    random,
  ))
    emptiest().push(id)
  while (emptiest().length === 0 && fullest().length > 1) emptiest().push(fullest().pop()!)
  return layers.map((layer) => layer.sort((a, b) => a - b))
}

/** A mix node where layers are dealt. */
export interface LayerCandidate {
  readonly nodeId: number
  /** In [0, 1]. */
  readonly performance: number
  /** Whether it has announced a Sphinx key of the rotation. */
  readonly hasKey: boolean
}

export interface LayerDeal {
  /** All mix nodes that are listed. */
  readonly candidates: readonly LayerCandidate[]
  /** The deal before. */
  readonly previous: Layers
  /** Whether an epoch begins: else whoever has a layer keeps it, and newcomers get one. */
  readonly newEpoch: boolean
  /** Whatever everybody can compute from the document before and the epoch. */
  readonly seed: string
}

/** Below, a node gets no layer as long as the rest can be routed (03-directory §18). */
const WORKING_PERFORMANCE = 0.75
/** In a network of fewer mix nodes, all stay in their layer: there is little to gain from moving three nodes about. */
const SMALL_NETWORK = 9

/**
 * The layers of a network: nodes that work and have a key, as long as these fill every layer; then those with a key; then all
 * of them, since one that may be back in a minute is better than an empty layer. The same input gives the same deal.
 */
export function layersFor({ candidates, previous, newEpoch, seed }: LayerDeal): Layers {
  const withKey = candidates.filter(({ hasKey }) => hasKey)
  const working = withKey.filter(({ performance }) => performance >= WORKING_PERFORMANCE)
  const fit = [working, withKey, candidates].find(({ length }) => length >= LAYERS) ?? candidates
  const ids = new Set(fit.map(({ nodeId }) => nodeId))
  if (!newEpoch) {
    const holding = new Set(previous.flat())
    for (const { nodeId, hasKey } of candidates) if (hasKey && holding.has(nodeId)) ids.add(nodeId)
  }
  const kept = newEpoch && candidates.length >= SMALL_NETWORK ? [] : previous
  return dealLayers(
    [...ids].sort((a, b) => a - b),
    kept,
    new SeededRandom(seed),
  )
}
