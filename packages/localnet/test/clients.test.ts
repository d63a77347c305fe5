/** Clients that come with a network: ready, with a websocket each, and back again with the network's data. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { WebSocket } from 'ws'
import { Network } from '../src/index.js'

const scratch = mkdtempSync(join(tmpdir(), 'mixwright-clients-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

async function ask(url: string, request: object): Promise<Record<string, unknown>> {
  const websocket = new WebSocket(url)
  await once(websocket, 'open')
  websocket.send(JSON.stringify(request))
  const [frame] = await once(websocket, 'message')
  websocket.terminate()
  return JSON.parse(String(frame))
}

describe('clients of a network', () => {
  it('are ready: by their websockets and in the process', async () => {
    await using net = await Network.start({ clients: ['alice', 'bob'] })
    const [alice, bob] = [net.client('alice'), net.client('bob')]
    assert.deepEqual(net.clients, [alice, bob])
    assert.notEqual(alice.address, bob.address)
    await alice.client.send(bob.address, 'hello', { replySurbs: 5 }).acknowledged
    const websocket = new WebSocket(bob.websocketUrl)
    await once(websocket, 'open')
    websocket.send('{"type":"selfAddress"}')
    const frames: string[] = []
    websocket.on('message', (data) => frames.push(String(data)))
    while (frames.length < 2) await once(websocket, 'message')
    const { message, senderTag } = JSON.parse(frames[1]!)
    assert.equal(message, 'hello')
    websocket.send(JSON.stringify({ type: 'reply', senderTag, message: 'hello yourself' }))
    for await (const answer of alice.client.messages()) {
      assert.equal(answer.text(), 'hello yourself')
      break
    }
    websocket.close()
    await once(websocket, 'close')
    for (const client of net.clients) {
      const answer = await ask(client.websocketUrl, { type: 'selfAddress' })
      assert.deepEqual(answer, { type: 'selfAddress', address: client.address })
    }
    assert.throws(() => net.client('carol'), { code: 'MIX_OPTIONS' })
  })

  it('come back with address, port and messages on a network with a data directory', async () => {
    const dataDirectory = join(scratch, 'resume')
    const facts = (net: Network) =>
      net.clients.map(({ name, address, websocketUrl }) => ({ name, address, websocketUrl }))
    const first = await Network.start({ dataDirectory, clients: ['alice', 'bob'] })
    const before = facts(first)
    await first.client('alice').client.send(first.client('bob').address, 'while nobody looks').acknowledged
    await first.close()
    // The same without being asked for; then one fewer and one more.
    const second = await Network.start({ dataDirectory })
    assert.deepEqual(facts(second), before)
    for await (const message of second.client('bob').client.messages()) {
      assert.equal(message.text(), 'while nobody looks')
      break
    }
    await second.close()
    const third = await Network.start({ dataDirectory, clients: ['carol', 'bob'] })
    assert.deepEqual(facts(third)[1], before[1])
    assert.equal(third.clients.length, 2)
    await third.close()
    await using fourth = await Network.start({ dataDirectory, clients: ['alice'] })
    assert.deepEqual(facts(fourth), [before[0]])
  })

  it('have the ports after those of the nodes', async () => {
    // Below the range from which systems hand out free ports.
    const port = 10_000 + (process.pid % 500) * 20
    await using net = await Network.start({ port, mixes: 3, gateways: 1, clients: ['alice', 'bob'] })
    assert.deepEqual(
      net.clients.map(({ websocketUrl }) => websocketUrl),
      [`ws://127.0.0.1:${port + 10}`, `ws://127.0.0.1:${port + 11}`],
    )
  })

  it('are the same from the same seed', async () => {
    const addresses = async () => {
      await using net = await Network.start({ seed: 'a seed', gateways: 1, clients: ['alice'] })
      return net.clients.map(({ address }) => address)
    }
    assert.deepEqual(await addresses(), await addresses())
  })

  it('leave nothing running or lying about when one of them cannot start', async () => {
    for (const clients of [['Alice'], ['a b'], [''], ['x'.repeat(33)], ['alice', 'alice'], ['../x']])
      await assert.rejects(Network.start({ clients }), { code: 'MIX_OPTIONS', kind: 'usage' }, String(clients))
    const dataDirectory = join(scratch, 'taken')
    const first = await Network.start({ dataDirectory, clients: ['alice'] })
    const port = Number(new URL(first.client('alice').websocketUrl).port)
    await first.close()
    await using other = await Network.start({ port: 0, clients: [] })
    assert.deepEqual(other.clients, [])
    const { createServer } = await import('node:net')
    const server = createServer().listen(port, '127.0.0.1')
    await once(server, 'listening')
    await assert.rejects(Network.start({ dataDirectory }), { code: 'MIX_PORT_IN_USE' })
    server.close()
    await once(server, 'close')
    await (await Network.start({ dataDirectory })).close()
    assert.equal(existsSync(join(dataDirectory, 'clients', 'alice', 'client.sqlite')), true)
  })
})
