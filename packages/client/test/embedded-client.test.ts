/** Clients inside a gateway (06-service-providers §9) on a network of real nodes: they talk to one that comes by websocket. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createNodeKeys, LOCAL_GATEWAY_LIMITS, Node, type NodeKeys, type NodeRole, StaticSource } from '@mixwright/node'
import { MemoryMetrics, RealClock, SystemRandom, silentLogger } from '@mixwright/runtime'
import { type CryptoProvider, encodeNodeAddress, loadCryptoProvider, nodeAddress } from '@mixwright/sphinx'
import { decodeBase58 } from '@mixwright/wire'
import type { Client, ReceivedMessage } from '../src/api.js'
import type { Topology, TopologySource } from '../src/directory/topology.js'
import { connect, memoryStore } from '../src/index.js'

const LOOPBACK = '127.0.0.1'
const EPOCH_MS = 1000 * 365 * 24 * 3_600_000
const scratch = mkdtempSync(join(tmpdir(), 'mixwright-embedded-'))
const random = new SystemRandom()
const clock = new RealClock()
let crypto: CryptoProvider
/** Of the gateway, which is started again with them. */
let keys: NodeKeys
let mixes: Node[]
let gateway: Node
before(async () => {
  crypto = await loadCryptoProvider()
  keys = createNodeKeys(crypto, random)
  mixes = await Promise.all(['a', 'b', 'c'].map((name) => start('mixnode', name, createNodeKeys(crypto, random))))
  gateway = await start('gateway', 'gateway', keys)
})
after(async () => {
  await Promise.all([...mixes, gateway].map((node) => node.stop()))
  rmSync(scratch, { recursive: true, force: true })
})

function start(role: NodeRole, name: string, keys: NodeKeys, mixPort = 0): Promise<Node> {
  return Node.start({
    role,
    clock,
    random,
    logger: silentLogger,
    metrics: new MemoryMetrics(),
    crypto,
    keys,
    stateDirectory: join(scratch, name),
    network: new StaticSource([{ ipAddresses: [LOOPBACK], mixPort: 1 }]),
    announcedIps: [LOOPBACK],
    mixListen: { host: LOOPBACK, port: mixPort },
    ...(role === 'gateway' && {
      gateway: { listen: { host: LOOPBACK, port: 0 }, limits: LOCAL_GATEWAY_LIMITS },
    }),
  })
}

const network: TopologySource = {
  async read(): Promise<Topology> {
    const hop = ({ mixPort, description }: Node) => ({
      address: encodeNodeAddress(nodeAddress(LOOPBACK, mixPort)!, 32),
      publicKey: decodeBase58(description.hostInformation.data.keys.x25519_sphinx, 32)!,
    })
    const [first, second, third] = mixes.map((node) => [hop(node)])
    const listed = {
      ...hop(gateway),
      identity: gateway.identityKey,
      websocketUrls: [`ws://${LOOPBACK}:${gateway.clientPort}`],
    }
    return {
      layers: [first!, second!, third!],
      gateways: new Map([[gateway.identityKey, listed]]),
      epochId: 0,
      rotationId: 0,
      readAt: clock.now(),
    }
  },
  readSchedule: async () => ({
    validityEpochs: 3,
    initialEpochId: 0,
    epochMs: EPOCH_MS,
    knownEpochId: 0,
    knownEpochStartMs: 0,
  }),
}

const outside = () => connect({ directory: network, profile: 'local' })
const inside = (store = memoryStore()) =>
  connect({ directory: network, profile: 'local', store, door: (identity) => gateway.localDoor(identity) })

async function next(messages: AsyncIterator<ReceivedMessage>): Promise<ReceivedMessage> {
  const { value, done } = await messages.next()
  assert.ok(!done)
  return value
}

/** Both ways, with an address and with reply blocks alone. */
async function converse(asker: Client, answerer: Client): Promise<void> {
  const [asked, answered] = [answerer.messages(), asker.messages()]
  const question = 'question '.repeat(1000)
  const sent = asker.send(answerer.address, question, { replySurbs: 5 })
  const message = await next(asked)
  assert.equal(message.text(), question)
  await sent.acknowledged
  const reply = message.reply('answer')
  assert.equal((await next(answered)).text(), 'answer')
  await reply.acknowledged
}

describe('clients inside a gateway', () => {
  it('do not come up before the network lists their gateway, by which acks and answers come', async () => {
    const unlisted: TopologySource = {
      ...network,
      read: async () => ({ ...(await network.read()), gateways: new Map() }),
    }
    const door = (identity: Uint8Array) => gateway.localDoor(identity)
    const expected = { code: 'MIX_NO_GATEWAY', kind: 'network', retry: true }
    await assert.rejects(connect({ directory: unlisted, profile: 'local', door }), expected)
  })

  it('talk to a client outside, and to each other, both ways', async () => {
    const [one, other, alice] = await Promise.all([inside(), inside(), outside()])
    for (const client of [one, other]) assert.ok(client.address.endsWith(`@${gateway.identityKey}`))
    await converse(alice, one)
    await converse(other, alice)
    await converse(one, other)
    await Promise.all([one, other, alice].map((client) => client.close()))
  })

  it('get after their restart what came meanwhile, acknowledged then, and nothing twice', async () => {
    const store = memoryStore({ persistent: true })
    const alice = await outside()
    const first = await inside(store)
    const { address } = first
    await first.close()
    const texts = Array.from({ length: 150 }, (_, i) => `${i}`)
    await Promise.all(texts.map((text) => alice.send(address, text).acknowledged))
    const second = await inside(store)
    assert.equal(second.address, address)
    const messages = second.messages()
    const received: string[] = []
    while (received.length < texts.length) received.push((await next(messages)).text())
    await alice.send(address, 'the last').acknowledged
    assert.equal((await next(messages)).text(), 'the last')
    assert.deepEqual(new Set(received), new Set(texts))
    await Promise.all([second, alice].map((client) => client.close()))
  })

  it('get after a restart of the node what came before they were there', async () => {
    const store = memoryStore({ persistent: true })
    const before = await inside(store)
    const { address } = before
    await before.close()
    const { mixPort } = gateway
    await gateway.stop()
    gateway = await start('gateway', 'gateway', keys, mixPort)
    const alice = await outside()
    await alice.send(address, 'early').acknowledged
    const again = await inside(store)
    assert.equal((await next(again.messages())).text(), 'early')
    await Promise.all([again, alice].map((client) => client.close()))
  })

  it('keep their place against whoever has their keys, and comes by websocket', async () => {
    const store = memoryStore({ persistent: true })
    const rightful = await inside(store)
    const stolen = memoryStore({ persistent: true })
    for (const [key, value] of await store.load('identity')) await stolen.write([{ table: 'identity', key, value }])
    await assert.rejects(connect({ directory: network, profile: 'local', store: stolen }), /already an open connection/)
    const alice = await outside()
    await converse(alice, rightful)
    await Promise.all([rightful, alice].map((client) => client.close()))
  })
})
