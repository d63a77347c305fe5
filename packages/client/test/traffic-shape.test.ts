/**
 * What an observer of packets can learn from a client, and what not: when they leave (the main stream is Poisson whatever is
 * sent), of which kind they are (Sphinx version 259, all of them), and how many come home.
 */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { type Clock, type Random, SeededRandom, type Timer, uniform, VirtualClock } from '@mixwright/runtime'
import type { Client } from '../src/api.js'
import { PROFILES } from '../src/profile.js'
import { type Filling, SendStream } from '../src/send/send-stream.js'
import { Machine } from './virtual-machine.js'
import { VirtualMixnet } from './virtual-mixnet.js'

const INTERVALS = 100_000
const { averageSendingDelayMs: MAIN_MS, averageLoopCoverDelayMs: LOOP_MS } = PROFILES.default

/**
 * P(D ≥ d) of Kolmogorov and Smirnov for samples of this effective size (n, or n·m/(n + m) for two samples), with Stephens'
 * correction: 2 · Σ (−1)^(k−1) · e^(−2k²λ²).
 */
function pValue(distance: number, size: number): number {
  const lambda = (Math.sqrt(size) + 0.12 + 0.11 / Math.sqrt(size)) * distance
  let sum = 0
  for (let k = 1; k <= 100; k++) sum += 2 * (k % 2 === 1 ? 1 : -1) * Math.exp(-2 * (k * lambda) ** 2)
  return Math.min(1, Math.max(0, sum))
}

/** Whether the sample is of Exp(mean). */
function againstExponential(sample: readonly number[], meanMs: number): number {
  const sorted = Float64Array.from(sample).sort()
  let distance = 0
  for (const [i, value] of sorted.entries()) {
    const expected = -Math.expm1(-value / meanMs)
    distance = Math.max(distance, Math.abs(expected - i / sorted.length), Math.abs(expected - (i + 1) / sorted.length))
  }
  return pValue(distance, sorted.length)
}

/** Whether both samples are of one distribution. */
function againstEachOther(one: readonly number[], other: readonly number[]): number {
  const [a, b] = [Float64Array.from(one).sort(), Float64Array.from(other).sort()]
  let [i, j, distance] = [0, 0, 0]
  while (i < a.length && j < b.length) {
    const value = Math.min(a[i]!, b[j]!)
    while (i < a.length && a[i]! <= value) i++
    while (j < b.length && b[j]! <= value) j++
    distance = Math.max(distance, Math.abs(i / a.length - j / b.length))
  }
  return pValue(distance, (a.length * b.length) / (a.length + b.length))
}

/** A clock whose timers come late, by up to so much, as on a machine under load. */
class LateClock implements Clock {
  readonly virtual = new VirtualClock()
  readonly #random: Random
  readonly #latestMs: number

  constructor(random: Random, latestMs: number) {
    this.#random = random
    this.#latestMs = latestMs
  }

  now(): number {
    return this.virtual.now()
  }

  monotonic(): number {
    return this.virtual.monotonic()
  }

