import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { AckTracker } from '../src/send/ack-tracker.js'
import { DueQueue } from '../src/send/due-queue.js'
import type { MessageOutcome } from '../src/send/outgoing-message.js'
import { outgoing } from './outgoing.js'

/** Of a packet with this expected round trip, sent once: 04-client §4.12. */
const waitMs = (expectedRttMs: number) => 1.5 * expectedRttMs + 1500

describe('a packet', () => {
  it('is late after 1.5 times its expected round trip and 1.5 s, counted from when it left', () => {
    const acks = new AckTracker()
    const message = outgoing({ packets: 2 })
    acks.sent(message, 0, 100, 5000)
    acks.sent(message, 1, 40, 5000)
    assert.deepEqual([acks.size, acks.awaited], [2, 2])
    assert.equal(acks.nextDueMs, 5000 + waitMs(40))
    assert.equal(acks.takeLate(5000 + waitMs(40) - 1), undefined)
    assert.deepEqual(acks.takeLate(5000 + waitMs(40)), { message, index: 1, retransmissions: 0 })
    assert.equal(acks.takeLate(5000 + waitMs(40)), undefined)
    assert.deepEqual([acks.size, acks.awaited], [2, 1], 'a late one is known still')
    assert.equal(acks.takeLate(5000 + waitMs(100))?.index, 0)
  })

  it('is settled by its ack, once, and is not late then', () => {
    const ends: MessageOutcome[] = []
    const acks = new AckTracker()
    const message = outgoing({ packets: 2, onEnd: (_, outcome) => ends.push(outcome) })
    for (const index of [0, 1]) acks.sent(message, index, 50, 0)
    assert.deepEqual(acks.acknowledged(message.chunks.identifier(0), 50), { excessMs: 0, wasLate: false })
    assert.equal(acks.acknowledged(message.chunks.identifier(0), 51), undefined)
    assert.equal(acks.acknowledged({ setId: 1, position: 1 }, 52), undefined, 'nobody waits for this')
    assert.equal(message.acknowledged, 1)
    assert.ok(acks.acknowledged(message.chunks.identifier(1), 60))
    assert.deepEqual(ends, [{ kind: 'acknowledged' }])
    assert.equal(acks.takeLate(1e9), undefined)
    assert.deepEqual([acks.size, acks.awaited], [0, 0])
  })

  it('may be acknowledged when it is late, and says so: it is queued again somewhere', () => {
    const acks = new AckTracker()
    const message = outgoing()
    acks.sent(message, 0, 50, 0)
    acks.takeLate(waitMs(50))
    assert.equal(acks.acknowledged(message.chunks.identifier(0), 9000)?.wasLate, true)
    assert.ok(message.ended)
  })

  it('sent again waits as long some times, then twice as long each time, a minute at most', () => {
    const acks = new AckTracker()
    const message = outgoing()
    const waits: number[] = []
    let nowMs = 0
    for (let attempt = 0; attempt <= 14; attempt++) {
      acks.sent(message, 0, 100, nowMs)
      waits.push(acks.nextDueMs! - nowMs)
      nowMs = acks.nextDueMs!
      assert.equal(acks.takeLate(nowMs)?.retransmissions, attempt)
    }
    const plain = waitMs(100)
    const plainAttempts = waits.findIndex((wait) => wait > plain)
    assert.ok(plainAttempts > 3 && plainAttempts < 12, `${plainAttempts} at the plain pace`)
    for (const [attempt, wait] of waits.entries())
      assert.equal(wait, Math.min(60_000, plain * 2 ** Math.max(0, attempt + 1 - plainAttempts)))
  })

  it('of a message that has ended is neither late nor waited for', () => {
    const acks = new AckTracker()
    const [failed, other] = [outgoing({ packets: 3 }), outgoing()]
    acks.sent(failed, 0, 50, 0)
    failed.packetSent()
    acks.sent(failed, 1, 50, 0)
    failed.packetSent()
    acks.sent(other, 0, 50, 0)
    failed.fail(new Error())
    acks.forget(failed)
    assert.deepEqual([acks.size, acks.awaited], [1, 1])
    assert.equal(acks.acknowledged(failed.chunks.identifier(0), 10), undefined)
    assert.equal(acks.takeLate(1e9)?.message, other)
    assert.equal(acks.takeLate(1e9), undefined)
  })
})

describe('what acks take beyond the delays drawn', () => {
  it('is added to the wait of packets that follow', () => {
    const acks = new AckTracker()
    for (let number = 0; number < 100; number++) {
      const message = outgoing()
      acks.sent(message, 0, 100, 1000 * number)
      acks.acknowledged(message.chunks.identifier(0), 1000 * number + 400)
    }
    assert.ok(Math.abs(acks.excessMs - 300) < 1, String(acks.excessMs))
    assert.equal(acks.takeLate(199_999), undefined)
    acks.sent(outgoing(), 0, 100, 200_000)
    assert.ok(Math.abs(acks.nextDueMs! - 200_000 - waitMs(400)) < 2)
  })

  it('is not learnt from packets that were sent twice: whose ack it is cannot be told', () => {
    const acks = new AckTracker()
    const message = outgoing()
    acks.sent(message, 0, 100, 0)
    acks.takeLate(waitMs(100))
    acks.sent(message, 0, 100, 2000)
    assert.deepEqual(acks.acknowledged(message.chunks.identifier(0), 2001), { excessMs: undefined, wasLate: false })
    assert.equal(acks.excessMs, 0)
  })

  it('counts ten seconds at most: a machine that slept does not make its client wait for hours', () => {
    const acks = new AckTracker()
    for (let number = 0; number < 200; number++) {
      const message = outgoing()
      acks.sent(message, 0, 100, 0)
      acks.acknowledged(message.chunks.identifier(0), 3_600_000)
    }
    assert.ok(acks.excessMs <= 10_000)
  })
})

describe('things that fall due', () => {
  it('come earliest first, each once, and not before their time', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1000), fc.boolean()), { maxLength: 200, size: 'max' }), (steps) => {
        const queue = new DueQueue<number>()
        const model: number[] = []
        for (const [number, isTaking] of steps) {
          if (isTaking) {
            const due = model.filter((dueMs) => dueMs <= number).sort((a, b) => a - b)[0]
            assert.equal(queue.takeDue(number), due)
            if (due !== undefined) model.splice(model.indexOf(due), 1)
          } else {
            queue.add(number, number)
            model.push(number)
          }
          assert.equal(queue.size, model.length)
          assert.equal(queue.nextDueMs, model.length === 0 ? undefined : Math.min(...model))
        }
      }),
    )
  })
})
