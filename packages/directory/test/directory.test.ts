import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { SeededRandom, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  fromBincode,
  fromJson,
  rewardedSetSchema,
  type Schema,
  type SkimmedNodes,
  signHostInformation,
  skimmedNodesSchema,
} from '@mixwright/wire'
import { Directory, type DirectoryOptions } from '../src/directory.js'
import { dealLayers } from '../src/document/layers.js'
import { epochAt } from '../src/epoch.js'
import { FakeNode, fiveNodes, options } from './fake-node.js'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

describe('the routes of a directory', () => {
  let nodes: FakeNode[]
  let directory: Directory
  before(async () => {
    nodes = await fiveNodes(crypto)
    directory = await Directory.start(options(crypto, nodes))
    await directory.whenRoutable()
  })
  after(async () => {
    await directory.close()
    await Promise.all(nodes.map((node) => node.close()))
  })

  const get = (path: string, init?: RequestInit) => fetch(`${directory.url}${path}`, init)
  const list = async (path: string) =>
    fromJson(
      skimmedNodesSchema as Schema<SkimmedNodes>,
      await (await get(`/v2/unstable/nym-nodes/skimmed${path}`)).json(),
    )

  it('lists agree with each other and with the rewarded set, in both formats', async () => {
    const mixnodes = await list('/mixnodes/active?page=0')
    const gateways = await list('/entry-gateways?page=0')
    assert.deepEqual(mixnodes.metadata, gateways.metadata)
    assert.equal((await list('')).metadata.status, null)
    assert.deepEqual(
      [mixnodes.nodes.data.length, gateways.nodes.data.length, (await list('')).nodes.data.length],
      [3, 2, 5],
    )
    const rewarded = fromJson(rewardedSetSchema, await (await get('/v1/nym-nodes/rewarded-set')).json())
    assert.equal(rewarded.epoch_id, mixnodes.metadata.absolute_epoch_id)
    assert.deepEqual([...rewarded.layer1, ...rewarded.layer2, ...rewarded.layer3].sort(), [1, 2, 3])
    assert.deepEqual(rewarded.entry_gateways, [4, 5])
    const response = await get('/v2/unstable/nym-nodes/skimmed/entry-gateways?page=0&output=bincode')
    assert.equal(response.headers.get('content-type'), 'application/bincode')
    const bytes = new Uint8Array(await response.arrayBuffer())
    assert.deepEqual(fromBincode(skimmedNodesSchema as Schema<unknown>, bytes), gateways)
    const rewardedBytes = new Uint8Array(await (await get('/v1/nym-nodes/rewarded-set?output=bincode')).arrayBuffer())
    assert.deepEqual(fromBincode(rewardedSetSchema as Schema<unknown>, rewardedBytes), rewarded)
    for (const { performance } of mixnodes.nodes.data) assert.equal(performance, '1')
  })

  it('answers every route of a client, under /api and without', async () => {
    for (const path of [
      '/v2/unstable/nym-nodes/skimmed/exit-gateways?page=0',
      '/v2/unstable/nym-nodes/skimmed/mixnodes/all',
      '/v1/unstable/nym-nodes/skimmed',
      '/v1/unstable/nym-nodes/gateways/skimmed',
      '/v1/epoch/key-rotation-info',
      '/v1/epoch/current',
      '/v1/nym-nodes/described?page=0',
      '/v2/nym-nodes/described?page=0',
      '/v1/api-status/health',
      '/v1/network/details',
    ]) {
      const response = await get(path)
      assert.equal(response.status, 200, path)
      assert.equal(response.headers.get('access-control-allow-origin'), '*')
      const bare = await fetch(`${directory.url.replace(/\/api$/, '')}${path}`)
      assert.equal(bare.status, 200, path)
      assert.notEqual((await response.text()).length, 0)
    }
  })

  it('answers the preflight of a browser', async () => {
    const response = await get('/v2/unstable/nym-nodes/skimmed/entry-gateways', { method: 'OPTIONS' })
    assert.ok(response.ok)
    for (const [name, value] of [
      ['origin', '*'],
      ['methods', 'GET,POST'],
      ['headers', '*'],
    ]) {
      assert.equal(response.headers.get(`access-control-allow-${name}`), value)
    }
  })

  it('refuses malformed parameters with a text, ignores unknown ones', async () => {
    for (const query of [
      'page=x',
      'page=-1',
      'page=99999999999',
      'output=foo',
      'output=JSON',
      'per_page=',
      'epoch_id=1.5',
      'no_legacy=maybe',
      'role=king',
    ]) {
      const response = await get(`/v2/unstable/nym-nodes/skimmed?${query}`)
      assert.equal(response.status, 400, query)
      assert.match(response.headers.get('content-type') ?? '', /^text\/plain/)
      assert.notEqual(await response.text(), '')
      assert.equal(response.headers.get('access-control-allow-origin'), '*')
    }
    assert.equal((await get('/v2/unstable/nym-nodes/skimmed?semver_compatibility=1&bogus=2')).status, 200)
    assert.equal((await get('/v1/epoch/key-rotation-info?output=bincode')).status, 500)
    const missing = await get('/v1/nowhere')
    assert.equal(missing.status, 404)
    assert.notEqual(await missing.text(), '')
  })

  it('tells a client that knows the epoch that nothing is new', async () => {
    const { metadata, nodes } = await list('/mixnodes/active?epoch_id=0')
    assert.equal(metadata.status, 'no-updates')
    assert.deepEqual(nodes, { pagination: { total: 0, page: 0, size: 0 }, data: [] })
  })

  it('lets nobody keep a list longer than its epoch', async () => {
    const response = await get('/v2/unstable/nym-nodes/skimmed/mixnodes/active')
    const expires = Date.parse(response.headers.get('expires')!)
    const { metadata } = await list('/mixnodes/active')
    const { fresh } = metadata.status as Exclude<SkimmedNodes['metadata']['status'], null | 'no-updates'>
    assert.equal(expires, Math.floor((Date.parse(fresh.current_epoch_start) + 3_600_000 + 120_000) / 1000) * 1000)
    assert.equal(response.headers.get('cache-control'), 'no-store')
  })
})

