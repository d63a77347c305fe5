/**
 * A client is killed on the spot, and started again with the same store: the same address, the messages it had and those
 * that came meanwhile, what it had not finished sending, reply blocks on both sides.
 */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { uniform } from '@mixwright/runtime'
import type { Client, SendHandle } from '../src/api.js'
import { Machine } from './virtual-machine.js'
import { VirtualMixnet } from './virtual-mixnet.js'

/** What a client was told reaches the store within this, milliseconds; see `store/journal.ts`. */
const JOURNAL_MS = 25

const texts = ({ received }: Machine) => received.map((message) => message.text().trimEnd()).sort()
const range = <T>(count: number, item: (number: number) => T) => Array.from({ length: count }, (_, i) => item(i))

interface Scene {
  readonly mixnet: VirtualMixnet
  readonly a: Machine
  readonly b: Machine
  readonly alice: Client
  readonly bob: Client
}

async function scene(t: TestContext): Promise<Scene> {
  t.diagnostic(`seed: ${t.name}`)
  const mixnet = await VirtualMixnet.create({ seed: t.name })
  const [a, b] = [new Machine(mixnet, 'a', mixnet.gateways[0]), new Machine(mixnet, 'b', mixnet.gateways[1])]
  return { mixnet, a, b, alice: await a.start(), bob: await b.start() }
}

const queued = (mixnet: VirtualMixnet, handles: readonly SendHandle[]) =>
  mixnet.during(Promise.all(handles.map((handle) => handle.queued)))

