/** Our client and the official npm client, unmodified, on one network: whatever one sends, the other reads. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, it, type TestContext } from 'node:test'
import {
  type Client,
  type ClientStore,
  type ConnectOptions,
  connect,
  memoryStore,
  type SendHandle,
  sqlStore,
} from '@mixwright/client'
import { Network } from '@mixwright/localnet'
import { RealClock, SeededRandom, sleep } from '@mixwright/runtime'
import { decodeBase58 } from '@mixwright/wire'
import { OfficialClient } from '../src/official-client.js'
import { take } from '../src/our-inbox.js'
import { dropsByReason } from './network-counters.js'

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (message: Uint8Array) => new TextDecoder().decode(message)
/** What a message was, in a line: the mixnet keeps no order, and a megabyte is no good failure message. */
const digest = (message: Uint8Array) =>
  `${message.length} bytes ${createHash('sha256').update(message).digest('hex').slice(0, 16)}`
const digests = (messages: readonly Uint8Array[]) => messages.map(digest).sort()
const numbered = (count: number, what: string) => Array.from({ length: count }, (_, i) => `${what} ${i}`).sort()

/** Longest plain message in one packet (04-client §4.2, §4.5): an unlinked fragment less kind and padding marker. */
const ONE_PACKET_BYTES = 1604 - 1 - 1
const SIZES = [1, ONE_PACKET_BYTES - 1, ONE_PACKET_BYTES, ONE_PACKET_BYTES + 1, 100_000, 1_000_000]
/** Reply blocks that an official client keeps back for requests: with no more than these it asks first. */
const OFFICIAL_THRESHOLD = 10
/** The same of ours. */
const OUR_THRESHOLD = 5

/** No cover, no Poisson stream: what `no-cover` is in ours. */
const NO_COVER = {
  traffic: { disableMainPoissonPacketDistribution: true },
  coverTraffic: { disableLoopCoverTrafficStream: true },
}

