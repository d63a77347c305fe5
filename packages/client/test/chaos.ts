/**
 * Hours of everything going wrong by turns, from a seed: three clients write to each other while packets are lost, doubled
 * and reordered, connections are cut, laptops sleep, gateways and processes are killed, the directory is away, and keys
 * rotate. In the end every message that was queued has arrived once, or its sender was told why not.
 */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { MixError, uniform } from '@mixwright/runtime'
import type { Client } from '../src/api.js'
import { Machine } from './virtual-machine.js'
import { VirtualMixnet } from './virtual-mixnet.js'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
/** Ten retransmissions were not enough, or the other side was away for too long, or keys rotated meanwhile. */
const REPLY_FAILURES = ['MIX_UNACKNOWLEDGED', 'MIX_REPLY_NO_SURBS', 'MIX_REPLY_NO_TAG']

/** Someone with a machine, and a client on it most of the time. */
interface Person {
  readonly name: string
  readonly machine: Machine
  client: Client
  /** Awake, and its process alive. */
  isThere: boolean
}

interface Letter {
  readonly text: string
  readonly to: Person
  readonly isReply: boolean
  /** `queued` for ever: the process of its sender was killed. Else the code of an error. */
  outcome: 'sent' | 'queued' | 'acknowledged' | string
}

export async function chaos(t: TestContext, seed: string, hours: number): Promise<void> {
  t.diagnostic(`seed: ${seed}`)
  const mixnet = await VirtualMixnet.create({ seed, epochMs: 10 * MINUTE, validityEpochs: 3 })
  const random = mixnet.random.fork('chaos')
  Object.assign(mixnet.faults, { loss: 0.03, duplication: 0.01, reorderMs: 300 })
  const people: Person[] = []
  for (const [i, name] of ['ann', 'ben', 'cat'].entries()) {
    const machine = new Machine(mixnet, name, mixnet.gateways[i % 2])
    people.push({ name, machine, client: await machine.start(), isThere: true })
  }
  const letters: Letter[] = []
  let isOver = false
  const happened = new Map<string, number>()
  const happens = (what: string) => happened.set(what, (happened.get(what) ?? 0) + 1)
  const oneOf = <T>(items: readonly T[]): T => items[Math.floor(uniform(random) * items.length)]!
  const upTo = (ms: number) => ms * uniform(random)

  const write = () => {
    if (isOver) return
    mixnet.clock.setTimer(upTo(20 * SECOND), write)
    const from = oneOf(people)
    if (!from.isThere) return
    const questions = from.machine.received.filter(({ senderTag }) => senderTag !== undefined).slice(-5)
    const question = uniform(random) < 0.3 ? oneOf(questions) : undefined
    const to = question
      ? people.find(({ name }) => question.text().startsWith(name))!
      : oneOf(people.filter((one) => one !== from))
    const text = `${from.name} ${letters.length};`
    const data = text.padEnd(oneOf([10, 1000, 10_000, 100_000]))
    const replySurbs = oneOf([0, 0, 10, 50])
    // The handle of a reply comes from the client that runs now: the one that had the question may be gone.
    const handle = question
      ? from.client.reply(question.senderTag!, data)
      : from.client.send(to.client.address, data, { replySurbs })
    const letter: Letter = { text, to, isReply: question !== undefined, outcome: 'sent' }
    letters.push(letter)
    const fail = (reason: unknown) => {
      letter.outcome = reason instanceof MixError ? reason.code : assert.fail(String(reason))
    }
    handle.queued.then(() => {
      letter.outcome = 'queued'
    }, fail)
    handle.acknowledged.then(() => {
      letter.outcome = 'acknowledged'
    }, fail)
  }

  const disturb = () => {
    if (isOver) return
    mixnet.clock.setTimer(upTo(2 * MINUTE), disturb)
    const person = oneOf(people)
    const { machine } = person
    const gateway = oneOf(mixnet.gateways)
    const what = oneOf(['cut', 'sleep', 'gateway', 'kill', 'directory'])
    if (what === 'gateway') {
      if (gateway.isDown) return
      gateway.kill()
      mixnet.clock.setTimer(upTo(MINUTE), () => gateway.restart())
    } else if (what === 'directory') {
      mixnet.directoryAway = true
      mixnet.clock.setTimer(upTo(5 * MINUTE), () => {
        mixnet.directoryAway = false
      })
    } else {
      if (!person.isThere) return
      person.isThere = false
      const length = upTo(5 * MINUTE)
      if (what === 'sleep') machine.sleep(uniform(random) < 0.5 ? 'stops' : 'goes-on')
      else machine.cut()
      if (what === 'kill') mixnet.clock.setTimer(100, () => machine.kill())
      mixnet.clock.setTimer(100 + length, () => void back(person, what))
    }
    happens(what)
  }

  const back = async (person: Person, what: string) => {
    const { machine } = person
    if (what === 'sleep') machine.wake()
    else machine.restore()
    if (what === 'kill') {
      for (;;) {
        // Connecting begins with a directory and a gateway that are there.
        try {
          person.client = await machine.start()
          break
        } catch (error) {
          assert.ok(error instanceof MixError && error.retry, String(error))
          await new Promise<void>((resolve) => mixnet.clock.setTimer(5 * SECOND, resolve))
        }
      }
    }
    person.isThere = true
  }

  write()
  disturb()
  await mixnet.pass(hours * HOUR)
  isOver = true
  await mixnet.until(
    () => people.every(({ isThere, client }) => isThere && client.status().queue.messages === 0),
    2 * HOUR,
  )
  // Links that died unnoticed are noticed, and what waits in mailboxes comes.
  await mixnet.pass(3 * MINUTE)
  t.diagnostic(`${letters.length} messages; ${JSON.stringify(Object.fromEntries(happened))}`)

  const outcomes = new Map<string, number>()
  for (const { text, to, isReply, outcome } of letters) {
    const arrived = to.machine.received.filter((message) => message.text().startsWith(text)).length
    const kind = `${isReply ? 'reply' : 'message'} ${outcome}, arrived ${arrived} times`
    outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1)
    assert.ok(arrived <= 1, `${text} ${kind}`)
    if (outcome === 'acknowledged') assert.equal(arrived, 1, `${text} ${kind}`)
    // Its sender's process was killed: the next one sends it, but cannot tell if a reply fails.
    else if (outcome === 'queued') assert.ok(arrived === 1 || isReply, `${text} ${kind}`)
    else if (outcome !== 'sent') assert.ok(isReply && REPLY_FAILURES.includes(outcome), `${text} ${kind}`)
  }
  for (const [kind, count] of outcomes) t.diagnostic(`${count} × ${kind}`)
  mixnet.assertConserved()
}
