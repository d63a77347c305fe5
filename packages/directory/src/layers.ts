/**
 * Which mix node works in which layer (03-directory §9). Nodes keep their layer from epoch to epoch, so that a small
 * network does not tear its routes apart; newcomers fill the emptiest layer, and a layer that ran empty is filled by
 * moving one node out of the fullest.
 */
import { type Random, shuffled } from '@mixwright/runtime'

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
