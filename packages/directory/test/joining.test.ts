/** Nodes that join, leave, rotate and lie while the directory runs. */
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { before, describe, it } from 'node:test'
import { MemoryMetrics, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { signHostInformation } from '@mixwright/wire'
import { Directory, type DirectoryOptions } from '../src/directory.js'
import { FakeNode, fiveNodes, LOOPBACK, options } from './fake-node.js'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

async function withDirectory(
  nodes: FakeNode[],
  more: Partial<DirectoryOptions>,
  work: (directory: Directory) => Promise<void>,
): Promise<void> {
  const directory = await Directory.start(options(crypto, nodes, more))
  try {
    await work(directory)
  } finally {
    await directory.close()
    await Promise.all(nodes.filter(({ server }) => server.listening).map((node) => node.close()))
  }
}

const entryOf = ({ port, identityKey }: FakeNode) => ({ host: LOOPBACK, httpPort: port, identityKey })
const listedIds = (directory: Directory) => directory.snapshot!.nodes.map(({ node_id }) => node_id)
/** What waits in the event loop, sockets included, gets its turn until `until` holds; a test that never comes there times out. */
async function turns(until: () => boolean): Promise<void> {
  while (!until()) await new Promise((resolve) => setImmediate(resolve))
}

describe('joining', () => {
  it('numbers nodes in the order in which they are given, and lists each as soon as it was read', async () => {
    const nodes = await fiveNodes(crypto)
    await withDirectory([], {}, async (directory) => {
      await Promise.all(nodes.map((node) => directory.join(entryOf(node))))
      await directory.whenRoutable()
      assert.deepEqual(
        directory.snapshot!.nodes.map(({ ed25519_identity_pubkey }) => ed25519_identity_pubkey),
        nodes.map(({ identityKey }) => identityKey),
      )
      // No node, though listed, was asked for more than its HTTP API: nothing listens on the mix ports.
      for (const { performance } of directory.snapshot!.nodes) assert.equal(performance, '1')
      await directory.join(entryOf(nodes[0]!))
      assert.deepEqual(listedIds(directory), [1, 2, 3, 4, 5])
    })
    await Promise.all(nodes.map((node) => node.close()))
  })

  it('asks a node that is not there again until it is, without calling the network broken', async () => {
    const nodes = await fiveNodes(crypto)
    const clock = new VirtualClock()
    const late = await new FakeNode(crypto, 6, 'gateway').listen()
    const { port } = late
    await late.close()
    await withDirectory(nodes, { clock, readIntervalMs: 1e9 }, async (directory) => {
      const joined = directory.join({ host: LOOPBACK, httpPort: port })
      let isJoined = false
      void joined.then(() => {
        isJoined = true
      })
      await directory.whenRoutable()
      // Longer than any patience with nodes given at the start.
      for (let i = 0; i < 60; i++) {
        clock.advance(1_000)
        await new Promise((resolve) => setImmediate(resolve))
      }
      assert.equal(isJoined, false)
      await directory.whenRoutable()
      await late.listen(port)
      const before = late.readings
      // The longest pause is a second; then the clock stands still for the answers to come.
      await turns(() => {
        if (late.readings === before) clock.advance(100)
        return isJoined
      })
      assert.deepEqual(listedIds(directory), [1, 2, 3, 4, 5, 6])
      await late.close()
    })
  })

  it('gives up when the directory closes, or patience ends', async () => {
    const directory = await Directory.start(options(crypto, []))
    await directory.join({ host: LOOPBACK, httpPort: 1 }, { patienceMs: 0 })
    assert.equal(directory.refusals.length, 1)
    const joined = directory.join({ host: LOOPBACK, httpPort: 2 })
    await directory.close()
    await joined
  })

  it('is possible however many nodes there are: whoever registers cannot keep the operator out', async () => {
    const nodes = await fiveNodes(crypto)
    const sixth = await new FakeNode(crypto, 6, 'mixnode').listen()
    await withDirectory(nodes, { maximumNodes: 5 }, async (directory) => {
      await directory.whenRoutable()
      await directory.join(entryOf(sixth))
      assert.equal(directory.snapshot!.nodes.length, 6)
      await sixth.close()
    })
  })
})

describe('nodes over time', () => {
  it('a dead node has performance 0 before it leaves the lists; others are unharmed', async () => {
    const nodes = [...(await fiveNodes(crypto)), await new FakeNode(crypto, 6, 'mixnode').listen()]
    await withDirectory(nodes, {}, async (directory) => {
      await directory.whenRoutable()
      const { layers } = directory.snapshot!
      const victim = layers.find(({ length }) => length === 2)![0]!
      await nodes[victim - 1]!.close()
      const performances = async () => {
        await directory.refresh()
        return directory.snapshot!.nodes.filter(({ performance }) => performance !== '1').map(({ node_id }) => node_id)
      }
      assert.deepEqual(await performances(), [])
      assert.deepEqual(await performances(), [victim])
      assert.deepEqual(directory.snapshot!.layers, layers)
      assert.deepEqual(await performances(), [])
      assert.ok(!listedIds(directory).includes(victim))
    })
  })

  it('keys of the next rotation are collected in time, and published when it starts', async () => {
    const nodes = await fiveNodes(crypto)
    const clock = new VirtualClock()
    const epoch = { genesisMs: clock.now(), durationMs: 15_000, validityEpochs: 3 }
    await withDirectory(nodes, { clock, epoch, readIntervalMs: 1e9 }, async (directory) => {
      await directory.whenRoutable()
      const keys = () => directory.snapshot!.nodes.map(({ x25519_sphinx_pubkey }) => x25519_sphinx_pubkey)
      /** Move to this part of epoch 2, where the nodes are read. */
      const readings = async (at: number) => {
        const before = nodes.map((node) => node.readings)
        clock.advance(at - clock.now())
        await turns(() => nodes.every((node, i) => node.readings > before[i]!))
        await directory.refresh()
      }
      const start = epoch.genesisMs + 30_000
      clock.advance(start - clock.now())
      // Four nodes announce at once, the fifth late.
      for (const node of nodes.slice(1)) node.preAnnounced = 1
      await readings(start + 3_750)
      nodes[0]!.preAnnounced = 1
      await readings(start + 11_250)
      assert.deepEqual(
        keys(),
        nodes.map((node) => node.sphinxKey(0)),
      )
      clock.advance(start + 15_000 - clock.now())
      assert.equal(directory.snapshot!.epoch.rotationId, 1)
      assert.deepEqual(
        keys(),
        nodes.map((node) => node.sphinxKey(1)),
      )
      assert.equal(directory.snapshot!.layers.flat().length, 3)
    })
  })

  it('a node that comes back with an old key is listed with it, and read again until it has rotated', async () => {
    const nodes = await fiveNodes(crypto)
    const clock = new VirtualClock()
    const epoch = { genesisMs: clock.now() - 90 * 60_000, durationMs: 60_000, validityEpochs: 3 }
    for (const node of nodes.slice(1)) node.primary = 30
    await withDirectory(nodes, { clock, epoch, readIntervalMs: 1e9 }, async (directory) => {
      await directory.whenRoutable()
      assert.equal(directory.snapshot!.nodes[0]!.x25519_sphinx_pubkey, nodes[0]!.sphinxKey(0))
      nodes[0]!.primary = 30
      const others = nodes[1]!.readings
      clock.advance(15_000)
      await turns(() => directory.snapshot!.nodes[0]!.x25519_sphinx_pubkey === nodes[0]!.sphinxKey(30))
      assert.equal(nodes[1]!.readings, others)
    })
  })

  it('raises an alarm while the network cannot be routed, and says how old its lists are', async () => {
    const nodes = await fiveNodes(crypto)
    const clock = new VirtualClock()
    const metrics = new MemoryMetrics()
    await withDirectory(nodes, { clock, metrics, readIntervalMs: 1e9 }, async (directory) => {
      await directory.whenRoutable()
      const value = (name: string, labels = {}) => metrics.value(`mixwright_directory_${name}`, labels)
      const state = () => [
        value('not_routable'),
        value('alarms_total', { alarm: 'not-routable' }),
        value('nodes', { state: 'listed' }),
        value('nodes', { state: 'refused' }),
      ]
      assert.deepEqual(state(), [0, 0, 5, 0])
      const { port } = nodes[0]!
      await nodes[0]!.close()
      for (let i = 0; i < 3; i++) await directory.refresh()
      clock.advance(1_000)
      assert.deepEqual(state(), [1, 1, 5, 1])
      assert.equal(value('document_age_seconds'), 1)
      await nodes[0]!.listen(port)
      await directory.refresh()
      assert.deepEqual(state(), [0, 1, 5, 0])
      assert.equal(value('document_age_seconds'), 0)
    })
  })
})

describe('nodes that do harm', () => {
  const HOST = '/api/v1/host-information'
  const hostInformation = (node: FakeNode, change: (data: ReturnType<FakeNode['hostInformation']>) => void) => {
    const data = node.hostInformation()
    change(data)
    node.overrides.set(HOST, (_request, response) => {
      response.end(JSON.stringify(signHostInformation(crypto, data, node.seed)))
    })
  }

  it('an identity that changes, and one that is there already', async () => {
    const nodes = await fiveNodes(crypto)
    await withDirectory(nodes, {}, async (directory) => {
      const twofaced = await new FakeNode(crypto, 6, 'mixnode').listen()
      await directory.join({ host: LOOPBACK, httpPort: twofaced.port })
      assert.equal(listedIds(directory).length, 6)
      for (const other of [new FakeNode(crypto, 7, 'mixnode'), nodes[0]!]) {
        twofaced.overrides.set(HOST, (_request, response) => response.end(JSON.stringify(other.body(HOST))))
        await directory.refresh()
        assert.match(directory.refusals[0]!.reason, /it shows the identity/)
        assert.deepEqual(listedIds(directory), [1, 2, 3, 4, 5])
      }
      const twin = await new FakeNode(crypto, 8, 'mixnode').listen()
      twin.overrides.set(HOST, (_request, response) => response.end(JSON.stringify(nodes[0]!.body(HOST))))
      await directory.join({ host: LOOPBACK, httpPort: twin.port })
      assert.match(directory.refusals[1]!.reason, /known at/)
      await Promise.all([twofaced.close(), twin.close()])
    })
  })

  it('a thousand addresses, and stories about itself without end', async () => {
    const nodes = await fiveNodes(crypto)
    hostInformation(nodes[0]!, (data) => {
      data.ip_address = Array.from({ length: 1_000 }, (_, i) => `127.1.${i >> 8}.${i & 255}`)
    })
    hostInformation(nodes[1]!, (data) => {
      data.hostname = 'x'.repeat(10_000)
    })
    await withDirectory(nodes, {}, async (directory) => {
      await assert.rejects(directory.whenRoutable(), { code: 'MIX_NOT_ROUTABLE' })
      for (const { reason } of directory.refusals) assert.match(reason, /too much/)
    })
  })

  it('bodies that never end, slow ones, and none at all: nobody else waits', async () => {
    const nodes = await fiveNodes(crypto)
    const clock = new VirtualClock()
    const open: ServerResponse[] = []
    const slow = (_request: unknown, response: ServerResponse) => {
      response.write('{')
      open.push(response)
    }
    const bad = await Promise.all([6, 7, 8].map((number) => new FakeNode(crypto, number, 'mixnode').listen()))
    bad[0]!.overrides.set(HOST, (_request, response) => {
      const more = () => {
        if (!response.destroyed && response.write('x'.repeat(16_384))) setImmediate(more)
      }
      response.on('drain', more)
      more()
    })
    bad[1]!.overrides.set(HOST, slow)
    bad[2]!.overrides.set(HOST, (request) => request.socket.destroy())
    await withDirectory([], { clock, startRetryMs: 1e6 }, async (directory) => {
      const joined = bad.map((node) => directory.join(entryOf(node), { patienceMs: 0 }))
      await Promise.all(nodes.map((node) => directory.join(entryOf(node))))
      await turns(() => open.length > 0)
      clock.advance(5_000)
      await Promise.all(joined)
      assert.equal(listedIds(directory).length, 5)
      assert.deepEqual(
        directory.refusals.map(({ reason }) => /more than|no answer|ECONNRESET|hang up/.test(reason)),
        [true, true, true],
        JSON.stringify(directory.refusals),
      )
    })
    await Promise.all([...bad, ...nodes].map((node) => node.close()))
  })
})
