/** Reading a directory: the official vectors, our own directory over HTTP, and every way in which one can be bad. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { Directory } from '@mixwright/directory'
import { MemoryMetrics, MixError, RealClock, SeededRandom, silentLogger, toHex, VirtualClock } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { type CryptoProvider, encodeNodeAddress, loadCryptoProvider, nodeAddress } from '@mixwright/sphinx'
import { encodeBase58, fromJson, type SkimmedNode, signHostInformation, skimmedNodeSchema } from '@mixwright/wire'
import fc from 'fast-check'
import { DirectoryReader, type DirectoryReaderOptions } from '../src/directory/directory-reader.js'
import { websocketUrls } from '../src/directory/listed-node.js'
import type { Topology } from '../src/directory/topology.js'
import {
  GATEWAYS,
  type Json,
  MIXNODES,
  REWARDED_SET,
  ROTATION,
  refusal,
  StubDirectory,
  silence,
} from './stub-directory.js'
import { loadVectors } from './vectors.js'

const BASE = 'http://directory.example/api'
let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

function readerOf(stub: StubDirectory, more: Partial<DirectoryReaderOptions> = {}): DirectoryReader {
  return new DirectoryReader({ baseUrls: [BASE], clock: new VirtualClock(), crypto, fetch: stub.fetch, ...more })
}

/** Read a directory after `bend` was at it. */
function readBent(bend: (stub: StubDirectory) => void): Promise<Topology> {
  const stub = new StubDirectory()
  bend(stub)
  return readerOf(stub).read()
}

const sizes = ({ layers, gateways }: Topology) => [...layers.map((layer) => layer.length), gateways.size]

describe('reading the vectors', () => {
  it('gives the network that they describe', async () => {
    const clock = new VirtualClock(1_800_000_000_000)
    const topology = await readerOf(new StubDirectory(), { clock }).read()
    const { nodes } = loadVectors<{ nodes: Json[] }>('directory-network')
    const [mix1, mix2, mix3, gateway4, gateway5] = nodes.map((node) => ({
      address: toHex(encodeNodeAddress(nodeAddress(node.ip_addresses[0], node.mix_port)!, 32)),
      publicKey: node.x25519_sphinx_hex,
      identity: node.ed25519_identity_bs58,
    }))
    const hop = ({ address, publicKey }: { address: Uint8Array; publicKey: Uint8Array }) => ({
      address: toHex(address),
      publicKey: toHex(publicKey),
    })
    assert.deepEqual(
      topology.layers.map((layer) => layer.map(hop)),
      [mix1, mix2, mix3].map((node) => [{ address: node!.address, publicKey: node!.publicKey }]),
    )
    assert.deepEqual(
      [...topology.gateways].map(([identity, gateway]) => [
        identity,
        { ...hop(gateway), identity: gateway.identity },
        gateway.websocketUrls,
      ]),
      [
        [gateway4!.identity, gateway4, ['ws://127.0.0.1:9000']],
        [
          gateway5!.identity,
          gateway5,
          ['ws://gw2.example.org:9001', 'ws://127.0.0.1:9001', 'ws://[::1]:9001', 'wss://gw2.example.org:9443'],
        ],
      ],
    )
    assert.deepEqual([topology.epochId, topology.rotationId, topology.readAt], [53, 2, 1_800_000_000_000])
  })

  it('gives the schedule of epochs', async () => {
    assert.deepEqual(await readerOf(new StubDirectory()).readSchedule(), {
      validityEpochs: 24,
      initialEpochId: 5,
      epochMs: 3_600_000,
      knownEpochId: 53,
      knownEpochStartMs: Date.UTC(2026, 4, 16, 11, 30),
    })
  })

  it('asks the three lists at once, with nothing that needs a preflight', async () => {
    const stub = new StubDirectory()
    await readerOf(stub, { baseUrls: [`${BASE}/`] }).read()
    const host = 'directory.example'
    assert.deepEqual(stub.requests.sort(), [
      `${host} ${REWARDED_SET}`,
      `${host} ${GATEWAYS}?page=0`,
      `${host} ${MIXNODES}?page=0`,
    ])
    for (const headers of stub.headers) assert.deepEqual(headers, { accept: 'application/json' })
  })

  it('calls fetch as browsers demand it: not as a method of something else', async () => {
    const stub = new StubDirectory()
    const seen: unknown[] = []
    await readerOf(stub, {
      fetch: function (this: unknown, input, init) {
        seen.push(this)
        return stub.fetch(input, init)
      },
    }).read()
    assert.deepEqual(seen, [undefined, undefined, undefined])
  })

  it('refuses base URLs that are none', () => {
    for (const baseUrls of [[], [''], ['directory.example'], ['ftp://x/api'], ['http://me:secret@x/api'], [BASE, 'x']])
      assert.throws(() => readerOf(new StubDirectory(), { baseUrls }), { code: 'MIX_OPTIONS', kind: 'usage' })
  })
})