describe('nodes that are not believed', () => {
  /** A directory of five nodes, the first of them changed; resolves with the reason it gives. */
  async function reasonFor(change: (node: FakeNode) => void, more: Partial<DirectoryOptions> = {}): Promise<string> {
    const nodes = await fiveNodes(crypto)
    change(nodes[0]!)
    const directory = await Directory.start(options(crypto, nodes, { startPatienceMs: 0, ...more }))
    try {
      await assert.rejects(directory.whenRoutable(), { code: 'MIX_NOT_ROUTABLE' })
      return directory.refusals.map(({ reason }) => reason).join('; ')
    } finally {
      await directory.close()
      await Promise.all(nodes.map((node) => node.close()))
    }
  }
  const answer =
    (body: string, status = 200) =>
    (_request: IncomingMessage, response: ServerResponse) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(body)
    }
  const HOST = '/api/v1/host-information'

  it('a signature that is not its own', async () => {
    const reason = await reasonFor((node) => {
      const other = new Uint8Array(32).fill(99)
      node.overrides.set(HOST, answer(JSON.stringify(signHostInformation(crypto, node.hostInformation(), other))))
    })
    assert.match(reason, /signature/)
  })

  it('a changed value under a good signature', async () => {
    const reason = await reasonFor((node) => {
      const signed = signHostInformation(crypto, node.hostInformation(), node.seed)
      node.overrides.set(
        HOST,
        answer(JSON.stringify({ ...signed, data: { ...signed.data, hostname: 'evil.example' } })),
      )
    })
    assert.match(reason, /signature/)
  })

  it('another identity than the one expected', async () => {
    const reason = await reasonFor((node) => {
      const liar = new FakeNode(crypto, 77, 'mixnode')
      node.overrides.set(HOST, answer(JSON.stringify(signHostInformation(crypto, liar.hostInformation(), liar.seed))))
    })
    assert.match(reason, /identity/)
  })

  it('local addresses, where they are not allowed', async () => {
    assert.match(await reasonFor(() => {}, { allowLocalAddresses: false }), /127\.0\.0\.1, which nobody else can reach/)
  })

  it('malformed, oversized, absent and failing answers', async () => {
    assert.match(await reasonFor((node) => node.overrides.set(HOST, answer('{"data":1}'))), /malformed/)
    assert.match(await reasonFor((node) => node.overrides.set(HOST, answer('not JSON'))), /malformed/)
    assert.match(await reasonFor((node) => node.overrides.set(HOST, answer(`"${'x'.repeat(100_000)}"`))), /more than/)
    assert.match(await reasonFor((node) => node.overrides.set('/api/v1/roles', answer('', 500))), /500/)
    assert.match(await reasonFor((node) => node.overrides.set('/api/v1/health', answer('{"status":"down"}'))), /health/)
  })

  it('one that is not there, and one that never answers', async () => {
    const nodes = await fiveNodes(crypto)
    await nodes[0]!.close()
    const clock = new VirtualClock()
    let asked: () => void
    const silent = new Promise<void>((resolve) => {
      asked = resolve
    })
    nodes[1]!.overrides.set('/api/v1/roles', () => asked())
    const directory = await Directory.start(options(crypto, nodes, { clock, startPatienceMs: 0 }))
    await silent
    clock.advance(5_001)
    await assert.rejects(directory.whenRoutable(), { code: 'MIX_NOT_ROUTABLE' })
    const reasons = directory.refusals.map(({ reason }) => reason)
    assert.match(reasons[0]!, /ECONNREFUSED/)
    assert.match(reasons[1]!, /no answer within 5 seconds/)
    await directory.close()
    await Promise.all(nodes.slice(1).map((node) => node.close()))
  })

  it('reordered and extra fields in transit are no lie', async () => {
    const nodes = await fiveNodes(crypto)
    const [first] = nodes
    const signed = signHostInformation(crypto, first!.hostInformation(), first!.seed)
    const data = Object.fromEntries(Object.entries({ ...signed.data, extra: 1 }).reverse())
    first!.overrides.set(HOST, answer(JSON.stringify({ more: [], signature: signed.signature, data })))
    const directory = await Directory.start(options(crypto, nodes))
    await directory.whenRoutable()
    await directory.close()
    await Promise.all(nodes.map((node) => node.close()))
  })
})

