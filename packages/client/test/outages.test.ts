/**
 * What happens around a client: its gateway dies and comes back, its connection is away, the machine sleeps, the directory
 * is gone, the network's keys rotate. It recovers by itself, loses nothing, and says what happened.
 */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { Client, SendHandle } from '../src/api.js'
import { PROFILES } from '../src/profile.js'
import { Machine } from './virtual-machine.js'
import { type MixnetOptions, VirtualMixnet } from './virtual-mixnet.js'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** What was taken, shortened so that failures can be read. */
const texts = ({ received }: Machine) => received.map((message) => message.text().slice(0, 20)).sort()
const range = <T>(count: number, item: (number: number) => T) => Array.from({ length: count }, (_, i) => item(i))

interface Scene {
  readonly mixnet: VirtualMixnet
  readonly a: Machine
  readonly b: Machine
  readonly alice: Client
  readonly bob: Client
  /** Both begin to send messages to each other, so many at this interval. An app on a machine that sleeps does not run. */
  talk(messages: number, intervalMs: number): Said
}

interface Said {
  /** Of each. */
  readonly messages: number
  readonly handles: SendHandle[]
  readonly byAlice: string[]
  readonly byBob: string[]
}

/** Alice and Bob at different gateways. */
async function scene(t: TestContext, options: Omit<MixnetOptions, 'seed'> = {}): Promise<Scene> {
  t.diagnostic(`seed: ${t.name}`)
  const mixnet = await VirtualMixnet.create({ seed: t.name, ...options })
  const [a, b] = [new Machine(mixnet, 'a', mixnet.gateways[0]), new Machine(mixnet, 'b', mixnet.gateways[1])]
  const [alice, bob] = [await a.start(), await b.start()]
  const talk = (messages: number, intervalMs: number) => {
    const said: Said = { messages, handles: [], byAlice: [], byBob: [] }
    const say = (machine: Machine, client: Client, to: string, texts: string[]) => {
      const text = `message ${texts.length}`
      texts.push(text)
      said.handles.push(client.send(to, text))
      if (texts.length < messages) machine.clock.setTimer(intervalMs, () => say(machine, client, to, texts))
    }
    say(a, alice, bob.address, said.byAlice)
    say(b, bob, alice.address, said.byBob)
    return said
  }
  return { mixnet, a, b, alice, bob, talk }
}

/** Everything that is or will be said has been acknowledged. */
async function all(mixnet: VirtualMixnet, { handles, messages }: Said, ...more: readonly SendHandle[]): Promise<void> {
  await mixnet.until(() => handles.length === 2 * messages, 24 * HOUR)
  await mixnet.during(Promise.all([...handles, ...more].map(({ acknowledged }) => acknowledged)))
  await mixnet.pass(SECOND)
}

/** What was told of the link, without what came at once again and again. */
const story = ({ links }: Machine) => links.map(({ state }) => state).filter((state, i, told) => state !== told[i - 1])

describe('a gateway', () => {
  it('is killed and restarted: everything arrives', async (t) => {
    const { mixnet, a, b, alice, bob, talk } = await scene(t)
    alice.send(bob.address, 'question', { replySurbs: 30 })
    const said = talk(100, SECOND)
    await mixnet.pass(20.5 * SECOND)
    mixnet.gateways[0]!.kill()
    const reply = b.received.find(({ senderTag }) => senderTag !== undefined)!.reply('answer')
    assert.equal(alice.status().gateway.state, 'down')
    assert.equal(alice.status().gateway.reason?.code, 'MIX_GATEWAY_CLOSED')
    await mixnet.pass(MINUTE)
    assert.equal(alice.status().gateway.reason?.code, 'MIX_GATEWAY_UNREACHABLE')
    assert.ok(alice.status().queue.packets >= 59, 'what was sent meanwhile waits')
    mixnet.gateways[0]!.restart()
    await mixnet.pass(MINUTE)
    await all(mixnet, said, reply)
    assert.deepEqual(texts(a), [...said.byBob, 'answer'].sort())
    assert.deepEqual(texts(b), [...said.byAlice, 'question'].sort())
    assert.deepEqual(story(a), ['down', 'up'])
    assert.equal(alice.status().gateway.losses, 1)
    assert.equal(alice.status().gateway.state, 'up')
    assert.deepEqual(story(b), [])
    assert.ok(mixnet.dropped('node-away') > 0, 'packets arrived at a dead gateway')
    assert.ok(bob.status().counters.retransmissions > 0)
    mixnet.assertConserved()
  })
})