describe('where clients connect', () => {
  const node = (entry: SkimmedNode['entry'], ips = ['127.0.0.1']): SkimmedNode => ({
    ...fromJson(skimmedNodeSchema, new StubDirectory().document(GATEWAYS).nodes.data[0]),
    ip_addresses: ips,
    entry,
  })

  it('puts TLS first when that is preferred, else last', () => {
    const both = node({ hostname: 'gw.example', ws_port: 9000, wss_port: 9001 }, ['10.0.0.1', 'fd00::1'])
    const plain = ['ws://gw.example:9000', 'ws://10.0.0.1:9000', 'ws://[fd00::1]:9000']
    assert.deepEqual(websocketUrls(both, false), [...plain, 'wss://gw.example:9001'])
    assert.deepEqual(websocketUrls(both, true), ['wss://gw.example:9001', ...plain])
  })

  it('has no TLS without a host name, and nothing at all without an entry', () => {
    assert.deepEqual(websocketUrls(node({ hostname: null, ws_port: 9000, wss_port: 9001 }), true), [
      'ws://127.0.0.1:9000',
    ])
    assert.deepEqual(websocketUrls(node(null), true), [])
    assert.deepEqual(websocketUrls(node({ hostname: null, ws_port: 0, wss_port: null }), false), [])
  })

  it('takes nothing for a host name that would change the URL, and only a few addresses', () => {
    for (const hostname of [
      '',
      'a/b',
      'user@host',
      'host:1',
      'ho st',
      '[::1]',
      'a?b',
      'a#b',
      'a..b',
      '1.2.3.4.5',
      'x'.repeat(300),
    ])
      assert.deepEqual(websocketUrls(node({ hostname, ws_port: 9000, wss_port: 9001 }), true), ['ws://127.0.0.1:9000'])
    const many = Array.from({ length: 1000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`)
    assert.equal(websocketUrls(node({ hostname: null, ws_port: 9000, wss_port: null }, many), false).length, 4)
  })

  it('names only URLs that parse, with the very port that was given', () => {
    const property = fc.property(fc.string(), fc.integer({ min: 1, max: 65535 }), (hostname, port) => {
      for (const url of websocketUrls(node({ hostname, ws_port: port, wss_port: port }, ['::1']), false)) {
        const parsed = new URL(url)
        assert.deepEqual([parsed.pathname, parsed.username, parsed.hash, parsed.search], ['/', '', '', ''])
        assert.equal(parsed.port, port === (parsed.protocol === 'ws:' ? 80 : 443) ? '' : String(port))
      }
    })
    fc.assert(property)
  })
})

describe('nodes that cannot be used', () => {
  /** What is wrong with a copy of the first node of both lists, which gets an identity and an id of its own. */
  const flaws: Record<string, (node: Json) => void> = {
    'no address': (node) => {
      node.ip_addresses = []
    },
    'a host name for an address': (node) => {
      node.ip_addresses = ['node.example']
    },
    'port 0': (node) => {
      node.mix_port = 0
    },
    'a port out of range': (node) => {
      node.mix_port = 65536
    },
    'a short Sphinx key': (node) => {
      node.x25519_sphinx_pubkey = encodeBase58(new Uint8Array(31))
    },
    'a Sphinx key of low order': (node) => {
      node.x25519_sphinx_pubkey = encodeBase58(new Uint8Array(32))
    },
    'a broken identity': (node) => {
      node.ed25519_identity_pubkey = '0OIl'
    },
    'performance as a number': (node) => {
      node.performance = 1
    },
    'performance 0.49999': (node) => {
      node.performance = '0.49999'
    },
  }
  for (const [flaw, bend] of Object.entries(flaws)) {
    it(`are left out, and the others stay: ${flaw}`, async () => {
      const topology = await readBent((stub) => {
        for (const path of [MIXNODES, GATEWAYS]) {
          const { nodes } = stub.document(path)
          const bad = structuredClone(nodes.data[0])
          bad.node_id = 99
          bad.ed25519_identity_pubkey = encodeBase58(crypto.ed25519PublicKey(new Uint8Array(32).fill(99)))
          bend(bad)
          nodes.data.unshift(bad, null, 7)
          nodes.pagination.total += 3
        }
        stub.document(REWARDED_SET).layer2.unshift(99)
      })
      assert.deepEqual(sizes(topology), [1, 1, 1, 2])
    })
  }

  it('a node is in a layer only by the rewarded set, once, and only when its details are known', async () => {
    const topology = await readBent((stub) => {
      const rewarded = stub.document(REWARDED_SET)
      rewarded.layer1 = [1, 2, 1, 77, 4]
      rewarded.standby = [3]
    })
    // Node 4 is a gateway: no list of mix nodes has it.
    assert.deepEqual(sizes(topology), [2, 1, 1, 2])
  })

  it('a layer or a world without gateways cannot be used', async () => {
    const weak = (path: string, index: number) => (stub: StubDirectory) => {
      stub.document(path).nodes.data[index].performance = '0.49'
    }
    const noneOf = (list: string) => (stub: StubDirectory) => {
      stub.document(REWARDED_SET)[list] = []
    }
    const noGateways = (stub: StubDirectory) => {
      stub.document(GATEWAYS).nodes = { pagination: { total: 0, page: 0, size: 0 }, data: [] }
    }
    for (const [bend, reason] of [
      [weak(MIXNODES, 0), /layer 1/],
      [weak(MIXNODES, 2), /layer 3/],
      [noneOf('layer2'), /layer 2/],
      [noGateways, /no usable gateway/],
    ] as const)
      await assert.rejects(readBent(bend), (error: MixError) => {
        assert.deepEqual([error.code, error.kind, error.retry], ['MIX_DIRECTORY_UNUSABLE', 'network', true])
        assert.match(String(error.data.reason), reason)
        return true
      })
    // One weak gateway of two is only one gateway less.
    assert.deepEqual(sizes(await readBent(weak(GATEWAYS, 0))), [1, 1, 1, 1])
  })
})

describe('answers that do not agree', () => {
  const disagreements: Record<string, (stub: StubDirectory) => void> = {
    'status in one list only': (stub) => {
      stub.document(MIXNODES).metadata.status = null
    },
    'another start of the epoch': (stub) => {
      stub.document(GATEWAYS).metadata.status.fresh.current_epoch_start = '2026-05-16T11:30:01Z'
    },
    'another epoch': (stub) => {
      stub.document(GATEWAYS).metadata.absolute_epoch_id++
    },
    'another rotation': (stub) => {
      stub.document(MIXNODES).metadata.rotation_id++
    },
    'a rewarded set of another epoch': (stub) => {
      stub.document(REWARDED_SET).epoch_id--
    },
  }
  for (const [name, bend] of Object.entries(disagreements)) {
    it(`are asked for once more, then refused: ${name}`, async () => {
      const stub = new StubDirectory()
      bend(stub)
      await assert.rejects(readerOf(stub).read(), { code: 'MIX_DIRECTORY_DOCUMENT', kind: 'peer', retry: true })
      assert.equal(stub.requests.length, 6)
    })
  }

  it('an epoch that turns between two answers goes unnoticed', async () => {
    const stub = new StubDirectory()
    const rewarded = stub.document(REWARDED_SET)
    let old = true
    stub.answers.set(REWARDED_SET, async () => {
      const response = new Response(JSON.stringify(old ? { ...rewarded, epoch_id: 52 } : rewarded))
      old = false
      return response
    })
    assert.equal((await readerOf(stub).read()).epochId, 53)
  })

  it('when both lists lack a status, or were made at different times, they agree', async () => {
    const topology = await readBent((stub) => {
      for (const path of [MIXNODES, GATEWAYS]) stub.document(path).metadata.status = null
      stub.document(MIXNODES).metadata.refreshed_at = 'garbage'
    })
    assert.equal(topology.epochId, 53)
  })
})

describe('pages', () => {
  /** Serve the mix nodes in pages; `nodesOf` gives those of a page. */
  function paged(stub: StubDirectory, total: number, nodesOf: (page: number, all: Json[]) => Json[]): void {
    const { metadata, nodes } = stub.document(MIXNODES)
    stub.answers.set(MIXNODES, async (url: URL) => {
      const page = Number(url.searchParams.get('page'))
      const data = nodesOf(page, nodes.data)
      return new Response(JSON.stringify({ metadata, nodes: { pagination: { total, page, size: data.length }, data } }))
    })
  }
  const asked = (stub: StubDirectory) => stub.requests.filter((request) => request.includes(MIXNODES)).length

  it('are collected until all nodes are there', async () => {
    const stub = new StubDirectory()
    paged(stub, 3, (page, all) => all.slice(page, page + 1))
    assert.deepEqual(sizes(await readerOf(stub).read()), [1, 1, 1, 2])
    assert.equal(asked(stub), 3)
  })

  it('of different epochs are of no use', async () => {
    const stub = new StubDirectory()
    const { metadata, nodes } = stub.document(MIXNODES)
    stub.answers.set(MIXNODES, async (url: URL) => {
      const page = Number(url.searchParams.get('page'))
      const body = {
        metadata: { ...metadata, absolute_epoch_id: 53 + page },
        nodes: { pagination: { total: 3, page, size: 1 }, data: nodes.data.slice(page, page + 1) },
      }
      return new Response(JSON.stringify(body))
    })
    await assert.rejects(readerOf(stub).read(), { code: 'MIX_DIRECTORY_DOCUMENT' })
  })

  it('that never bring what was promised come to an end', async () => {
    for (const [total, nodesOf, most] of [
      [4, (page: number, all: Json[]) => (page === 0 ? all : []), 2],
      [20_000, (_page: number, all: Json[]) => all, 64],
      [20_001, (_page: number, all: Json[]) => all, 1],
      [Number.MAX_VALUE, (_page: number, all: Json[]) => all, 1],
    ] as const) {
      const stub = new StubDirectory()
      paged(stub, total, nodesOf)
      await assert.rejects(readerOf(stub).read(), { code: 'MIX_DIRECTORY_DOCUMENT', kind: 'peer' })
      assert.equal(asked(stub), most)
    }
  })

  it('with more nodes than anybody has are not looked through', async () => {
    const stub = new StubDirectory()
    paged(stub, 1, () => new Array(20_001).fill({}))
    await assert.rejects(readerOf(stub).read(), { code: 'MIX_DIRECTORY_DOCUMENT' })
  })
})

describe('a directory that misbehaves', () => {
  it('sends without end: reading stops at the limit and hangs up', async () => {
    const stub = new StubDirectory()
    let sent = 0
    let cancelled: () => void
    const hungUp = new Promise<void>((resolve) => {
      cancelled = resolve
    })
    stub.answers.set(GATEWAYS, async () => {
      const chunk = new Uint8Array(1024 * 1024).fill(0x20)
      const endless = new ReadableStream<Uint8Array>({
        pull(controller) {
          sent++
          controller.enqueue(chunk)
        },
        cancel: () => cancelled(),
      })
      return new Response(endless)
    })
    await assert.rejects(readerOf(stub).read(), { code: 'MIX_DIRECTORY_DOCUMENT', kind: 'peer' })
    await hungUp
    assert.ok(sent <= 20, `${sent} MiB were taken`)
  })

  it('sends garbage: always an error with a code, never anything else', async () => {
    const texts = ['', 'null', 'not JSON', '[]', '"x"', '7', '{}', '{"metadata":{},"nodes":{}}', '['.repeat(100_000)]
    for (const path of [REWARDED_SET, MIXNODES, GATEWAYS])
      for (const text of texts) {
        const stub = new StubDirectory()
        stub.answers.set(path, async () => new Response(text))
        await assert.rejects(readerOf(stub).read(), { code: 'MIX_DIRECTORY_DOCUMENT' }, `${path}: ${text.slice(0, 40)}`)
      }
    const stub = new StubDirectory()
    stub.answers.set(MIXNODES, async () => new Response(Uint8Array.of(0x22, 0xff, 0x22)))
    await assert.rejects(readerOf(stub).read(), { code: 'MIX_DIRECTORY_DOCUMENT' })
  })

  it('sends documents with any one value replaced: a topology or an error with a code', async () => {
    const paths = [REWARDED_SET, MIXNODES, GATEWAYS, ROTATION]
    const property = fc.asyncProperty(
      fc.constantFrom(...paths),
      fc.nat(),
      fc.jsonValue(),
      async (path, pick, value) => {
        const stub = new StubDirectory()
        const places: (() => void)[] = []
        const visit = (parent: Json) => {
          for (const key of Object.keys(parent)) {
            places.push(() => {
              parent[key] = value
            })
            if (typeof parent[key] === 'object' && parent[key] !== null) visit(parent[key])
          }
        }
        visit(stub.document(path))
        places[pick % places.length]!()
        try {
          const reader = readerOf(stub)
          const topology = await reader.read()
          assert.ok(topology.layers.every((layer) => layer.length > 0) && topology.gateways.size > 0)
          await reader.readSchedule()
        } catch (error) {
          assert.ok(error instanceof MixError && error.code.startsWith('MIX_DIRECTORY_'), String(error))
        }
      },
    )
    await fc.assert(property, { numRuns: 300 })
  })

  it('answers with an error status', async () => {
    for (const status of [404, 429, 500, 503])
      await assert.rejects(
        readBent((stub) => stub.answers.set(MIXNODES, async () => new Response('no', { status }))),
        (error: MixError) => {
          assert.deepEqual([error.code, error.kind, error.retry], ['MIX_DIRECTORY_UNREACHABLE', 'network', true])
          assert.match(error.message, new RegExp(String(status)))
          return true
        },
      )
  })

  it('never answers, or stops in the middle: its time ends, and nothing is left behind', async () => {
    const stalling = async (_url: URL, signal: AbortSignal) =>
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode('{'))
            signal.addEventListener('abort', () => controller.error(signal.reason))
          },
        }),
      )
    for (const answer of [silence, stalling]) {
      const clock = new VirtualClock()
      const stub = new StubDirectory()
      stub.answers.set(GATEWAYS, answer)
      const reading = readerOf(stub, { clock, deadlineMs: 7_000 }).read()
      clock.advance(6_999)
      let settled = false
      reading.catch(() => {
        settled = true
      })
      await new Promise(setImmediate)
      assert.equal(settled, false)
      clock.advance(1)
      await assert.rejects(reading, (error: MixError) => {
        assert.equal(error.code, 'MIX_DIRECTORY_UNREACHABLE')
        assert.match(error.message, /longer than 7 seconds/)
        return true
      })
      assert.equal(clock.pending, 0)
    }
  })

  it('fails one request: the others are called off', async () => {
    const stub = new StubDirectory()
    let calledOff = false
    stub.answers.set(GATEWAYS, (url: URL, signal: AbortSignal) => {
      signal.addEventListener('abort', () => {
        calledOff = true
      })
      return silence(url, signal)
    })
    stub.answers.set(MIXNODES, refusal)
    await assert.rejects(readerOf(stub).read(), { code: 'MIX_DIRECTORY_UNREACHABLE' })
    assert.ok(calledOff)
  })

  it('tells a schedule without time', async () => {
    for (const bend of [
      (info: Json) => {
        info.key_rotation_state.validity_epochs = 0
      },
      (info: Json) => {
        info.epoch_duration = { secs: 0, nanos: 0 }
      },
      (info: Json) => {
        info.current_epoch_start = '2026-05-16 12:00:00.0 +00:00:00'
      },
      (info: Json) => {
        info.progress = undefined
      },
    ]) {
      const stub = new StubDirectory()
      bend(stub.document(ROTATION))
      await assert.rejects(readerOf(stub).readSchedule(), { code: 'MIX_DIRECTORY_DOCUMENT', kind: 'peer' })
    }
  })

  it('the reader is called off: the reason of the signal, at once, and no other directory is asked', async () => {
    const clock = new VirtualClock()
    const stub = new StubDirectory()
    stub.answers.set(GATEWAYS, silence)
    const controller = new AbortController()
    const reason = new Error('enough')
    const reader = readerOf(stub, { clock, baseUrls: [BASE, 'http://other.example/api'] })
    const reading = reader.read(controller.signal)
    controller.abort(reason)
    await assert.rejects(reading, reason)
    await assert.rejects(reader.read(controller.signal), reason)
    assert.equal(clock.pending, 0)
    assert.ok(stub.requests.every((request) => request.startsWith('directory.example')))
  })
})

describe('several directories', () => {
  const baseUrls = ['http://one.example/api', 'http://two.example/api', 'http://three.example/api']
  const hosts = (stub: StubDirectory) => {
    const seen = [...new Set(stub.requests.map((request) => request.split('.')[0]))]
    stub.requests.length = 0
    return seen
  }

  it('the next is asked when one fails, and the one that worked is asked first from then on', async () => {
    const stub = new StubDirectory()
    const reader = readerOf(stub, { baseUrls })
    stub.answers.set('one.example any', refusal)
    await reader.read()
    assert.deepEqual(hosts(stub), ['one', 'two'])
    stub.answers.delete('one.example any')
    await reader.readSchedule()
    assert.deepEqual(hosts(stub), ['two'])
    stub.answers.set('two.example any', async () => new Response('<html>log in first</html>'))
    stub.answers.set('three.example any', async () => new Response('', { status: 503 }))
    await reader.read()
    assert.deepEqual(hosts(stub), ['two', 'three', 'one'])
    await reader.read()
    assert.deepEqual(hosts(stub), ['one'])
  })

  it('a silent one costs its time, no more', async () => {
    const clock = new VirtualClock()
    const stub = new StubDirectory()
    stub.answers.set('one.example any', silence)
    const reading = readerOf(stub, { baseUrls, clock, deadlineMs: 5_000 }).read()
    clock.advance(5_000)
    assert.equal((await reading).epochId, 53)
  })

  it('when all fail, the error tells of each, with the code of the one that said most', async () => {
    const stub = new StubDirectory()
    stub.answers.set('one.example any', refusal)
    stub.answers.set('two.example any', async () => new Response('{}'))
    stub.answers.set('three.example any', async () => new Response('', { status: 503 }))
    await assert.rejects(readerOf(stub, { baseUrls }).read(), (error: MixError) => {
      assert.deepEqual([error.code, error.retry], ['MIX_DIRECTORY_DOCUMENT', true])
      assert.match(error.message, /one\.example.*ECONNREFUSED.*two\.example.*three\.example.*503/)
      return true
    })
  })
})

describe('our own directory, over HTTP', () => {
  const LOOPBACK = '127.0.0.1'
  const servers: Server[] = []
  const clock = new RealClock()
  let directory: Directory
  before(async () => {
    const nodes = await Promise.all([1, 2, 3, 4].map(startNode))
    directory = await Directory.start({
      clock,
      random: new SeededRandom('directory'),
      logger: silentLogger,
      metrics: new MemoryMetrics(),
      crypto,
      listen: { host: LOOPBACK, port: 0 },
      nodes,
      epoch: { genesisMs: clock.now() - 100 * 3_600_000, durationMs: 3_600_000, validityEpochs: 24 },
      allowLocalAddresses: true,
    })
    await directory.whenRoutable()
  })
  after(async () => {
    await directory.close()
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  })

  /** A node as far as a directory looks at it: 1 to 3 mix, 4 is a gateway. */
  async function startNode(nodeId: number) {
    const seed = new Uint8Array(32).fill(nodeId)
    const key = encodeBase58(crypto.x25519Base(seed))
    const identity = encodeBase58(crypto.ed25519PublicKey(seed))
    const build = 'binary_name build_timestamp build_version commit_sha commit_timestamp commit_branch rustc_version'
    const data = {
      ip_address: [LOOPBACK],
      hostname: null,
      keys: {
        ed25519_identity: identity,
        x25519_sphinx: key,
        primary_x25519_sphinx_key: { rotation_id: 4, public_key: key },
        pre_announced_x25519_sphinx_key: null,
        x25519_versioned_noise: null,
      },
    }
    const bodies: Record<string, unknown> = {
      '/health': { status: 'up', uptime: 1 },
      '/host-information': signHostInformation(crypto, data, seed),
      '/roles': {
        mixnode_enabled: nodeId < 4,
        gateway_enabled: nodeId === 4,
        network_requester_enabled: false,
        ip_packet_router_enabled: false,
      },
      '/build-information': Object.fromEntries(
        `${build} rustc_channel cargo_profile cargo_triple`.split(' ').map((name) => [name, 'x']),
      ),
      '/gateway/client-interfaces/mixnet-websockets': { ws_port: 9000, wss_port: null },
      '/auxiliary-details': {
        location: null,
        announce_ports: { verloc_port: null, mix_port: 10_000 + nodeId },
        accepted_operator_terms_and_conditions: true,
      },
    }
    const server = createServer((request, response) => {
      const body = bodies[request.url!.slice('/api/v1'.length)]
      response.writeHead(body === undefined ? 501 : 200).end(JSON.stringify(body))
    })
    servers.push(server)
    const httpPort = await listenOn(server, { host: LOOPBACK, port: 0 })
    return { nodeId, host: LOOPBACK, httpPort, identityKey: identity }
  }

  const read = (baseUrls: readonly string[]) => new DirectoryReader({ baseUrls, clock, crypto })

  it('is read with the fetch of the platform', async () => {
    const topology = await read([directory.url]).read()
    assert.deepEqual(sizes(topology), [1, 1, 1, 1])
    const mixAddresses = topology.layers.flatMap((layer) => layer.map(({ address }) => toHex(address)))
    const expected = [1, 2, 3].map((id) => toHex(encodeNodeAddress(nodeAddress(LOOPBACK, 10_000 + id)!, 32)))
    assert.deepEqual(mixAddresses.sort(), expected)
    const gateway = topology.gateways.get(encodeBase58(crypto.ed25519PublicKey(new Uint8Array(32).fill(4))))
    assert.deepEqual(gateway?.websocketUrls, ['ws://127.0.0.1:9000'])
    assert.deepEqual([topology.epochId, topology.rotationId], [100, 4])
  })

  it('tells its schedule', async () => {
    const schedule = await read([directory.url]).readSchedule()
    assert.deepEqual([schedule.validityEpochs, schedule.epochMs, schedule.knownEpochId], [24, 3_600_000, 100])
    assert.equal(schedule.knownEpochStartMs, directory.snapshot!.epoch.startMs)
  })

  it('stands in for one that is not there, whose reason is told when there is no other', async () => {
    const server = createServer()
    const port = await listenOn(server, { host: LOOPBACK, port: 0 })
    server.close()
    await once(server, 'close')
    const gone = `http://${LOOPBACK}:${port}/api`
    assert.equal((await read([gone, directory.url]).read()).epochId, 100)
    await assert.rejects(read([gone]).read(), (error: MixError) => {
      assert.deepEqual([error.code, error.data.reason], ['MIX_DIRECTORY_UNREACHABLE', 'ECONNREFUSED'])
      return true
    })
  })
})
