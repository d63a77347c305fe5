/** A reply of 10 MB over ten reply blocks, without loss and with some, on the virtual clock. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Machine } from '../virtual-machine.js'
import { VirtualMixnet } from '../virtual-mixnet.js'

const isQuick = process.env.MIXWRIGHT_SOAK_QUICK === '1'
const BYTES = isQuick ? 200_000 : 10_000_000

describe(`a reply of ${BYTES} bytes over ten reply blocks`, () => {
  for (const loss of [0, 0.05])
    it(`completes where ${100 * loss} % of packets are lost`, async (t) => {
      t.diagnostic(`seed: ${t.name}`)
      const mixnet = await VirtualMixnet.create({ seed: t.name })
      const [a, b] = [new Machine(mixnet, 'a'), new Machine(mixnet, 'b', mixnet.gateways[1])]
      const [alice, { address }] = [await a.start(), await b.start()]
      mixnet.faults.loss = loss
      await mixnet.during(alice.send(address, 'question', { replySurbs: 10 }).acknowledged)
      await mixnet.until(() => b.received.length === 1)
      const answer = mixnet.random.fork('answer').bytes(BYTES)
      const start = mixnet.clock.monotonic()
      const reply = b.received[0]!.reply(answer)
      await mixnet.during(reply.acknowledged)
      const seconds = (mixnet.clock.monotonic() - start) / 1000
      await mixnet.pass(1000)
      assert.deepEqual(a.received[0]?.data, answer)
      const { packets, retransmissions } = reply.progress
      t.diagnostic(`${packets} packets, ${retransmissions} retransmissions, ${seconds.toFixed(1)} s of virtual time`)
      mixnet.assertConserved()
    })
})
