import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Random, SeededRandom } from '@mixwright/runtime'
import fc from 'fast-check'
import {
  ADDITIONAL_SURBS_LANE,
  GENERAL_LANE,
  Lanes,
  type QueuedPacket,
  RETRANSMISSION_LANE,
  SURB_REQUEST_LANE,
} from '../src/send/lanes.js'
import type { OutgoingMessage } from '../src/send/outgoing-message.js'
import { outgoing, toTag } from './outgoing.js'

const lanesFrom = (seed: string) => new Lanes(new SeededRandom(seed))
const anything = () => true
const nothing = () => false

/** Everything that may be taken, in order. */
function takeAll(lanes: Lanes, canSend: (message: OutgoingMessage) => boolean = anything): QueuedPacket[] {
  const taken: QueuedPacket[] = []
  for (;;) {
    const packet = lanes.take(canSend)
    if (packet === undefined) return taken
    taken.push(packet)
  }
}

const sum = (lengths: Map<string, number>) => [...lengths.values()].reduce((total, packets) => total + packets, 0)

describe('a lane', () => {
  it('gives the packets of its messages in order', () => {
    const lanes = lanesFrom('order')
    const [first, second] = [outgoing({ packets: 3 }), outgoing({ packets: 2 })]
    lanes.add(first)
    lanes.add(second)
    assert.equal(lanes.length(GENERAL_LANE), 5)
    assert.deepEqual(
      takeAll(lanes).map(({ message, index, again }) => [message.id - first.id, index, again]),
      [
        [0, 0, false],
        [0, 1, false],
        [0, 2, false],
        [1, 0, false],
        [1, 1, false],
      ],
    )
    assert.equal(lanes.packets, 0)
    assert.equal(lanes.lengths().size, 0)
  })

  it('skips what was settled while it waited', () => {
    const lanes = lanesFrom('settled')
    const [ended, acknowledged, other] = [outgoing({ packets: 40 }), outgoing({ packets: 2 }), outgoing()]
    lanes.add(ended)
    for (const index of [0, 1]) lanes.retransmit(acknowledged, index)
    lanes.add(other)
    ended.fail(new Error())
    acknowledged.packetAcknowledged(0)
    assert.deepEqual(
      takeAll(lanes)
        .map(({ message, index, again }) => `${message.id - ended.id} ${index} ${again}`)
        .sort(),
      ['1 1 true', '2 0 false'],
    )
    assert.equal(lanes.packets, 0)
  })

  it('is swept of what was given up before anybody looks', () => {
    const lanes = lanesFrom('sweep')
    const [given, late, kept] = [
      outgoing({ packets: 7, to: toTag('tag') }),
      outgoing({ packets: 2, to: toTag('tag') }),
      outgoing({ packets: 5, to: toTag('tag') }),
    ]
    lanes.add(given)
    lanes.add(kept)
    lanes.retransmit(late, 0)
    lanes.retransmit(late, 1)
    assert.equal(takeAll(lanes, nothing).length, 0)
    given.fail(new Error())
    late.packetAcknowledged(1)
    lanes.sweep()
    assert.equal(lanes.waitingFor('tag'), 6)
    assert.equal(lanes.packets, 6)
    kept.fail(new Error())
    late.packetAcknowledged(0)
    lanes.sweep()
    assert.equal(lanes.waitingFor('tag'), 0)
    assert.equal(lanes.waitingByTag().size, 0, 'an empty lane is gone')
  })

  it('is longer than any number of arguments that a function takes', () => {
    const lanes = lanesFrom('long')
    const message = outgoing({ packets: 2 })
    for (let number = 0; number < 200_000; number++) lanes.retransmit(message, number % 2)
    message.packetAcknowledged(0)
    lanes.sweep()
    assert.equal(lanes.packets, 100_000)
  })
})

