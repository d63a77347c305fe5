/** The official npm client, unmodified, on a network of ours. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, afterEach, before, describe, it, type TestContext } from 'node:test'
import { Network } from '@mixwright/localnet'
import { RealClock, SeededRandom, sleep } from '@mixwright/runtime'
import { OfficialClient, type ReceivedMessage } from '../src/official-client.js'
import { dropsByReason } from './network-counters.js'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const bytes = (text: string) => new TextEncoder().encode(text)
const textOf = ({ message }: ReceivedMessage) => new TextDecoder().decode(message)
/** Texts of an inbox, sorted: the mixnet keeps no order. */
const texts = (inbox: readonly ReceivedMessage[]) => inbox.map(textOf).sort()
const numbered = (count: number, what: string) => Array.from({ length: count }, (_, i) => `${what} ${i}`).sort()

/**
 * Longest plain message in one packet (04-client §4.2, §4.5): the space of an unlinked fragment in a regular packet, less
 * the byte of the message's kind and the padding marker.
 */
const ONE_PACKET_BYTES = 1604 - 1 - 1

/** No cover, no Poisson stream: what it puts into the network is what it was told to send. */
const NO_COVER = {
  traffic: { disableMainPoissonPacketDistribution: true },
  coverTraffic: { disableLoopCoverTrafficStream: true },
}

