/** Which network requesters there are: read from our own directory, page by page from any, and from signed documents. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { directoryRoutes, documentSnapshot } from '@mixwright/directory'
import { MemoryMetrics, type MixError, SeededRandom, silentLogger, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  type CarriedRequester,
  canonicalJson,
  consensusSchema,
  documentHash,
  documentKind,
  encodeBase58,
  type Fetch,
  type NetworkDocument,
  type NodeDescriptor,
  signHash,
  signHostInformation,
} from '@mixwright/wire'
import { ConsensusReader } from '../src/directory/consensus-reader.js'
import { DirectoryReader } from '../src/directory/directory-reader.js'
import type { ListedRequester, Topology, TopologySource } from '../src/directory/topology.js'
import { TopologyKeeper } from '../src/directory/topology-keeper.js'
import { type Json, refusal, StubDirectory } from './stub-directory.js'
import { Machine } from './virtual-machine.js'
import { VirtualMixnet } from './virtual-mixnet.js'

const EPOCH_MS = 60_000
const DESCRIBED = '/v1/nym-nodes/described'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

const seedOf = (fill: number) => new Uint8Array(32).fill(fill)
const identityOf = (fill: number) => encodeBase58(crypto.ed25519PublicKey(seedOf(fill)))
const addressAt = (gateway: string) => `${identityOf(101)}.${encodeBase58(crypto.x25519Base(seedOf(102)))}@${gateway}`

describe('a directory that describes its nodes', () => {
  /** A described node, as far as readers of requesters look. */
  const node = (fill: number, changes: Json = {}): Json => ({
    description: {
      declared_role: { mixnode: false, entry: true, exit_nr: true, exit_ipr: false },
      host_information: { keys: { ed25519: identityOf(fill) } },
      network_requester: { address: addressAt(identityOf(fill)), uses_exit_policy: true },
      ...changes,
    },
  })
  const listed = (fill: number, usesExitPolicy = true): ListedRequester => {
    return { address: addressAt(identityOf(fill)), gateway: identityOf(fill), usesExitPolicy }
  }

  /** Read a directory of these pages. */
  function readerOf(pages: readonly (readonly Json[])[], total = pages.flat().length) {
    const stub = new StubDirectory()
    stub.answers.set(DESCRIBED, async (url: URL) => {
      const data = pages[Number(url.searchParams.get('page'))] ?? []
      return new Response(JSON.stringify({ pagination: { total, page: 0, size: data.length }, data }))
    })
    const reader = new DirectoryReader({
      baseUrls: ['http://one.example/api', 'http://two.example/api'],
      clock: new VirtualClock(),
      crypto,
      fetch: stub.fetch,
    })
    return { stub, reader }
  }

  it('is read page by page', async () => {
    const { stub, reader } = readerOf([[node(1), node(2)], [node(3)], [node(4)]])
    assert.deepEqual(
      await reader.readRequesters(),
      [1, 2, 3, 4].map((fill) => listed(fill)),
    )
    assert.deepEqual(
      stub.requests,
      [0, 1, 2].map((page) => `one.example ${DESCRIBED}?page=${page}`),
    )
  })

  it('has only those of nodes that declare the role: official mix nodes tell an address too', async () => {
    const mixnode = node(1, { declared_role: { mixnode: true, entry: false, exit_nr: false, exit_ipr: false } })
    const { reader } = readerOf([[mixnode, node(2)]])
    assert.deepEqual(await reader.readRequesters(), [listed(2)])
  })

  it('may list nonsense beside them, which is left out', async () => {
    const requester = (address: unknown, uses_exit_policy: unknown = true) => ({
      network_requester: { address, uses_exit_policy },
    })
    const good = addressAt(identityOf(1))
    const bad = ['', 7, null, good.replace('.', ''), `${good}x`, addressAt(identityOf(2))]
    const nonsense = [
      null,
      7,
      {},
      { description: null },
      { description: 'x' },
      node(1, { network_requester: null }),
      node(1, { network_requester: 'x' }),
      node(1, { host_information: null }),
      node(1, { host_information: { keys: { ed25519: 7 } } }),
      node(1, { declared_role: null }),
      ...bad.map((address) => node(1, requester(address))),
    ]
    const { reader } = readerOf([[...nonsense, node(5, requester(addressAt(identityOf(5)), 'yes'))]])
    assert.deepEqual(await reader.readRequesters(), [listed(5, false)])
  })

  it('that lists without end is refused, and one that stops short is read as far as it goes', async () => {
    const { reader, stub } = readerOf([[node(1)]], 5)
    assert.deepEqual(await reader.readRequesters(), [listed(1)])
    assert.equal(stub.requests.length, 2)
    await assert.rejects(readerOf([[node(1)]], 1e9).reader.readRequesters(), { code: 'MIX_DIRECTORY_DOCUMENT' })
    const endless = readerOf(Array(100).fill([node(1)]), 20_000)
    await endless.reader.readRequesters()
    assert.equal(endless.stub.requests.length, 64)
  })

  it('that answers otherwise, or not at all, gives way to the next', async () => {
    const answers: Json[] = [null, 7, [], {}, { pagination: {}, data: [] }, { pagination: { total: 1 }, data: {} }]
    for (const answer of answers) {
      const { stub, reader } = readerOf([[node(1)]])
      stub.answers.set('one.example any', async () => new Response(JSON.stringify(answer)))
      assert.deepEqual(await reader.readRequesters(), [listed(1)])
      stub.answers.set('two.example any', refusal)
      await assert.rejects(reader.readRequesters(), (error: MixError) => error.code === 'MIX_DIRECTORY_DOCUMENT')
    }
    const reason = new Error('enough')
    await assert.rejects(readerOf([[node(1)]]).reader.readRequesters(AbortSignal.abort(reason)), reason)
  })
})

