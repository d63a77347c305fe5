/** The interface of `api.ts` as an app meets it: every limit and every error, which never come but through the handle. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { MixError } from '@mixwright/runtime'
import { formatRecipient, parseRecipient } from '@mixwright/wire'
import type { MessageData, SendHandle, SendOptions } from '../src/api.js'
import { connectOn, type Platform } from '../src/connect.js'
import { LONGEST_MESSAGE_BYTES } from '../src/message-data.js'
import { PROFILES, type Profile } from '../src/profile.js'
import type { ClientStore } from '../src/store/client-store.js'
import { memoryStore } from '../src/store/memory-store.js'
import { outcomeOf } from './outgoing.js'
import { stubTag } from './stub-surbs.js'
import { Machine } from './virtual-machine.js'
import { settled, VirtualMixnet } from './virtual-mixnet.js'

const SECOND = 1000
const MINUTE = 60 * SECOND

async function scene(seed: string) {
  const mixnet = await VirtualMixnet.create({ seed })
  const [a, b] = [new Machine(mixnet, 'a', mixnet.gateways[0]), new Machine(mixnet, 'b', mixnet.gateways[1])]
  const [alice, bob] = [await a.start(), await b.start()]
  return { mixnet, a, b, alice, bob }
}

/** By what all three promises of a handle are rejected. */
async function failure({ queued, sent, acknowledged }: SendHandle): Promise<unknown> {
  const outcomes = [await outcomeOf(queued), await outcomeOf(sent), await outcomeOf(acknowledged)]
  assert.deepEqual(outcomes, Array(3).fill(outcomes[0]))
  return outcomes[0]
}

/** Values that no type allows, which a program in JavaScript may give all the same. */
const WEIRD: readonly unknown[] = [undefined, null, 7, -1, 0.5, Number.NaN, '', 'x', Symbol('x'), {}, [], () => {}, 7n]