describe('the official npm client', () => {
  let net: Network
  before(async () => {
    net = await Network.start({ mixes: 3, gateways: 2 })
  })
  after(() => net.close())
  afterEach(() => assert.deepEqual(dropsByReason(net), {}))

  const start = (clientId: string, gateway: number) =>
    OfficialClient.start({ nymApiUrl: net.nymApiUrl, clientId, preferredGateway: net.gateway(gateway).identityKey })

  it('registers, sends itself hello world through the mixnet, and gets it back', async () => {
    await using alice = await start('alice', 0)
    assert.ok(alice.address.endsWith(`@${net.gateway(0).identityKey}`))
    await alice.send(alice.address, bytes('hello world'))
    assert.deepEqual(await alice.received(1), [{ message: bytes('hello world') }])
    assert.deepEqual(alice.complaints, [])
  })

  it('reads the directory in both of its formats', async (t) => {
    await using client = await start('reader', 0)
    const requests = requestsToDirectory(net)
    t.diagnostic(requests.join(', '))
    const skimmed = '/v2/unstable/nym-nodes/skimmed'
    for (const request of [
      // Before it chooses its gateway, and as a part of its topology.
      `${skimmed}/entry-gateways bincode`,
      `${skimmed}/entry-gateways json`,
      `${skimmed}/mixnodes/active json`,
    ])
      assert.ok(requests.includes(request), request)
    assert.deepEqual(client.complaints, [])
  })

  it('draws a gateway from the directory when none is preferred', async () => {
    await using client = await OfficialClient.start({ nymApiUrl: net.nymApiUrl, clientId: 'undecided' })
    const gateways = [0, 1].map((index) => net.gateway(index).identityKey)
    assert.ok(gateways.some((identityKey) => client.address.endsWith(`@${identityKey}`)))
    await client.send(client.address, bytes('any gateway will do'))
    await client.received(1)
  })

  it('gets messages of every size back whole', async () => {
    await using alice = await start('sizes', 0)
    const random = new SeededRandom('messages of every size')
    const sizes = [1, 1_000, ONE_PACKET_BYTES - 1, ONE_PACKET_BYTES, ONE_PACKET_BYTES + 1, 100_000, 1_000_000]
    const messages = sizes.map((size) => random.bytes(size))
    for (const message of messages) await alice.send(alice.address, message)
    const inbox = await alice.received(messages.length)
    const digests = (all: readonly Uint8Array[]) => all.map((message) => `${message.length} ${sha256(message)}`).sort()
    assert.deepEqual(digests(inbox.map(({ message }) => message)), digests(messages))
    assert.deepEqual(alice.complaints, [])
  })

  it('exchanges 20 messages at once, both ways, with a client of another gateway', async () => {
    await using alice = await start('alice-of-20', 0)
    await using bob = await start('bob-of-20', 1)
    const toBob = numbered(20, 'from alice')
    const toAlice = numbered(20, 'from bob')
    await Promise.all([
      ...toBob.map((text) => alice.send(bob.address, bytes(text))),
      ...toAlice.map((text) => bob.send(alice.address, bytes(text))),
    ])
    assert.deepEqual(texts(await alice.received(20)), toAlice)
    assert.deepEqual(texts(await bob.received(20)), toBob)
  })

  it('sends anonymously with reply blocks: the message has a sender tag, and the answer finds its way back', async () => {
    await using alice = await start('anonymous-alice', 0)
    await using bob = await start('bob-who-answers', 1)
    await alice.send(bob.address, bytes('who am I?'), 10)
    const [question] = await bob.received(1)
    assert.equal(textOf(question!), 'who am I?')
    assert.ok(question!.senderTag)

    await bob.reply(question!.senderTag, bytes('somebody'))
    const [answer] = await alice.received(1)
    assert.deepEqual(answer, { message: bytes('somebody') })

    // The same sender has the same tag again; a plain message has none.
    await alice.send(bob.address, bytes('still me'), 10)
    assert.equal((await bob.received(2))[1]?.senderTag, question!.senderTag)
    await alice.send(bob.address, bytes('and who is this?'))
    assert.equal((await bob.received(3))[2]?.senderTag, undefined)
    assert.deepEqual([...alice.complaints, ...bob.complaints], [])
  })

  it('gets what was stored while it was away, each exactly once, after a restart of its gateway', async (t) => {
    // A network of its own: the counts below are exact.
    await using net = await Network.start({ mixes: 3, gateways: 2 })
    const gateway = net.gateway(1)
    const bobsStart = { nymApiUrl: net.nymApiUrl, clientId: 'bob', preferredGateway: gateway.identityKey }
    await using firstBob = await OfficialClient.start({ ...bobsStart, clientOverride: NO_COVER })
    const { address } = firstBob
    const storage = await firstBob.stop()

    const sentAway = numbered(20, 'while you were away')
    await using alice = await OfficialClient.start({
      nymApiUrl: net.nymApiUrl,
      clientId: 'alice',
      preferredGateway: net.gateway(0).identityKey,
    })
    const count = (metric: string) => gateway.metrics.value(metric)
    const stored = () => count('nym_node_mixnet_egress_stored_on_disk_final_hop_packets')
    assert.equal(stored(), 0)
    for (const text of sentAway) await alice.send(address, bytes(text))
    await until(
      t,
      () => stored() >= sentAway.length,
      () => `${stored()} of ${sentAway.length} messages are stored`,
    )

    await gateway.stop()
    await gateway.start()
    await using bob = await OfficialClient.start({ ...bobsStart, storage })
    assert.equal(bob.address, address)
    assert.deepEqual(texts(await bob.received(sentAway.length)), sentAway)
    t.diagnostic(`${stored()} stored, ${count('mixwright_gateway_drained_messages_total')} delivered from the mailbox`)
    assert.ok(count('mixwright_gateway_drained_messages_total') >= sentAway.length)
    // What comes later finds no second copy before it.
    await alice.send(address, bytes('welcome back'))
    const inbox = await bob.received(sentAway.length + 1)
    assert.equal(textOf(inbox.at(-1)!), 'welcome back')
    assert.equal(inbox.length, sentAway.length + 1)
    assert.deepEqual([dropsByReason(net), alice.complaints, bob.complaints], [{}, [], []])
  })
})

/** `route format` of every request that a directory answered. */
function requestsToDirectory({ directory }: Network): string[] {
  const families = [...directory.metrics.families()]
  const requests = families.find(({ name }) => name === 'mixwright_directory_requests_total')
  return [...(requests?.samples.values() ?? [])].map(({ labels }) => `${labels.route} ${labels.output}`).sort()
}

/** Counters raise no events: ask often, for as long as the messages of a client may take. */
async function until(t: TestContext, holds: () => boolean, found: () => string): Promise<void> {
  const clock = new RealClock()
  const deadline = clock.monotonic() + 60_000
  while (!holds()) {
    if (clock.monotonic() > deadline) throw new Error(`waited for 60 s: ${found()}`)
    await sleep(clock, 20, t.signal)
  }
}
