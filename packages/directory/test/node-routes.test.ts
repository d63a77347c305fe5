/** What nodes ask a directory: lists with Noise keys, whose an address is, and to be read again. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { before, describe, it } from 'node:test'
import { VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  decodeBase58,
  fromBincode,
  fromJson,
  nodeRefreshText,
  nodesByAddressesSchema,
  type Schema,
  semiSkimmedNodesSchema,
} from '@mixwright/wire'
import { Directory } from '../src/directory.js'
import { FakeNode, fiveNodes, LOOPBACK, options } from './fake-node.js'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

/** A directory of these nodes while `work` runs. */
async function withDirectory(
  nodes: FakeNode[],
  more: Parameters<typeof options>[2],
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

const post = (directory: Directory, path: string, body: unknown) =>
  fetch(`${directory.url}${path}`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  })

function refreshBody(node: FakeNode, timestamp: number, seed = node.seed) {
  const text = nodeRefreshText(decodeBase58(node.identityKey, 32)!, timestamp)
  return {
    node_identity: node.identityKey,
    request_timestamp: timestamp,
    signature: [...crypto.ed25519Sign(text, seed)],
  }
}

const REFRESH = '/v1/nym-nodes/refresh-described'
const BY_ADDRESSES = '/v1/unstable/nym-nodes/by-addresses'

describe('what nodes ask', () => {
  it('the semi-skimmed list has every node with its Noise key, in both formats', async () => {
    const nodes = await fiveNodes(crypto)
    nodes[1]!.noise = true
    await withDirectory(nodes, {}, async (directory) => {
      await directory.whenRoutable()
      const url = `${directory.url}/v2/unstable/nym-nodes/semi-skimmed?page=0`
      const list = fromJson(semiSkimmedNodesSchema, await (await fetch(url)).json())
      assert.equal(list.metadata.status, null)
      const data = list.nodes.data as { basic: { node_id: number }; x25519_noise_versioned_key: unknown }[]
      assert.deepEqual(
        data.map(({ basic, x25519_noise_versioned_key }) => [basic.node_id, x25519_noise_versioned_key]),
        [1, 2, 3, 4, 5].map((id) => [
          id,
          id === 2 ? { supported_version: 1, x25519_pubkey: nodes[1]!.sphinxKey(99) } : null,
        ]),
      )
      const bytes = new Uint8Array(await (await fetch(`${url}&output=bincode`)).arrayBuffer())
      assert.deepEqual(fromBincode(semiSkimmedNodesSchema as Schema<unknown>, bytes), list)
    })
  })

  it('an entry for every address asked after, at most a hundred', async () => {
    await withDirectory(await fiveNodes(crypto), {}, async (directory) => {
      await directory.whenRoutable()
      const answer = await post(directory, BY_ADDRESSES, { addresses: [LOOPBACK, '10.1.2.3', '::1'] })
      const { existence } = fromJson(nodesByAddressesSchema, await answer.json())
      assert.equal(typeof existence[LOOPBACK], 'number')
      assert.deepEqual([existence['10.1.2.3'], existence['::1']], [null, null])
      const bincode = await post(directory, `${BY_ADDRESSES}?output=bincode`, { addresses: ['10.1.2.3'] })
      assert.equal(Buffer.from(await bincode.arrayBuffer()).toString('hex'), '01000a01020300')
      assert.equal((await post(directory, BY_ADDRESSES, { addresses: Array(101).fill(LOOPBACK) })).status, 400)
      for (const body of ['', 'null', '[]', '{"addresses":1}', '{"addresses":["node.example"]}', '{"addresses":[[1]]}'])
        assert.equal((await post(directory, BY_ADDRESSES, body)).status, 400, body)
    })
  })

  it('key-rotation-info is answered before any node was read, lists wait for the first readings', async () => {
    const nodes = await fiveNodes(crypto)
    let release = () => {}
    nodes[0]!.overrides.set('/api/v1/health', (_request, response) => {
      release = () => response.end('{"status":"up","uptime":1}')
      asked()
    })
    let asked = () => {}
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve
    })
    await withDirectory(nodes, {}, async (directory) => {
      await isAsked
      const info = await fetch(`${directory.url}/v1/epoch/key-rotation-info`)
      assert.equal(((await info.json()) as { current_absolute_epoch_id: number }).current_absolute_epoch_id, 0)
      assert.equal(directory.snapshot, undefined)
      const rewarded = fetch(`${directory.url}/v1/nym-nodes/rewarded-set`)
      release()
      const { layer1, layer2, layer3 } = (await (await rewarded).json()) as Record<string, number[]>
      assert.deepEqual([...layer1!, ...layer2!, ...layer3!].sort(), [1, 2, 3])
    })
  })

  it('lists that never come are refused after some seconds', async () => {
    const nodes = await fiveNodes(crypto)
    const clock = new VirtualClock()
    nodes[0]!.overrides.set('/api/v1/health', () => {})
    await withDirectory(nodes, { clock, startPatienceMs: Number.POSITIVE_INFINITY }, async (directory) => {
      let status = 0
      const answer = fetch(`${directory.url}/v1/nym-nodes/rewarded-set`).then((response) => {
        status = response.status
      })
      while (status === 0) {
        clock.advance(4_000)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await answer
      assert.equal(status, 503)
    })
  })
})