describe('send', () => {
  it('checks the address', async () => {
    const { mixnet, alice, bob } = await scene('address')
    const [identity, rest] = bob.address.split('.') as [string, string]
    const wrong = ['', 'x', `${bob.address}x`, rest, `${identity}.${identity}`, bob.address.replace('@', '.')]
    for (const to of [...WEIRD, ...wrong]) assert.equal(await failure(alice.send(to as string, 'x')), 'MIX_ADDRESS')
    // An address whose encryption key nobody can have is found out when the first packet is made.
    const recipient = { ...parseRecipient(bob.address, () => true)!, encryption: new Uint8Array(32) }
    const handle = alice.send(formatRecipient(recipient), 'x')
    await mixnet.pass(1)
    assert.equal(await outcomeOf(handle.acknowledged), 'MIX_ADDRESS')
    assert.equal(alice.status().queue.messages, 0)
  })

  it('checks the number of reply blocks', async () => {
    const { alice, bob } = await scene('blocks')
    const send = (options: unknown) => alice.send(bob.address, 'x', options as SendOptions)
    for (const replySurbs of WEIRD.filter(
      (value) => ![undefined, 7].includes(value as number) && typeof value !== 'symbol',
    ))
      assert.equal(await failure(send({ replySurbs })), 'MIX_REPLY_SURBS', String(replySurbs))
    assert.equal(await failure(send({ replySurbs: 501 })), 'MIX_REPLY_SURBS')
    assert.equal(await failure(send({ replySurbs: 1, anonymous: false })), 'MIX_REPLY_SURBS')
    assert.equal(await outcomeOf(send({ replySurbs: 500 }).queued), 'resolved')
    assert.equal(await outcomeOf(send({ replySurbs: 0, anonymous: true }).queued), 'resolved')
  })

  it('checks the lane', async () => {
    const { alice, bob } = await scene('lane')
    const send = (lane: unknown) => alice.send(bob.address, 'x', { lane: lane as bigint })
    for (const lane of WEIRD.filter((value) => value !== undefined && value !== 7 && value !== 7n))
      assert.equal(await failure(send(lane)), 'MIX_LANE', String(lane))
    assert.equal(await failure(send(2n ** 64n)), 'MIX_LANE')
    assert.equal(await failure(send(2 ** 53)), 'MIX_LANE')
    for (const lane of [0, 0n, 2n ** 64n - 1n, 2 ** 53 - 1, undefined])
      assert.equal(await outcomeOf(send(lane).queued), 'resolved')
    assert.equal(alice.laneLength(0n), 2, 'a lane is the same by number and by bigint')
    assert.throws(() => alice.laneLength(-1), { code: 'MIX_LANE' })
    assert.throws(() => alice.closeLane(0.5), { code: 'MIX_LANE' })
  })

  it('checks the data', async () => {
    const { alice, bob } = await scene('data')
    for (const data of WEIRD.filter((value) => typeof value !== 'string'))
      assert.equal(await failure(alice.send(bob.address, data as MessageData)), 'MIX_MESSAGE_DATA')
    const long = new Uint8Array(LONGEST_MESSAGE_BYTES + 1)
    assert.equal(await failure(alice.send(bob.address, long)), 'MIX_MESSAGE_TOO_LARGE')
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(1)
      throw new MixError('MIX_DATA_CORRUPT', 'broken', { kind: 'local' })
    }
    const handle = alice.send(bob.address, broken())
    await settled()
    assert.equal(await failure(handle), 'MIX_DATA_CORRUPT')
  })

  it('never throws, whatever it is given, and takes no options for none', async () => {
    const { mixnet, b, alice, bob } = await scene('never throws')
    for (const options of WEIRD) {
      await outcomeOf(alice.send(bob.address, 'x', options as SendOptions).queued)
      await outcomeOf(alice.reply(stubTag(1), 'x', options as SendOptions).queued)
    }
    for (const signal of WEIRD.filter(Boolean))
      assert.notEqual(await failure(alice.send(bob.address, 'x', { signal: signal as AbortSignal })), 'resolved')
    const { messages } = alice.status().queue
    await mixnet.until(() => alice.status().queue.messages === 0)
    await mixnet.pass(SECOND)
    assert.deepEqual(
      b.received.map((message) => message.text()),
      Array(messages).fill('x'),
    )
  })

  it('takes an empty message, and gives text back as it was, byte order mark included', async () => {
    const { mixnet, b, alice, bob } = await scene('text')
    const texts = ['', '\ufeffmarked', 'a\u0000b\u0001', '\u{1f642}']
    for (const text of texts) await mixnet.during(alice.send(bob.address, text).acknowledged)
    await mixnet.pass(SECOND)
    assert.deepEqual(
      b.received.map((message) => message.text()),
      texts,
    )
    assert.ok(b.received.every(({ senderTag }) => senderTag === undefined))
  })

  it('keeps its own copy of a Buffer, also while the message waits', async () => {
    const { mixnet, b, alice, bob } = await scene('copy')
    for (let number = 0; number < 500; number++) alice.send(bob.address, '')
    const data = Buffer.from('as it was')
    const handle = alice.send(bob.address, data)
    assert.equal(await outcomeOf(handle.queued), 'pending')
    data.fill('x')
    await mixnet.until(() => b.received.length === 501)
    assert.deepEqual(
      b.received.map((message) => message.text()).filter((text) => text !== ''),
      ['as it was'],
    )
  })

  it('fails a message whose recipient stays away, after some retransmissions', async () => {
    const { mixnet, alice, bob } = await scene('away')
    mixnet.gateways[1]!.kill()
    const handle = alice.send(bob.address, 'x')
    await mixnet.during(
      handle.acknowledged.catch(() => {}),
      60 * MINUTE,
    )
    await assert.rejects(handle.acknowledged, { code: 'MIX_UNACKNOWLEDGED', retry: true })
    assert.deepEqual(
      [await outcomeOf(handle.queued), await outcomeOf(handle.sent)],
      ['resolved', 'resolved'],
      'what had been said of it stays true',
    )
    assert.equal(handle.progress.retransmissions, 40)
  })
})

