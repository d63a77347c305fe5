/** Reading the network from signed documents: the same topology as from the official lists, and no single directory is believed. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { directoryRoutes, documentSnapshot } from '@mixwright/directory'
import { MemoryMetrics, type MixError, SeededRandom, silentLogger, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
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
import { checkOptions } from '../src/connect-options.js'
import { ConsensusReader } from '../src/directory/consensus-reader.js'
import { DirectoryReader } from '../src/directory/directory-reader.js'
import type { Topology } from '../src/directory/topology.js'
import { TopologyKeeper } from '../src/directory/topology-keeper.js'

const EPOCH_MS = 60_000
const EPOCH = 10
const START = EPOCH * EPOCH_MS + 20_000
const SCHEDULE = { genesisMs: 0, durationMs: EPOCH_MS, validityEpochs: 4 }
const seedOf = (index: number) => new Uint8Array(32).fill(200 + index)

let crypto: CryptoProvider
let keys: string[]
before(async () => {
  crypto = await loadCryptoProvider()
  keys = [0, 1, 2].map((index) => encodeBase58(crypto.ed25519PublicKey(seedOf(index))))
})

function descriptor(number: number, entry: boolean): NodeDescriptor {
  const seed = new Uint8Array(32).fill(number)
  const key = encodeBase58(crypto.x25519Base(seed))
  const next = encodeBase58(crypto.x25519Base(new Uint8Array(32).fill(number + 100)))
  const data = {
    ip_address: [`192.0.2.${number}`],
    hostname: entry ? 'gateway.example' : null,
    keys: {
      ed25519_identity: encodeBase58(crypto.ed25519PublicKey(seed)),
      x25519_sphinx: key,
      primary_x25519_sphinx_key: { rotation_id: 2, public_key: key },
      pre_announced_x25519_sphinx_key: { rotation_id: 3, public_key: next },
      x25519_versioned_noise: null,
    },
  }
  const names = ['binary_name', 'build_timestamp', 'build_version', 'commit_sha', 'commit_timestamp', 'commit_branch']
  const build = [...names, 'rustc_version', 'rustc_channel', 'cargo_profile', 'cargo_triple']
  return {
    host_information: signHostInformation(crypto, data, seed),
    declared_role: { mixnode: !entry, entry, exit_nr: false, exit_ipr: false },
    mixnet_websockets: { ws_port: 9000, wss_port: 9001 },
    network_requester: null,
    auxiliary_details: {
      location: null,
      announce_ports: { verloc_port: null, mix_port: 1789 + number },
      accepted_operator_terms_and_conditions: true,
    },
    build_information: Object.fromEntries(build.map((name) => [name, 'x'])) as NodeDescriptor['build_information'],
  }
}

/** Five mix nodes, one of them too weak and one without a layer, and two gateways. */
function documentOf(changes: Partial<NetworkDocument> = {}): NetworkDocument {
  const nodes = [1, 2, 3, 1, 0, 0, 0].map((layer, index) => ({
    node_id: index + 1,
    layer,
    score: index === 3 ? 40 : 98,
    descriptor: descriptor(index + 1, index >= 5),
  }))
  const schedule = { genesis_ms: 0, duration_ms: EPOCH_MS, validity_epochs: 4 }
  return {
    version: 'mixwright-1',
    epoch_id: EPOCH,
    round: 0,
    schedule,
    previous: null,
    next_node_id: 8,
    nodes,
    ...changes,
  }
}

function signed(document: NetworkDocument, signers: readonly number[]): string {
  const sha256 = documentHash(document)
  const signatures = signers.map((index) => signHash(crypto, documentKind(document), sha256, seedOf(index)))
  return canonicalJson(consensusSchema, { document, signatures })
}

type Answers = Record<string, () => string | Response>

/** Directories by their base URL, and a reader of them. */
function readerOf(answers: Answers, clock = new VirtualClock(START), threshold = 2): ConsensusReader {
  const fetch: Fetch = async (input) => {
    const [base] = String(input).split('/v1/mixwright/consensus')
    const answer = answers[base!]!()
    return typeof answer === 'string' ? new Response(answer) : answer
  }
  const baseUrls = Object.keys(answers).map((url) => `${url}/`)
  return new ConsensusReader({ baseUrls, authorities: keys, threshold, clock, crypto, logger: silentLogger, fetch })
}

const good = () => signed(documentOf(), [0, 1])
const shape = ({ layers, gateways, epochId, rotationId }: Topology) => ({
  layers,
  gateways: [...gateways],
  epochId,
  rotationId,
})