describe('a network of several authorities', () => {
  const authorityKeys = () => [201, 202, 203].map(identityOf)

  function descriptor(fill: number, entry: boolean, network_requester: CarriedRequester | null): NodeDescriptor {
    const key = encodeBase58(crypto.x25519Base(seedOf(fill)))
    const data = {
      ip_address: [`192.0.2.${fill}`],
      hostname: null,
      keys: {
        ed25519_identity: identityOf(fill),
        x25519_sphinx: key,
        primary_x25519_sphinx_key: { rotation_id: 0, public_key: key },
        pre_announced_x25519_sphinx_key: null,
        x25519_versioned_noise: null,
      },
    }
    const build =
      'binary_name build_timestamp build_version commit_sha commit_timestamp commit_branch rustc_version rustc_channel cargo_profile cargo_triple'
    return {
      host_information: signHostInformation(crypto, data, seedOf(fill)),
      declared_role: { mixnode: !entry, entry, exit_nr: network_requester !== null, exit_ipr: false },
      mixnet_websockets: { ws_port: 9000, wss_port: null },
      network_requester,
      auxiliary_details: {
        location: null,
        announce_ports: { verloc_port: null, mix_port: 1789 },
        accepted_operator_terms_and_conditions: true,
      },
      build_information: Object.fromEntries(
        build.split(' ').map((name) => [name, 'x']),
      ) as NodeDescriptor['build_information'],
    }
  }

  /** Three mix nodes, a gateway, and an exit whose requester is at this address. */
  function documentOf(address: string): NetworkDocument {
    const nodes = [1, 2, 3, 4, 5].map((fill) => ({
      node_id: fill,
      layer: fill <= 3 ? fill : 0,
      score: 100,
      descriptor: descriptor(fill, fill > 3, fill === 5 ? { address, uses_exit_policy: true } : null),
    }))
    const schedule = { genesis_ms: 0, duration_ms: EPOCH_MS, validity_epochs: 4 }
    return { version: 'mixwright-1', epoch_id: 0, round: 0, schedule, previous: null, next_node_id: 6, nodes }
  }

  /** As JSON, with the signatures of two authorities over `signed`. */
  function documentText(document: NetworkDocument, signed = document): string {
    const sha256 = documentHash(signed)
    const signatures = [201, 202].map((fill) => signHash(crypto, documentKind(signed), sha256, seedOf(fill)))
    return canonicalJson(consensusSchema, { document, signatures })
  }

  function readerOf(text: string): ConsensusReader {
    const fetch: Fetch = async () => new Response(text)
    const clock = new VirtualClock(1000)
    const options = { clock, crypto, logger: silentLogger, fetch, threshold: 2 }
    return new ConsensusReader({ ...options, baseUrls: ['http://a'], authorities: authorityKeys() })
  }

  it('has the requesters that enough of them have signed, the same as in the official documents', async () => {
    const document = documentOf(addressAt(identityOf(5)))
    const expected = [{ address: addressAt(identityOf(5)), gateway: identityOf(5), usesExitPolicy: true }]
    assert.deepEqual(await readerOf(documentText(document)).readRequesters(), expected)

    const schedule = { genesisMs: 0, durationMs: EPOCH_MS, validityEpochs: 4 }
    const snapshot = documentSnapshot(document, schedule, 0)
    const routes = directoryRoutes({
      metrics: new MemoryMetrics(),
      snapshot: () => snapshot,
      url: () => '',
      uptimeSeconds: () => 0,
    })
    const fetch: Fetch = async (input, init) => routes.fetch(new Request(input, init))
    const official = new DirectoryReader({ baseUrls: ['http://a/api'], clock: new VirtualClock(), crypto, fetch })
    assert.deepEqual(await official.readRequesters(), expected)
  })

  it('believes no address that was put in afterwards, and leaves out what is none', async () => {
    const document = documentOf(addressAt(identityOf(5)))
    const forged = documentOf(addressAt(identityOf(5)).replace(identityOf(101), identityOf(103)))
    const reader = readerOf(documentText(forged, document))
    await assert.rejects(reader.readRequesters(), { code: 'MIX_DIRECTORY_UNVERIFIED' })
    for (const address of ['x', addressAt(identityOf(4))])
      assert.deepEqual(await readerOf(documentText(documentOf(address))).readRequesters(), [])
  })
})

