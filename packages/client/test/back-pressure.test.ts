/**
 * An app that sends faster than the stream: `queued` holds it back, memory stays flat, and one that does not listen is told
 * that the queue is full. Nothing is dropped in silence. The soak does the same with a million messages.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MixError } from '@mixwright/runtime'
import { impatientApp, patientApp } from './hollow-sender.js'
import { bytesInUse, MIB } from './memory-use.js'
import { Machine } from './virtual-machine.js'
import { settled, VirtualMixnet } from './virtual-mixnet.js'

describe('150 000 small messages, without the packets', () => {
  it('pass with flat memory when each is awaited until it is queued', (t) => patientApp(t, 150_000))

  it('sent at once by an app that does not listen: what is too much fails with MIX_QUEUE_FULL, the rest passes', (t) =>
    impatientApp(t, 150_000))
})

describe('a whole client whose link is stuck', () => {
  it('holds back an app that awaits `queued`, and lets it go on when the link goes on', async (t) => {
    t.diagnostic(`seed: ${t.name}`)
    const mixnet = await VirtualMixnet.create({ seed: t.name })
    const [a, b] = [new Machine(mixnet, 'a'), new Machine(mixnet, 'b', mixnet.gateways[1])]
    const [alice, bob] = [await a.start(), await b.start()]
    a.unsentBytes = MIB
    let queued = 0
    const app = async () => {
      for (; queued < 1200; queued++) await alice.send(bob.address, `message ${queued}`).queued
    }
    const running = app()
    await mixnet.pass(60_000)
    assert.equal(queued, 500)
    assert.equal(alice.status().queue.packets, 500)
    assert.equal(a.sent, 0, 'a full link gets nothing more')
    a.unsentBytes = 0
    await mixnet.during(running)
    await mixnet.until(() => alice.status().queue.messages === 0)
    await mixnet.pass(1000)
    assert.equal(new Set(b.received.map((message) => message.text())).size, 1200)
    assert.equal(b.received.length, 1200)
  })

  it('tells an app that does not listen: further messages fail with MIX_QUEUE_FULL, and may be sent again', async (t) => {
    t.diagnostic(`seed: ${t.name}`)
    const mixnet = await VirtualMixnet.create({ seed: t.name })
    const a = new Machine(mixnet, 'a')
    const alice = await a.start()
    a.cut()
    const reasons = new Map<string, number>()
    const start = bytesInUse()
    for (let i = 0; i < 120_000; i++) {
      const handle = alice.send(alice.address, `message ${i}`)
      if (i % 500 !== 0) continue
      handle.queued.catch((reason) => {
        assert.ok(reason instanceof MixError)
        reasons.set(reason.code, (reasons.get(reason.code) ?? 0) + 1)
        if (reason.code === 'MIX_QUEUE_FULL') assert.ok(reason.retry)
      })
      await settled()
    }
    const mebibytes = (bytesInUse() - start) / MIB
    const { queue, counters } = alice.status()
    t.diagnostic(`${counters.messagesFailed} refused; ${mebibytes.toFixed(0)} MiB for ${queue.messages} that wait`)
    assert.deepEqual([...reasons], [['MIX_QUEUE_FULL', 39]])
    assert.equal(queue.messages, 100_500)
    assert.equal(counters.messagesFailed, 19_500)
    assert.ok(mebibytes < 400)
    await mixnet.during(alice.close({ flushMs: 0 }))
    assert.equal(alice.status().queue.messages, 0)
    // Of what waited, none is forgotten: one of the first 500 was queued, all others learn that the client has closed.
    assert.deepEqual(Object.fromEntries(reasons), { MIX_QUEUE_FULL: 39, MIX_CLIENT_CLOSED: 200 })
  })
})
