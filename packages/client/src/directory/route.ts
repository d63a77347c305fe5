/**
 * The way of one packet (04-client §4.9): a uniformly random node of each layer, then the gateway; and how long it waits at
 * each of them. Nothing is weighted, nothing is left out: a skewed choice would tell packets apart.
 */
import { type Random, uniform } from '@mixwright/runtime'
import type { RouteNode } from '@mixwright/sphinx'
import type { Topology } from './topology.js'

const NANOS_PER_MS = 1_000_000

/** Four hops: one node of each layer, then `gateway`. */
export function drawRoute(topology: Topology, gateway: RouteNode, random: Random): RouteNode[] {
  const [first, second, third] = topology.layers
  return [draw(first, random), draw(second, random), draw(third, random), gateway]
}

/**
 * One delay per hop, nanoseconds, exponential with this mean in milliseconds; all zero for mean 0. The last one has no
 * effect, the gateway delivers at once. At most 37 times the mean, since a draw has 53 bits.
 */
export function drawDelaysNanos(random: Random, meanMs: number, hops: number): bigint[] {
  return Array.from({ length: hops }, () =>
    meanMs === 0 ? 0n : BigInt(Math.round(exponential(random, meanMs * NANOS_PER_MS))),
  )
}

/** A draw from the exponential distribution with this mean, in the mean's unit. */
export function exponential(random: Random, mean: number): number {
  // The draw is below 1, so that the logarithm is finite.
  return -Math.log1p(-uniform(random)) * mean
}

/** Uniform: the bias of 53 bits over a layer is far below anything that could be seen. */
function draw(layer: readonly RouteNode[], random: Random): RouteNode {
  return layer[Math.floor(uniform(random) * layer.length)]!
}