describe('a client', () => {
  it('knows the requesters of its network, and none where the network does not tell', async () => {
    const mixnet = await VirtualMixnet.create({ seed: 'requesters' })
    const client = await new Machine(mixnet, 'a', mixnet.gateways[0]).start()
    assert.deepEqual(await client.requesters(), [])
    const requester = { address: addressAt(identityOf(1)), gateway: identityOf(1), usesExitPolicy: true }
    const signals: (AbortSignal | undefined)[] = []
    const telling: TopologySource = mixnet
    telling.readRequesters = async (signal) => {
      signals.push(signal)
      return [requester]
    }
    const { signal } = new AbortController()
    assert.deepEqual(await client.requesters(signal), [requester])
    assert.deepEqual(signals, [signal])
    await client.close({ flushMs: 0 })
  })

  it('is told why they cannot be read', async () => {
    const clock = new VirtualClock()
    const topology: Topology = { layers: [[], [], []], gateways: new Map(), epochId: 0, rotationId: 0, readAt: 0 }
    const reason = new Error('away')
    const source: TopologySource = {
      read: async () => topology,
      readSchedule: async () => ({
        validityEpochs: 3,
        initialEpochId: 0,
        epochMs: EPOCH_MS,
        knownEpochId: 0,
        knownEpochStartMs: 0,
      }),
      readRequesters: () => Promise.reject(reason),
    }
    const events = { refreshed() {}, rotated() {}, failed() {} }
    const keeper = await TopologyKeeper.open({ source, clock, random: new SeededRandom('keeper'), events })
    await assert.rejects(keeper.readRequesters(), reason)
    keeper.close()
  })
})
