/** Who is blamed for probes that were lost. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SeededRandom, uniform } from '@mixwright/runtime'
import type { SkimmedNode } from '@mixwright/wire'
import { MOST_GROUPS, type ProbeGroup, ProbeScores, probeCounts } from '../src/probing/probe-scores.js'
import { drawWays } from '../src/probing/prober.js'

const random = new SeededRandom('probes')

/** Nodes `a0 a1 … b0 … c0 …` in three layers and gateways `g0 …`. */
function nodesOf(perLayer: number, gateways: number): SkimmedNode[] {
  const names = ['a', 'b', 'c'].flatMap((layer) => Array.from({ length: perLayer }, (_, i) => `${layer}${i}`))
  return [...names, ...Array.from({ length: gateways }, (_, i) => `g${i}`)].map((identity, index) => {
    const isGateway = identity.startsWith('g')
    const node = { node_id: index + 1, ed25519_identity_pubkey: identity, supported_roles: { mixnode: !isGateway } }
    return { ...node, entry: isGateway ? { hostname: null, ws_port: 1, wss_port: null } : null } as SkimmedNode
  })
}

function layersOf(nodes: readonly SkimmedNode[]): number[][] {
  return ['a', 'b', 'c'].map((layer) =>
    nodes.flatMap(({ node_id, ed25519_identity_pubkey }) => (ed25519_identity_pubkey.startsWith(layer) ? node_id : [])),
  )
}

/** Rounds of probes in which each node loses a fraction of what it gets. */
function probed(nodes: readonly SkimmedNode[], rounds: number, losses: Record<string, number>): ProbeGroup[] {
  const layers = layersOf(nodes)
  return Array.from({ length: rounds }, () => drawWays({ layers, nodes }, random)).flatMap((ways) =>
    ways.map((way): ProbeGroup => {
      const names = way.map(({ ed25519_identity_pubkey }) => ed25519_identity_pubkey)
      return [0, names, 1, names.every((name) => uniform(random) >= (losses[name] ?? 0)) ? 1 : 0]
    }),
  )
}

describe('scores', () => {
  it('begin with 1, and follow the formula where there is no doubt', () => {
    assert.equal(new ProbeScores().scoreOf('anybody'), 1)
    const counts = probeCounts([[0, ['a'], 10, 4]])
    assert.deepEqual(counts.get('a'), { sent: 10, home: 4, score: 5 / 11 })
    assert.equal(probeCounts([[0, ['a', 'b'], 10, 10]]).get('b')!.score, 1)
  })

  it('fall for the node that is dead, and for nobody else', () => {
    const nodes = nodesOf(2, 2)
    const counts = probeCounts(probed(nodes, 60, { b1: 1 }))
    for (const [name, { score }] of counts) {
      if (name === 'b1') assert.ok(score < 0.05, `${name} ${score}`)
      else assert.ok(score > 0.97, `${name} ${score}`)
    }
  })

  it('tell a lossy gateway and a lossy mix node apart', () => {
    const counts = probeCounts(probed(nodesOf(4, 3), 200, { a2: 0.4, g1: 0.2 }))
    for (const [name, { score }] of counts) {
      const expected = name === 'a2' ? 0.6 : name === 'g1' ? 0.8 : 1
      assert.ok(Math.abs(score - expected) < 0.07, `${name} ${score}`)
    }
  })

  it('count the last hour, and keep no more than they may', () => {
    const scores = new ProbeScores()
    scores.add([[0, ['a'], 1, 0]], 1_000)
    assert.equal(scores.scoreOf('a'), 0.5)
    scores.add([], 3_600_000)
    assert.equal(scores.scoreOf('a'), 1)
    const many = Array.from(
      { length: MOST_GROUPS + 1 },
      (_, i): ProbeGroup => [3_600_001, [i === 0 ? 'old' : 'new'], 1, 0],
    )
    scores.add(many, 3_600_001)
    assert.equal(scores.counts.get('old'), undefined)
    assert.equal(scores.counts.get('new')!.sent, MOST_GROUPS)
    assert.ok(scores.entries().length <= 5_000)
  })
})

describe('ways of a round', () => {
  it('cover every node, those without a layer too, and go through the layers in their order', () => {
    const nodes = nodesOf(3, 5)
    const layers = layersOf(nodes)
    layers[1] = layers[1]!.slice(1)
    const ways = drawWays({ layers, nodes }, random)
    assert.equal(new Set(ways.flat()).size, nodes.length)
    for (const way of ways) {
      assert.equal(way.length, 4)
      for (const [stage, { node_id, entry }] of way.entries())
        assert.ok(stage === 3 ? entry !== null : layers[stage]!.includes(node_id) || node_id === 4)
    }
  })

  it('are none where there is no route', () => {
    assert.deepEqual(drawWays({ layers: [[], [], []], nodes: nodesOf(0, 2) }, random), [])
    assert.deepEqual(drawWays({ layers: layersOf(nodesOf(1, 0)), nodes: nodesOf(1, 0) }, random), [])
  })
})
