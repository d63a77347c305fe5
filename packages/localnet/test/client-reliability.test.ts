/**
 * No silent loss on real sockets, once: gateways and directory that stop and start, a link to the gateway that loses, doubles
 * and mixes up what it carries, breaks or hangs, a client that is killed, an app that does not take its messages. Every
 * message arrives exactly once and is acknowledged, and the client says what happened. The same on a virtual clock, many
 * times over, is in the client's own tests.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect, type SendHandle, sqlStore } from '@mixwright/client'
import { RealClock, sleep } from '@mixwright/runtime'
import { Network, type NodeHandle } from '../src/index.js'
import type { Command, Report } from './client-process.js'
import { Correspondent } from './correspondent.js'
import { DisturbedGateway } from './disturbed-gateway.js'

const clock = new RealClock()
const scratch = mkdtempSync(join(tmpdir(), 'mixwright-reliability-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

const range = <T>(count: number, item: (number: number) => T) => Array.from({ length: count }, (_, i) => item(i))
const acknowledged = (handles: readonly SendHandle[]) => Promise.all(handles.map((handle) => handle.acknowledged))

/** Both write to each other, a message every few milliseconds, until `end`. */
class Talk {
  readonly #both: readonly [Correspondent, Correspondent]
  readonly #said: readonly [string[], string[]] = [[], []]
  readonly #handles: SendHandle[] = []
  readonly #speaking: Promise<unknown>
  #over = false

  constructor(one: Correspondent, other: Correspondent) {
    this.#both = [one, other]
    this.#speaking = Promise.all([this.#speak(one, other, this.#said[0]), this.#speak(other, one, this.#said[1])])
  }