describe('our client and the official npm client', () => {
  let net: Network
  /** Idle it costs nothing, so that one serves every test; its inbox is read from where a test found it. */
  let official: OfficialClient
  before(async () => {
    net = await Network.start({ mixes: 3, gateways: 2 })
    official = await startOfficial('official', NO_COVER)
  })
  after(async () => {
    await official?.[Symbol.asyncDispose]()
    await net?.close()
  })
  afterEach(() => assert.deepEqual([dropsByReason(net), official.complaints], [{}, []]))

  const startOfficial = (clientId: string, clientOverride?: typeof NO_COVER) =>
    OfficialClient.start({
      nymApiUrl: net.nymApiUrl,
      clientId,
      preferredGateway: net.gateway(1).identityKey,
      ...(clientOverride && { clientOverride }),
    })
  const connectOurs = (options: Partial<ConnectOptions> = {}) =>
    connect({ directory: net.nymApiUrl, gateway: net.gateway(0).identityKey, profile: 'no-cover', ...options })
  const messagesOf = (size: number) => new SeededRandom(`${size} bytes`).bytes(size)

  describe('plain messages of every size', () => {
    it('from ours to the official one', async () => {
      await using ours = await connectOurs()
      const known = official.inbox.length
      const messages = SIZES.map(messagesOf)
      const handles = messages.map((message) => ours.send(official.address, message))
      const inbox = (await official.received(known + messages.length)).slice(known)
      assert.deepEqual(digests(inbox.map(({ message }) => message)), digests(messages))
      assert.ok(inbox.every(({ senderTag }) => senderTag === undefined))
      await allAcknowledged(handles)
      const packets = handles.map(({ progress }) => progress.packets)
      assert.deepEqual(packets.slice(0, 4), [1, 1, 1, 2])
      assertClean(ours)
    })

    it('from the official one to ours', async () => {
      await using ours = await connectOurs()
      const messages = SIZES.map(messagesOf)
      for (const message of messages) await official.send(ours.address, message)
      const inbox = await take(ours, messages.length)
      assert.deepEqual(digests(inbox.map(({ data }) => data)), digests(messages))
      assert.ok(inbox.every(({ senderTag }) => senderTag === undefined))
      assertClean(ours)
    })

    it('from ours to ours', async () => {
      await using alice = await connectOurs()
      await using bob = await connectOurs({ gateway: net.gateway(1).identityKey })
      const messages = SIZES.map(messagesOf)
      const handles = messages.map((message) => alice.send(bob.address, message))
      const inbox = await take(bob, messages.length)
      assert.deepEqual(digests(inbox.map(({ data }) => data)), digests(messages))
      await allAcknowledged(handles)
      assertClean(alice, bob)
    })

    it('20 at once, both ways', async () => {
      await using ours = await connectOurs()
      const known = official.inbox.length
      const toOfficial = numbered(20, 'from ours')
      const toOurs = numbered(20, 'from the official one')
      const handles = toOfficial.map((message) => ours.send(official.address, message))
      await Promise.all(toOurs.map((message) => official.send(ours.address, bytes(message))))
      assert.deepEqual((await take(ours, 20)).map((message) => message.text()).sort(), toOurs)
      const inbox = (await official.received(known + 20)).slice(known)
      assert.deepEqual(inbox.map(({ message }) => text(message)).sort(), toOfficial)
      await allAcknowledged(handles)
      assertClean(ours)
    })
  })

  describe('anonymous messages and replies', () => {
    it('ours asks, the official one answers: at once with enough reply blocks, else after it has asked for more', async () => {
      await using ours = await connectOurs()
      const known = official.inbox.length
      const packetsFor = packetCounter(ours)

      const enough = ours.send(official.address, 'who am I?', { replySurbs: OFFICIAL_THRESHOLD + 1 })
      const [question] = (await official.received(known + 1)).slice(known)
      assert.equal(text(question!.message), 'who am I?')
      assert.ok(decodeBase58(question!.senderTag!, 16))
      await official.reply(question!.senderTag!, bytes('somebody'))
      const [answer] = await take(ours, 1)
      assert.deepEqual([answer!.text(), answer!.senderTag], ['somebody', undefined])
      await allAcknowledged([enough])
      assert.equal(packetsFor(), enough.progress.packets)

      // The next answers are larger than what it has: it asks, and we give.
      const still = ours.send(official.address, 'still me', { replySurbs: 2 })
      const [, again] = (await official.received(known + 2)).slice(known)
      assert.equal(again!.senderTag, question!.senderTag)
      await allAcknowledged([still])
      packetsFor()
      for (const size of [1, 5_000, 100_000, 1_000_000]) {
        await official.reply(question!.senderTag!, messagesOf(size))
        const [reply] = await take(ours, 1)
        assert.equal(digest(reply!.data), digest(messagesOf(size)))
      }
      // 691 packets of replies; 29 of ours carry 100 blocks.
      assert.ok(packetsFor() > 690 * 0.29)
      assertClean(ours)

      const named = ours.send(official.address, 'and who is this?')
      assert.equal((await official.received(known + 3))[known + 2]?.senderTag, undefined)
      await allAcknowledged([named])
    })

    it('the official one asks, ours answers: at once with a few reply blocks, else after it has asked for more', async () => {
      await using ours = await connectOurs()
      const known = official.inbox.length
      await official.send(ours.address, bytes('who am I?'), 10)
      const [question] = await take(ours, 1)
      assert.equal(question!.text(), 'who am I?')
      assert.ok(decodeBase58(question!.senderTag!, 16))
      const packetsFor = packetCounter(ours)
      const small = question!.reply('somebody')
      assert.deepEqual((await official.received(known + 1))[known], { message: bytes('somebody') })
      await allAcknowledged([small])
      assert.equal(packetsFor(), 1)

      const large = [5_000, 100_000, 1_000_000].map(messagesOf)
      const handles = large.map((reply) => ours.reply(question!.senderTag!, reply))
      const inbox = (await official.received(known + 4)).slice(known + 1)
      assert.deepEqual(digests(inbox.map(({ message }) => message)), digests(large))
      await allAcknowledged(handles)
      const packets = handles.reduce((sum, { progress }) => sum + progress.packets, 0)
      // Beside the replies: one request for each 50 blocks at least.
      assert.ok(packetsFor() > packets)
      assert.equal(ours.status().replies.get(question!.senderTag!)?.waitingPackets, 0)

      await official.send(ours.address, bytes('still me'), 10)
      await official.send(ours.address, bytes('and who is this?'))
      const more = new Map((await take(ours, 2)).map((message) => [message.text(), message.senderTag]))
      assert.equal(more.get('still me'), question!.senderTag)
      assert.equal(more.get('and who is this?'), undefined)
      assertClean(ours)
    })

    it('ours asks, ours answers', async () => {
      await using alice = await connectOurs()
      await using bob = await connectOurs({ gateway: net.gateway(1).identityKey })
      const asked = alice.send(bob.address, 'who am I?', { replySurbs: OUR_THRESHOLD + 1 })
      const [question] = await take(bob, 1)
      const packetsFor = packetCounter(bob)
      const answered = question!.reply('somebody')
      assert.equal((await take(alice, 1))[0]?.text(), 'somebody')
      await allAcknowledged([asked, answered])
      assert.equal(packetsFor(), 1)
      // What is left is kept for requests.
      const large = question!.reply(messagesOf(1_000_000))
      const [reply] = await take(alice, 1)
      assert.equal(digest(reply!.data), digest(messagesOf(1_000_000)))
      await allAcknowledged([large])

      const still = alice.send(bob.address, 'still me', { anonymous: true })
      assert.equal((await take(bob, 1))[0]?.senderTag, question!.senderTag)
      await allAcknowledged([still])
      assertClean(alice, bob)
    })
  })

  describe('a recipient that is away', () => {
    const directory = mkdtempSync(join(tmpdir(), 'mixwright-interop-'))
    after(() => rmSync(directory, { recursive: true }))
    // In memory: one object for both lives. In a file: opened anew.
    const memory = memoryStore({ persistent: true })
    const stores: Record<string, () => ClientStore | Promise<ClientStore>> = {
      memory: () => memory,
      'an SQL file': () => sqlStore(join(directory, 'bob.db')),
    }
    for (const [where, open] of Object.entries(stores)) {
      it(`ours, with its keys in ${where}, gets what came meanwhile, each exactly once`, async (t) => {
        const first = await connectOurs({ store: await open() })
        const { address } = first
        await first.close()
        const stored = storedAt(net, 0)
        const before = stored()
        await using alice = await connectOurs({ gateway: net.gateway(1).identityKey })
        const sentAway = numbered(20, 'while you were away')
        for (const message of sentAway.slice(0, 10)) await official.send(address, bytes(message))
        await allAcknowledged(sentAway.slice(10).map((message) => alice.send(address, message)))
        await until(t, () => stored() - before >= 20)

        await using back = await connectOurs({ store: await open() })
        assert.equal(back.address, address)
        assert.deepEqual((await take(back, 20)).map((message) => message.text()).sort(), sentAway)
        await official.send(address, bytes('welcome back'))
        assert.equal((await take(back, 1))[0]?.text(), 'welcome back')
        assertClean(alice, back)
      })
    }

    it('the official one: our messages are acknowledged once they are stored, and it gets them when it is back', async () => {
      await using ours = await connectOurs()
      const first = await startOfficial('away', NO_COVER)
      const { address } = first
      const storage = await first.stop()
      const sentAway = numbered(20, 'while you were away')
      await allAcknowledged(sentAway.map((message) => ours.send(address, message)))
      await using back = await OfficialClient.start({
        nymApiUrl: net.nymApiUrl,
        clientId: 'away',
        preferredGateway: net.gateway(1).identityKey,
        clientOverride: NO_COVER,
        storage,
      })
      assert.equal(back.address, address)
      const inbox = await back.received(20)
      assert.deepEqual(inbox.map(({ message }) => text(message)).sort(), sentAway)
      await allAcknowledged([ours.send(address, 'welcome back')])
      assert.equal(text((await back.received(21))[20]!.message), 'welcome back')
      assert.deepEqual(back.complaints, [])
      assertClean(ours)
    })
  })

  it('with cover traffic and a Poisson stream on both sides: messages and replies, both ways', async () => {
    await using ours = await connectOurs({ profile: 'default' })
    await using theirs = await startOfficial('covered')
    const toTheirs = ours.send(theirs.address, messagesOf(20_000), { replySurbs: 10 })
    await theirs.send(ours.address, messagesOf(20_000), 10)
    const [theirQuestion] = await take(ours, 1)
    const [ourQuestion] = await theirs.received(1)
    assert.equal(digest(ourQuestion!.message), digest(messagesOf(20_000)))
    assert.equal(digest(theirQuestion!.data), digest(messagesOf(20_000)))

    const ourReply = theirQuestion!.reply(messagesOf(20_001))
    await theirs.reply(ourQuestion!.senderTag!, messagesOf(20_001))
    const [theirReply] = await take(ours, 1)
    assert.equal(digest(theirReply!.data), digest(messagesOf(20_001)))
    assert.equal(digest((await theirs.received(2))[1]!.message), digest(messagesOf(20_001)))
    await allAcknowledged([toTheirs, ourReply])
    const { coverSent, coverReceived } = ours.status().counters
    assert.ok(coverSent > 0 && coverReceived > 0)
    assert.deepEqual(theirs.complaints, [])
    assertClean(ours)
  })
})

