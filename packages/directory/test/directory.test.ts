import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { MemoryMetrics, RealClock, SeededRandom, silentLogger, VirtualClock } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  encodeBase58,
  fromBincode,
  fromJson,
  type HostInformation,
  rewardedSetSchema,
  type Schema,
  type SkimmedNodes,
  signHostInformation,
  skimmedNodesSchema,
} from '@mixwright/wire'
import { Directory, type DirectoryOptions } from '../src/directory.js'
import { epochAt } from '../src/epoch.js'
import { dealLayers } from '../src/layers.js'

const LOOPBACK = '127.0.0.1'
let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

/** A node as the directory sees it: an HTTP server whose answers can be changed. */
class FakeNode {
  readonly seed: Uint8Array
  readonly identityKey: string
  /** Replaces the answer to a path. */
  readonly overrides = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>()
  server!: Server
  port = 0

  constructor(
    fill: number,
    readonly role: 'mixnode' | 'gateway',
  ) {
    this.seed = new Uint8Array(32).fill(fill)
    this.identityKey = encodeBase58(crypto.ed25519PublicKey(this.seed))
  }

  async listen(port = 0): Promise<this> {
    this.server = createServer((request, response) => {
      const override = this.overrides.get(request.url!)
      if (override) return override(request, response)
      const body = this.#body(request.url!)
      response.writeHead(body === undefined ? 501 : 200, { 'content-type': 'application/json' })
      response.end(body === undefined ? '' : JSON.stringify(body))
    })
    this.port = await listenOn(this.server, { host: LOOPBACK, port })
    return this
  }

  hostInformation(): HostInformation {
    const key = encodeBase58(crypto.x25519Base(this.seed))
    return {
      ip_address: [LOOPBACK],
      hostname: null,
      keys: {
        ed25519_identity: this.identityKey,
        x25519_sphinx: key,
        primary_x25519_sphinx_key: { rotation_id: 0, public_key: key },
        pre_announced_x25519_sphinx_key: null,
        x25519_versioned_noise: null,
      },
    }
  }

  #body(url: string): unknown {
    switch (url) {
      case '/api/v1/health':
        return { status: 'up', uptime: 1 }
      case '/api/v1/host-information':
        return signHostInformation(crypto, this.hostInformation(), this.seed)
      case '/api/v1/roles':
        return {
          mixnode_enabled: this.role === 'mixnode',
          gateway_enabled: this.role === 'gateway',
          network_requester_enabled: false,
          ip_packet_router_enabled: false,
        }
      case '/api/v1/build-information':
        return Object.fromEntries(
          [
            'binary_name',
            'build_timestamp',
            'build_version',
            'commit_sha',
            'commit_timestamp',
            'commit_branch',
            'rustc_version',
            'rustc_channel',
            'cargo_profile',
            'cargo_triple',
          ].map((name) => [name, 'x']),
        )
      case '/api/v1/gateway/client-interfaces/mixnet-websockets':
        return { ws_port: 9000, wss_port: null }
      case '/api/v1/auxiliary-details':
        return {
          location: null,
          announce_ports: { verloc_port: null, mix_port: 1789 },
          accepted_operator_terms_and_conditions: true,
        }
      default:
        return undefined
    }
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    this.server.close()
    await once(this.server, 'close')
  }
}

async function fiveNodes(): Promise<FakeNode[]> {
  const roles = ['mixnode', 'mixnode', 'mixnode', 'gateway', 'gateway'] as const
  return Promise.all(roles.map((role, i) => new FakeNode(i + 1, role).listen()))
}

function options(nodes: readonly FakeNode[], more: Partial<DirectoryOptions> = {}): DirectoryOptions {
  const clock = more.clock ?? new RealClock()
  return {
    clock,
    random: new SeededRandom('directory'),
    logger: silentLogger,
    metrics: new MemoryMetrics(),
    crypto,
    listen: { host: LOOPBACK, port: 0 },
    nodes: nodes.map(({ port, identityKey }, i) => ({ nodeId: i + 1, host: LOOPBACK, httpPort: port, identityKey })),
    epoch: { genesisMs: clock.now(), durationMs: 3_600_000, validityEpochs: 24 },
    allowLocalAddresses: true,
    ...more,
  }
}

describe('the routes of a directory', () => {
  let nodes: FakeNode[]
  let directory: Directory
  before(async () => {
    nodes = await fiveNodes()
    directory = await Directory.start(options(nodes))
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
    const nodes = await fiveNodes()
    change(nodes[0]!)
    const directory = await Directory.start(options(nodes, { startPatienceMs: 0, ...more }))
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
      const liar = new FakeNode(77, 'mixnode')
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
    const nodes = await fiveNodes()
    await nodes[0]!.close()
    const clock = new VirtualClock()
    let asked: () => void
    const silent = new Promise<void>((resolve) => {
      asked = resolve
    })
    nodes[1]!.overrides.set('/api/v1/roles', () => asked())
    const directory = await Directory.start(options(nodes, { clock, startPatienceMs: 0 }))
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
    const nodes = await fiveNodes()
    const [first] = nodes
    const signed = signHostInformation(crypto, first!.hostInformation(), first!.seed)
    const data = Object.fromEntries(Object.entries({ ...signed.data, extra: 1 }).reverse())
    first!.overrides.set(HOST, answer(JSON.stringify({ more: [], signature: signed.signature, data })))
    const directory = await Directory.start(options(nodes))
    await directory.whenRoutable()
    await directory.close()
    await Promise.all(nodes.map((node) => node.close()))
  })
})

describe('a directory over time', () => {
  it('waits for nodes that come up late', async () => {
    const nodes = await fiveNodes()
    const late = nodes[4]!
    await late.close()
    const directory = await Directory.start(options(nodes, { startRetryMs: 5 }))
    await late.listen(late.port)
    await directory.whenRoutable()
    await directory.close()
    await Promise.all(nodes.map((node) => node.close()))
  })

  it('swaps epoch, lists and rewarded set at once', async () => {
    const nodes = await fiveNodes()
    const clock = new VirtualClock()
    const directory = await Directory.start(
      options(nodes, { clock, epoch: { genesisMs: clock.now(), durationMs: 60_000, validityEpochs: 3 } }),
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
        new FakeNode(i + 1, role).listen(),
      ),
    )
    const directory = await Directory.start(options(nodes))
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
    const nodes = await fiveNodes()
    const clock = new VirtualClock()
    const directory = await Directory.start(
      options(nodes, { clock, epoch: { genesisMs: clock.now(), durationMs: 60_000, validityEpochs: 3 } }),
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
      await assert.rejects(Directory.start(options([], { epoch })), { code: 'MIX_OPTIONS' })
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