describe('reply', () => {
  it('needs a tag under which reply blocks came, and a byte', async () => {
    const { mixnet, a, b, alice, bob } = await scene('tags')
    for (const tag of [...WEIRD, stubTag(1)])
      assert.equal(await failure(bob.reply(tag as string, 'x')), 'MIX_REPLY_NO_TAG')
    alice.send(bob.address, 'plain')
    alice.send(bob.address, 'anonymous', { replySurbs: 10 })
    await mixnet.until(() => b.received.length === 2)
    const [anonymous, plain] = [...b.received].sort((x, y) => (x.text() < y.text() ? -1 : 1))
    assert.equal(await failure(plain!.reply('x')), 'MIX_REPLY_NO_TAG')
    for (const data of ['', new Uint8Array(0), new Blob([]).stream()]) {
      const handle = anonymous!.reply(data)
      await mixnet.pass(1)
      assert.equal(await failure(handle), 'MIX_REPLY_EMPTY')
    }
    assert.equal(await failure(anonymous!.reply('x', { lane: -1 })), 'MIX_LANE')
    await mixnet.during(anonymous!.reply('answer').acknowledged)
    await mixnet.during(bob.reply(anonymous!.senderTag!, 'another').acknowledged)
    await mixnet.pass(SECOND)
    assert.deepEqual(a.received.map((message) => message.text()).sort(), ['another', 'answer'])
  })

  it('to a sender without any reply block ends in time', async () => {
    const { mixnet, b, alice, bob } = await scene('no blocks')
    alice.send(bob.address, 'answer me, if you can', { anonymous: true })
    await mixnet.until(() => b.received.length > 0)
    const handle = b.received[0]!.reply('no way')
    await mixnet.pass(MINUTE)
    assert.deepEqual([...bob.status().replies.values()], [{ surbs: 0, requested: 0, waitingPackets: 1 }])
    await mixnet.during(
      handle.acknowledged.catch(() => {}),
      10 * MINUTE,
    )
    await assert.rejects(handle.acknowledged, { code: 'MIX_REPLY_NO_SURBS', retry: true })
    assert.equal(bob.laneLength(0), 0)
    assert.equal(bob.status().queue.packets, 0)
  })
})

describe('a handle', () => {
  it('is told of the abort of its signal, also while its data is read, and asks for no more of that', async () => {
    const { alice, bob } = await scene('abort')
    const abort = new AbortController()
    const { signal } = abort
    let returned = false
    const hanging: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => {}),
        return: async () => {
          returned = true
          return { done: true, value: undefined }
        },
      }),
    }
    const handles = [alice.send(bob.address, 'x', { signal }), alice.send(bob.address, hanging, { signal })]
    const reason = new Error('enough')
    abort.abort(reason)
    await settled()
    for (const handle of handles) await assert.rejects(handle.acknowledged, reason)
    assert.ok(returned)
    assert.equal(await failure(alice.send(bob.address, hanging, { signal })), reason)
    assert.equal(alice.status().queue.packets, 0)
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })

  it('says how far the message is', async () => {
    const { mixnet, alice, bob } = await scene('progress')
    const handle = alice.send(bob.address, new Uint8Array(5000))
    assert.deepEqual(handle.progress, { packets: 4, sent: 0, acknowledged: 0, retransmissions: 0 })
    await mixnet.during(handle.sent)
    assert.equal(handle.progress.sent, 4)
    await mixnet.during(handle.acknowledged)
    assert.deepEqual(handle.progress, { packets: 4, sent: 4, acknowledged: 4, retransmissions: 0 })
  })
})

describe('a lane', () => {
  it('is closed: its messages fail, others do not', async () => {
    const { mixnet, b, alice, bob } = await scene('closed lane')
    const [one, two] = [alice.send(bob.address, 'one', { lane: 1 }), alice.send(bob.address, 'two', { lane: 2n })]
    assert.deepEqual([alice.laneLength(1), alice.laneLength(2)], [1, 1])
    alice.closeLane(1)
    await assert.rejects(one.acknowledged, { code: 'MIX_LANE_CLOSED' })
    await mixnet.during(two.acknowledged)
    await mixnet.pass(SECOND)
    assert.deepEqual(
      b.received.map((message) => message.text()),
      ['two'],
    )
  })
})

