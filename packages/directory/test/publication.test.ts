/** From readings to documents: layers, keys of rotations, and what happens when the network cannot be routed. Pure. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { type LayerCandidate, type Layers, layersFor } from '../src/document/layers.js'
import { nextPublication } from '../src/document/publication.js'
import type { ListedNode, Snapshot } from '../src/document/snapshot.js'
import { type Epoch, epochOf } from '../src/epoch.js'
import { EpochClock } from '../src/epoch-clock.js'
import { FakeNode } from './fake-node.js'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

const SCHEDULE = { genesisMs: 0, durationMs: 60_000, validityEpochs: 3 }

function listed(node: FakeNode, nodeId: number, performance = 1): ListedNode {
  const body = (path: string) => node.body(`/api/v1${path}`) as never
  return {
    nodeId,
    performance,
    reading: {
      readAtMs: 0,
      hostInformation: node.hostInformation(),
      roles: body('/roles'),
      buildInformation: body('/build-information'),
      websockets: body('/gateway/client-interfaces/mixnet-websockets'),
      auxiliaryDetails: body('/auxiliary-details'),
      networkRequester: null,
    },
  }
}

/** `mixes` mix nodes and a gateway. */
function network(mixes: number): FakeNode[] {
  return Array.from({ length: mixes + 1 }, (_, i) => new FakeNode(crypto, i + 1, i < mixes ? 'mixnode' : 'gateway'))
}

function publish(nodes: readonly ListedNode[], epochId: number, last?: Snapshot, nowMs = epochId * 60_000) {
  const earlier = last && { epochId: last.epoch.id, hash: last.hash, layers: last.layers }
  return nextPublication({ schedule: SCHEDULE, epoch: epochOf(SCHEDULE, epochId), listed: nodes, earlier, last, nowMs })
}

const sizes = (layers: Layers) => layers.map(({ length }) => length)

describe('layers of an epoch', () => {
  const candidates = (count: number, change: (id: number) => Partial<LayerCandidate> = () => ({})): LayerCandidate[] =>
    Array.from({ length: count }, (_, i) => ({ nodeId: i + 1, performance: 1, hasKey: true, ...change(i + 1) }))
  const deal = (nodes: LayerCandidate[], previous: Layers, seed: string, newEpoch = true) =>
    layersFor({ candidates: nodes, previous, newEpoch, seed })

  it('stay in small networks, are shuffled in large ones, and depend on nothing but the seed', () => {
    const small = deal(candidates(8), [], 'a')
    for (const seed of ['b', 'c', 'd']) assert.deepEqual(deal(candidates(8), small, seed), small)
    const large = deal(candidates(9), [], 'a')
    assert.deepEqual(deal(candidates(9).reverse(), large, 'a'), large)
    assert.deepEqual(sizes(large), [3, 3, 3])
    assert.notDeepEqual(deal(candidates(9), large, 'b'), large)
    assert.deepEqual(deal(candidates(9), large, 'b', false), large)
  })

  it('hold no node that fails or lacks the key, unless a layer would be empty', () => {
    const before = deal(candidates(5), [], 'a')
    const failing = candidates(5, (id) => (id === 2 ? { performance: 0.74 } : {}))
    assert.ok(!deal(failing, before, 'b').flat().includes(2))
    // Not before the epoch ends.
    assert.ok(deal(failing, before, 'b', false).flat().includes(2))
    const keyless = candidates(5, (id) => ({ hasKey: id !== 3 }))
    assert.ok(!deal(keyless, before, 'b').flat().includes(3))
    assert.deepEqual(
      sizes(
        deal(
          candidates(3, (id) => ({ hasKey: id !== 3 })),
          [],
          'b',
        ),
      ),
      [1, 1, 1],
    )
    assert.deepEqual(
      sizes(
        deal(
          candidates(3, () => ({ performance: 0 })),
          [],
          'b',
        ),
      ),
      [1, 1, 1],
    )
  })
})