describe('a directory over time', () => {
  it('waits for nodes that come up late', async () => {
    const nodes = await fiveNodes(crypto)
    const late = nodes[4]!
    await late.close()
    const directory = await Directory.start(options(crypto, nodes, { startRetryMs: 5 }))
    await late.listen(late.port)
    await directory.whenRoutable()
    await directory.close()
    await Promise.all(nodes.map((node) => node.close()))
  })

  it('swaps epoch, lists and rewarded set at once', async () => {
    const nodes = await fiveNodes(crypto)
    const clock = new VirtualClock()
    const directory = await Directory.start(
      options(crypto, nodes, { clock, epoch: { genesisMs: clock.now(), durationMs: 60_000, validityEpochs: 3 } }),
    )
    await directory.whenRoutable()
    const seen: number[][] = []
    for (let epoch = 0; epoch < 7; epoch++) {
      const { rewardedSet, layers } = directory.snapshot!
      const { metadata } = directory.snapshot!.nodeList('entry-gateways').value as SkimmedNodes
      seen.push([rewardedSet.epoch_id, metadata.absolute_epoch_id, metadata.rotation_id])
      assert.deepEqual(layers, directory.snapshot!.layers)
      clock.advance(60_000)
    }
    assert.deepEqual(seen, [
      [0, 0, 0],
      [1, 1, 0],
      [2, 2, 0],
      [3, 3, 1],
      [4, 4, 1],
      [5, 5, 1],
      [6, 6, 2],
    ])
    await directory.close()
    await Promise.all(nodes.map((node) => node.close()))
  })

  it('drops a node that stays away, takes it back, and keeps the others in their layers', async () => {
    const nodes = await Promise.all(
      (['mixnode', 'mixnode', 'mixnode', 'mixnode', 'gateway'] as const).map((role, i) =>
        new FakeNode(crypto, i + 1, role).listen(),
      ),
    )
    const directory = await Directory.start(options(crypto, nodes))
    await directory.whenRoutable()
    const doubled = directory.snapshot!.layers.find((layer) => layer.length === 2)!
    const gone = nodes[doubled[0]! - 1]!
    await gone.close()
    await directory.refresh()
    assert.equal(directory.snapshot!.nodes.length, 5)
    await directory.refresh()
    await directory.refresh()
    assert.equal(directory.snapshot!.nodes.length, 4)
    assert.equal(directory.refusals.length, 1)
    const remaining = directory.snapshot!.layers
    await gone.listen(gone.port)
    await directory.refresh()
    assert.equal(directory.snapshot!.nodes.length, 5)
    for (const [i, layer] of remaining.entries())
      for (const id of layer) assert.ok(directory.snapshot!.layers[i]!.includes(id))
    await directory.close()
    await Promise.all(nodes.map((node) => node.close()))
  })

  it('keeps the last good lists when nothing could be routed any more, but advances the epoch', async () => {
    const nodes = await fiveNodes(crypto)
    const clock = new VirtualClock()
    const directory = await Directory.start(
      options(crypto, nodes, { clock, epoch: { genesisMs: clock.now(), durationMs: 60_000, validityEpochs: 3 } }),
    )
    await directory.whenRoutable()
    await nodes[0]!.close()
    for (let i = 0; i < 3; i++) await directory.refresh()
    assert.equal(directory.snapshot!.nodes.length, 5)
    clock.advance(60_000)
    assert.equal(directory.snapshot!.epoch.id, 1)
    assert.ok(directory.snapshot!.routable)
    await directory.close()
    await Promise.all(nodes.slice(1).map((node) => node.close()))
  })

  it('refuses schedules that break nodes', async () => {
    for (const epoch of [
      { genesisMs: 0, durationMs: 14_999, validityEpochs: 24 },
      { genesisMs: 0, durationMs: 60_000, validityEpochs: 0 },
      { genesisMs: Number.NaN, durationMs: 60_000, validityEpochs: 24 },
    ]) {
      await assert.rejects(Directory.start(options(crypto, [], { epoch })), { code: 'MIX_OPTIONS' })
    }
    const schedule = { genesisMs: 1_000_000, durationMs: 60_000, validityEpochs: 3 }
    assert.equal(epochAt(schedule, 0).id, 0)
    assert.deepEqual(epochAt(schedule, 1_000_000 + 60_000 * 4 + 1), {
      id: 4,
      startMs: 1_240_000,
      endMs: 1_300_000,
      rotationId: 1,
    })
  })
})

describe('layers', () => {
  it('are even, keep their nodes, and are never empty while there are three nodes', () => {
    const random = new SeededRandom('layers')
    let layers = dealLayers([1, 2, 3, 4, 5, 6, 7], [], random)
    assert.deepEqual(layers.map((layer) => layer.length).sort(), [2, 2, 3])
    const before = layers
    layers = dealLayers([1, 2, 3, 4, 5, 6, 7, 8], layers, random)
    for (const [i, layer] of before.entries()) for (const id of layer) assert.ok(layers[i]!.includes(id))
    const [survivors] = layers.filter((layer) => layer.length === 3)
    layers = dealLayers(survivors!, layers, random)
    assert.deepEqual(
      layers.map((layer) => layer.length),
      [1, 1, 1],
    )
    assert.deepEqual(
      dealLayers([1, 2], [], random)
        .map((layer) => layer.length)
        .sort(),
      [0, 1, 1],
    )
  })
})
