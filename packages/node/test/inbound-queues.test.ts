import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PACKET_SIZES } from '@mixwright/sphinx'
import type { Frame } from '@mixwright/wire'
import { InboundQueues } from '../src/mix/inbound-queues.js'

const BYTES = PACKET_SIZES.regular.packetBytes
const frame = (mark: number): Frame => {
  const packet = new Uint8Array(BYTES)
  packet[0] = mark
  return { version: 8, size: PACKET_SIZES.regular, rotation: 0, packet }
}
const marks = (taken: { frame: Frame }[]) => taken.map(({ frame }) => frame.packet[0])

function queuesWith(options: { targetBytes?: number; maximumBytes?: number } = {}) {
  const dropped: string[] = []
  const queues = new InboundQueues({ ...options, dropped: (reason) => dropped.push(reason) })
  return { queues, dropped }
}

describe('the inbound queues', () => {
  it('serve addresses in turn, and the links of one address in turn, each in order', () => {
    const { queues } = queuesWith()
    const flood = [queues.open('10.0.0.1', () => {}), queues.open('10.0.0.1', () => {})]
    const honest = queues.open('10.0.0.2', () => {})
    for (let i = 0; i < 4; i++) for (const [index, link] of flood.entries()) link.push(frame(10 * (index + 1) + i), 0)
    honest.push(frame(1), 0)
    honest.push(frame(2), 0)
    assert.deepEqual(marks(queues.take(7, 0)), [10, 1, 20, 2, 11, 21, 12])
    assert.deepEqual(marks(queues.take(100, 0)), [22, 13, 23])
    assert.equal(queues.size, 0)
  })

  it('hold a link back once it has more than its share, and let it go on below', () => {
    const { queues } = queuesWith({ targetBytes: 10 * BYTES })
    let resumed = 0
    const link = queues.open('10.0.0.1', () => resumed++)
    for (let i = 0; i < 10; i++) link.push(frame(i), 0)
    assert.equal(link.full, false)
    link.push(frame(10), 0)
    assert.equal(link.full, true)
    assert.equal(resumed, 0)
    queues.take(1, 0)
    assert.equal(resumed, 1)
    // Two links share: each has half.
    const other = queues.open('10.0.0.2', () => {})
    for (let i = 0; i < 8; i++) other.push(frame(i), 0)
    assert.equal(other.full, true)
  })

  it('drop what waited longer than a quarter of a second, oldest first, counted', () => {
    const { queues, dropped } = queuesWith()
    const link = queues.open('10.0.0.1', () => {})
    // Two frames come while one is served, every ten milliseconds.
    const served: (number | undefined)[] = []
    for (let turn = 1; turn <= 60; turn++) {
      link.push(frame(turn), turn * 10)
      link.push(frame(turn), turn * 10)
      served.push(...marks(queues.take(1, turn * 10)))
    }
    assert.equal(served.length, 60)
    assert.ok(dropped.length > 0)
    assert.ok(dropped.every((reason) => reason === 'ingress-late'))
    // Who is served waited 250 ms at most, the turn in which it came included.
    assert.equal(60 - served.at(-1)!, 24)
  })

  it('do not hold against a frame that the machine was away', () => {
    const { queues, dropped } = queuesWith()
    const link = queues.open('10.0.0.1', () => {})
    queues.take(1, 0)
    for (let i = 0; i < 5; i++) link.push(frame(i), 0)
    assert.deepEqual(marks(queues.take(2, 3_600_000)), [0, 1])
    assert.deepEqual(marks(queues.take(3, 7_200_000)), [2, 3, 4])
    assert.deepEqual(dropped, [])
  })

  it('never hold more than their maximum: the oldest of the pushing link goes, counted', () => {
    const { queues, dropped } = queuesWith({ maximumBytes: 4 * BYTES })
    const quiet = queues.open('10.0.0.1', () => {})
    const loud = queues.open('10.0.0.2', () => {})
    const late = queues.open('10.0.0.3', () => {})
    quiet.push(frame(1), 0)
    for (let i = 10; i < 20; i++) loud.push(frame(i), 0)
    late.push(frame(2), 0)
    assert.equal(queues.size, 4)
    assert.equal(dropped.length, 8)
    assert.deepEqual(marks(queues.take(10, 0)), [1, 17, 18, 19])
  })

  it('serve what a link left behind when it closed, without resuming it', () => {
    const { queues } = queuesWith({ targetBytes: BYTES })
    let resumed = 0
    const link = queues.open('10.0.0.1', () => resumed++)
    for (let i = 0; i < 20; i++) link.push(frame(i), 0)
    assert.equal(link.full, true)
    link.close()
    assert.equal(queues.take(100, 0).length, 20)
    assert.equal(resumed, 0)
  })
})