describe('counters and events', () => {
  it('tell of every message once, however it ended', async () => {
    const { mixnet, a, alice, bob } = await scene('counters')
    const abort = new AbortController()
    const handles = [
      alice.send(bob.address, 'good'),
      alice.send(bob.address, 'closed', { lane: 1 }),
      alice.send(bob.address, 'aborted', { signal: abort.signal, lane: 2 }),
      alice.send(bob.address, new Uint8Array(5 * 1024 ** 2), { lane: 3 }),
      alice.send(bob.address, 'waits, and is closed', { lane: 3 }),
      alice.send('nobody', 'not counted'),
    ]
    assert.equal(alice.status().queue.messages, 5)
    abort.abort()
    alice.closeLane(1)
    alice.closeLane(3)
    await mixnet.during(Promise.allSettled(handles.map(({ acknowledged }) => acknowledged)))
    const { messagesSent, messagesAcknowledged, messagesFailed } = alice.status().counters
    assert.deepEqual([messagesSent, messagesAcknowledged, messagesFailed], [5, 1, 4])
    // Whatever never was in a lane has no number: its handle tells.
    assert.deepEqual(
      a.messages.map(({ outcome, reason }) => reason?.code ?? outcome).sort(),
      ['MIX_LANE_CLOSED', 'MIX_LANE_CLOSED', 'acknowledged', 'failed'].sort(),
    )
    assert.equal(new Set(a.messages.map(({ id }) => id)).size, 4)
    assert.deepEqual([alice.status().queue.packets, alice.status().queue.bytes], [0, 0])
  })

  it('may be listened to by what throws, and by what sends: nothing is lost, nothing sent twice', async () => {
    const { mixnet, a, b, alice, bob } = await scene('listeners')
    alice.send(bob.address, 'question', { replySurbs: 3 })
    await mixnet.until(() => b.received.length > 0)
    let more = 3
    const stop = bob.on('replies', ({ senderTag }) => {
      if (more-- > 0) bob.reply(senderTag, `more ${more}`)
      throw new Error('a listener may be wrong')
    })
    await mixnet.during(b.received[0]!.reply('answer').acknowledged)
    stop()
    await mixnet.until(() => a.received.length === 4)
    await mixnet.until(() => bob.status().queue.messages === 0)
    await mixnet.pass(SECOND)
    assert.deepEqual(a.received.map((message) => message.text()).sort(), ['answer', 'more 0', 'more 1', 'more 2'])
  })
})

describe('a network that does not list our gateway', () => {
  it('is said to, and nothing is sent or given up until it lists it again', async () => {
    const { mixnet, a, b, alice, bob } = await scene('unlisted')
    alice.send(bob.address, 'question', { replySurbs: 10 })
    await mixnet.until(() => b.received.length > 0)
    const read = mixnet.read.bind(mixnet)
    mixnet.read = async () => {
      const topology = await read()
      return { ...topology, gateways: new Map([...topology.gateways].slice(0, 1)) }
    }
    await mixnet.pass(6 * MINUTE)
    const { gateway, topology } = bob.status()
    assert.deepEqual([gateway.state, gateway.websocketUrls, topology.reason?.code], ['up', [], 'MIX_GATEWAY_GONE'])
    const sent = b.sent
    const handles = [bob.send(alice.address, 'plain'), b.received[0]!.reply('x'.repeat(50_000))]
    await mixnet.pass(20 * MINUTE)
    assert.equal(b.sent, sent)
    for (const { acknowledged } of handles) assert.equal(await outcomeOf(acknowledged), 'pending')
    mixnet.read = read
    await mixnet.during(Promise.all(handles.map(({ acknowledged }) => acknowledged)))
    assert.equal(bob.status().topology.reason, undefined)
    await mixnet.pass(SECOND)
    assert.equal(a.received.length, 2)
  })
})

describe('an app that takes no messages', () => {
  it('and is started again finds its client hung up, until it takes them', async () => {
    const { mixnet, b, alice, bob } = await scene('full')
    await mixnet.during(bob.close())
    const entry = new Uint8Array(2)
    const changes = Array.from({ length: 10_000 }, (_, i) => ({
      table: 'inbox' as const,
      key: i.toString(36).padStart(10, '0'),
      value: entry,
    }))
    await b.store.write(changes)
    const again = await b.start({ takeMessages: false })
    assert.equal(again.status().gateway.state, 'paused')
    const handle = alice.send(again.address, 'one more')
    await mixnet.during(handle.acknowledged)
    await mixnet.pass(MINUTE)
    assert.deepEqual([again.status().inbox.messages, mixnet.gateways[1]!.stored], [10_000, 1])
    const reader = again.messages()
    for (let number = 0; number < 6000; number++) await reader.next()
    await mixnet.until(() => again.status().inbox.messages === 4001)
    assert.equal(again.status().gateway.state, 'up')
    await mixnet.during(again.close())
  })
})

