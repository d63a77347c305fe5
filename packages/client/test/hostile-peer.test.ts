/**
 * Peers, and gateways, that push what nobody asked for: fragments of messages that never end, forged acks, garbage in place
 * of reply blocks, floods of everything. Memory stays bounded, nothing throws, everything that ends here is counted, and a
 * message of somebody else still arrives.
 */
import assert from 'node:assert/strict'
import { before, describe, it, type TestContext } from 'node:test'
import { concatBytes, type Random, SeededRandom, utf8, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, HEADER_BYTES, loadCryptoProvider } from '@mixwright/sphinx'
import {
  ChunkedMessage,
  deriveFragmentKey,
  encodeNymMessage,
  formatSenderTag,
  type NymMessage,
  parseRecipient,
  type Recipient,
  type ReplySurb,
  writeFragmentHeader,
} from '@mixwright/wire'
import type { Client } from '../src/api.js'
import { loadOrCreateClientKeys } from '../src/client-keys.js'
import { FRAGMENT_SPACE } from '../src/packet/packet-builder.js'
import { FinishedSets } from '../src/receive/finished-sets.js'
import { FragmentJournal } from '../src/receive/fragment-journal.js'
import { Receiver } from '../src/receive/receiver.js'
import { Journal } from '../src/store/journal.js'
import { memoryStore } from '../src/store/memory-store.js'
import { bytesInUse, MIB } from './memory-use.js'
import { Machine } from './virtual-machine.js'
import { settled, VirtualMixnet } from './virtual-mixnet.js'

const UNLINKED_HEADER_BYTES = 7

/** One fragment, of a set that this alone will not fill. */
function fragment(setId: number, total: number, position: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(UNLINKED_HEADER_BYTES + payloadBytes)
  writeFragmentHeader(bytes, setId, total, position, undefined)
  return bytes
}

/** Somebody who knows the address of a client, and writes what gateways push to it. */
class Peer {
  readonly #crypto: CryptoProvider
  readonly #random: Random
  readonly #keyField: Uint8Array
  readonly #key: Uint8Array
  #nextSetId = 1

  constructor(crypto: CryptoProvider, random: Random, victim: Recipient) {
    this.#crypto = crypto
    this.#random = random
    const secret = random.bytes(32)
    this.#keyField = crypto.x25519Base(secret)
    this.#key = deriveFragmentKey(crypto.x25519(secret, victim.encryption)!)
  }

