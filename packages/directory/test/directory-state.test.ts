/** A directory over restarts: the same identity, epochs and numbers; and files that are damaged in every way of being short. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import { MemoryMetrics, SeededRandom, SystemRandom, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { signHostInformation } from '@mixwright/wire'
import { Directory } from '../src/directory.js'
import { loadOrCreateIdentity } from '../src/directory-identity.js'
import { DirectoryState, type StoredState } from '../src/directory-state.js'
import { NodeIds } from '../src/nodes/node-ids.js'
import { type FakeNode, fiveNodes, LOOPBACK, options } from './fake-node.js'

let crypto: CryptoProvider
let folder: string
before(async () => {
  crypto = await loadCryptoProvider()
})
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mixwright-directory-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const WISHED = { durationMs: 60_000, validityEpochs: 3 }
const KEY_FILE = 'directory.json'
const STATE_FILE = 'directory-state.json'

async function register(directory: Directory, node: FakeNode): Promise<number> {
  const response = await fetch(`${directory.url}/v1/mixwright/register`, {
    method: 'POST',
    body: JSON.stringify({
      host: LOOPBACK,
      http_port: node.port,
      host_information: signHostInformation(crypto, node.hostInformation(), node.seed),
    }),
  })
  return ((await response.json()) as { node_id: number }).node_id
}

describe('a directory with a state directory', () => {
  it('comes back with its key, genesis, numbers, registrations and layers', async () => {
    const nodes = await fiveNodes(crypto)
    for (const [index, node] of nodes.entries()) node.mixPort = 2_000 + index
    const clock = new VirtualClock()
    const start = (metrics = new MemoryMetrics()) =>
      Directory.start({
        ...options(crypto, [], { clock, metrics, random: new SystemRandom() }),
        epoch: WISHED,
        stateDirectory: folder,
        registration: { kind: 'open' },
      })
    const first = await start()
    const ids: number[] = []
    for (const node of [3, 1, 4, 0, 2].map((index) => nodes[index]!)) ids.push(await register(first, node))
    await first.published()
    const { layers, epoch } = first.snapshot!
    await first.close()
    assert.equal(statSync(join(folder, KEY_FILE)).mode & 0o777, 0o600)
    assert.equal(statSync(join(folder, STATE_FILE)).mode & 0o777, 0o600)

    const second = await start()
    await second.whenRoutable()
    assert.equal(second.identityKey, first.identityKey)
    assert.deepEqual(second.schedule, first.schedule)
    assert.deepEqual(second.snapshot!.layers, layers)
    assert.equal(second.snapshot!.epoch.id, epoch.id)
    assert.deepEqual(
      second.snapshot!.nodes.map(({ node_id, mix_port }) => [node_id, mix_port]),
      [3, 1, 4, 0, 2].map((index, i) => [ids[i], 2_000 + index]),
    )
    await second.close()
    await assert.rejects(
      Directory.start({
        ...options(crypto, [], { clock }),
        epoch: { ...WISHED, durationMs: 90_000 },
        stateDirectory: folder,
      }),
      { code: 'MIX_OPTIONS' },
    )
    await Promise.all(nodes.map((node) => node.close()))
  })

  it('opens although nodes that had registered are away', async () => {
    const [node, ...others] = await fiveNodes(crypto)
    node!.mixPort = 1790
    const clock = new VirtualClock()
    const start = () =>
      Directory.start({
        ...options(crypto, others, { clock }),
        epoch: WISHED,
        stateDirectory: folder,
        registration: { kind: 'open' },
      })
    const first = await start()
    const id = await register(first, node!)
    await first.close()
    const { port } = node!
    await node!.close()
    const second = await start()
    await second.whenRead()
    assert.equal(second.snapshot!.nodes.length, 4)
    assert.equal(second.refusals.length, 1)
    // Where it was is remembered.
    await node!.listen(port)
    await second.refresh()
    await second.whenRoutable()
    assert.ok(second.snapshot!.nodes.some(({ node_id }) => node_id === id))
    await second.close()
    await Promise.all([node!, ...others].map((one) => one.close()))
  })

  it('begins without its state when that is damaged, with the same identity, and raises an alarm', async () => {
    const clock = new VirtualClock()
    const start = (metrics = new MemoryMetrics()) =>
      Directory.start({ ...options(crypto, [], { clock, metrics }), epoch: WISHED, stateDirectory: folder })
    const first = await start()
    await first.whenRead()
    await first.close()
    writeFileSync(join(folder, STATE_FILE), '{"version":1')
    const metrics = new MemoryMetrics()
    const second = await start(metrics)
    assert.equal(second.identityKey, first.identityKey)
    assert.equal(metrics.value('mixwright_directory_alarms_total', { alarm: 'state-damaged' }), 1)
    assert.equal(readFileSync(join(folder, `${STATE_FILE}.damaged`), 'utf8'), '{"version":1')
    await second.whenRead()
    await second.close()
    assert.ok(existsSync(join(folder, STATE_FILE)))
  })
})

describe('files truncated at every length', () => {
  it('the key is an error, and is left as it is', () => {
    const load = () => loadOrCreateIdentity(folder, crypto, new SeededRandom('x'), 0, WISHED)
    const { key } = load()
    assert.equal(load().key, key)
    const file = join(folder, KEY_FILE)
    const whole = readFileSync(file)
    for (let length = 0; length < whole.length - 1; length++) {
      writeFileSync(file, whole.subarray(0, length))
      assert.throws(load, (error: { code: string }) => error.code === 'MIX_KEY_FILE', `${length} bytes`)
      assert.equal(readFileSync(file).length, length)
    }
  })

  it('the state is set aside', () => {
    const content: StoredState = {
      version: 1,
      nextNodeId: 3,
      ids: [
        ['a', 1],
        ['b', 2],
      ],
      registrations: [{ identityKey: 'a', host: LOOPBACK, httpPort: 1 }],
      document: { epochId: 1, hash: 'x', layers: [[1], [2], []] },
      probes: [[1, ['a'], 1, 1]],
    }
    new DirectoryState(folder).save(content)
    const file = join(folder, STATE_FILE)
    const whole = readFileSync(file)
    assert.deepEqual(new DirectoryState(folder).content, content)
    for (let length = 0; length < whole.length - 1; length++) {
      writeFileSync(file, whole.subarray(0, length))
      const state = new DirectoryState(folder)
      assert.equal(state.content, undefined)
      assert.equal(readFileSync(state.setAside!).length, length)
      assert.ok(!existsSync(file))
    }
  })
})

describe('numbers of nodes', () => {
  it('are never given twice, and never the one that is reserved', () => {
    const ids = new NodeIds()
    assert.deepEqual([ids.of('a'), ids.of('b', 7), ids.of('c'), ids.of('a'), ids.of('d', 7)], [1, 7, 8, 1, 9])
    const restored = new NodeIds(ids.next, ids.entries())
    assert.deepEqual([restored.of('b'), restored.of('e')], [7, 10])
    assert.equal(new NodeIds(1_234_567_890).of('x'), 1_234_567_891)
    assert.notEqual(new NodeIds().of('x', 1_234_567_890), 1_234_567_890)
  })

  it('stay bounded, at the cost of those longest unknown', () => {
    const ids = new NodeIds()
    for (let i = 0; i < 100_000; i++) ids.of(`node ${i}`)
    assert.equal(ids.of('node 0'), 1)
    assert.equal(ids.of('one more'), 100_001)
    assert.equal(ids.entries().length, 100_000)
    assert.equal(ids.of('node 0'), 1)
    // The one longest unasked for is a stranger now, and gets a number that nobody had.
    assert.equal(ids.of('node 1'), 100_002)
  })
})
