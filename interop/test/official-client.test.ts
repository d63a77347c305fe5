import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { Network } from '@mixwright/localnet'
import { RealClock, sleep } from '@mixwright/runtime'
import { OfficialClient } from '../src/official-client.js'

/** The official npm client, unmodified, on a network of ours. */

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const text = (value: string) => new TextEncoder().encode(value)

/** Longest message that fits one packet (04-client §4.2): what a gateway delivers, less ephemeral key, fragment header, tag and marker. */
const ONE_PACKET_BYTES = 1643 - 32 - 7 - 1 - 1

/** Drops of any reason at any node of the network. */
function drops(net: Network): number {
  const nodes = net.nodes.map(({ role }, index) =>
    role === 'mixnode' ? net.mix(index) : net.gateway(index - mixes(net)),
  )
  return nodes.reduce((sum, { metrics }) => sum + metrics.value('mixwright_dropped_packets_total'), 0)
}

const mixes = (net: Network) => net.nodes.filter(({ role }) => role === 'mixnode').length

describe('the official npm client', { concurrency: 1 }, () => {
  let net: Network
  before(async () => {
    net = await Network.start({ mixes: 3, gateways: 2 })
  })
  after(() => net.close())

  const start = (clientId: string, gateway = 0) =>
    OfficialClient.start({ nymApiUrl: net.nymApiUrl, clientId, preferredGateway: net.gateway(gateway).identityKey })

  it('registers, sends itself hello world through the mixnet, and reads both formats of the directory', async () => {
    await using alice = await start('alice')
    assert.ok(alice.address.endsWith(`@${net.gateway(0).identityKey}`))
    await alice.send(alice.address, text('hello world'))
    await alice.received(1)
    assert.deepEqual(alice.inbox[0]?.message, text('hello world'))
    const { metrics } = net.directory
    const entryGateways = { route: '/v2/unstable/nym-nodes/skimmed/entry-gateways' }
    assert.ok(metrics.value('mixwright_directory_requests_total', { ...entryGateways, output: 'bincode' }) > 0)
    assert.ok(metrics.value('mixwright_directory_requests_total', { ...entryGateways, output: 'json' }) > 0)
    assert.equal(drops(net), 0)
  })

  it('chooses a gateway by itself', async () => {
    await using client = await OfficialClient.start({ nymApiUrl: net.nymApiUrl, clientId: 'any' })
    const gateways = [0, 1].map((index) => net.gateway(index).identityKey)
    assert.ok(gateways.some((identityKey) => client.address.endsWith(`@${identityKey}`)))
  })

  it('gets messages of every size back whole', async () => {
    await using alice = await start('sizes')
    const sizes = [1, 1_000, ONE_PACKET_BYTES - 1, ONE_PACKET_BYTES, ONE_PACKET_BYTES + 1, 100_000, 1_000_000]
    const messages = sizes.map((size) => Uint8Array.from(randomBytes(size)))
    for (const message of messages) await alice.send(alice.address, message)
    await alice.received(messages.length)
    assert.deepEqual(new Set(alice.inbox.map(({ message }) => sha256(message))), new Set(messages.map(sha256)))
    assert.equal(drops(net), 0)
  })

  it('two clients on two gateways exchange 20 messages at once, both ways', async () => {
    await using alice = await start('alice2', 0)
    await using bob = await start('bob2', 1)
    const messages = (from: string) => Array.from({ length: 20 }, (_, i) => `${from} ${i}`)
    await Promise.all([
      ...messages('alice').map((message) => alice.send(bob.address, text(message))),
      ...messages('bob').map((message) => bob.send(alice.address, text(message))),
    ])
    await Promise.all([alice.received(20), bob.received(20)])
    const sorted = (client: OfficialClient) =>
      client.inbox.map(({ message }) => new TextDecoder().decode(message)).sort()
    assert.deepEqual(sorted(alice), messages('bob').sort())
    assert.deepEqual(sorted(bob), messages('alice').sort())
  })

  it('an anonymous message arrives with a sender tag, a plain one without', async () => {
    await using alice = await start('alice3', 0)
    await using bob = await start('bob3', 1)
    await alice.send(bob.address, text('who am I?'), 10)
    await bob.received(1)
    assert.deepEqual(bob.inbox[0], { message: text('who am I?'), hasSenderTag: true })
    await alice.send(bob.address, text('it is me'))
    await bob.received(2)
    assert.equal(bob.inbox[1]?.hasSenderTag, false)
  })

  it('gets what was stored while it was away, each exactly once, after a restart of its gateway', async () => {
    await using alice = await start('alice4', 0)
    const first = await start('bob4', 1)
    const { address } = first
    const storage = await first.stop()
    const gateway = net.gateway(1)
    const stored = () => gateway.metrics.value('nym_node_mixnet_egress_stored_on_disk_final_hop_packets')
    const before = stored()
    const messages = Array.from({ length: 20 }, (_, i) => `while you were away ${i}`)
    for (const message of messages) await alice.send(address, text(message))
    const clock = new RealClock()
    // Bob's own last acks and cover may be stored too: at least the 20 messages.
    while (stored() < before + messages.length) await sleep(clock, 20)
    await gateway.stop()
    await gateway.start()
    await using bob = await OfficialClient.start({
      nymApiUrl: net.nymApiUrl,
      clientId: 'bob4',
      preferredGateway: gateway.identityKey,
      storage,
    })
    assert.equal(bob.address, address)
    await bob.received(messages.length)
    // A message of later comes after all duplicates that there might be.
    await alice.send(address, text('welcome back'))
    await bob.received(messages.length + 1)
    const got = bob.inbox.map(({ message }) => new TextDecoder().decode(message))
    assert.deepEqual(got.slice(0, -1).sort(), [...messages].sort())
    assert.equal(got.at(-1), 'welcome back')
  })
})

describe('an idle official client', () => {
  it('idles for a minute with cover traffic: nothing is dropped, nothing grows', async (t) => {
    await using net = await Network.start()
    await using client = await OfficialClient.start({
      nymApiUrl: net.nymApiUrl,
      clientId: 'idle',
      preferredGateway: net.gateway(0).identityKey,
    })
    const clock = new RealClock()
    await sleep(clock, 20_000)
    const early = await client.memory()
    const { metrics } = net.gateway(0)
    const packets = () => metrics.value('mixwright_gateway_forwarded_packets_total')
    const before = packets()
    await sleep(clock, 40_000)
    const sent = packets() - before
    const late = await client.memory()
    t.diagnostic(`${sent} packets in 40 s; client ${Math.round(early / 1e6)} → ${Math.round(late / 1e6)} MB`)
    // 50 Poisson slots and 5 cover packets a second, if the machine keeps up.
    assert.ok(sent > 400, `only ${sent} packets`)
    assert.equal(drops(net), 0)
    assert.equal(metrics.value('mixwright_gateway_sessions'), 1)
    for (const gauge of [
      'nym_node_process_forward_hop_packets_pending_delivery',
      'nym_node_process_forward_hop_packets_being_delayed',
    ]) {
      for (let index = 0; index < 3; index++) assert.ok(net.mix(index).metrics.value(gauge) < 200, gauge)
    }
    assert.ok(late < 1.5 * early + 50e6)
    // It is still alive and well.
    await client.send(client.address, text('still here'))
    await client.received(1)
  })
})