describe('close', () => {
  it('waits for acks, refuses new messages, and ends readers', async () => {
    const { mixnet, alice, bob } = await scene('flush')
    const handle = alice.send(bob.address, 'last words')
    const reader = alice.messages()
    const asked = reader.next()
    const closing = alice.close()
    assert.equal(alice.close(), closing)
    assert.equal(await failure(alice.send(bob.address, 'too late')), 'MIX_CLIENT_CLOSED')
    assert.equal(await failure(alice.reply(stubTag(1), 'too late')), 'MIX_CLIENT_CLOSED')
    const before = mixnet.clock.monotonic()
    await mixnet.during(closing)
    assert.ok(mixnet.clock.monotonic() - before < 2 * SECOND, 'no longer than it takes')
    assert.equal(await outcomeOf(handle.acknowledged), 'resolved')
    assert.equal((await asked).done, true)
    assert.equal(alice.status().gateway.state, 'closed')
  })

  it('gives up after the time it is given, and fails what is left, whatever state it is in', async () => {
    const { mixnet, a, b, alice, bob } = await scene('give up')
    bob.send(alice.address, 'question', { replySurbs: 1 })
    await mixnet.until(() => a.received.length > 0)
    b.cut()
    const never = new ReadableStream<Uint8Array>()
    const handles = [
      a.received[0]!.reply('no blocks'),
      alice.send(bob.address, 'to somebody'),
      alice.send(bob.address, new Uint8Array(5 * 1024 ** 2), { lane: 1 }),
      alice.send(bob.address, 'waits for room', { lane: 1 }),
      alice.send(bob.address, never),
    ]
    mixnet.gateways[0]!.kill()
    await mixnet.pass(SECOND)
    const before = mixnet.clock.monotonic()
    await mixnet.during(alice.close({ flushMs: 3000 }))
    assert.equal(mixnet.clock.monotonic() - before, 3000)
    for (const { queued, sent, acknowledged } of handles) {
      assert.equal(await outcomeOf(acknowledged), 'MIX_CLIENT_CLOSED')
      for (const promise of [queued, sent]) assert.notEqual(await outcomeOf(promise), 'pending')
    }
    assert.deepEqual([alice.status().queue.messages, alice.status().unacknowledgedPackets], [0, 0])
  })

  it('takes any number for its time', async () => {
    for (const flushMs of [0, -1, Number.NaN]) {
      const { mixnet, alice, bob } = await scene('times')
      alice.send(bob.address, 'x')
      const before = mixnet.clock.monotonic()
      await mixnet.during(alice.close({ flushMs }))
      assert.equal(mixnet.clock.monotonic(), before)
    }
    const { mixnet, alice, bob } = await scene('for ever')
    const handle = alice.send(bob.address, 'x')
    await mixnet.during(alice.close({ flushMs: Number.POSITIVE_INFINITY }))
    assert.equal(await outcomeOf(handle.acknowledged), 'resolved')
  })
})