describe('among lanes', () => {
  it('short ones go first, and long ones get their share', () => {
    const lanes = lanesFrom('share')
    const file = outgoing({ packets: 255, lane: 'file' })
    lanes.add(file)
    let ofFile = 0
    for (let slot = 0; slot < 800; slot++) {
      // The stream is never without a chat line.
      if (lanes.length('chat') === 0) lanes.add(outgoing({ lane: 'chat' }))
      if (lanes.take(anything)!.message === file) ofFile++
    }
    // An eighth of 800, with six standard deviations of a binomial distribution.
    assert.ok(Math.abs(ofFile - 100) < 6 * 9.4, `${ofFile} slots of 800 for the file`)
  })

  it('short ones are equal', () => {
    const lanes = lanesFrom('equal')
    for (const lane of ['a', 'b', 'c', 'd']) lanes.add(outgoing({ packets: 90, lane }))
    const counts = new Map<string, number>()
    for (let slot = 0; slot < 160; slot++) {
      const { lane } = lanes.take(anything)!.message
      counts.set(lane, (counts.get(lane) ?? 0) + 1)
    }
    assert.equal(counts.size, 4)
    for (const count of counts.values()) assert.ok(Math.abs(count - 40) < 6 * 5.5, `${count} of 160`)
  })

  it('twenty thousand that may not be taken from cost one look each, once', () => {
    const random: Random & { drawn: number } = {
      drawn: 0,
      bytes(length) {
        this.drawn++
        return new SeededRandom(String(this.drawn)).bytes(length)
      },
      fork: () => random,
    }
    const lanes = new Lanes(random)
    for (let tag = 0; tag < 20_000; tag++) lanes.add(outgoing({ to: toTag(`tag ${tag}`) }))
    let looks = 0
    const refuse = () => {
      looks++
      return false
    }
    assert.equal(lanes.take(refuse), undefined)
    assert.equal(looks, 20_000)
    assert.ok(random.drawn <= 20_000)
    assert.equal(lanes.take(refuse), undefined)
    assert.equal(looks, 20_000)
    lanes.reopen('tag 7')
    assert.equal(lanes.take(anything)?.message.destination.kind, 'sender-tag')
    assert.equal(lanes.take(anything), undefined)
    lanes.reopenAll()
    assert.equal(takeAll(lanes).length, 19_999)
  })
})

describe('lanes of replies', () => {
  it('are one for each tag: who has no blocks does not hold up the others', () => {
    const lanes = lanesFrom('tags')
    const [poor, rich, plain] = [
      outgoing({ packets: 3, to: toTag('poor') }),
      outgoing({ packets: 3, to: toTag('rich') }),
      outgoing(),
    ]
    for (const message of [poor, rich, plain]) lanes.add(message)
    const taken = takeAll(lanes, (message) => message !== poor)
    assert.deepEqual([taken.length, taken.some(({ message }) => message === poor)], [4, false])
    assert.equal(lanes.length(GENERAL_LANE), 3)
    assert.deepEqual([...lanes.waitingByTag()], [['poor', 3]])
    assert.deepEqual(lanes.messagesFor('poor'), [poor])
    lanes.reopen('poor')
    assert.equal(takeAll(lanes).length, 3)
  })

  it('count requests apart, also requests that are sent again', () => {
    const lanes = lanesFrom('requests')
    const request = outgoing({ to: toTag('tag', 'surb-request'), lane: SURB_REQUEST_LANE })
    lanes.add(request)
    lanes.retransmit(request, 0)
    assert.equal(lanes.waitingFor('tag'), 0)
    assert.deepEqual([...lanes.waitingByTag()], [['tag', 0]])
    assert.deepEqual([...lanes.lengths()], [[SURB_REQUEST_LANE, 2]])
    lanes.retransmit(outgoing({ to: toTag('tag') }), 0)
    assert.equal(lanes.waitingFor('tag'), 1)
    assert.equal(lanes.length(RETRANSMISSION_LANE), 1)
  })

  it('do not name a message of which nothing is left in them', () => {
    const lanes = lanesFrom('taken')
    const [sent, waiting] = [outgoing({ to: toTag('tag') }), outgoing({ to: toTag('tag') })]
    lanes.add(sent)
    lanes.add(waiting)
    assert.equal(lanes.take(anything)?.message, sent)
    assert.deepEqual(lanes.messagesFor('tag'), [waiting])
  })
})

