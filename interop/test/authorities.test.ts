/**
 * Three authorities over real sockets, one of them hostile, under official clients and ours: messages go on in both directions while
 * epochs turn, and what the hostile one tried is in the logs and counters of the others.
 */
import assert from 'node:assert/strict'
import { before, describe, it, type TestContext } from 'node:test'
import { type Client, connect, type SendHandle } from '@mixwright/client'
import { Network } from '@mixwright/localnet'
import { type LogFields, type Logger, RealClock, silentLogger, sleep } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { ConsensusSource, identityOf } from '@mixwright/wire'
import { HostileAuthority, type Scheme } from '../src/hostile-authority.js'
import { OfficialClient } from '../src/official-client.js'
import { dropsByReason, nodesOf } from './network-counters.js'

const EPOCH_MS = 15_000
/** Of three. */
const THRESHOLD = 2
const HOSTILE = 2
/** Between two messages of one sender: a conversation, not a wait. */
const PACE_MS = 250

/** Far beyond what a busy machine needs: it turns a hang into a failure. */
const PATIENCE_MS = 120_000

const clock = new RealClock()
const text = (message: Uint8Array) => new TextDecoder().decode(message)

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

/** The network, and everybody who talks over it. */
class Scene implements AsyncDisposable {
  readonly net: Network
  readonly hostile: HostileAuthority
  /** Warnings and errors of nodes, authorities and clients. */
  readonly lines: readonly LogFields[]
  readonly #official: OfficialClient
  readonly #ours: readonly Client[]
  readonly #received: string[][]
  readonly #expected: string[][] = [[], [], []]
  readonly #handles: SendHandle[] = []
  readonly #failedReadings: number

  private constructor(
    net: Network,
    hostile: HostileAuthority,
    lines: readonly LogFields[],
    official: OfficialClient,
    ours: readonly Client[],
  ) {
    this.net = net
    this.hostile = hostile
    this.lines = lines
    this.#official = official
    this.#ours = ours
    this.#received = ours.map(inboxOf)
    this.#failedReadings = this.#readings('failed')
  }

  static async open(scheme: Scheme): Promise<Scene> {
    const lines: LogFields[] = []
    const logger = listener(lines)
    const net = await Network.start({ authorities: 3, authorityThreshold: THRESHOLD, epochMs: EPOCH_MS, logger })
    const hostile = await HostileAuthority.seize(net, HOSTILE, crypto, scheme)
    const [first, second] = net.access.directory as [string, string, string]
    const client = (gateway: number, directory: readonly string[]) =>
      connect({
        ...net.access,
        directory,
        gateway: net.gateway(gateway).identityKey,
        profile: 'local',
        logger: logger.child({ node: 'client' }),
      })
    // It asks an authority without knowing that it is one.
    const official = await OfficialClient.start({
      nymApiUrl: first,
      clientId: `with one that ${scheme}`,
      preferredGateway: net.gateway(0).identityKey,
      clientOverride: { topology: { topologyRefreshRateMs: 5_000 } },
    })
    const ours = [await client(0, [hostile.url, first, second]), await client(1, [second, hostile.url, first])]
    return new Scene(net, hostile, lines, official, ours)
  }

  /** The honest ones. */
  get honest() {
    return this.net.authorities.slice(0, HOSTILE)
  }

  /** The epoch of the document in force. */
  get epochId(): number {
    return Math.min(...this.honest.map(({ authority }) => authority.current!.document.epoch_id))
  }