describe('a connection', () => {
  it('is away for ten minutes: what was sent on both sides arrives', async (t) => {
    const { mixnet, a, b, alice, talk } = await scene(t)
    const said = talk(150, 5 * SECOND)
    await mixnet.pass(MINUTE + SECOND)
    a.cut()
    await mixnet.pass(10 * MINUTE)
    assert.equal(alice.status().gateway.state, 'down')
    assert.equal(alice.status().gateway.reason?.code, 'MIX_GATEWAY_UNREACHABLE')
    a.restore()
    await mixnet.pass(31 * SECOND)
    assert.equal(alice.status().gateway.state, 'up')
    await mixnet.pass(2 * MINUTE)
    await all(mixnet, said)
    assert.deepEqual(texts(a), said.byBob.sort())
    assert.deepEqual(texts(b), said.byAlice.sort())
    assert.deepEqual(story(a), ['down', 'up'])
    assert.equal(a.links[0]!.reason?.code, 'MIX_GATEWAY_SILENT')
    mixnet.assertConserved()
  })

  it('is away for ten minutes while a reply waits for reply blocks: it goes out after', async (t) => {
    const { mixnet, a, b, alice, bob } = await scene(t)
    alice.send(bob.address, 'tell me much', { replySurbs: 10 })
    await mixnet.until(() => b.received.length > 0)
    const answer = 'much'
    const reply = b.received[0]!.reply(answer.padEnd(100_000))
    await mixnet.pass(10)
    b.cut()
    await mixnet.pass(10 * MINUTE)
    assert.ok([...bob.status().replies.values()][0]!.waitingPackets > 30, 'the reply waits')
    b.restore()
    await mixnet.during(reply.acknowledged, 2 * MINUTE)
    await mixnet.pass(SECOND)
    assert.deepEqual(texts(a), [answer.padEnd(20)])
  })

  it('is away under a main stream: no burst after it', async (t) => {
    t.diagnostic(`seed: ${t.name}`)
    const mixnet = await VirtualMixnet.create({ seed: t.name })
    const a = new Machine(mixnet, 'a')
    const alice = await a.start({ profile: PROFILES.default })
    await mixnet.pass(SECOND)
    a.cut()
    await mixnet.pass(10 * MINUTE)
    a.restore()
    await mixnet.until(() => alice.status().gateway.state === 'up')
    const before = a.sent
    await mixnet.pass(2 * SECOND)
    const packets = a.sent - before
    // 110 on average, of a Poisson distribution.
    assert.ok(packets > 60 && packets < 160, `${packets} packets in two seconds`)
  })
})

describe('a laptop', () => {
  for (const monotonic of ['stops', 'goes-on'] as const) {
    it(`sleeps for an hour, its monotonic clock ${monotonic}`, async (t) => {
      const { mixnet, a, b, alice, bob, talk } = await scene(t)
      alice.send(bob.address, 'ask me', { replySurbs: 10 })
      await mixnet.until(() => b.received.length > 0)
      const answer = 'long answer'.padEnd(20)
      const reply = b.received[0]!.reply(answer.padEnd(100_000))
      const said = talk(20, 3 * MINUTE)
      await mixnet.pass(5)
      b.sleep(monotonic)
      await mixnet.pass(HOUR + MINUTE)
      b.wake()
      const woke = mixnet.clock.monotonic()
      await mixnet.until(() => bob.status().gateway.state === 'up' && b.links.length > 0)
      assert.ok(mixnet.clock.monotonic() - woke < 20 * SECOND, 'it notices that it slept')
      assert.deepEqual(story(b), ['down', 'up'])
      assert.ok(bob.status().topology.ageMs < MINUTE, 'it has read the network anew')
      await all(mixnet, said, reply)
      assert.deepEqual(texts(a), [...said.byBob, answer].sort())
      assert.deepEqual(texts(b), [...said.byAlice, 'ask me'].sort())
      mixnet.assertConserved()
    })
  }

  it('sends no burst of cover when it wakes', async (t) => {
    for (const monotonic of ['stops', 'goes-on'] as const) {
      const mixnet = await VirtualMixnet.create({ seed: t.name })
      const a = new Machine(mixnet, 'a')
      await a.start({ profile: PROFILES.default })
      await mixnet.pass(SECOND)
      a.sleep(monotonic)
      await mixnet.pass(HOUR)
      a.wake()
      const before = a.sent
      await mixnet.pass(2 * SECOND)
      // A second's worth of slots at most is caught up.
      assert.ok(a.sent - before < 3 * 55 + 60, `${a.sent - before} packets in two seconds`)
    }
  })
})

