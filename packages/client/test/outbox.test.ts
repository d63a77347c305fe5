import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { MixError, type Random, SeededRandom, VirtualClock } from '@mixwright/runtime'
import fc from 'fast-check'
import { GENERAL_LANE, Lanes, type QueuedPacket, SURB_REQUEST_LANE } from '../src/send/lanes.js'
import { Outbox, type Submission } from '../src/send/outbox.js'
import { Handle, type MessageOutcome, type OutgoingMessage } from '../src/send/outgoing-message.js'
import type { ClientStore, StoreChange } from '../src/store/client-store.js'
import { Journal } from '../src/store/journal.js'
import { memoryStore } from '../src/store/memory-store.js'
import { bytesOfPackets, outcomeOf, SOMEBODY, toTag } from './outgoing.js'

const MIB = 1024 ** 2
const CLOSED = new MixError('MIX_CLIENT_CLOSED', 'closed', { kind: 'usage' })
const LANE_CLOSED = new MixError('MIX_LANE_CLOSED', 'closed', { kind: 'usage' })

/** A store whose writes end when the test says so. */
class SlowStore implements ClientStore {
  readonly persistent = true
  readonly #inner = memoryStore({ persistent: true })
  #writes: { changes: readonly StoreChange[]; resolve: () => void; reject: (reason: unknown) => void }[] = []

  load: ClientStore['load'] = (table) => this.#inner.load(table)