  /**
   * The hostile one has its round, under traffic, and the next epoch comes all the same, with the truth; again until `happened`:
   * on a busy machine what it says may come too late to count.
   */
  async attack(happened: () => boolean): Promise<void> {
    do {
      const next = this.epochId + 1
      await Promise.all([this.hostile.attack(), this.#talkUntil(next)])
      this.#agree()
    } while (!happened())
  }

  /** Each writes to each, again and again, until the epoch `epochId` has begun at both honest authorities and at our clients. */
  async #talkUntil(epochId: number): Promise<void> {
    const isThere = () =>
      this.epochId >= epochId && this.#ours.every((client) => client.status().topology.epochId >= epochId)
    while (!isThere()) await this.#exchange()
    await this.#exchange()
  }

  /** Everything arrived once, nothing was dropped, and the nodes have a good view. */
  async endsWell(t: TestContext): Promise<void> {
    await Promise.all(this.#handles.map((handle) => handle.acknowledged))
    const inbox = await this.#official.received(this.#expected[2]!.length)
    const count = (texts: readonly string[][]) => texts.reduce((sum, { length }) => sum + length, 0)
    while (count(this.#received) < count(this.#expected.slice(0, 2))) await sleep(clock, 10)
    const received = [...this.#received, inbox.map(({ message }) => text(message))]
    assert.deepEqual(
      received.map((texts) => texts.sort()),
      this.#expected.map((texts) => texts.sort()),
    )
    // A machine that is too slow for all of this sheds packets, which are sent again; nothing else may be lost.
    const { 'ingress-late': _, ...drops } = dropsByReason(this.net)
    assert.deepEqual([drops, this.#official.complaints], [{}, []])
    await Promise.all(nodesOf(this.net).map((node) => node.refreshTopology()))
    assert.equal(this.#readings('failed'), this.#failedReadings)
    for (const { metrics } of nodesOf(this.net)) assert.equal(metrics.value('mixwright_network_routable'), 1)
    t.diagnostic(`${count(received)} messages, each once and acknowledged`)
  }

  /** The honest two have the same document, and it lists the true network. */
  #agree(): void {
    const [a, b] = this.honest.map(({ authority }) => authority.current!)
    assert.equal(a!.sha256, b!.sha256)
    const listed = a!.document.nodes.map(({ descriptor, score }) => [
      identityOf(descriptor),
      descriptor.host_information.data.ip_address[0],
      score,
    ])
    const truth = this.net.nodes.map(({ identityKey }) => [identityKey, '127.0.0.1', 100])
    assert.deepEqual(listed.sort(), truth.sort())
    for (const { directory } of this.honest) assert.equal(directory.metrics.value('mixwright_consensus_alarm'), 0)
  }

  /** What each of the honest ones has counted. */
  counted(metric: string, labels: Readonly<Record<string, string>>): number[] {
    return this.honest.map(({ directory }) => directory.metrics.value(`mixwright_consensus_${metric}_total`, labels))
  }

  /** The lines of one program about the hostile authority, or its address. */
  linesOf(node: string): readonly LogFields[] {
    const { key, url } = this.hostile
    return this.lines.filter((line) => line.node === node && (line.authority === key || line.url === url))
  }

  /** What a newcomer with the pinned keys gets to see. */
  source(...baseUrls: string[]): ConsensusSource {
    const { authorities = [], authorityThreshold: threshold } = this.net.access
    return new ConsensusSource({ baseUrls, authorities, threshold, clock, crypto, logger: silentLogger })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#ours.map((client) => client.close({ flushMs: 0 })))
    await this.#official[Symbol.asyncDispose]()
    await this.hostile.close()
    await this.net.close()
  }

  async #exchange(): Promise<void> {
    const addresses = [...this.#ours, this.#official].map(({ address }) => address)
    for (const [from, sender] of this.#ours.entries())
      for (const [to, address] of addresses.entries())
        if (from !== to) this.#handles.push(sender.send(address, this.#message(from, to)))
    for (const to of this.#ours.keys())
      await this.#official.send(addresses[to]!, new TextEncoder().encode(this.#message(2, to)))
    await sleep(clock, PACE_MS)
  }

  #message(from: number, to: number): string {
    const message = `${from} to ${to}, ${this.#expected[to]!.length}`
    this.#expected[to]!.push(message)
    return message
  }

  #readings(result: string): number {
    const values = nodesOf(this.net).map(({ metrics }) =>
      metrics.value('mixwright_topology_readings_total', { result }),
    )
    return values.reduce((sum, value) => sum + value, 0)
  }
}

/** Keeps what is worth a warning. */
function listener(lines: LogFields[], fields: LogFields = {}): Logger {
  const keep = (more: LogFields, message: string) => void lines.push({ ...fields, ...more, message })
  return { ...silentLogger, warn: keep, error: keep, child: (more) => listener(lines, { ...fields, ...more }) }
}

function inboxOf(client: Client): string[] {
  const inbox: string[] = []
  void (async () => {
    for await (const message of client.messages()) inbox.push(message.text())
  })()
  return inbox
}

describe('three authorities, one of them hostile', { concurrency: true, timeout: PATIENCE_MS }, () => {
  it('that lies, forges and equivocates', async (t) => {
    await using scene = await Scene.open('lies')
    const { hostile, net } = scene
    const [first, second] = net.access.directory as [string, string, string]
    const isCounted = (metric: string, what: string) =>
      scene.counted(metric, { authority: hostile.key, what }).every((count) => count > 0)

    // Lies in its vote, two signatures of documents that nobody has, forged documents for clients.
    await scene.attack(() => isCounted('disputed', 'unsupported') && isCounted('equivocations', 'document'))
    for (const what of ['missing', 'otherDescriptors', 'oddScores']) assert.ok(isCounted('disputed', what), what)
    for (const authority of ['authority1', 'authority2']) {
      const line = scene.linesOf(authority).find(({ unsupported }) => unsupported !== undefined)
      assert.deepEqual([line?.unsupported, line?.missing, line?.otherDescriptors, line?.oddScores], [1, 1, 1, 1])
      assert.ok(scene.linesOf(authority).some(({ message }) => message === 'an authority equivocates'))
    }
    const unverified = (error: { code?: string; data?: { reason?: string } }) =>
      error.code === 'MIX_DIRECTORY_UNVERIFIED' && error.data?.reason === 'too-few-signatures'
    await assert.rejects(scene.source(hostile.url).read(), unverified)
    await assert.rejects(connect({ ...net.access, directory: hostile.url, profile: 'local' }), unverified)
    const { sha256 } = await scene.source(hostile.url, first, second).read()
    assert.equal(sha256, scene.honest[0]!.authority.current!.sha256)

    // Another vote to each.
    hostile.scheme = 'equivocates'
    await scene.attack(() => isCounted('equivocations', 'vote'))
    const proofs = (await (await fetch(`${first}/v1/mixwright/equivocations`)).json()) as Record<string, unknown>[]
    assert.ok(proofs.every(({ authority }) => authority === hostile.key))
    assert.deepEqual(new Set(proofs.map(({ what }) => what)), new Set(['document', 'vote']))
    await scene.endsWell(t)
  })

  it('that lags, hangs and is gone', async (t) => {
    await using scene = await Scene.open('lags')
    const { hostile, net } = scene
    const [first, second] = net.access.directory as [string, string, string]

    // A vote for an epoch that is over, and the document of before for whoever asks.
    const old = scene.epochId
    await scene.attack(() =>
      scene.counted('refused', { what: 'vote', reason: 'wrong-epoch' }).every((count) => count > 0),
    )
    for (const authority of ['authority1', 'authority2'])
      assert.ok(scene.linesOf(authority).some(({ reason }) => reason === 'wrong-epoch'))
    const { document } = await scene.source(hostile.url, first, second).read()
    assert.ok(document.epoch_id > old)

    // No answer at all.
    hostile.scheme = 'hangs'
    const unanswered = () => scene.counted('unanswered', { authority: hostile.key, what: 'vote' })
    const before = unanswered()
    await scene.attack(() => unanswered().every((count, honest) => count > before[honest]!))

    // Nobody there: a newcomer finds its way.
    await hostile.close()
    await using newcomer = await connect({ ...net.access, directory: [hostile.url, first, second], profile: 'local' })
    await newcomer.send(newcomer.address, 'anybody there?').acknowledged
    await scene.endsWell(t)
  })
})