describe('reading signed documents', () => {
  it('gives the topology and the schedule that the official lists of the same document give', async () => {
    const clock = new VirtualClock(START)
    for (const epoch of [EPOCH, EPOCH + 2]) {
      clock.advance(epoch * EPOCH_MS + 20_000 - clock.now())
      const snapshot = documentSnapshot(documentOf(), SCHEDULE, epoch)
      const routes = directoryRoutes({
        metrics: new MemoryMetrics(),
        snapshot: () => snapshot,
        url: () => '',
        uptimeSeconds: () => 0,
      })
      const fetch: Fetch = async (input, init) => routes.fetch(new Request(input, init))
      const official = new DirectoryReader({ baseUrls: ['http://a/api'], clock, crypto, fetch })
      const verified = readerOf({ 'http://a': good }, clock)
      const [expected, topology] = await Promise.all([official.read(), verified.read()])
      assert.deepEqual(topology, expected)
      assert.deepEqual([topology.epochId, topology.rotationId], [epoch, epoch === EPOCH ? 2 : 3])
      assert.deepEqual(
        topology.layers.map((layer) => layer.length),
        [1, 1, 1],
      )
      const schedules = await Promise.all([official.readSchedule(), verified.readSchedule()])
      for (const { validityEpochs, epochMs, knownEpochId, knownEpochStartMs } of schedules) {
        assert.deepEqual([validityEpochs, epochMs], [4, EPOCH_MS])
        assert.equal(knownEpochStartMs, knownEpochId * EPOCH_MS)
      }
    }
  })

  it('passes over a directory that lies, lags or talks nonsense', async () => {
    const expected = shape(await readerOf({ 'http://a': good }).read())
    const bad: Answers = {
      'http://lies': () => signed(documentOf({ nodes: documentOf().nodes.slice(1) }), [2]),
      'http://lags': () => signed(documentOf({ epoch_id: EPOCH - 4 }), [0, 1, 2]),
      'http://cut': () => good().slice(0, -1),
      'http://garbage': () => '<html>',
      'http://gone': () => new Response('no', { status: 503 }),
    }
    for (const [url, answer] of Object.entries(bad)) {
      assert.deepEqual(shape(await readerOf({ [url]: answer, 'http://good': good }).read()), expected, url)
      const code = url === 'http://gone' ? 'MIX_DIRECTORY_UNREACHABLE' : 'MIX_DIRECTORY_UNVERIFIED'
      await assert.rejects(readerOf({ [url]: answer }).read(), { code, retry: true }, url)
    }
    await assert.rejects(readerOf(bad).read(), { code: 'MIX_DIRECTORY_UNVERIFIED' })
  })

  it('keeps a client going through epochs while one of three directories is hostile', async () => {
    const clock = new VirtualClock(START)
    let latest = documentOf()
    let lies = 0
    const honest = () => signed(latest, [0, 1])
    const answers: Answers = {
      // Now the truth, now another document with one good signature, now the past.
      'http://hostile': () => {
        lies++
        if (lies % 3 === 0) return signed({ ...latest, next_node_id: 99 }, [2])
        return lies % 3 === 1 ? signed(documentOf({ epoch_id: EPOCH - 1 }), [0, 1, 2]) : honest()
      },
      'http://b': honest,
      'http://c': honest,
    }
    const failures: MixError[] = []
    let refreshed = () => {}
    const events = {
      refreshed: () => refreshed(),
      rotated() {},
      failed: (reason: MixError) => void failures.push(reason),
    }
    const source = readerOf(answers, clock)
    const keeper = await TopologyKeeper.open({ source, clock, random: new SeededRandom('keeper'), events })
    for (let epoch = EPOCH + 1; epoch < EPOCH + 8; epoch++) {
      const previous = { epoch_id: latest.epoch_id, sha256: documentHash(latest) }
      latest = documentOf({ epoch_id: epoch, previous })
      const read = new Promise<void>((resolve) => {
        refreshed = resolve
      })
      // The keeper plans its next reading when it has told of the last one.
      while (clock.pending === 0) await setImmediate()
      clock.advance(EPOCH_MS)
      await read
      assert.equal(keeper.current?.epochId, epoch)
    }
    assert.deepEqual(failures, [])
    assert.ok(lies >= 7)
    keeper.close()
  })

  it('never goes back, though the past was signed well', async () => {
    let answer = good
    const reader = readerOf({ 'http://a': () => answer() })
    await reader.read()
    answer = () => signed(documentOf({ epoch_id: EPOCH - 1 }), [0, 1, 2])
    await assert.rejects(reader.read(), (error: MixError) => error.data.reason === 'goes-backwards')
  })

  it('refuses options that make no sense', () => {
    const options = { clock: new VirtualClock(), crypto, logger: silentLogger }
    const wrong = { code: 'MIX_OPTIONS' }
    assert.throws(() => new ConsensusReader({ ...options, baseUrls: [], authorities: keys }), wrong)
    assert.throws(() => new ConsensusReader({ ...options, baseUrls: ['x'], authorities: keys }), wrong)
    for (const authorities of [[], ['x'], [keys[0]!, keys[0]!]])
      assert.throws(() => new ConsensusReader({ ...options, baseUrls: ['http://a'], authorities }), wrong)
    const source = readerOf({ 'http://a': good })
    assert.throws(() => checkOptions({ directory: source, authorities: keys }), wrong)
    assert.throws(() => checkOptions({ directory: 'http://a', authorities: keys[0] as never }), wrong)
    checkOptions({ directory: ['http://a'], authorities: keys })
  })
})