  setTimer(delayMs: number, action: () => void): Timer {
    return this.virtual.setTimer(delayMs + this.#latestMs * uniform(this.#random), action)
  }
}

interface Slot {
  readonly atMs: number
  readonly filling: Filling
}

/** The slots of a stream. `busy`: an app queues things at every turn, and the stream is told of each. */
function slotsOf(seed: string, latestMs: number, busy: boolean, slots = 1.15 * INTERVALS): Slot[] {
  const random = new SeededRandom(seed)
  const clock = new LateClock(random.fork('late'), latestMs)
  const told: Slot[] = []
  const stream = new SendStream({
    clock,
    random: random.fork('stream'),
    profile: PROFILES.default,
    constantLoops: false,
    unsentBytes: () => 0,
    transmit: (filling) => {
      told.push({ atMs: clock.monotonic(), filling })
      return true
    },
  })
  stream.start()
  const bursts = random.fork('app')
  const queue = () => {
    for (let messages = 10 * uniform(bursts); messages > 0; messages--) stream.wake()
    clock.virtual.setTimer(30 * uniform(bursts), queue)
  }
  if (busy) queue()
  while (told.length < slots) clock.virtual.nextEvent()
  stream.stop()
  return told
}

const intervals = (times: readonly number[]) => times.slice(1).map((time, i) => time - times[i]!)
const mainIntervals = (slots: readonly Slot[]) =>
  intervals(slots.flatMap(({ atMs, filling }) => (filling === 'loop' ? [] : [atMs]))).slice(0, INTERVALS)

describe('Kolmogorov and Smirnov, who judge below', () => {
  const random = new SeededRandom('judges')
  const sample = (meanMs: number) => Array.from({ length: 20_000 }, () => -Math.log(1 - uniform(random)) * meanMs)

  it('tell means that differ by five percent, and let equal ones pass', () => {
    const sound = Array.from({ length: 40 }, () => sample(20))
    const verdicts = sound.map((one) => againstExponential(one, 20))
    const rejected = verdicts.filter((p) => p < 0.1).length
    assert.ok(rejected >= 0 && rejected <= 10, `${rejected} of 40 are among the worst tenth`)
    assert.ok(verdicts.filter((p) => p > 0.5).length > 10)
    assert.ok(againstExponential(sample(21), 20) < 0.01)
    assert.ok(againstEachOther(sample(21), sample(20)) < 0.01)
    assert.ok(againstEachOther(sample(20), sample(20)) > 0.01)
    assert.ok(pValue(1.36 / Math.sqrt(1e6), 1e6) > 0.048 && pValue(1.36 / Math.sqrt(1e6), 1e6) < 0.052)
  })
})

describe('the main stream', () => {
  it(`of an idle and of a busy client cannot be told apart over ${INTERVALS} intervals: Exp(${MAIN_MS} ms) both`, (t) => {
    t.diagnostic('seeds: idle, busy')
    const [idle, busy] = [mainIntervals(slotsOf('idle', 0, false)), mainIntervals(slotsOf('busy', 0, true))]
    assert.equal(idle.length, INTERVALS)
    assert.equal(busy.length, INTERVALS)
    const p = {
      idle: againstExponential(idle, MAIN_MS),
      busy: againstExponential(busy, MAIN_MS),
      each: againstEachOther(idle, busy),
    }
    t.diagnostic(`p: idle ${p.idle.toFixed(3)}, busy ${p.busy.toFixed(3)}, against each other ${p.each.toFixed(3)}`)
    for (const value of Object.values(p)) assert.ok(value > 0.01)
  })

  it('of both looks the same where timers come up to 4 ms late, and is no slower', (t) => {
    t.diagnostic('seeds: idle late, busy late')
    const [idle, busy] = [mainIntervals(slotsOf('idle late', 4, false)), mainIntervals(slotsOf('busy late', 4, true))]
    const p = againstEachOther(idle, busy)
    const mean = idle.reduce((sum, interval) => sum + interval, 0) / idle.length
    t.diagnostic(`p: against each other ${p.toFixed(3)}; mean ${mean.toFixed(3)} ms`)
    assert.ok(p > 0.01)
    // Slots are counted from the slot before, not from the late timer. Four standard errors.
    assert.ok(Math.abs(mean - MAIN_MS) < (4 * MAIN_MS) / Math.sqrt(INTERVALS), `mean ${mean}`)
  })
})

/** An app that never lets the queue of its client run empty. */
function keepBusy(mixnet: VirtualMixnet, client: Client, to: string): void {
  const turn = () => {
    while (client.status().queue.packets < 20)
      client.send(to, 'x'.repeat(1 + (client.status().queue.packets % 3) * 2000))
    mixnet.clock.setTimer(50, turn)
  }
  turn()
}

describe('packets on the link', () => {
  it('of a whole client that is idle, and of one that sends all it can, leave at the same Poisson times', async (t) => {
    const seconds = 15
    const samples: number[][] = []
    for (const busy of [false, true]) {
      const mixnet = await VirtualMixnet.create({ seed: `${t.name} ${busy}` })
      t.diagnostic(`seed: ${mixnet.seed}`)
      const a = new Machine(mixnet, 'a')
      const times: number[] = []
      const alice = await a.start({ profile: PROFILES.default })
      if (busy) keepBusy(mixnet, alice, alice.address)
      a.onSend = () => times.push(mixnet.clock.monotonic())
      await mixnet.pass(seconds * 1000)
      const { coverSent, packetsSent } = alice.status().counters
      t.diagnostic(`${busy ? 'busy' : 'idle'}: ${packetsSent} packets, ${coverSent} of them cover`)
      assert.ok(busy ? coverSent < packetsSent / 5 : coverSent === packetsSent)
      samples.push(intervals(times))
    }
    // Main stream and loop cover together are again a Poisson process, of both rates.
    const meanMs = 1 / (1 / MAIN_MS + 1 / LOOP_MS)
    const p = [
      ...samples.map((sample) => againstExponential(sample, meanMs)),
      againstEachOther(samples[0]!, samples[1]!),
    ]
    t.diagnostic(
      `p: ${p.map((value) => value.toFixed(3)).join(', ')} over ${samples.map(({ length }) => length)} intervals`,
    )
    for (const value of p) assert.ok(value > 0.01)
  })

  it('are of Sphinx version 259 at every hop: data, replies, cover, drop cover, and the acks of all of them', async (t) => {
    t.diagnostic(`seed: ${t.name}`)
    const mixnet = await VirtualMixnet.create({ seed: t.name })
    const [a, b] = [new Machine(mixnet, 'a'), new Machine(mixnet, 'b', mixnet.gateways[1])]
    const alice = await a.start({ profile: PROFILES.default, constantLoops: true })
    const bob = await b.start({ profile: PROFILES.default })
    alice.send(bob.address, 'plain'.padEnd(5000))
    alice.send(bob.address, 'question', { replySurbs: 10 })
    await mixnet.until(() => b.received.length === 2)
    // More than the reply blocks are good for, so that more are asked for.
    const reply = b.received.find(({ senderTag }) => senderTag !== undefined)!.reply('answer'.padEnd(30_000))
    await mixnet.during(reply.acknowledged)
    await mixnet.pass(500)
    assert.equal(a.received.length, 1)
    assert.ok(alice.status().counters.coverReceived > 50 && bob.status().counters.coverReceived > 50)
    assert.ok(mixnet.dropped('no-ack') > 50, 'drop cover ended')
    const versions = [...mixnet.versions.keys()]
    t.diagnostic(`${mixnet.versions.get(259)} layers peeled`)
    assert.deepEqual(versions, [259])
    mixnet.assertConserved()
  })
})

interface Pushed {
  readonly data: number
  readonly acks: number
}

/** What gateways push in so long to an idle, a sending and a receiving client, and packets that they take of each. */
async function pushedTo(t: TestContext, constantLoops: boolean, seconds: number): Promise<Record<string, Pushed>> {
  const mixnet = await VirtualMixnet.create({ seed: `${t.name} ${constantLoops}` })
  t.diagnostic(`seed: ${mixnet.seed}`)
  const machines = {
    idle: new Machine(mixnet, 'i'),
    sending: new Machine(mixnet, 's'),
    receiving: new Machine(mixnet, 'r'),
  }
  const options = { profile: PROFILES.default, constantLoops }
  await machines.idle.start(options)
  const sender = await machines.sending.start(options)
  const recipient = await machines.receiving.start(options)
  keepBusy(mixnet, sender, recipient.address)
  await mixnet.pass(2000)
  const before = Object.values(machines).map(({ pushedData, pushedAcks }) => ({ pushedData, pushedAcks }))
  await mixnet.pass(1000 * seconds)
  const rates = Object.entries(machines).map(([name, { pushedData, pushedAcks }], i): [string, Pushed] => [
    name,
    { data: pushedData - before[i]!.pushedData, acks: pushedAcks - before[i]!.pushedAcks },
  ])
  for (const [name, { data, acks }] of rates)
    t.diagnostic(
      `${constantLoops ? 'constant loops' : 'default'}: ${name} client is pushed ` +
        `${(data / seconds).toFixed(1)} data packets and ${(acks / seconds).toFixed(1)} acks a second`,
    )
  return Object.fromEntries(rates)
}

/** Whether two Poisson counts over the same time can be of one rate: within four standard deviations. */
const areAlike = (one: number, other: number) => Math.abs(one - other) <= 4 * Math.sqrt(one + other)

describe('data packets that come home', () => {
  const seconds = 6

  it('tell who sends, by default: real packets take the place of cover that would have come back', async (t) => {
    const { idle, sending, receiving } = await pushedTo(t, false, seconds)
    assert.ok(!areAlike(idle!.data, sending!.data))
    assert.ok(!areAlike(idle!.data, receiving!.data))
    assert.ok(sending!.data < idle!.data / 5)
  })

  it('do not tell who sends with constant loops: a sending client is pushed as many as an idle one', async (t) => {
    const { idle, sending, receiving } = await pushedTo(t, true, seconds)
    assert.ok(areAlike(idle!.data, sending!.data), `${idle!.data} and ${sending!.data}`)
    // Acks of real packets are not made up for, as drop cover has none; see docs/decisions/0009.
    assert.ok(!areAlike(idle!.acks, sending!.acks))
    // What arrives cannot be hidden by what is sent.
    assert.ok(receiving!.data > idle!.data + 4 * Math.sqrt(receiving!.data))
  })
})