describe('a request to be read again', () => {
  it('is checked in the order of the book', async () => {
    const nodes = await fiveNodes(crypto)
    const clock = new VirtualClock()
    await withDirectory(nodes, { clock }, async (directory) => {
      await directory.whenRoutable()
      const now = clock.now() / 1000
      const [node] = nodes
      const status = async (body: unknown) => (await post(directory, REFRESH, body)).status
      const stranger = new FakeNode(crypto, 77, 'mixnode')
      // Nobody known, although old and unsigned; unsigned, although old; old, although read a moment ago.
      assert.equal(await status({ ...refreshBody(stranger, now - 100), signature: Array(64).fill(0) }), 404)
      assert.equal(await status(refreshBody(node!, now - 100, stranger.seed)), 401)
      for (const timestamp of [now - 31, now + 1, now - 3600, now + 3600])
        assert.equal(await status(refreshBody(node!, timestamp)), 400)
      const readings = node!.readings
      const ok = await post(directory, REFRESH, refreshBody(node!, now - 30))
      assert.deepEqual([ok.status, await ok.text()], [200, 'null'])
      assert.equal(node!.readings, readings + 1)
      assert.equal(await status(refreshBody(node!, now - 31)), 400)
      assert.equal(await status(refreshBody(node!, now)), 429)
      clock.advance(60_000)
      const later = clock.now() / 1000
      nodes[1]!.overrides.set('/api/v1/roles', (_request, response) => response.writeHead(404).end())
      assert.equal(await status(refreshBody(nodes[1]!, later)), 422)
    })
  })

  it('takes no other signature than 64 numbers, and bodies of no size or end', async () => {
    const nodes = await fiveNodes(crypto)
    const clock = new VirtualClock()
    await withDirectory(nodes, { clock }, async (directory) => {
      await directory.whenRoutable()
      const good = refreshBody(nodes[0]!, clock.now() / 1000)
      for (const body of [
        { ...good, signature: good.signature.slice(1) },
        { ...good, signature: [...good.signature.slice(1), 256] },
        { ...good, signature: 'x'.repeat(88) },
        { ...good, request_timestamp: 1.5 },
        { ...good, node_identity: 'x' },
        'x'.repeat(20_000),
        '[',
        'null',
      ])
        assert.equal((await post(directory, REFRESH, body)).status, 400)
      // A body that never ends is given up; others are served meanwhile.
      const socket = connect(Number(new URL(directory.url).port), LOOPBACK)
      socket.write(`POST /api${REFRESH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{`)
      const before = clock.pending
      while (clock.pending === before) await new Promise((resolve) => setImmediate(resolve))
      assert.equal((await post(directory, REFRESH, good)).status, 200)
      const answered = once(socket, 'data')
      clock.advance(10_000)
      assert.match(String((await answered)[0]), /^HTTP\/1\.1 400 /)
      socket.destroy()
    })
  })

  it('of a node that is expected by its address alone makes the directory look', async () => {
    const nodes = await fiveNodes(crypto)
    const clock = new VirtualClock()
    const late = await new FakeNode(crypto, 6, 'mixnode').listen()
    const { port } = late
    await late.close()
    await withDirectory(nodes, { clock }, async (directory) => {
      await directory.whenRoutable()
      const joined = directory.join({ host: LOOPBACK, httpPort: port })
      await late.listen(port)
      // The clock stands still: nothing but this request brings the directory to read it.
      const body = refreshBody(late, clock.now() / 1000)
      assert.equal((await post(directory, REFRESH, body)).status, 200)
      assert.ok(directory.snapshot!.nodes.some((node) => node.ed25519_identity_pubkey === late.identityKey))
      clock.advance(1_000)
      await joined
      await late.close()
    })
  })
})