describe('connect', () => {
  /** A store that says whether it was closed, and whether it can be read. */
  function watched(options: { readonly broken?: boolean } = {}) {
    const inner = memoryStore({ persistent: true })
    const state = { closed: 0 }
    const store: ClientStore = {
      persistent: true,
      load: (table) =>
        options.broken && table === 'identity'
          ? Promise.reject(new MixError('MIX_STORE', 'damaged', { kind: 'local' }))
          : inner.load(table),
      write: (changes) => inner.write(changes),
      close: async () => {
        state.closed++
      },
    }
    return { store, state }
  }

  async function attempt(options: object) {
    const mixnet = await VirtualMixnet.create({ seed: 'connect' })
    const platform: Platform = {
      openWebSocket: () => assert.fail('there are no websockets here'),
      loadCrypto: async () => mixnet.crypto,
      preferTls: false,
    }
    const door = {
      gateway: mixnet.gateways[0]!.identity,
      connect: async () => ({ unsentBytes: 0, send: () => {}, close: () => {} }),
    }
    const common = { directory: mixnet, clock: mixnet.clock, random: mixnet.random, door }
    return { mixnet, opening: connectOn(platform, { ...common, ...options } as Parameters<typeof connectOn>[1]) }
  }

  it('refuses options that are none, and closes the store', async () => {
    const profile = (change: Partial<Record<keyof Profile, unknown>>) => ({
      profile: { ...PROFILES.default, ...change },
    })
    const wrong: object[] = [
      ...[undefined, null, 7, {}].map((directory) => ({ directory })),
      ...['', 'x', 'ftp://x', [], ['http://127.0.0.1', 7]].map((directory) => ({ directory })),
      ...[7, {}, null].map((gateway) => ({ gateway })),
      ...[0, 999, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, '5000', null].map((refreshMs) => ({ refreshMs })),
      ...[-1, Number.NaN, Number.POSITIVE_INFINITY, '1'].map((replaceGatewayAfterMs) => ({ replaceGatewayAfterMs })),
      ...[0, -1, 1.5, 101, Number.NaN, '5'].map((keptReplySurbs) => ({ keptReplySurbs })),
      ...['slow', 'toString', null, 7, {}].map((profile) => ({ profile })),
      ...[-1, Number.NaN, Number.POSITIVE_INFINITY, '15', undefined, 4e6].flatMap((value) => [
        profile({ averagePacketDelayMs: value }),
        profile({ averageAckDelayMs: value }),
        profile({ averageSendingDelayMs: value }),
        profile({ averageLoopCoverDelayMs: value }),
      ]),
      profile({ averageSendingDelayMs: 0.5 }),
      profile({ averageLoopCoverDelayMs: 1e-9 }),
    ]
    for (const options of wrong) {
      const { store, state } = watched()
      const { opening } = await attempt({ store, ...options })
      await assert.rejects(opening, { code: 'MIX_OPTIONS', kind: 'usage' }, JSON.stringify(options))
      assert.equal(state.closed, 1, JSON.stringify(options))
    }
  })

  it('takes every profile of ours, and one of the app', async () => {
    const own: Profile = { ...PROFILES.default, name: 'own', averageSendingDelayMs: 1, averageLoopCoverDelayMs: 0 }
    for (const profile of [...(Object.keys(PROFILES) as (keyof typeof PROFILES)[]), own]) {
      const mixnet = await VirtualMixnet.create({ seed: 'profiles' })
      const client = await new Machine(mixnet, 'a').start({ profile })
      await mixnet.pass(SECOND)
      assert.equal(client.status().gateway.state, 'up')
      await mixnet.during(client.close())
    }
  })

  it('leaves nothing open when it fails: neither the store nor the reading of the network', async () => {
    const { store, state } = watched({ broken: true })
    const { mixnet, opening } = await attempt({ store })
    await assert.rejects(opening, { code: 'MIX_STORE' })
    assert.equal(state.closed, 1)
    await settled()
    assert.equal(mixnet.clock.pending, 0)
  })

  it('ends with its signal: before, meanwhile, and after, when the client closes', async () => {
    const reason = new Error('enough')
    const early = watched()
    const { opening } = await attempt({ store: early.store, signal: AbortSignal.abort(reason) })
    await assert.rejects(opening, reason)
    assert.equal(early.state.closed, 1)

    const meanwhile = new AbortController()
    const { opening: second, mixnet } = await attempt({ store: watched().store, signal: meanwhile.signal })
    meanwhile.abort(reason)
    await assert.rejects(second, reason)
    await settled()
    assert.equal(mixnet.clock.pending, 0)

    const network = await VirtualMixnet.create({ seed: 'signal' })
    const after = new AbortController()
    const client = await new Machine(network, 'a').start({ signal: after.signal })
    const handle = client.send(client.address, 'x')
    after.abort(reason)
    await settled()
    await assert.rejects(handle.acknowledged, { code: 'MIX_CLIENT_CLOSED' })
    assert.equal(client.status().gateway.state, 'closed')

    const other = new AbortController()
    const closed = await new Machine(network, 'b').start({ signal: other.signal })
    await network.during(closed.close())
    assert.equal(getEventListeners(other.signal, 'abort').length, 0)
  })
})