describe('the key of a rotation', () => {
  const keyOf = ({ snapshot }: { snapshot: Snapshot }, id: number) =>
    snapshot.nodes.find(({ node_id }) => node_id === id)!.x25519_sphinx_pubkey

  it('is the announced one from the moment the rotation starts, and not before', () => {
    const nodes = network(4)
    for (const node of nodes) node.preAnnounced = 1
    const entries = nodes.map((node, i) => listed(node, i + 1))
    const before = publish(entries, 2)
    assert.deepEqual([before.snapshot.epoch.rotationId, keyOf(before, 1)], [0, nodes[0]!.sphinxKey(0)])
    const after = publish(entries, 3, before.snapshot)
    assert.deepEqual([after.snapshot.epoch.rotationId, keyOf(after, 1)], [1, nodes[0]!.sphinxKey(1)])
  })

  it('a node without it stays listed with the old one, in no layer', () => {
    const nodes = network(4)
    for (const node of nodes.slice(1)) node.preAnnounced = 1
    const entries = nodes.map((node, i) => listed(node, i + 1))
    const before = publish(entries, 2)
    assert.ok(before.snapshot.layers.flat().includes(1))
    const after = publish(entries, 3, before.snapshot)
    assert.equal(keyOf(after, 1), nodes[0]!.sphinxKey(0))
    assert.ok(!after.snapshot.layers.flat().includes(1))
    assert.ok(after.snapshot.routable)
    // It has caught up: a layer at once.
    nodes[0]!.primary = 1
    const caughtUp = publish([listed(nodes[0]!, 1), ...entries.slice(1)], 3, after.snapshot)
    assert.ok(caughtUp.snapshot.layers.flat().includes(1))
    assert.equal(keyOf(caughtUp, 1), nodes[0]!.sphinxKey(1))
  })

  it('of a node whose clock is ahead is the one it showed before', () => {
    const nodes = network(4)
    nodes[0]!.primary = 1
    const ahead = { ...listed(nodes[0]!, 1), earlierKeys: [{ rotation_id: 0, public_key: nodes[0]!.sphinxKey(0) }] }
    const rest = nodes.slice(1).map((node, i) => listed(node, i + 2))
    const published = publish([ahead, ...rest], 2)
    assert.equal(keyOf(published, 1), nodes[0]!.sphinxKey(0))
    assert.ok(published.snapshot.layers.flat().includes(1))
  })
})

describe('a network that cannot be routed', () => {
  it('keeps the last good nodes beside those that answer, whose keys stay fresh, and their time', () => {
    const nodes = network(3)
    const good = publish(
      nodes.map((node, i) => listed(node, i + 1)),
      0,
    )
    assert.ok(good.routable)
    for (const node of nodes) node.primary = 1
    const rest = nodes.slice(1).map((node, i) => listed(node, i + 2))
    const kept = publish(rest, 3, good.snapshot)
    assert.equal(kept.routable, false)
    assert.ok(kept.snapshot.routable)
    assert.equal(kept.snapshot.epoch.id, 3)
    assert.equal(kept.snapshot.refreshedAtMs, 0)
    assert.deepEqual(
      kept.snapshot.nodes.map(({ x25519_sphinx_pubkey }) => x25519_sphinx_pubkey),
      nodes.map((node, i) => node.sphinxKey(i === 0 ? 0 : 1)),
    )
    // A dead node counts as lost too, and nobody drops it for its performance.
    const dead = publish([listed(nodes[0]!, 1, 0), ...rest], 3, kept.snapshot)
    assert.deepEqual([dead.routable, dead.snapshot.routable, dead.snapshot.nodes[0]!.performance], [false, true, '1'])
    const back = publish([listed(nodes[0]!, 1), ...rest], 3, dead.snapshot)
    assert.deepEqual([back.routable, back.snapshot.refreshedAtMs], [true, 180_000])
  })

  it('is published as it is when there never was a better one', () => {
    const published = publish([], 0)
    assert.deepEqual([published.routable, published.snapshot.nodes], [false, []])
  })
})

describe('the clock of epochs', () => {
  function started(clock: VirtualClock, durationMs: number) {
    const events: string[] = []
    const schedule = { genesisMs: clock.now(), durationMs, validityEpochs: 3 }
    const note = (what: string) => (epoch: Epoch, setBack?: boolean) =>
      events.push(`${what} ${epoch.id}${setBack ? ' back' : ''} at ${(clock.now() - schedule.genesisMs) / durationMs}`)
    const epochs = new EpochClock({ clock, schedule, onEpoch: note('epoch'), onCollect: note('collect') })
    epochs.start()
    return { events, epochs }
  }

  for (const durationMs of [15_000, 3_600_000]) {
    it(`epochs of ${durationMs / 1000} s: each begins on time, keys are collected twice in the last of a rotation`, () => {
      const clock = new VirtualClock()
      const { events } = started(clock, durationMs)
      clock.advance(durationMs * 3.5)
      assert.deepEqual(events, [
        'epoch 1 at 1',
        'epoch 2 at 2',
        'collect 2 at 2.25',
        'collect 2 at 2.75',
        'epoch 3 at 3',
      ])
    })
  }

  it('does not go back by a step of the clock, but follows it when it was set back by hours', () => {
    let offset = 0
    const virtual = new VirtualClock()
    const clock = Object.assign(Object.create(virtual), {
      now: () => virtual.now() + offset,
      monotonic: () => virtual.monotonic(),
      setTimer: (delay: number, action: () => void) => virtual.setTimer(delay, action),
    }) as VirtualClock
    const { events, epochs } = started(clock, 60_000)
    virtual.advance(300_000)
    assert.equal(epochs.epoch.id, 5)
    offset = -2_000
    assert.equal(epochs.epoch.id, 5)
    virtual.advance(50_000)
    assert.equal(epochs.epoch.id, 5)
    offset = -240_000
    virtual.advance(30_000)
    assert.equal(epochs.epoch.id, 2)
    assert.ok(events.some((event) => event.startsWith('epoch 2 back')))
    offset = 3_600_000
    virtual.advance(30_000)
    assert.equal(epochs.epoch.id, 66)
  })
})