/** Every promise of each handle is kept, and every packet was acknowledged. */
async function allAcknowledged(handles: readonly SendHandle[]): Promise<void> {
  for (const handle of handles) {
    await Promise.all([handle.queued, handle.sent, handle.acknowledged])
    const { packets, sent, acknowledged } = handle.progress
    assert.ok(packets > 0)
    assert.deepEqual({ sent, acknowledged }, { sent: packets, acknowledged: packets })
  }
}

/**
 * Nothing failed, nothing was thrown away, no message came that the test did not take. On a busy machine a packet may be sent
 * again before its ack is home; then a second ack comes that nobody waits for.
 */
function assertClean(...clients: Client[]): void {
  for (const client of clients) {
    const { counters, inbox, gateway } = client.status()
    const { 'unexpected-ack': secondAcks = 0, ...dropped } = counters.dropped
    assert.deepEqual([counters.messagesFailed, dropped, inbox.messages, gateway.losses], [0, {}, 0, 0])
    assert.ok(secondAcks <= counters.retransmissions)
  }
}

/** Packets that the client sent since the last call, those sent again not counted. */
function packetCounter(client: Client): () => number {
  const count = () => client.status().counters.packetsSent - client.status().counters.retransmissions
  let last = count()
  return () => {
    const before = last
    last = count()
    return last - before
  }
}

/** How many packets a gateway has put into mailboxes. */
function storedAt(net: Network, gateway: number): () => number {
  return () => net.gateway(gateway).metrics.value('nym_node_mixnet_egress_stored_on_disk_final_hop_packets')
}

/** Counters raise no events: ask often, for as long as the messages of a client may take. */
async function until(t: TestContext, holds: () => boolean): Promise<void> {
  const clock = new RealClock()
  const deadline = clock.monotonic() + 60_000
  while (!holds()) {
    if (clock.monotonic() > deadline) throw new Error('waited for 60 s')
    await sleep(clock, 20, t.signal)
  }
}