describe('a directory', () => {
  it('is gone for a day: what is known is used for as long as keys are good, then everything waits', async (t) => {
    // Keys of three hours: the last ones known are good for less than four.
    const { mixnet, a, b, alice, bob, talk } = await scene(t, { validityEpochs: 3, epochId: 99 })
    mixnet.directoryAway = true
    const said = talk(24, HOUR)
    await mixnet.pass(3.5 * HOUR)
    assert.equal(b.received.length, 4, 'delivered with old knowledge')
    assert.equal(alice.status().topology.reason?.code, 'MIX_DIRECTORY_UNREACHABLE')
    assert.ok(alice.status().topology.ageMs > 3 * HOUR)
    assert.equal(a.topologies.at(-1)?.reason?.code, 'MIX_DIRECTORY_UNREACHABLE')
    await mixnet.pass(20.5 * HOUR)
    assert.equal(alice.status().gateway.state, 'up')
    assert.ok(alice.status().queue.packets >= 20, 'what cannot be sent waits')
    assert.equal(alice.status().unacknowledgedPackets, 0)
    const readings = mixnet.readings
    assert.ok(readings < 2 * 24 * 20, `${readings} readings of a directory that is away`)
    mixnet.directoryAway = false
    await all(mixnet, said)
    assert.deepEqual(texts(a), said.byBob.sort())
    assert.deepEqual(texts(b), said.byAlice.sort())
    assert.equal(bob.status().topology.reason, undefined)
    assert.ok(bob.status().topology.rotationId > 33)
    mixnet.assertConserved()
  })
})

describe('a rotation of keys', () => {
  it('comes under load: packets and reply blocks of before still work, new ones are asked for, nothing is lost', async (t) => {
    // The rotation is half an hour ahead of the start.
    const { mixnet, a, b, alice, bob, talk } = await scene(t, { validityEpochs: 3, epochId: 101, epochMs: 30 * MINUTE })
    assert.equal(mixnet.rotationId, 33)
    await mixnet.pass(28 * MINUTE)
    const asked = alice.send(bob.address, 'question', { replySurbs: 100 })
    await mixnet.during(asked.acknowledged)
    await mixnet.until(() => b.received.length > 0)
    const said = talk(240, SECOND)
    const replies: SendHandle[] = []
    const answers = range(60, (i) => `answer ${i}`)
    for (const answer of answers) {
      replies.push(b.received[0]!.reply(answer.padEnd(3000)))
      await mixnet.pass(4 * SECOND)
    }
    assert.equal(mixnet.rotationId, 34)
    await all(mixnet, said, ...replies)
    assert.deepEqual(texts(a), [...said.byBob, ...answers.map((answer) => answer.padEnd(20))].sort())
    assert.deepEqual(texts(b), [...said.byAlice, 'question'].sort())
    assert.equal(a.topologies.filter(({ rotationId }) => rotationId === 34).length > 0, true)
    assert.equal(bob.status().topology.rotationId, 34)
    // Long after, only new blocks can work.
    await mixnet.pass(40 * MINUTE)
    const { surbs } = [...bob.status().replies.values()][0]!
    assert.ok(surbs > 0, 'there are blocks in hand that are still good')
    const late = b.received.find(({ senderTag }) => senderTag !== undefined)!.reply('late')
    await mixnet.during(late.acknowledged, MINUTE)
    mixnet.assertConserved()
  })

  it('passes unseen by a client that is away: its dead reply blocks end in a typed error, not in silence', async (t) => {
    const { mixnet, b, alice, bob } = await scene(t, { validityEpochs: 3, epochId: 99, epochMs: 30 * MINUTE })
    await mixnet.during(alice.send(bob.address, 'question', { replySurbs: 20 }).acknowledged)
    await mixnet.until(() => b.received.length > 0)
    b.cut()
    await mixnet.pass(4 * HOUR)
    b.restore()
    await mixnet.until(() => bob.status().gateway.state === 'up')
    const failure = b.received[0]!.reply('too late').acknowledged.then(
      () => 'acknowledged',
      ({ code }) => code,
    )
    assert.match(await mixnet.during(failure), /^MIX_(REPLY_NO_TAG|REPLY_NO_SURBS|UNACKNOWLEDGED)$/)
  })
})