describe('a client that was killed', () => {
  it('has the same address and goes on sending what was not acknowledged', async (t) => {
    const { mixnet, a, b, alice, bob } = await scene(t)
    const said = [...range(30, (i) => `message ${i}`), 'large']
    const address = alice.address
    // Nothing gets through: no ack comes before the end.
    mixnet.faults.loss = 1
    await queued(
      mixnet,
      said.map((text) => alice.send(bob.address, text === 'large' ? text.padEnd(600_000) : text)),
    )
    await mixnet.pass(50)
    a.kill()
    mixnet.faults.loss = 0
    await mixnet.pass(60_000)
    assert.equal(b.received.length, 0)

    const again = await a.start()
    assert.equal(again.address, address)
    assert.equal(again.status().queue.messages, said.length)
    await mixnet.until(() => again.status().queue.messages === 0)
    await mixnet.pass(1000)
    assert.deepEqual(texts(b), [...said].sort())
    assert.equal(again.status().counters.messagesAcknowledged, said.length)

    // What was acknowledged is not sent a second time by a third process.
    await mixnet.pass(JOURNAL_MS)
    a.kill()
    const third = await a.start()
    assert.equal(third.status().queue.messages, 0)
  })

  it('half of whose packets had arrived: the other side gets each message once', async (t) => {
    const { mixnet, a, b, alice, bob } = await scene(t)
    const said = range(3, (i) => `large ${i}`)
    mixnet.faults.loss = 0.5
    await queued(
      mixnet,
      said.map((text) => alice.send(bob.address, text.padEnd(50_000))),
    )
    await mixnet.pass(100)
    assert.ok(bob.status().counters.fragmentsReceived > 10)
    a.kill()
    mixnet.faults.loss = 0
    const again = await a.start()
    await mixnet.until(() => again.status().queue.messages === 0)
    await mixnet.pass(1000)
    assert.deepEqual(texts(b), said)
    mixnet.assertConserved()
  })

  it('has the messages that no app took, those that were half there, and those that came meanwhile', async (t) => {
    t.diagnostic(`seed: ${t.name}`)
    const mixnet = await VirtualMixnet.create({ seed: t.name })
    const [a, b] = [new Machine(mixnet, 'a', mixnet.gateways[0]), new Machine(mixnet, 'b', mixnet.gateways[1])]
    const [alice, bob] = [await a.start(), await b.start({ takeMessages: false })]
    await mixnet.during(alice.send(bob.address, 'untaken').acknowledged)
    mixnet.faults.loss = 0.3
    const half = alice.send(bob.address, 'half'.padEnd(100_000))
    await mixnet.until(() => half.progress.sent === half.progress.packets)
    await mixnet.pass(500)
    assert.equal(bob.status().inbox.messages, 1)
    assert.ok(bob.status().counters.fragmentsReceived > 30)
    b.kill()
    await mixnet.during(half.acknowledged)
    await mixnet.during(alice.send(bob.address, 'stored').acknowledged)
    assert.ok(mixnet.gateways[1]!.stored > 1)

    const again = await b.start()
    assert.equal(again.address, bob.address)
    await mixnet.pass(5000)
    assert.deepEqual(texts(b), ['half', 'stored', 'untaken'])
    // Taken messages do not come a second time.
    await mixnet.pass(JOURNAL_MS)
    b.kill()
    await b.start()
    await mixnet.pass(5000)
    assert.equal(b.received.length, 3)
  })

  it('recognises answers to the reply blocks that it gave out', async (t) => {
    const { mixnet, a, b, alice, bob } = await scene(t)
    await mixnet.during(alice.send(bob.address, 'question', { replySurbs: 10 }).acknowledged)
    await mixnet.until(() => b.received.length === 1)
    a.kill()
    // One packet, and one for which Bob must ask for more blocks: the request is answered by the next process.
    const short = b.received[0]!.reply('short')
    await mixnet.during(short.acknowledged)
    const long = b.received[0]!.reply('long'.padEnd(50_000))
    await mixnet.pass(1000)
    const again = await a.start()
    await mixnet.during(long.acknowledged)
    await mixnet.pass(1000)
    assert.deepEqual(texts(a), ['long', 'short'])
    assert.equal(again.status().counters.dropped['surb-request-of-stranger'], undefined)
  })

  it('still answers with the reply blocks that it was given, and goes on with answers that it owed', async (t) => {
    const { mixnet, a, b, alice, bob } = await scene(t)
    await mixnet.during(alice.send(bob.address, 'question', { replySurbs: 10 }).acknowledged)
    await mixnet.until(() => b.received.length === 1)
    const senderTag = b.received[0]!.senderTag!
    await queued(mixnet, [b.received[0]!.reply('owed'.padEnd(20_000))])
    await mixnet.pass(JOURNAL_MS)
    b.kill()
    const before = bob.status().replies.get(senderTag)!.surbs
    const again = await b.start()
    assert.equal(again.status().replies.get(senderTag)?.surbs, before, 'none comes back that was used')
    await mixnet.during(again.reply(senderTag, 'more').acknowledged)
    await mixnet.until(() => again.status().queue.messages === 0)
    await mixnet.pass(1000)
    assert.deepEqual(texts(a), ['more', 'owed'])
    mixnet.assertConserved()
  })

  it('does not take a message for a new one that comes again because its ack was lost', async (t) => {
    const { mixnet, a, b, alice, bob } = await scene(t)
    const taken = alice.send(bob.address, 'once')
    await mixnet.until(() => b.received.length === 1)
    // Alice has not had the ack yet, and never will.
    a.kill()
    await mixnet.pass(JOURNAL_MS)
    b.kill()
    assert.equal(taken.progress.acknowledged, 0)
    const again = await b.start()
    const sender = await a.start()
    await mixnet.until(() => sender.status().queue.messages === 0)
    await mixnet.pass(1000)
    assert.deepEqual(texts(b), ['once'])
    assert.equal(again.status().counters.duplicateFragments, 1)
  })

  it('as often as you like, at any moment, on a network that loses packets: what was queued arrives once', async (t) => {
    const { mixnet, a, b, bob } = await scene(t)
    mixnet.faults.loss = 0.1
    const moments = mixnet.random.fork('moments')
    const said: string[] = []
    for (let life = 0; life < 15; life++) {
      a.kill()
      const alice = await a.start()
      for (let i = 0; i < 10; i++) {
        const text = `life ${life}, message ${i}`
        const handle = alice.send(bob.address, text.padEnd(i === 5 ? 20_000 : 0))
        // The promise is that of `queued`: what was not queued when the process died may be gone.
        if (uniform(moments) < 0.5) await mixnet.during(handle.queued)
        handle.queued.then(() => said.push(text)).catch(() => {})
        await mixnet.pass(40 * uniform(moments))
      }
    }
    const last = await a.start()
    await mixnet.until(() => last.status().queue.messages === 0)
    await mixnet.pass(5000)
    const arrived = texts(b)
    assert.equal(new Set(arrived).size, arrived.length, 'something arrived twice')
    for (const text of said) assert.ok(arrived.includes(text), `${text} is missing`)
    assert.ok(said.length > 140)
    t.diagnostic(`${said.length} messages in 15 lives; ${arrived.length} arrived`)
  })
})