  write(changes: readonly StoreChange[]): Promise<void> {
    return new Promise((resolve, reject) => this.#writes.push({ changes, resolve, reject }))
  }

  async close(): Promise<void> {}

  async end(failure?: MixError): Promise<void> {
    for (const { changes, resolve, reject } of this.#writes.splice(0)) {
      if (failure) reject(failure)
      else {
        await this.#inner.write(changes)
        resolve()
      }
    }
  }
}

interface Scene {
  readonly outbox: Outbox
  readonly lanes: Lanes
  readonly clock: VirtualClock
  readonly journal: Journal
  readonly entered: OutgoingMessage[]
  readonly ended: { readonly message: OutgoingMessage | undefined; readonly outcome: MessageOutcome }[]
  /** Something that happens whenever a message came into a lane. */
  onQueued: (message: OutgoingMessage) => void
  submit(options?: Partial<Submission> & { readonly packets?: number }): Handle
  /** Take a packet from the lanes, as if it was sent. */
  sendOne(): QueuedPacket | undefined
}

function scene({ store = memoryStore(), random = new SeededRandom('outbox') as Random } = {}): Scene {
  const clock = new VirtualClock()
  const journal = new Journal(store, clock, () => {})
  const lanes = new Lanes(random)
  const outbox = new Outbox({
    clock,
    random,
    journal,
    persistent: store.persistent,
    lanes,
    onQueued: (message) => {
      scene.entered.push(message)
      scene.onQueued(message)
    },
    onEnd: (message, outcome) => scene.ended.push({ message, outcome }),
  })
  const scene: Scene = {
    outbox,
    lanes,
    clock,
    journal,
    entered: [],
    ended: [],
    onQueued: () => {},
    submit: ({ packets = 1, ...options } = {}) => {
      const bytes = bytesOfPackets(packets)
      return outbox.submit({
        destination: SOMEBODY,
        lane: GENERAL_LANE,
        bytes: bytes.length,
        build: () => bytes,
        maximumRetransmissions: 10,
        ...options,
      })
    },
    sendOne: () => {
      const packet = lanes.take(() => true)
      packet?.message.packetSent()
      outbox.settle()
      return packet
    },
  }
  return scene
}

const state = async (handle: Handle) => ({
  queued: await outcomeOf(handle.queued),
  sent: await outcomeOf(handle.sent),
  acknowledged: await outcomeOf(handle.acknowledged),
})
const all = (outcome: unknown) => ({ queued: outcome, sent: outcome, acknowledged: outcome })

describe('a message that is too old', () => {
  const DAY_MS = 24 * 3_600_000

  it('fails with MIX_EXPIRED, whether it waits, lies in a lane or was sent; younger ones stay', async () => {
    const { submit, sendOne, outbox, lanes, clock } = scene()
    const sent = submit()
    sendOne()
    const queued = submit({ packets: 2 })
    const waiting = submit({ build: () => undefined })
    clock.advance(2 * DAY_MS)
    const young = submit()
    outbox.expire()
    for (const handle of [sent, queued, waiting]) assert.equal(await outcomeOf(handle.acknowledged), 'pending')
    clock.advance(DAY_MS)
    outbox.expire()
    for (const handle of [sent, queued, waiting]) assert.equal(await outcomeOf(handle.acknowledged), 'MIX_EXPIRED')
    assert.equal(await outcomeOf(young.acknowledged), 'pending')
    assert.deepEqual([outbox.messages, lanes.packets], [1, 1])
  })
})

describe('a message', () => {
  it('is queued, sent and acknowledged in turn', async () => {
    const { submit, sendOne, outbox, ended } = scene()
    const handle = submit({ packets: 2 })
    assert.deepEqual(await state(handle), { queued: 'resolved', sent: 'pending', acknowledged: 'pending' })
    const { message } = sendOne()!
    assert.equal(await outcomeOf(handle.sent), 'pending')
    sendOne()
    assert.deepEqual(await state(handle), { queued: 'resolved', sent: 'resolved', acknowledged: 'pending' })
    message.packetAcknowledged(1)
    message.packetAcknowledged(1)
    assert.equal(await outcomeOf(handle.acknowledged), 'pending', 'one packet twice is not two')
    message.packetAcknowledged(0)
    assert.deepEqual(await state(handle), all('resolved'))
    assert.deepEqual(handle.progress, { packets: 2, sent: 2, acknowledged: 2, retransmissions: 0 })
    assert.deepEqual([outbox.messages, outbox.bytes, ended.length], [0, 0, 1])
  })

  it('that cannot be made fails, one that cannot be made yet waits', async () => {
    const { submit, outbox, ended } = scene()
    const broken = submit({
      build: () => {
        throw new MixError('MIX_SPHINX_PUBLIC_KEY', 'no key', { kind: 'peer' })
      },
    })
    assert.deepEqual(await state(broken), all('MIX_SPHINX_PUBLIC_KEY'))
    let bytes: Uint8Array | undefined
    const early = submit({ build: () => bytes })
    const behind = submit()
    outbox.settle()
    assert.deepEqual([await outcomeOf(early.queued), await outcomeOf(behind.queued)], ['pending', 'pending'])
    bytes = new Uint8Array(1)
    outbox.settle()
    assert.deepEqual([await outcomeOf(early.queued), await outcomeOf(behind.queued)], ['resolved', 'resolved'])
    assert.deepEqual(
      ended.map(({ message }) => message),
      [undefined],
    )
  })

  it('is never under the set ids of another one: each would take the acks of the other', () => {
    const setIds = [7, 7, 7, 9]
    const random: Random = {
      bytes: (length) => {
        const bytes = new Uint8Array(length)
        if (length === 4) bytes[3] = setIds.shift()!
        return bytes
      },
      fork: () => random,
    }
    const { submit, sendOne, entered } = scene({ random })
    submit()
    submit()
    assert.deepEqual(
      entered.map(({ chunks }) => chunks.setIds[0]),
      [7, 9],
    )
    setIds.push(7)
    sendOne()!.message.packetAcknowledged(0)
    submit()
    assert.equal(entered[2]!.chunks.setIds[0], 7, 'an id that is free may be used again')
  })

  it('submitted while another one comes into the same lane comes into it once, behind', () => {
    const made = scene()
    made.onQueued = ({ id }) => {
      if (id <= 3) made.submit()
    }
    made.submit()
    assert.deepEqual(
      made.entered.map(({ id }) => id),
      [1, 2, 3, 4],
    )
    assert.equal(made.lanes.packets, 4)
    assert.equal(made.outbox.messages, 4)
  })
})

describe('a lane', () => {
  it('holds 500 messages that are not sent; others wait for room', async () => {
    const { submit, sendOne, lanes } = scene()
    const handles = Array.from({ length: 502 }, () => submit())
    assert.equal(lanes.packets, 500)
    assert.deepEqual(await Promise.all(handles.slice(499).map(({ queued }) => outcomeOf(queued))), [
      'resolved',
      'pending',
      'pending',
    ])
    assert.equal(await outcomeOf(submit({ lane: 'connection:1' }).queued), 'resolved')
    while (lanes.length(GENERAL_LANE) === 500) sendOne()
    sendOne()
    await Promise.all(handles.map(({ queued }) => queued))
  })

  it('holds 4 MiB, or one message of any size', async () => {
    const { submit, lanes, entered, outbox } = scene()
    const large = submit({ build: () => new Uint8Array(32 * MIB) })
    const small = submit()
    assert.deepEqual([await outcomeOf(large.queued), await outcomeOf(small.queued)], ['resolved', 'pending'])
    for (let packet = 0; packet < entered[0]!.packets; packet++) entered[0]!.packetSent()
    outbox.settle()
    assert.equal(await outcomeOf(small.queued), 'resolved')
    assert.ok(lanes.packets > 20_000)
  })

  it('of replies is one for each tag: one silent tag does not fill it for others', async () => {
    const { submit } = scene()
    const silent = Array.from({ length: 501 }, () => submit({ destination: toTag('silent') }))
    assert.equal(await outcomeOf(silent[500]!.queued), 'pending')
    assert.equal(await outcomeOf(submit({ destination: toTag('other') }).queued), 'resolved')
    assert.equal(await outcomeOf(submit().queued), 'resolved')
  })

  it('is closed: what waits for it and what is not sent whole fails, the rest does not', async () => {
    const { submit, sendOne, outbox, lanes } = scene()
    const sent = submit({ lane: 'connection:1' })
    const { message } = sendOne()!
    const half = submit({ lane: 'connection:1', packets: 2 })
    sendOne()
    const huge = submit({ lane: 'connection:1', build: () => new Uint8Array(5 * MIB) })
    const waiting = submit({ lane: 'connection:1' })
    const reply = submit({ lane: 'connection:1', destination: toTag('tag') })
    const other = submit({ lane: 'connection:2' })
    outbox.closeLane('connection:1', LANE_CLOSED)
    assert.equal(lanes.length('connection:1'), 0)
    for (const handle of [huge, half, waiting, reply])
      assert.equal(await outcomeOf(handle.acknowledged), 'MIX_LANE_CLOSED')
    assert.equal(await outcomeOf(waiting.queued), 'MIX_LANE_CLOSED')
    message.packetAcknowledged(0)
    assert.deepEqual(await state(sent), all('resolved'))
    assert.equal(outbox.messages, 1)
    assert.equal(await outcomeOf(submit({ lane: 'connection:1' }).queued), 'resolved', 'it may be used again')
    assert.equal(await outcomeOf(other.acknowledged), 'pending')
  })
})

describe('room', () => {
  it('that replies without reply blocks have filled is not in the way of the requests for them, nor of other messages', async () => {
    const { submit } = scene()
    const build = () => new Uint8Array(32 * MIB)
    const replies = ['a', 'b', 'c'].map((tag) => submit({ destination: toTag(tag), bytes: 32 * MIB, build }))
    assert.deepEqual(await Promise.all(replies.map(({ queued }) => outcomeOf(queued))), [
      'resolved',
      'resolved',
      'pending',
    ])
    const request = submit({ destination: toTag('a', 'surb-request'), lane: SURB_REQUEST_LANE })
    assert.equal(await outcomeOf(request.queued), 'resolved')
    assert.equal(await outcomeOf(submit().queued), 'resolved')
  })

  it('for waiting ends at 64 MiB: MIX_QUEUE_FULL, until some of it is free again', async () => {
    const { submit, outbox, ended } = scene()
    const abort = new AbortController()
    const build = () => undefined
    const large = submit({ bytes: 40 * MIB, build, signal: abort.signal })
    submit({ bytes: 24 * MIB, build })
    const refused = submit()
    assert.deepEqual(await state(refused), all('MIX_QUEUE_FULL'))
    assert.equal(outbox.bytes, 64 * MIB)
    assert.equal(await outcomeOf(submit({ destination: toTag('tag') }).queued), 'resolved', 'replies have their own')
    abort.abort(new Error())
    assert.notEqual(await outcomeOf(large.queued), 'pending')
    assert.equal(await outcomeOf(submit({ bytes: 40 * MIB, build }).queued), 'pending')
    assert.equal(ended.length, 2, 'messages that came into no lane are told of')
  })

  it('is given to lanes in turn', () => {
    const { submit, sendOne, lanes, entered } = scene()
    // One message that fills the room by its bytes, so that each that ends lets one in.
    submit({ lane: 'full', build: () => new Uint8Array(70 * MIB) })
    for (let number = 0; number < 4; number++)
      for (const lane of ['a', 'b', 'c']) submit({ lane, build: () => new Uint8Array(70 * MIB) })
    const order: string[] = []
    while (order.length < 9) {
      const message = entered.at(-1)!
      message.fail(new Error())
      sendOne()
      order.push(entered.at(-1)!.lane)
    }
    assert.deepEqual(
      [order.slice(0, 3).sort(), order.slice(3, 6).sort()],
      [
        ['a', 'b', 'c'],
        ['a', 'b', 'c'],
      ],
    )
    assert.ok(lanes.packets > 0)
  })
})

describe('a signal', () => {
  it('aborts a message that waits, one in a lane, and one that was sent', async () => {
    const { submit, sendOne, outbox, lanes } = scene()
    const abort = new AbortController()
    const { signal } = abort
    const sent = submit({ signal })
    sendOne()
    const inLane = submit({ signal, build: () => new Uint8Array(5 * MIB) })
    const waiting = submit({ signal })
    const other = submit()
    assert.equal(await outcomeOf(other.queued), 'pending')
    abort.abort('enough')
    assert.equal(await outcomeOf(sent.acknowledged), 'enough')
    assert.equal(await outcomeOf(inLane.sent), 'enough')
    assert.deepEqual(await state(waiting), all('enough'))
    assert.equal(await outcomeOf(other.queued), 'resolved', 'there is room now')
    assert.deepEqual([lanes.packets, outbox.messages], [1, 1])
    assert.deepEqual(await state(submit({ signal })), all('enough'))
  })

  it('of many messages that wait makes none of them before it is their turn to hear of it', async () => {
    const { submit, entered } = scene()
    const abort = new AbortController()
    submit({ signal: abort.signal, build: () => new Uint8Array(5 * MIB) })
    const waiting = Array.from({ length: 10 }, () => submit({ signal: abort.signal }))
    abort.abort('enough')
    for (const handle of waiting) assert.deepEqual(await state(handle), all('enough'))
    assert.equal(entered.length, 1)
  })

  it('of many messages is listened to once: Node.js takes more than ten listeners for a leak', () => {
    const { submit, sendOne } = scene()
    const { signal } = new AbortController()
    for (let number = 0; number < 20; number++) submit({ signal })
    assert.equal(getEventListeners(signal, 'abort').length, 1)
    for (let number = 0; number < 20; number++) sendOne()!.message.packetAcknowledged(0)
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })

  it('is left alone once the message has ended, in whatever way', async () => {
    const { submit, sendOne, outbox } = scene()
    const { signal } = new AbortController()
    submit({ signal })
    sendOne()!.message.packetAcknowledged(0)
    const broken = () => {
      throw new Error()
    }
    submit({ signal, build: broken })
    submit({ signal, lane: 'a', build: () => new Uint8Array(5 * MIB) })
    submit({ signal, lane: 'a' })
    submit({ signal, lane: 'b', build: () => new Uint8Array(5 * MIB) })
    submit({ signal, lane: 'b' })
    outbox.closeLane('a', LANE_CLOSED)
    outbox.close(CLOSED)
    submit({ signal })
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })

  it('of an app that sends and gives up without end leaves nothing behind', async () => {
    const { submit, outbox } = scene()
    submit({ build: () => new Uint8Array(5 * MIB) })
    const first = submit()
    for (let number = 0; number < 101_000; number++) {
      const abort = new AbortController()
      submit({ signal: abort.signal })
      abort.abort('no')
    }
    assert.equal(await outcomeOf(submit().queued), 'pending', 'the queue is not full')
    assert.equal(await outcomeOf(first.queued), 'pending')
    assert.equal(outbox.messages, 3)
  })
})

describe('a store', () => {
  it('has a message before it is said to be queued, and has it no more when it is acknowledged', async () => {
    const store = new SlowStore()
    const { submit, sendOne, clock, journal } = scene({ store })
    const handle = submit()
    sendOne()
    assert.deepEqual(await state(handle), { queued: 'pending', sent: 'resolved', acknowledged: 'pending' })
    await store.end()
    assert.equal(await outcomeOf(handle.queued), 'resolved')
    assert.equal((await store.load('outbox')).size, 1)
    const second = submit()
    sendOne()!.message.packetAcknowledged(0)
    assert.deepEqual(await state(second), all('resolved'), 'an ack can be faster than the store')
    clock.advance(1000)
    const flushed = journal.flush()
    for (let round = 0; round < 3; round++) {
      await outcomeOf(handle.queued)
      await store.end()
    }
    await flushed
    assert.equal((await store.load('outbox')).size, 1)
  })

  it('that refuses a message fails it, and it is not sent', async () => {
    const store = new SlowStore()
    const { submit, outbox, lanes } = scene({ store })
    const handle = submit()
    assert.equal(await outcomeOf(handle.queued), 'pending')
    await store.end(new MixError('MIX_STORE', 'disk full', { kind: 'local' }))
    assert.deepEqual(await state(handle), all('MIX_STORE'))
    assert.deepEqual([lanes.packets, outbox.messages], [0, 0])
  })

  it('gives the next process what was not acknowledged, under the same set ids, and nothing of our own making', async () => {
    const store = memoryStore({ persistent: true })
    const first = scene({ store })
    first.submit()
    first.submit({ packets: 3, lane: 'connection:7' })
    first.submit({ destination: toTag('tag') })
    first.submit({ destination: toTag('tag', 'surb-request'), lane: SURB_REQUEST_LANE })
    first.sendOne()!.message.packetAcknowledged(0)
    const left = first.entered.slice(0, 3).filter(({ ended }) => !ended)
    first.outbox.close(CLOSED)
    await first.journal.close()
    await store.write([
      { table: 'outbox', key: 'garbage', value: new Uint8Array(3) },
      { table: 'outbox', key: '0000000zzz', value: new Uint8Array(100) },
    ])

    const second = scene({ store })
    assert.equal(await second.outbox.restore(store), left.length)
    const facts = ({ destination, lane, chunks, maximumRetransmissions }: OutgoingMessage) => ({
      destination: destination.kind,
      lane,
      setIds: chunks.setIds,
      bytes: chunks.message.length,
      maximumRetransmissions,
    })
    assert.deepEqual(second.entered.map(facts), left.map(facts))
    const handle = second.submit()
    assert.ok(second.entered.at(-1)!.id > left.at(-1)!.id)
    await handle.queued
    await second.journal.close()
    assert.deepEqual([...(await store.load('outbox')).keys()].length, left.length + 1, 'what is malformed is gone')
  })
})

describe('giving up the replies to a tag', () => {
  it('fails those in lanes, those that wait, and those to be sent again', async () => {
    const { submit, sendOne, outbox, lanes } = scene()
    const again = submit({ destination: toTag('gone') })
    const { message } = sendOne()!
    lanes.retransmit(message, 0)
    const inLane = submit({ destination: toTag('gone'), build: () => new Uint8Array(5 * MIB) })
    const waiting = submit({ destination: toTag('gone') })
    const request = submit({ destination: toTag('gone', 'surb-request'), lane: SURB_REQUEST_LANE })
    const other = submit({ destination: toTag('here') })
    outbox.giveUpReplies('gone', new MixError('MIX_REPLY_NO_SURBS', 'gone', { kind: 'peer' }))
    for (const handle of [again, inLane, waiting, request])
      assert.equal(await outcomeOf(handle.acknowledged), 'MIX_REPLY_NO_SURBS')
    assert.equal(await outcomeOf(other.acknowledged), 'pending')
    assert.deepEqual([...lanes.waitingByTag().keys()], ['here'])
  })
})

describe('an outbox under any use', () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('submit' as const),
        lane: fc.constantFrom('a', 'b'),
        tag: fc.constantFrom(undefined, undefined, 'tag'),
        packets: fc.constantFrom(1, 2, 200),
        ends: fc.constantFrom('normally' as const, 'normally' as const, 'broken' as const, 'later' as const),
        abortable: fc.boolean(),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('send' as const), count: fc.integer({ min: 1, max: 300 }) }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('acknowledge' as const), which: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('abort' as const), which: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('close lane' as const), lane: fc.constantFrom('a', 'b') }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('give up' as const, 'can be made' as const) }) },
  )

  it('settles every promise of every handle, counts every end once, and is empty when it is closed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
        const made = scene()
        const handles: Handle[] = []
        const ends = new Map<Handle, number>()
        const aborts: AbortController[] = []
        const sent: QueuedPacket[] = []
        let canBeMade = false
        for (const step of steps) {
          if (step.kind === 'submit') {
            const abort = new AbortController()
            if (step.abortable) aborts.push(abort)
            const bytes = bytesOfPackets(step.packets)
            const handle = new Handle()
            handles.push(handle)
            made.outbox.submit(
              {
                destination: step.tag === undefined ? SOMEBODY : toTag(step.tag),
                lane: step.lane,
                bytes: bytes.length,
                build: () => {
                  if (step.ends === 'broken') throw new Error()
                  return step.ends === 'later' && !canBeMade ? undefined : bytes
                },
                maximumRetransmissions: 10,
                signal: abort.signal,
                onEnd: () => ends.set(handle, (ends.get(handle) ?? 0) + 1),
              },
              handle,
            )
          } else if (step.kind === 'send') {
            for (let count = 0; count < step.count; count++) {
              const packet = made.sendOne()
              if (packet === undefined) break
              sent.push(packet)
            }
          } else if (step.kind === 'acknowledge') {
            // Most of what was sent, so that large messages come to an end too.
            for (const { message, index } of sent.splice(0, (step.which % (sent.length + 1)) + 1))
              message.packetAcknowledged(index)
            made.outbox.settle()
          } else if (step.kind === 'abort') aborts[step.which % (aborts.length || 1)]?.abort('aborted')
          else if (step.kind === 'close lane') made.outbox.closeLane(step.lane, LANE_CLOSED)
          else if (step.kind === 'give up') made.outbox.giveUpReplies('tag', LANE_CLOSED)
          else {
            canBeMade = true
            made.outbox.settle()
          }
          const open = made.entered.filter(({ ended }) => !ended)
          const unsent = open.reduce((packets, message) => packets + message.packets - message.sent, 0)
          assert.equal(made.lanes.packets, unsent, 'packets that are not sent are in the lanes')
          assert.equal(made.outbox.messages, handles.length - ends.size)
        }
        made.outbox.close(CLOSED)
        for (const handle of handles) {
          const { queued, sent, acknowledged } = await state(handle)
          for (const outcome of [queued, sent, acknowledged]) assert.notEqual(outcome, 'pending')
          if (acknowledged === 'resolved') assert.deepEqual([queued, sent], ['resolved', 'resolved'])
          assert.equal(ends.get(handle), 1)
        }
        assert.equal(made.ended.length, handles.length)
        assert.deepEqual([made.outbox.messages, made.outbox.bytes, made.lanes.packets], [0, 0, 0])
        for (const { signal } of aborts) assert.equal(getEventListeners(signal, 'abort').length, 0)
      }),
      { numRuns: 60 },
    )
  })
})