  seal(plaintext: Uint8Array): Uint8Array {
    return concatBytes(this.#keyField, this.#crypto.aes128Ctr(this.#key, plaintext))
  }

  /** Everything that is pushed of a message. */
  write(message: NymMessage): Uint8Array[] {
    const chunks = ChunkedMessage.cut(encodeNymMessage(message), FRAGMENT_SPACE, this.#random)
    return Array.from({ length: chunks.fragments }, (_, index) => this.seal(chunks.fragment(index)))
  }

  get freshSetId(): number {
    return this.#nextSetId++
  }

  /** A reply block that has the form of one, and leads nowhere. */
  garbageSurb(): ReplySurb {
    const firstHop = new Uint8Array(32)
    firstHop.set([4, 0x07, 0xfd, 203, 0, 113, this.#random.bytes(1)[0]!])
    const keys = Array.from({ length: 4 }, () => this.#random.bytes(16))
    const surb = { form: 'key-seeds', header: this.#random.bytes(HEADER_BYTES), firstHop, keys } as const
    return { encryptionKey: this.#random.bytes(16), surb }
  }
}

interface Scene {
  readonly mixnet: VirtualMixnet
  readonly machine: Machine
  readonly client: Client
  readonly peer: Peer
  readonly random: Random
  /** A message of somebody honest still arrives. */
  stillWorks(): Promise<void>
}

async function scene(t: TestContext): Promise<Scene> {
  t.diagnostic(`seed: ${t.name}`)
  const mixnet = await VirtualMixnet.create({ seed: t.name })
  const machine = new Machine(mixnet, 'victim')
  const client = await machine.start()
  const honest = await new Machine(mixnet, 'honest', mixnet.gateways[1]).start()
  const random = mixnet.random.fork('peer')
  const peer = new Peer(mixnet.crypto, random, parseRecipient(client.address, () => true)!)
  const stillWorks = async () => {
    const taken = machine.received.length
    await mixnet.during(honest.send(client.address, 'still there?').acknowledged)
    await mixnet.until(() => machine.received.length > taken)
    assert.equal(machine.received.at(-1)!.text(), 'still there?')
  }
  return { mixnet, machine, client, peer, random, stillWorks }
}

const dropped = (client: Client, reason: string) => client.status().counters.dropped[reason] ?? 0

describe('fragments of unfinished messages', () => {
  let crypto: CryptoProvider
  before(async () => {
    crypto = await loadCryptoProvider('sodium-native')
  })

  it('a million of them, unencrypted to spare time: bounded memory, evictions counted', async (t) => {
    const clock = new VirtualClock()
    const store = memoryStore()
    const journal = new Journal(store, clock, () => assert.fail('nothing is stored'))
    const receiver = new Receiver({
      clock,
      crypto: { ...crypto, aes128Ctr: (_key, data) => data },
      keys: await loadOrCreateClientKeys(store, crypto, new SeededRandom('victim')),
      fragments: new FragmentJournal(journal),
      finished: new FinishedSets(journal),
      persistent: false,
      takeReplyKey: () => ({ key: new Uint8Array(16), givenTo: undefined }),
      onAck: () => assert.fail('no ack was pushed'),
      onMessage: () => assert.fail('no message was finished'),
    })
    const digest = new Uint8Array(32)
    const push = (setId: number, total: number, position: number, payloadBytes: number) =>
      receiver.receive(concatBytes(digest, fragment(setId, total, position, payloadBytes)))
    const empty = bytesInUse()
    let most = 0
    // Half a million sets of which one small fragment comes, then two thousand sets of which all but one come, in full.
    for (let i = 1; i <= 500_000; i++) push(i, 2, 1 + (i % 2), 8)
    most = Math.max(most, bytesInUse() - empty)
    for (let set = 1; set <= 1969; set++) {
      for (let position = 1; position <= 254; position++)
        push(500_000 + set, 255, position, FRAGMENT_SPACE - UNLINKED_HEADER_BYTES)
      if (set % 250 === 0) most = Math.max(most, bytesInUse() - empty)
    }
    t.diagnostic(`at most ${(most / MIB).toFixed(0)} MiB; evicted sets: ${receiver.dropped['evicted-set']}`)
    assert.equal(receiver.fragments, 500_000 + 1969 * 254)
    assert.ok(most < 200 * MIB, `${most} bytes`)
    assert.ok(receiver.dropped['evicted-set']! > 500_000 + 1969 - 4096 - 1)
  })

  it('through a whole client: what is kept in the store is bounded too, and its messages go on', async (t) => {
    const { machine, client, peer, stillWorks } = await scene(t)
    for (let i = 0; i < 6000; i++) {
      machine.push(peer.seal(fragment(peer.freshSetId, 2, 1, 1000)))
      if (i % 100 === 0) await settled()
    }
    assert.equal(dropped(client, 'evicted-set'), 6000 - 4096)
    await stillWorks()
    await machine.mixnet.pass(100)
    assert.equal((await machine.store.load('fragments')).size, 4096)
  })
})

describe('forged acks', () => {
  it('settle nothing, and are counted', async (t) => {
    const { mixnet, machine, client, random, stillWorks } = await scene(t)
    mixnet.faults.loss = 1
    const handle = client.send(client.address, 'never acknowledged'.padEnd(200_000))
    await mixnet.pass(1000)
    assert.ok(handle.progress.sent > 10)
    const forgeries = 100_000
    for (let i = 0; i < forgeries; i++) machine.push(random.bytes(21))
    assert.equal(handle.progress.acknowledged, 0)
    assert.equal(client.status().counters.acksReceived, 0)
    assert.equal(dropped(client, 'invalid-ack') + dropped(client, 'unexpected-ack'), forgeries)
    mixnet.faults.loss = 0
    await mixnet.during(handle.acknowledged)
    await stillWorks()
  })
})

describe('noise', () => {
  it('of any length throws nothing and ends counted or forgotten', async (t) => {
    const { machine, client, peer, random, stillWorks } = await scene(t)
    const lengths = [0, 1, 20, 22, 31, 32, 33, 38, 39, 42, 48, 49, 100, 1643, 1644, 7787]
    for (let i = 0; i < 850; i++) {
      const length = lengths[i % lengths.length]!
      machine.push(random.bytes(length))
      machine.push(peer.seal(random.bytes(length)))
      machine.push(peer.seal(fragment(peer.freshSetId, 1, 1, length)))
      // A whole message of noise behind a good fragment header.
      const noise = fragment(peer.freshSetId, 1, 1, length + 2)
      noise.set(random.bytes(length), UNLINKED_HEADER_BYTES)
      noise[noise.length - 1] = 1
      machine.push(peer.seal(noise))
    }
    machine.push(concatBytes(new Uint8Array(32), random.bytes(1611)))
    assert.equal(dropped(client, 'low-order-key'), 1)
    for (const reason of ['too-short', 'no-fragment', 'malformed-padding', 'malformed-message'])
      assert.ok(dropped(client, reason) > 30, `${reason}: ${dropped(client, reason)}`)
    await stillWorks()
  })
})

describe('reply blocks', () => {
  it('that are garbage: replies by them end in a typed error', async (t) => {
    const { mixnet, machine, client, peer, random, stillWorks } = await scene(t)
    const surbs = { rotation: 1 as const, surbs: Array.from({ length: 40 }, () => peer.garbageSurb()) }
    const senderTag = random.bytes(16)
    const content = { kind: 'data', surbs, data: utf8('answer me') } as const
    for (const pushed of peer.write({ kind: 'repliable', senderTag, content })) machine.push(pushed)
    await mixnet.until(() => machine.received.length === 1)
    const replies = [machine.received[0]!.reply('short'), machine.received[0]!.reply('long'.padEnd(100_000))]
    const reasons = replies.map(({ acknowledged }) =>
      acknowledged.then(
        () => 'acknowledged',
        ({ code }) => code as string,
      ),
    )
    for (const reason of await mixnet.during(Promise.all(reasons)))
      assert.match(reason, /^MIX_(UNACKNOWLEDGED|REPLY_NO_SURBS)$/)
    await mixnet.pass(10 * 60_000)
    assert.equal(client.status().queue.messages, 0, 'nothing is left of it')
    assert.equal(client.status().queue.packets, 0)
    assert.equal(client.status().unacknowledgedPackets, 0)
    assert.ok(mixnet.dropped('unknown-hop') > 30)
    mixnet.assertConserved()
    await stillWorks()
  })

  it('in floods: of one tag, of many tags, of tags without any', async (t) => {
    const { machine, client, peer, random, stillWorks } = await scene(t)
    const push = (senderTag: Uint8Array, surbs: readonly ReplySurb[]) => {
      const content = { kind: 'additional-surbs', surbs: { rotation: 1, surbs } } as const
      for (const pushed of peer.write({ kind: 'repliable', senderTag, content })) machine.push(pushed)
    }
    const held = () => [...client.status().replies.values()].reduce((sum, { surbs }) => sum + surbs, 0)

    const one = random.bytes(16)
    const hundred = Array.from({ length: 100 }, () => peer.garbageSurb())
    for (let i = 0; i < 15; i++) push(one, hundred)
    assert.equal(client.status().replies.get(formatSenderTag(one))?.surbs, 1000)
    for (let i = 0; i < 520; i++) {
      push(random.bytes(16), hundred)
      if (i % 20 === 0) await settled()
    }
    assert.ok(held() <= 50_000, `${held()} reply blocks`)
    for (let i = 0; i < 10_200; i++) push(random.bytes(16), [])
    assert.ok(client.status().replies.size <= 10_000, `${client.status().replies.size} tags`)
    await stillWorks()
    await machine.mixnet.pass(100)
    assert.equal((await machine.store.load('reply-surbs')).size, held(), 'the store holds as many')
  })
})

describe('replies that nobody asked for', () => {
  it('with a digest that is not ours are noise', async (t) => {
    const { machine, client, random, stillWorks } = await scene(t)
    for (let i = 0; i < 2000; i++) machine.push(concatBytes(random.bytes(32), random.bytes(1611)))
    assert.equal(client.status().counters.messagesReceived, 0)
    assert.ok(dropped(client, 'no-fragment') > 1500)
    await stillWorks()
  })

  it('a second time by the same reply block are noise too', async (t) => {
    const { mixnet, machine, client, stillWorks } = await scene(t)
    const other = new Machine(mixnet, 'other', mixnet.gateways[1])
    const { address } = await other.start()
    await mixnet.during(client.send(address, 'question', { replySurbs: 10 }).acknowledged)
    await mixnet.until(() => other.received.length === 1)
    // Doubled by the network, as a peer may do who keeps its reply blocks.
    mixnet.faults.duplication = 1
    await mixnet.during(other.received[0]!.reply('answer').acknowledged)
    await mixnet.pass(1000)
    mixnet.faults.duplication = 0
    assert.deepEqual(
      machine.received.map((message) => message.text()),
      ['answer'],
    )
    assert.equal(client.status().counters.messagesReceived, 1)
    await stillWorks()
  })
})

describe('requests for more reply blocks', () => {
  const request = (recipient: Recipient, amount: number): NymMessage => ({
    kind: 'reply',
    content: { kind: 'surb-request', recipient, amount },
  })

  it('of strangers are not answered', async (t) => {
    const { mixnet, machine, client, peer, random, stillWorks } = await scene(t)
    for (let i = 0; i < 1000; i++) {
      const stranger = { identity: random.bytes(32), encryption: random.bytes(32), gateway: random.bytes(32) }
      for (const pushed of peer.write(request(stranger, 500))) machine.push(pushed)
    }
    await mixnet.pass(5000)
    assert.equal(dropped(client, 'surb-request-of-stranger'), 1000)
    assert.equal(client.status().counters.packetsSent, 0)
    await stillWorks()
  })

  it('in floods of a known peer are answered within bounds', async (t) => {
    const { mixnet, machine, client, peer, stillWorks } = await scene(t)
    const known = new Machine(mixnet, 'known', mixnet.gateways[1])
    const { address } = await known.start()
    await mixnet.during(client.send(address, 'question', { replySurbs: 1 }).acknowledged)
    const recipient = parseRecipient(address, () => true)!
    // Its gateway does not acknowledge: what was granted stays under way.
    mixnet.gateways[1]!.kill()
    for (let i = 0; i < 1000; i++)
      for (const pushed of peer.write(request(recipient, 2 ** 32 - 1))) machine.push(pushed)
    await mixnet.pass(1000)
    assert.ok(dropped(client, 'surb-request-too-soon') > 980)
    const { queue, unacknowledgedPackets } = client.status()
    t.diagnostic(`packets queued ${queue.packets}, unacknowledged ${unacknowledgedPackets}`)
    // Twenty messages with 100 reply blocks each, 29 packets a message.
    assert.ok(queue.packets + unacknowledgedPackets <= 20 * 29)
    mixnet.gateways[1]!.restart()
    await mixnet.until(() => client.status().queue.packets + client.status().unacknowledgedPackets === 0)
    await stillWorks()
  })
})
