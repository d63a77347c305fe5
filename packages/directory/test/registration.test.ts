/** Nodes that register themselves: who may, how often, with what proof, and how many. */
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { VirtualClock } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { signHostInformation } from '@mixwright/wire'
import { Directory, type DirectoryOptions } from '../src/directory.js'
import { FakeNode, options } from './fake-node.js'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

const register = async (directory: Directory, node: FakeNode, more: object = {}) => {
  const response = await fetch(`${directory.url}/v1/mixwright/register`, {
    method: 'POST',
    body: JSON.stringify({
      host: node.ips[0],
      http_port: node.port,
      host_information: signHostInformation(crypto, node.hostInformation(), node.seed),
      ...more,
    }),
  })
  const text = await response.text()
  return { status: response.status, text, nodeId: response.ok ? JSON.parse(text).node_id : undefined }
}

async function withDirectory(more: Partial<DirectoryOptions>, work: (directory: Directory) => Promise<void>) {
  const directory = await Directory.start(options(crypto, [], more))
  try {
    await work(directory)
  } finally {
    await directory.close()
  }
}

describe('registration', () => {
  let node: FakeNode
  before(async () => {
    node = await new FakeNode(crypto, 1, 'mixnode').listen()
  })
  after(() => node.close())

  it('gives a number that stays, and lists the node', async () => {
    const clock = new VirtualClock()
    await withDirectory({ registration: { kind: 'open' }, clock }, async (directory) => {
      const other = await new FakeNode(crypto, 2, 'mixnode').listen()
      other.mixPort = 1790
      assert.deepEqual([(await register(directory, node)).nodeId, (await register(directory, other)).nodeId], [1, 2])
      await directory.published()
      assert.deepEqual(
        directory.snapshot!.nodes.map(({ node_id }) => node_id),
        [1, 2],
      )
      assert.equal((await register(directory, node)).status, 429)
      clock.advance(60_000)
      // It has moved to another port.
      const { port } = node
      await node.close()
      await node.listen()
      assert.notEqual(node.port, port)
      assert.equal((await register(directory, node)).nodeId, 1)
      await other.close()
    })
  })

  it('is refused by policy', async () => {
    await withDirectory({}, async (directory) => assert.equal((await register(directory, node)).status, 403))
    const list = (identities: string[]) => ({ registration: { kind: 'allow-list', identities } as const })
    await withDirectory(list([]), async (directory) => assert.equal((await register(directory, node)).status, 403))
    await withDirectory(list([node.identityKey]), async (directory) =>
      assert.equal((await register(directory, node)).status, 200),
    )
    await withDirectory({ registration: { kind: 'token', tokens: ['a', 'sesame'] } }, async (directory) => {
      for (const token of [undefined, '', 'b', 'sesam']) {
        const { status, text } = await register(directory, node, { token })
        assert.deepEqual([status, text.split(':')[0]], [403, 'policy'])
      }
      assert.equal((await register(directory, node, { token: 'sesame' })).status, 200)
    })
  })

  it('proves nothing by a wrong signature, a foreign address, or a node that is not there', async () => {
    await withDirectory({ registration: { kind: 'open' } }, async (directory) => {
      const kind = async (node: FakeNode, more: object = {}) =>
        (await register(directory, node, more)).text.split(':')[0]
      const signed = signHostInformation(crypto, node.hostInformation(), new Uint8Array(32).fill(9))
      assert.equal(await kind(node, { host_information: signed }), 'signature')
      assert.equal(await kind(node, { host: '127.0.0.9' }), 'address')
      for (const more of [{ host: 'localhost' }, { http_port: 0 }, { host_information: {} }, { host: 5 }, { token: 5 }])
        assert.equal(await kind(node, more), 'malformed')
      const away = new FakeNode(crypto, 3, 'mixnode')
      assert.equal(await kind(away, { http_port: 1 }), 'unreadable')
      // Somebody else answers there.
      assert.equal(await kind(new FakeNode(crypto, 4, 'mixnode'), { http_port: node.port }), 'unreadable')
      assert.deepEqual(directory.refusals, [])
    })
    await withDirectory({ registration: { kind: 'open' }, allowLocalAddresses: false }, async (directory) =>
      assert.equal((await register(directory, node)).status, 400),
    )
  })

  it('cannot take the place of another node, nor harm one by naming a wrong port', async () => {
    const clock = new VirtualClock()
    await withDirectory({ registration: { kind: 'open' }, clock }, async (directory) => {
      assert.equal((await register(directory, node)).status, 200)
      const thief = await new FakeNode(crypto, 5, 'mixnode').listen()
      const { status, text } = await register(directory, thief)
      assert.equal(status, 422)
      assert.match(text, /its address and mix port are those of node 1/)
      clock.advance(60_000)
      assert.equal((await register(directory, node, { http_port: thief.port })).status, 422)
      await directory.refresh()
      assert.equal(directory.snapshot!.nodes.length, 1)
      await thief.close()
    })
  })
})

describe('ten thousand nodes that register', () => {
  it('are taken up to the limit, then refused with a reason, and the directory serves on', async () => {
    const LIMIT = 2_000
    const COUNT = 10_000
    // One server stands for all nodes: which one is meant is told by the loopback address that was asked.
    const nodes = new Map<string, FakeNode>()
    const server: Server = createServer((request, response) => {
      const body = nodes.get(request.socket.localAddress!)?.body(request.url!)
      response.writeHead(body === undefined ? 501 : 200).end(body === undefined ? '' : JSON.stringify(body))
    })
    const port = await listenOn(server, { host: '0.0.0.0', port: 0 })
    for (let i = 0; i < COUNT; i++) {
      const node = new FakeNode(crypto, 100 + i, i % 10 === 0 ? 'gateway' : 'mixnode')
      node.port = port
      node.ips = [`127.1.${i >> 8}.${i & 255}`]
      nodes.set(node.ips[0]!, node)
    }
    const clock = new VirtualClock()
    await withDirectory({ registration: { kind: 'open' }, maximumNodes: LIMIT, clock }, async (directory) => {
      const ids = new Set<number>()
      const refused: string[] = []
      const queue = [...nodes.values()]
      const worker = async () => {
        for (let node = queue.pop(); node; node = queue.pop()) {
          const { nodeId, status, text } = await register(directory, node)
          if (nodeId !== undefined) ids.add(nodeId)
          else refused.push(`${status} ${text.split(':')[0]}`)
        }
      }
      await Promise.all(Array.from({ length: 32 }, worker))
      assert.equal(ids.size, LIMIT)
      assert.equal(Math.max(...ids), LIMIT)
      assert.deepEqual(new Set(refused), new Set(['503 full']))
      assert.equal(refused.length, COUNT - LIMIT)
      const published = directory.published()
      clock.advance(20_000)
      await published
      const rewarded = (await (await fetch(`${directory.url}/v1/nym-nodes/rewarded-set`)).json()) as {
        layer1: number[]
        entry_gateways: number[]
      }
      assert.ok(rewarded.layer1.length > LIMIT / 4 && rewarded.entry_gateways.length > LIMIT / 20)
    })
    server.closeAllConnections()
    server.close()
  })
})
