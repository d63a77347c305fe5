/** Routes and delays are what the book says they are distributed as; from seeds, so that the numbers never change. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Random, SeededRandom } from '@mixwright/runtime'
import type { RouteNode } from '@mixwright/sphinx'
import { drawDelaysNanos, drawRoute, exponential } from '../src/directory/route.js'
import type { Topology } from '../src/directory/topology.js'

const node = (layer: number, index: number): RouteNode => ({
  address: Uint8Array.of(4, layer, index),
  publicKey: new Uint8Array(32),
})
const layer = (number: number, size: number) => Array.from({ length: size }, (_, index) => node(number, index))
const topology: Topology = {
  layers: [layer(1, 10), layer(2, 7), layer(3, 1)],
  gateways: new Map(),
  epochId: 0,
  rotationId: 0,
  readAt: 0,
}
const gateway = node(9, 9)

/** Every draw is this one. */
const constantly = (byte: number): Random => ({
  bytes: (length) => new Uint8Array(length).fill(byte),
  fork: () => constantly(byte),
})

describe('routes', () => {
  it('pass the layers in order and end at the gateway', () => {
    const route = drawRoute(topology, gateway, new SeededRandom('route'))
    assert.deepEqual(
      route.map(({ address }) => address[1]),
      [1, 2, 3, 9],
    )
    assert.equal(route[3], gateway)
  })

  it('visit the nodes of a layer equally, and the layers independently', () => {
    const random = new SeededRandom('uniform routes')
    const draws = 70_000
    const pairs = new Array<number>(70).fill(0)
    for (let i = 0; i < draws; i++) {
      const [first, second] = drawRoute(topology, gateway, random)
      pairs[first!.address[2]! * 7 + second!.address[2]!]!++
    }
    // Chi-square with 69 degrees of freedom: above 111 with probability 0.001.
    const expected = draws / 70
    const chiSquare = pairs.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    assert.ok(chiSquare < 111, `chi-square ${chiSquare}`)
    assert.ok(chiSquare > 35, `chi-square ${chiSquare}: more even than chance`)
  })

  it('stay inside the layer at both ends of the draw', () => {
    assert.equal(drawRoute(topology, gateway, constantly(0))[0]!.address[2], 0)
    assert.equal(drawRoute(topology, gateway, constantly(0xff))[0]!.address[2], 9)
  })
})

describe('delays', () => {
  it('are exponential: mean, variance and tail', () => {
    const random = new SeededRandom('delays')
    const draws = drawDelaysNanos(random, 15, 100_000).map((nanos) => Number(nanos) / 15e6)
    const mean = draws.reduce((sum, delay) => sum + delay, 0) / draws.length
    const variance = draws.reduce((sum, delay) => sum + (delay - mean) ** 2, 0) / draws.length
    // Standard errors: 1/√n ≈ 0.0032 of the mean, √(8/n) ≈ 0.009 of the variance.
    assert.ok(Math.abs(mean - 1) < 0.01, `mean ${mean}`)
    assert.ok(Math.abs(variance - 1) < 0.03, `variance ${variance}`)
    for (const times of [0.1, 1, 3]) {
      const share = draws.filter((delay) => delay > times).length / draws.length
      assert.ok(Math.abs(share - Math.exp(-times)) < 0.006, `beyond ${times} times the mean: ${share}`)
    }
  })

  it('are one per hop, and none at all for mean 0', () => {
    assert.equal(drawDelaysNanos(new SeededRandom('x'), 15, 4).length, 4)
    assert.deepEqual(drawDelaysNanos(new SeededRandom('x'), 0, 4), [0n, 0n, 0n, 0n])
  })

  it('are finite at the ends of the draw, and whole nanoseconds of 64 bits for any mean', () => {
    assert.deepEqual(drawDelaysNanos(constantly(0), 15, 1), [0n])
    const [longest] = drawDelaysNanos(constantly(0xff), 15, 1)
    assert.ok(longest! > 36n * 15_000_000n && longest! < 37n * 15_000_000n, String(longest))
    assert.equal(exponential(constantly(0), 5), 0)
    const [aDayEach] = drawDelaysNanos(constantly(0xff), 86_400_000, 1)
    assert.equal(BigInt.asUintN(64, aDayEach!), aDayEach)
  })
})