  /** Until so many more messages have arrived on both sides. */
  async goesOn(messages: number): Promise<void> {
    const goals = this.#both.map(({ received }) => received.length + messages)
    await Promise.all(this.#both.map((one, i) => one.until(() => one.received.length >= goals[i]!)))
  }

  /** Stop, and see that everything arrives exactly once and is acknowledged. */
  async end(): Promise<void> {
    this.#over = true
    await this.#speaking
    await acknowledged(this.#handles)
    const [one, other] = this.#both
    // What is still under way, such as duplicates, is overtaken by nothing.
    await acknowledged([one.client.send(other.address, 'end'), other.client.send(one.address, 'end')])
    await Promise.all(this.#both.map((each) => each.message('end')))
    for (const [i, { texts }] of [other, one].entries())
      assert.deepEqual(texts, [...this.#said[i as 0 | 1], 'end'].sort())
  }

  async #speak(from: Correspondent, { address }: Correspondent, texts: string[]): Promise<void> {
    while (!this.#over) {
      const text = `message ${texts.length}`
      this.#handles.push(from.client.send(address, text.padEnd(texts.length % 20 === 0 ? 20_000 : 0)))
      texts.push(text)
      await sleep(clock, 5)
    }
  }
}

/** What was told of the link, without attempts that failed like those before them. */
const story = ({ links }: Correspondent) =>
  links.map(({ state }) => state).filter((state, i, told) => state !== told[i - 1])

/** Wait until the gateway has noticed that so many clients are connected. */
async function sessions(gateway: NodeHandle, wanted: number): Promise<void> {
  while (gateway.metrics.value('mixwright_gateway_sessions') !== wanted)
    await new Promise((resolve) => setImmediate(resolve))
}

const keyOf = (net: Network, index: number) => net.gateway(index).identityKey

describe('a client on real sockets', { concurrency: true, timeout: 120_000 }, () => {
  it('whose gateway, or whose recipient’s, is stopped and started under traffic, loses nothing', async () => {
    await using net = await Network.start()
    const join = (index: number) =>
      Correspondent.connect({ directory: net.nymApiUrl, gateway: keyOf(net, index), profile: 'local' })
    await using alice = await join(0)
    await using bob = await join(1)
    const talk = new Talk(alice, bob)
    for (const [index, one] of [alice, bob].entries()) {
      const other = [bob, alice][index]!
      const told = other.links.length
      await talk.goesOn(50)
      await net.gateway(index).stop()
      await one.until(() => one.client.status().gateway.state === 'down')
      assert.equal(one.client.status().gateway.reason?.kind, 'network')
      assert.match(one.links.at(-1)!.reason!.code, /^MIX_GATEWAY_(CLOSED|UNREACHABLE)$/)
      await one.until(() => one.links.at(-1)?.reason?.code === 'MIX_GATEWAY_UNREACHABLE')
      assert.ok(one.client.status().queue.packets > 0, 'what is sent meanwhile waits')
      assert.ok(other.client.status().unacknowledgedPackets > 0, 'what the other sends is not acknowledged')
      await net.gateway(index).start()
      await one.until(() => one.client.status().gateway.state === 'up')
      assert.equal(one.client.status().gateway.reason, undefined)
      assert.equal(one.client.status().gateway.losses, 1)
      assert.equal(other.links.length, told, 'the other has nothing to tell')
    }
    await talk.goesOn(50)
    await talk.end()
    assert.deepEqual(
      [story(alice), story(bob)],
      [
        ['down', 'up'],
        ['down', 'up'],
      ],
    )
    for (const { client } of [alice, bob]) {
      const { messagesSent, messagesAcknowledged, messagesFailed } = client.status().counters
      assert.deepEqual([messagesAcknowledged, messagesFailed], [messagesSent, 0])
    }
  })

  it('whose directory is stopped and started goes on meanwhile, and says so', async () => {
    await using net = await Network.start()
    const options = { directory: net.nymApiUrl, refreshMs: 1000, profile: 'local' } as const
    await using alice = await Correspondent.connect(options)
    await using bob = await Correspondent.connect(options)
    const talk = new Talk(alice, bob)
    await talk.goesOn(20)
    await net.directory.close()
    await alice.until(() => alice.topologies.at(-1)?.reason !== undefined)
    assert.equal(alice.topologies.at(-1)!.reason!.code, 'MIX_DIRECTORY_UNREACHABLE')
    assert.equal(alice.client.status().topology.reason?.code, 'MIX_DIRECTORY_UNREACHABLE')
    await talk.goesOn(50)
    await assert.rejects(connect(options), { code: 'MIX_DIRECTORY_UNREACHABLE', kind: 'network' })
    await net.restartDirectory()
    await alice.until(() => alice.topologies.at(-1)?.reason === undefined)
    assert.equal(alice.client.status().topology.reason, undefined)
    await using carol = await Correspondent.connect(options)
    await acknowledged([carol.client.send(alice.address, 'a newcomer')])
    await alice.message('a newcomer')
    alice.received.splice(
      alice.received.findIndex((message) => message.text() === 'a newcomer'),
      1,
    )
    await talk.end()
    assert.deepEqual([alice.links, bob.links], [[], []])
  })

  for (const loss of [0.01, 0.05, 0.2]) {
    it(`on a link that loses ${100 * loss} %, doubles 5 % and mixes up its order, loses nothing`, async (t) => {
      const seed = `loss ${loss}`
      t.diagnostic(`seed: ${seed}`)
      await using net = await Network.start()
      await using doorOfAlice = await DisturbedGateway.open(net, 0, `${seed} alice`)
      await using doorOfBob = await DisturbedGateway.open(net, 1, `${seed} bob`)
      const join = ({ directory }: DisturbedGateway, index: number) =>
        Correspondent.connect({ directory, gateway: keyOf(net, index), profile: 'no-cover' })
      await using alice = await join(doorOfAlice, 0)
      await using bob = await join(doorOfBob, 1)
      for (const { disturbance } of [doorOfAlice, doorOfBob])
        Object.assign(disturbance, { loss, duplication: 0.05, latestMs: 50 })

      const said = [...range(150, (i) => `plain ${i}`), 'large'.padEnd(100_000)]
      const asked = range(20, (i) => `anonymous ${i}.`)
      const handles = said.flatMap((text) => [
        alice.client.send(bob.address, text),
        bob.client.send(alice.address, text),
      ])
      for (const text of asked) handles.push(alice.client.send(bob.address, text, { replySurbs: 6 }))
      const answers = ['long reply'.padEnd(40_000)]
      for (const text of asked) {
        const question = await bob.message(text)
        answers.push(text.replace('anonymous', 'reply'))
        handles.push(question.reply(answers.at(-1)!))
        if (answers.length === 10) handles.push(question.reply(answers[0]!))
      }
      await acknowledged(handles)
      for (const { disturbance } of [doorOfAlice, doorOfBob])
        Object.assign(disturbance, { loss: 0, duplication: 0, latestMs: 0 })
      await acknowledged([alice.client.send(bob.address, 'end'), bob.client.send(alice.address, 'end')])
      await Promise.all([alice.message('end'), bob.message('end')])

      const trimmed = (texts: readonly string[]) => texts.map((text) => text.trimEnd()).sort()
      assert.deepEqual(bob.texts, trimmed([...said, ...asked, 'end']))
      assert.deepEqual(alice.texts, trimmed([...said, ...answers, 'end']))
      for (const [name, { counted }, { client }] of [
        ['alice', doorOfAlice, alice],
        ['bob', doorOfBob, bob],
      ] as const) {
        const { packetsSent, retransmissions, duplicateFragments } = client.status().counters
        t.diagnostic(
          `${name}: ${counted.lost} messages lost and ${counted.doubled} doubled of ${counted.lost + counted.passed}; ` +
            `${packetsSent} packets, ${retransmissions} of them again; ${duplicateFragments} fragments came twice`,
        )
        assert.ok(counted.lost > 0 && counted.doubled > 0 && retransmissions > 0)
      }
    })
  }

  it('whose connection is cut again and again loses nothing', async () => {
    await using net = await Network.start()
    await using door = await DisturbedGateway.open(net, 0, 'cuts')
    const options = { gateway: keyOf(net, 0), profile: 'no-cover' } as const
    await using alice = await Correspondent.connect({ ...options, directory: door.directory })
    await using bob = await Correspondent.connect({ ...options, directory: net.nymApiUrl })
    const handles: SendHandle[] = []
    const texts: string[] = []
    const toAlice: string[] = []
    for (let cuts = 1; cuts <= 4; cuts++) {
      const burst = range(40, (i) => `message ${cuts} ${i}`)
      const sent = burst.map((text) => alice.client.send(bob.address, text.padEnd(text.endsWith('7') ? 10_000 : 0)))
      texts.push(...burst)
      handles.push(...sent)
      // In the middle of it: some have arrived.
      const { length } = bob.received
      await bob.until(() => bob.received.length > length)
      door.cut()
      await alice.until(() => alice.client.status().gateway.losses === cuts)
      assert.equal(alice.links.at(-1)?.state, 'down')
      await sessions(net.gateway(0), 1)
      toAlice.push(`while away ${cuts}`)
      await acknowledged([bob.client.send(alice.address, toAlice.at(-1)!)])
      await alice.until(() => alice.client.status().gateway.state === 'up')
    }
    await acknowledged(handles)
    await acknowledged([alice.client.send(bob.address, 'end'), bob.client.send(alice.address, 'end')])
    await Promise.all([alice.message('end'), bob.message('end')])
    assert.deepEqual(bob.texts, [...texts, 'end'].sort())
    assert.deepEqual(alice.texts, [...toAlice, 'end'].sort())
  })

  it('whose gateway takes connections and says nothing notices, and goes on when it speaks', async () => {
    await using net = await Network.start()
    await using door = await DisturbedGateway.open(net, 0, 'hangs')
    await using alice = await Correspondent.connect({
      directory: door.directory,
      gateway: keyOf(net, 0),
      profile: 'no-cover',
    })
    await using bob = await Correspondent.connect({ directory: net.nymApiUrl, profile: 'no-cover' })
    await acknowledged([alice.client.send(bob.address, 'before')])
    door.hang()
    const texts = range(30, (i) => `message ${i}`)
    const handles = texts.map((text) => alice.client.send(bob.address, text))
    await alice.until(() => alice.links.length > 0)
    assert.equal(alice.links[0]!.reason?.code, 'MIX_GATEWAY_SILENT')
    await alice.until(() => alice.links.length > 1)
    assert.equal(alice.links[1]!.reason?.code, 'MIX_GATEWAY_UNREACHABLE')
    door.heal()
    await acknowledged(handles)
    await acknowledged([alice.client.send(bob.address, 'end')])
    await bob.message('end')
    assert.deepEqual(bob.texts, ['before', ...texts, 'end'].sort())
    assert.deepEqual(story(alice), ['down', 'up'])
  })

  it('whose app takes no messages hangs up, the gateway keeps them, and reading brings them', async () => {
    await using net = await Network.start({ gateways: 1 })
    const store = await sqlStore(join(scratch, 'unread.sqlite'))
    // An earlier run left almost as many as are kept.
    const left = range(9_950, (i) => `left ${i}`)
    await store.write(
      left.map((text, i) => {
        const value = new TextEncoder().encode(`\0${text}`)
        return { table: 'inbox', key: i.toString(36).padStart(10, '0'), value } as const
      }),
    )
    const options = { directory: net.nymApiUrl, profile: 'local' } as const
    await using bob = await Correspondent.connect({ ...options, store }, { reads: false })
    await using alice = await Correspondent.connect(options)
    const texts = range(500, (i) => `message ${i}`)
    await acknowledged(texts.map((text) => alice.client.send(bob.address, text)))
    assert.equal(bob.client.status().gateway.state, 'paused')
    assert.deepEqual(
      bob.links.map(({ state }) => state),
      ['paused'],
    )
    const { messages } = bob.client.status().inbox
    assert.ok(messages >= 10_000 && messages < left.length + texts.length, `${messages} are here`)
    const kept = net.gateway(0).metrics.value('nym_node_mixnet_egress_stored_on_disk_final_hop_packets')
    assert.ok(messages + kept >= left.length + texts.length, `${kept} are kept by the gateway`)
    await acknowledged([alice.client.send(bob.address, 'end')])
    bob.read()
    await bob.message('end')
    assert.deepEqual(bob.texts, [...left, ...texts, 'end'].sort())
    assert.deepEqual(
      bob.received.slice(0, left.length).map((message) => message.text()),
      left,
    )
    await bob.until(() => bob.links.at(-1)?.state === 'up')
    assert.equal(bob.client.status().gateway.losses, 0)
  })

  it('that is killed comes back as itself, with what it had received, owed and was to be answered', async () => {
    await using net = await Network.start()
    await using door = await DisturbedGateway.open(net, 0, 'killed')
    await using bob = await Correspondent.connect({
      directory: net.nymApiUrl,
      gateway: keyOf(net, 1),
      profile: 'local',
    })
    const start = () => Killable.start(door.directory, keyOf(net, 0), join(scratch, 'killed', 'client.sqlite'))
    await using first = await start()
    await acknowledged([bob.client.send(first.address, 'untaken', { replySurbs: 10 })])
    await first.report('stored')
    first.tell({ kind: 'send', to: bob.address, text: 'question', replySurbs: 10 })
    await first.report('acknowledged')
    const { senderTag: tagOfKilled } = await bob.message('question')

    // Nothing of what it sends now gets anywhere before it dies.
    door.disturbance.loss = 1
    const owed = [...range(20, (i) => `owed ${i}`), 'owed and large'.padEnd(100_000)]
    for (const text of owed) first.tell({ kind: 'send', to: bob.address, text })
    for (const text of owed) await first.report('queued', (report) => report.text === text)
    await first.kill()
    await sessions(net.gateway(0), 0)
    door.disturbance.loss = 0
    await acknowledged([bob.client.send(first.address, 'stored'), bob.client.reply(tagOfKilled!, 'answer to the dead')])
    assert.deepEqual(bob.texts, ['question'])

    await using second = await start()
    assert.equal(second.address, first.address)
    assert.equal(second.unfinished, owed.length)
    second.tell({ kind: 'take' })
    const untaken = await second.report('message', ({ text }) => text === 'untaken')
    for (const words of ['stored', 'answer to the dead']) await second.report('message', ({ text }) => text === words)
    for (const text of owed) await bob.message(text.trimEnd())
    second.tell({ kind: 'reply', senderTag: untaken.senderTag!, text: 'answer' })
    await second.report('acknowledged', ({ text }) => text === 'answer')
    await bob.message('answer')
    await acknowledged([bob.client.reply(tagOfKilled!, 'answer to the living')])
    await second.report('message', ({ text }) => text === 'answer to the living')

    await acknowledged([bob.client.send(second.address, 'end')])
    await second.report('message', ({ text }) => text === 'end')
    second.tell({ kind: 'send', to: bob.address, text: 'end' })
    await bob.message('end')
    assert.deepEqual(bob.texts, ['question', ...owed.map((text) => text.trimEnd()), 'answer', 'end'].sort())
    const messages = second.reports.filter(({ kind }) => kind === 'message')
    assert.equal(messages.length, 5)
    assert.deepEqual(
      second.reports.filter(({ kind }) => kind === 'failed'),
      [],
    )
  })
})

type Kind = Report['kind']
type ReportOf<K extends Kind> = Extract<Report, { readonly kind: K }>

/** A client in a process of its own. */
class Killable implements AsyncDisposable {
  readonly reports: Report[] = []
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  #ready: ReportOf<'ready'> | undefined
  #reported = () => {}

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#ended = once(child, 'exit').then(() => this.#reported())
    child.on('message', (report: Report) => {
      this.reports.push(report)
      this.#reported()
    })
  }

  static async start(directory: string, gateway: string, file: string): Promise<Killable> {
    const program = fileURLToPath(new URL('client-process.js', import.meta.url))
    const killable = new Killable(fork(program, [directory, gateway, file], { execArgv: [] }))
    killable.#ready = await killable.report('ready')
    return killable
  }

  get address(): string {
    return this.#ready!.address
  }

  get unfinished(): number {
    return this.#ready!.unfinished
  }

  tell(command: Command): void {
    this.#child.send(command)
  }

  /** Wait for a report of this kind; for one at a time. */
  async report<K extends Kind>(kind: K, isMeant: (report: ReportOf<K>) => boolean = () => true): Promise<ReportOf<K>> {
    for (;;) {
      const found = this.reports.find((report) => report.kind === kind && isMeant(report as ReportOf<K>))
      if (found !== undefined) return found as ReportOf<K>
      if (!this.#lives) throw new Error(`the client ended by itself, code ${this.#child.exitCode}`)
      await new Promise<void>((resolve) => {
        this.#reported = resolve
      })
    }
  }

  /** On the spot; resolves when it is dead. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#lives) await this.kill()
  }

  get #lives(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }
}
