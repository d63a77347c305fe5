/**
 * No silent loss, shown on a mixnet that loses, doubles and reorders packets: every message arrives exactly once and is
 * acknowledged, and what that costs is close to the least it can cost. A reply may fail instead, since it gives up after
 * ten retransmissions: then it says so.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MixError } from '@mixwright/runtime'
import type { Client, SendHandle } from '../src/api.js'
import { Machine } from './virtual-machine.js'
import { VirtualMixnet } from './virtual-mixnet.js'

/** A message that can be told from all others, of about this many bytes. */
const text = (name: string, bytes = 0) => `${name};`.padEnd(bytes, 'the quick brown fox ')
const names = ({ received }: Machine) => received.map((message) => message.text().split(';')[0]!).sort()
const range = <T>(count: number, item: (number: number) => T) => Array.from({ length: count }, (_, i) => item(i))

/** Why each of them failed; undefined where it was acknowledged. Runs the network until all are settled. */
async function reasons(mixnet: VirtualMixnet, handles: readonly SendHandle[]): Promise<(string | undefined)[]> {
  const outcomes = handles.map(({ acknowledged }) =>
    acknowledged.then(
      () => undefined,
      (reason) => (reason instanceof MixError ? reason.code : assert.fail(String(reason))),
    ),
  )
  return mixnet.during(Promise.all(outcomes))
}

/**
 * A packet is sent until it and its ack both get through, each with probability 1 − p: a geometric number of times with
 * mean 1/(1 − p)². All but the first are retransmissions.
 */
const retransmissionsPerPacket = (loss: number) => 1 / (1 - loss) ** 2 - 1

function firstSent(clients: readonly Client[]): { packets: number; retransmissions: number } {
  const counters = clients.map((client) => client.status().counters)
  const retransmissions = counters.reduce((sum, counter) => sum + counter.retransmissions, 0)
  return { packets: counters.reduce((sum, { packetsSent }) => sum + packetsSent, 0) - retransmissions, retransmissions }
}

describe('a network that loses, doubles and reorders packets', () => {
  for (const [loss, seed] of [
    [0.01, 'one percent'],
    [0.05, 'five percent'],
    [0.2, 'twenty percent'],
  ] as const) {
    it(`loses ${100 * loss} %: everything arrives once, at no more than 1.5 times the theoretical cost`, async (t) => {
      t.diagnostic(`seed: ${seed}`)
      const mixnet = await VirtualMixnet.create({ seed })
      Object.assign(mixnet.faults, { loss, duplication: 0.02, reorderMs: 400 })
      const [a, b, c] = [
        new Machine(mixnet, 'a'),
        new Machine(mixnet, 'b', mixnet.gateways[1]),
        new Machine(mixnet, 'c'),
      ]
      const [alice, bob, carol] = [await a.start(), await b.start(), await c.start()]

      const plain = range(500, (i) => text(`plain ${i}`)).concat(range(3, (i) => text(`large ${i}`, 250_000)))
      const anonymous = range(40, (i) => text(`anonymous ${i}`, 100))
      const handles = [
        ...plain.map((data) => alice.send(bob.address, data)),
        ...anonymous.map((data) => carol.send(bob.address, data, { replySurbs: 10 })),
      ]
      assert.deepEqual(new Set(await reasons(mixnet, handles)), new Set([undefined]))
      await mixnet.pass(10_000)
      assert.deepEqual(names(b), [...plain, ...anonymous].map((data) => data.split(';')[0]!).sort())

      const asked = b.received.filter(({ senderTag }) => senderTag !== undefined)
      const small = asked.map((message) => message.text().replace('anonymous', 'reply'))
      const replies = [...small, text('large reply', 900_000)]
      const replied = await reasons(
        mixnet,
        replies.map((data) => bob.reply(asked[0]!.senderTag!, data)),
      )
      await mixnet.pass(10_000)
      const failures = replied.filter((reason) => reason !== undefined)
      for (const reason of failures) assert.match(reason!, /^MIX_(UNACKNOWLEDGED|REPLY_NO_SURBS)$/)
      assert.ok(failures.length <= 1, `${failures.length} of ${replies.length} replies failed`)
      const arrived = names(c)
      assert.equal(new Set(arrived).size, arrived.length, 'a reply arrived twice')
      for (const [i, reply] of replies.entries())
        if (replied[i] === undefined)
          assert.ok(arrived.includes(reply.split(';')[0]!), `${reply.slice(0, 20)} is missing`)

      mixnet.assertConserved()
      const { packets, retransmissions } = firstSent([alice, bob, carol])
      const expected = packets * retransmissionsPerPacket(loss)
      t.diagnostic(
        `${packets} packets, ${retransmissions} retransmissions, in theory ${expected.toFixed(1)}: ` +
          `${(retransmissions / expected).toFixed(2)} times; ${failures.length} of ${replies.length} replies failed; ` +
          `dropped ${JSON.stringify(Object.fromEntries(mixnet.packets.dropped))}`,
      )
      assert.ok(retransmissions <= 1.5 * expected, `${retransmissions} retransmissions`)
      assert.ok(retransmissions >= expected / 1.5, 'packets were not lost')
      await Promise.all([alice, bob, carol].map((client) => mixnet.during(client.close())))
    })
  }
})

describe('a reply of 2 MB', () => {
  it('completes over ten reply blocks: the rest is asked for', async (t) => {
    t.diagnostic(`seed: ${t.name}`)
    const mixnet = await VirtualMixnet.create({ seed: t.name })
    const [a, b] = [new Machine(mixnet, 'a'), new Machine(mixnet, 'b', mixnet.gateways[1])]
    const [alice, bob] = [await a.start(), await b.start()]
    await mixnet.during(alice.send(bob.address, 'question', { replySurbs: 10 }).acknowledged)
    await mixnet.until(() => b.received.length === 1)
    const answer = mixnet.random.fork('answer').bytes(2_000_000)
    const start = mixnet.clock.monotonic()
    const reply = b.received[0]!.reply(answer)
    await mixnet.during(reply.acknowledged)
    await mixnet.pass(1000)
    assert.deepEqual(a.received[0]?.data, answer)
    const seconds = (mixnet.clock.monotonic() - start - 1000) / 1000
    t.diagnostic(`${reply.progress.packets} packets in ${seconds.toFixed(1)} s`)
    assert.equal(reply.progress.retransmissions, 0)
    assert.ok([...bob.status().replies.values()][0]!.surbs < 400, 'not many more were asked for than needed')
  })
})

describe('a recipient whose gateway the network does not list', () => {
  it('is given up within half a minute, also right after the network was read', async () => {
    const mixnet = await VirtualMixnet.create({ seed: 'unlisted gateway' })
    const alice = await new Machine(mixnet, 'a').start()
    const [keys, identity] = [alice.address.split('@')[0]!, alice.address.split('.')[0]!]
    const since = mixnet.clock.monotonic()
    assert.deepEqual(await reasons(mixnet, [alice.send(`${keys}@${identity}`, 'hello')]), ['MIX_RECIPIENT_GATEWAY'])
    assert.ok(mixnet.clock.monotonic() - since < 30_000)
    await mixnet.during(alice.close())
  })
})