describe('lanes under any use', () => {
  const tags = ['x', 'y']
  const names = [GENERAL_LANE, 'connection:1', ADDITIONAL_SURBS_LANE]
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.tuple(fc.constant('add' as const), fc.nat(4), fc.integer({ min: 1, max: 150 })) },
    { weight: 6, arbitrary: fc.tuple(fc.constant('take' as const), fc.nat(3), fc.integer({ min: 1, max: 40 })) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('requeue' as const), fc.nat(), fc.nat()) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('acknowledge' as const), fc.nat(), fc.nat()) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('fail' as const), fc.nat(), fc.nat()) },
    { weight: 1, arbitrary: fc.tuple(fc.constantFrom('reopen' as const, 'reopen all' as const), fc.nat(1), fc.nat()) },
  )

  it('hold exactly what was put in, not taken, and not settled', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), fc.string(), (steps, seed) => {
        const lanes = lanesFrom(seed)
        const messages: OutgoingMessage[] = []
        const taken: QueuedPacket[] = []
        /** Packets that must be there, once each, by message and index. */
        const waiting = new Set<string>()
        const key = (message: OutgoingMessage, index: number) => `${message.id}/${index}`
        let blocked = 0
        // Bit by bit, which tags have no reply blocks.
        const canSend = ({ destination: to }: OutgoingMessage) =>
          to.kind === 'recipient' || (blocked & (1 << tags.indexOf(to.senderTag))) === 0
        for (const [kind, a, b] of steps) {
          const message = messages[a % (messages.length || 1)]
          if (kind === 'add') {
            const to = a < names.length ? {} : { to: toTag(tags[a - names.length]!) }
            const added = outgoing({ packets: b, lane: names[a % names.length]!, ...to })
            messages.push(added)
            lanes.add(added)
            for (let index = 0; index < b; index++) waiting.add(key(added, index))
          } else if (kind === 'take') {
            if ((blocked & ~a) !== 0) lanes.reopenAll()
            blocked = a
            for (let count = 0; count < b; count++) {
              const packet = lanes.take(canSend)
              if (packet === undefined) break
              assert.ok(canSend(packet.message))
              assert.ok(!packet.message.isSettled(packet.index))
              assert.ok(waiting.delete(key(packet.message, packet.index)), 'taken twice')
              taken.push(packet)
            }
          } else if (kind === 'requeue') {
            const packet = taken.splice(a % (taken.length || 1), 1)[0]
            if (packet === undefined || packet.message.isSettled(packet.index)) continue
            lanes.requeue(packet)
            waiting.add(key(packet.message, packet.index))
          } else if (kind === 'acknowledge') {
            const packet = taken[a % (taken.length || 1)]
            packet?.message.packetAcknowledged(packet.index)
          } else if (kind === 'fail') {
            message?.fail(new Error())
            lanes.sweep()
          } else if (kind === 'reopen') lanes.reopen(tags[a]!)
          else lanes.reopenAll()
          for (const message of messages.filter(({ ended }) => ended))
            for (let index = 0; index < message.packets; index++) waiting.delete(key(message, index))
          assert.equal(lanes.packets, waiting.size)
          assert.equal(sum(lanes.lengths()), waiting.size)
        }
        lanes.reopenAll()
        assert.equal(takeAll(lanes).length, waiting.size)
        assert.deepEqual([lanes.packets, lanes.lengths().size, lanes.waitingByTag().size], [0, 0, 0])
      }),
    )
  })
})
