/**
 * Three authorities over HTTP on one virtual clock, any one of them hostile in its own way: the others agree all the same,
 * readers with pinned keys keep reading, and what the hostile one tried is in logs and metrics.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { createAdaptorServer } from '@hono/node-server'
import { type Clock, type LogFields, type Logger, MemoryMetrics, silentLogger, VirtualClock } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  type Consensus,
  ConsensusSource,
  canonicalJson,
  consensusSchema,
  documentHash,
  documentKind,
  type Fetch,
  signHash,
  signVote,
  type VerifiedDocument,
  type VotedNode,
} from '@mixwright/wire'
import { Authority, type AuthorityOptions, consensusText } from '../src/consensus/authority.js'
import type { AuthorityAddress } from '../src/consensus/authority-peers.js'
import { authorityRoutes } from '../src/consensus/authority-routes.js'
import { verifyDirectory } from '../src/consensus/verify-directory.js'
import {
  authorityKey,
  authoritySeed,
  descriptorOf,
  EPOCH_MS,
  networkView,
  SCHEDULE,
  sortedNodes,
} from './consensus-network.js'

const START = 1_000 * EPOCH_MS
const FIRST_EPOCH = START / EPOCH_MS
const STEP_MS = 500
const LOOPBACK = '127.0.0.1'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

type Handler = (request: Request) => Response | Promise<Response>

/** One place on the network: an HTTP server, and what was logged there. */
interface Seat {
  readonly index: number
  readonly key: string
  readonly url: string
  readonly server: Server
  readonly metrics: MemoryMetrics
  readonly warnings: LogFields[]
  handler: Handler
  authority: Authority | undefined
  /** Epochs told to the directory, with the epoch of the document. */
  readonly told: [number, number][]
}

function skewed(clock: Clock, ms: number): Clock {
  return {
    now: () => clock.now() + ms,
    monotonic: () => clock.monotonic(),
    setTimer: (delay, action, options) => clock.setTimer(delay, action, options),
  }
}

class Town {
  readonly clock = new VirtualClock(START)
  readonly seats: Seat[] = []
  readonly #pending = new Set<Promise<unknown>>()

  static async found(count: number): Promise<Town> {
    const town = new Town()
    for (let index = 0; index < count; index++) await town.#build(index)
    return town
  }

  async #build(index: number): Promise<void> {
    const seat = {
      index,
      key: authorityKey(crypto, index),
      metrics: new MemoryMetrics(),
      warnings: [] as LogFields[],
      handler: (() => new Response('nobody is here', { status: 503 })) as Handler,
      authority: undefined as Authority | undefined,
      told: [] as [number, number][],
    }
    const server = createAdaptorServer({ fetch: (request) => seat.handler(request) }) as Server
    const port = await listenOn(server, { host: LOOPBACK, port: 0 })
    this.seats.push(Object.assign(seat, { server, url: `http://${LOOPBACK}:${port}` }))
  }

  get keys(): string[] {
    return this.seats.map(({ key }) => key)
  }

  get addresses(): AuthorityAddress[] {
    return this.seats.map(({ key, url }) => ({ key, url }))
  }

  /** Real sockets, and nothing left under way when `settle` resolves. */
  readonly fetch: Fetch = (input, init) => {
    const answer = (async () => {
      const response = await globalThis.fetch(input, init)
      return new Response(await response.arrayBuffer(), { status: response.status })
    })()
    const settled: Promise<unknown> = answer.then(
      () => this.#pending.delete(settled),
      () => this.#pending.delete(settled),
    )
    this.#pending.add(settled)
    return answer
  }

  /** Seat an authority; its view is the honest one unless told otherwise. */
  seat(index: number, options: Partial<AuthorityOptions> = {}): Seat {
    const seat = this.seats[index]!
    const clock = options.clock ?? this.clock
    const logger: Logger = {
      ...silentLogger,
      warn: (fields) => void seat.warnings.push(fields),
      error: (fields) => void seat.warnings.push(fields),
    }
    const authority = new Authority({
      clock,
      logger,
      metrics: seat.metrics,
      crypto,
      seed: authoritySeed(index),
      authorities: this.addresses,
      threshold: 2,
      schedule: { genesisMs: SCHEDULE.genesis_ms, durationMs: SCHEDULE.duration_ms, validityEpochs: 4 },
      view: () => networkView(crypto, 3, 90 + index),
      onDocument: ({ document }, epochId) => void seat.told.push([epochId, document.epoch_id]),
      fetch: this.fetch,
      ...options,
    })
    seat.authority = authority
    const routes = authorityRoutes({ authority, clock, metrics: seat.metrics })
    seat.handler = (request) => routes.fetch(request)
    authority.start()
    return seat
  }

  /** Everything sent has arrived, and so has what it caused. */
  async settle(): Promise<void> {
    await setImmediate()
    while (this.#pending.size > 0) {
      await Promise.all(this.#pending)
      await setImmediate()
    }
  }

  async pass(ms: number): Promise<void> {
    await this.settle()
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.clock.advance(STEP_MS)
      await this.settle()
    }
  }

  /** To this many milliseconds into an epoch, counted from the first. */
  passTo(epoch: number, ms = 0): Promise<void> {
    return this.pass((FIRST_EPOCH + epoch) * EPOCH_MS + ms - this.clock.now())
  }

  source(urls = this.seats.map(({ url }) => url), threshold = 2): ConsensusSource {
    const { clock, keys, fetch } = this
    return new ConsensusSource({
      baseUrls: urls,
      authorities: keys,
      threshold,
      clock,
      crypto,
      logger: silentLogger,
      fetch,
    })
  }

  async close(): Promise<void> {
    for (const { authority, server } of this.seats) {
      authority?.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}

let town: Town
afterEach(() => town.close())

const epochOf = (verified: VerifiedDocument | undefined) => (verified?.document.epoch_id ?? Number.NaN) - FIRST_EPOCH
const hashesOf = (...seats: Seat[]) => seats.map(({ authority }) => authority!.current?.sha256)
const disputed = ({ metrics }: Seat, { key }: Seat, what: string) =>
  metrics.value('mixwright_consensus_disputed_total', { authority: key, what })
const refused = ({ metrics }: Seat, what: string, reason: string) =>
  metrics.value('mixwright_consensus_refused_total', { what, reason })
const equivocations = ({ metrics }: Seat, { key }: Seat, what: string) =>
  metrics.value('mixwright_consensus_equivocations_total', { authority: key, what })

/** The honest two agree in epoch after epoch, a reader reads, and the listed network is the true one. */
async function holdsTogether(...honest: Seat[]): Promise<void> {
  const source = town.source()
  for (const epoch of [1, 2, 3, 4]) {
    await town.passTo(epoch, STEP_MS)
    const [first, ...others] = hashesOf(...honest)
    assert.ok(first !== undefined)
    for (const other of others) assert.equal(other, first)
    const verified = await source.read()
    assert.equal(epochOf(verified), epoch)
    assert.equal(verified.sha256, first)
    assert.equal(verified.document.nodes.length, 4)
    for (const { score } of verified.document.nodes) assert.ok(score >= 90)
    for (const { metrics } of honest) assert.equal(metrics.value('mixwright_consensus_alarm'), 0)
  }
}

describe('one authority', () => {
  it('has a document at once, and a new one each epoch, in a chain', async () => {
    town = await Town.found(1)
    const { authority, told } = town.seat(0, { threshold: 1 })
    assert.equal(epochOf(authority!.current), 0)
    await town.passTo(2, STEP_MS)
    assert.equal(epochOf(authority!.current), 2)
    const before = authority!.documentOf(FIRST_EPOCH + 1)!
    assert.deepEqual(authority!.current!.document.previous, { epoch_id: FIRST_EPOCH + 1, sha256: before.sha256 })
    assert.deepEqual(
      told.map((pair) => pair.map((epoch) => epoch - FIRST_EPOCH)),
      [
        [0, 0],
        [1, 1],
        [2, 2],
      ],
    )
  })

  it('swaps its document with the epoch, not when it is made', async () => {
    town = await Town.found(1)
    const { authority, url } = town.seat(0, { threshold: 1 })
    await town.passTo(0, 58_000)
    assert.deepEqual([epochOf(authority!.current), epochOf(authority!.latest)], [0, 1])
    const get = async (path: string) => (await town.fetch(`${url}/v1/mixwright/consensus${path}`)).text()
    assert.equal(await get(''), consensusText(authority!.current!))
    assert.equal(await get('/latest'), consensusText(authority!.latest!))
    assert.equal(await get(`/${FIRST_EPOCH + 1}`), consensusText(authority!.latest!))
    assert.match(await get(`/${FIRST_EPOCH + 2}`), /no such/)
  })

  it('keeps what cannot be improved: an unroutable view changes nothing, with an alarm', async () => {
    town = await Town.found(1)
    let view: VotedNode[] = networkView(crypto)
    const { authority, metrics } = town.seat(0, { threshold: 1, view: () => view })
    view = []
    await town.passTo(3, STEP_MS)
    assert.equal(epochOf(authority!.current), 0)
    assert.equal(metrics.value('mixwright_consensus_failures_total', { reason: 'unroutable' }), 3)
    assert.equal(metrics.value('mixwright_consensus_alarm'), 1)
    assert.equal(metrics.value('mixwright_consensus_age_epochs'), 3)
    assert.equal(epochOf(await town.source(undefined, 1).read()), 0, 'in its grace it is valid')
    await town.passTo(4, STEP_MS)
    await assert.rejects(town.source(undefined, 1).read(), { code: 'MIX_DIRECTORY_UNVERIFIED' })
    view = networkView(crypto)
    await town.passTo(4, 8_000)
    assert.equal(epochOf(authority!.current), 4, 'the first slot of a network without a valid document')
  })

  it('goes on after a restart: same chain, no round twice; a damaged state is an error', async () => {
    town = await Town.found(1)
    const folder = mkdtempSync(join(tmpdir(), 'mixwright-authority-'))
    try {
      const statePath = join(folder, 'consensus.json')
      const first = town.seat(0, { threshold: 1, statePath }).authority!
      await town.passTo(0, 58_000)
      const { sha256 } = first.latest!
      first.close()
      const second = town.seat(0, { threshold: 1, statePath }).authority!
      assert.equal(second.latest!.sha256, sha256)
      await town.passTo(2, STEP_MS)
      assert.equal(second.current!.document.previous!.sha256, sha256)
      second.close()
      const text = readFileSync(statePath, 'utf8')
      for (const length of [0, 1, 10, text.length >> 1, text.length - 1]) {
        writeFileSync(statePath, text.slice(0, length))
        assert.throws(() => town.seat(0, { threshold: 1, statePath }), { code: 'MIX_CONSENSUS_STATE' })
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('three authorities', () => {
  it('that are honest serve the same bytes', async () => {
    town = await Town.found(3)
    const seats = [0, 1, 2].map((index) => town.seat(index, { threshold: undefined }))
    await town.passTo(0, 12_000)
    assert.equal(epochOf(seats[0]!.authority!.current), 0, 'the first document comes in the first slots')
    await holdsTogether(...seats)
    const texts = await Promise.all(
      seats.map(async ({ url }) => (await town.fetch(`${url}/v1/mixwright/consensus`)).text()),
    )
    const parsed = texts.map((text) => JSON.parse(text) as Consensus)
    assert.deepEqual(
      parsed.map(({ signatures }) => signatures.length),
      [3, 3, 3],
    )
    assert.equal(new Set(texts).size, 1)
    for (const { metrics, warnings } of seats) {
      assert.equal(metrics.value('mixwright_consensus_refused_total'), 0)
      assert.equal(metrics.value('mixwright_consensus_disputed_total'), 0)
      assert.deepEqual(warnings, [])
    }
    const { documents, trouble } = await verifyDirectory(
      seats.map(({ url }) => url),
      town.keys,
      { clock: town.clock, crypto, fetch: town.fetch },
    )
    assert.deepEqual(trouble, [])
    assert.deepEqual(
      documents.map(({ sha256 }) => sha256),
      hashesOf(...seats),
    )
  })

  it('of whom one is silent', async () => {
    town = await Town.found(3)
    const [a, b] = [town.seat(0), town.seat(1)]
    await holdsTogether(a, b)
    const silent = { authority: town.keys[2]!, what: 'vote' }
    assert.ok(a.metrics.value('mixwright_consensus_unanswered_total', silent) > 0)
  })

  it('of whom one accepts everything and never answers', async () => {
    town = await Town.found(3)
    const deaf = town.seats[2]!.url
    const fetch: Fetch = (input, init) => {
      if (!String(input).startsWith(deaf)) return town.fetch(input, init)
      const signal = init!.signal!
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
    const [a, b] = [town.seat(0, { fetch }), town.seat(1, { fetch })]
    await holdsTogether(a, b)
  })

  it('of whom one counts epochs otherwise: its votes are not counted, and it takes nothing over', async () => {
    town = await Town.found(3)
    const [a, b] = [town.seat(0), town.seat(1)]
    const schedule = { genesisMs: SCHEDULE.genesis_ms, durationMs: SCHEDULE.duration_ms, validityEpochs: 5 }
    const c = town.seat(2, { schedule })
    await holdsTogether(a, b)
    assert.ok(disputed(a, c, 'previous') > 0)
    assert.ok(refused(c, 'consensus', 'other-schedule') > 0)
    assert.equal(c.authority!.current, undefined)
  })

  it('of whom one comes later: it takes over what was agreed on and joins', async () => {
    town = await Town.found(3)
    const [a, b] = [town.seat(0), town.seat(1)]
    await town.passTo(1, 20_000)
    const c = town.seat(2)
    await town.settle()
    assert.deepEqual(hashesOf(c), hashesOf(a))
    await town.passTo(2, STEP_MS)
    assert.equal(new Set(hashesOf(a, b, c)).size, 1)
    assert.equal(a.authority!.current!.consensus.signatures.length, 3)
  })

  it('of whom one lies: nodes that are not there, wrong scores, dropped nodes', async () => {
    town = await Town.found(3)
    const [a, b] = [town.seat(0), town.seat(1)]
    const c = town.seat(2, {
      view: () => {
        const [first, second] = networkView(crypto)
        const invented = { descriptor: descriptorOf(crypto, 66), score: 100 }
        return sortedNodes([{ ...first!, score: 0 }, second!, invented])
      },
    })
    await holdsTogether(a, b)
    for (const honest of [a, b]) {
      assert.ok(disputed(honest, c, 'unsupported') > 0)
      assert.ok(disputed(honest, c, 'missing') > 0)
      assert.ok(disputed(honest, c, 'oddScores') > 0)
      assert.equal(disputed(honest, a, 'missing') + disputed(honest, b, 'missing'), 0)
      const line = honest.warnings.find(({ authority }) => authority === c.key)
      assert.deepEqual([line?.unsupported, line?.missing, line?.oddScores], [1, 2, 1])
    }
  })

  it('of whom one equivocates: other votes to each, and two signatures', async () => {
    town = await Town.found(3)
    const [a, b] = [town.seat(0), town.seat(1)]
    const [, , c] = town.seats
    await town.passTo(0, 53_000)
    const signedVote = (score: number) => {
      const latest = a.authority!.latest!
      const previous = { epoch_id: latest.document.epoch_id, sha256: latest.sha256 }
      const vote = {
        version: 'mixwright-1' as const,
        epoch_id: FIRST_EPOCH + 1,
        round: 0,
        authority: c!.key,
        schedule: SCHEDULE,
        previous,
        nodes: networkView(crypto, 3, score),
      }
      return signVote(crypto, vote, authoritySeed(2)).signed
    }
    const post = (to: Seat, what: string, body: unknown) =>
      town.fetch(`${to.url}/v1/mixwright/${what}`, { method: 'POST', body: JSON.stringify(body) })
    await town.passTo(0, 54_500)
    await Promise.all([post(a, 'vote', signedVote(0)), post(b, 'vote', signedVote(100))])
    await town.passTo(0, 57_000)
    const signature = (sha256: string) => {
      const name = { epoch_id: FIRST_EPOCH + 1, round: 0 }
      return { ...name, sha256, ...signHash(crypto, documentKind(name), sha256, authoritySeed(2)) }
    }
    await post(a, 'signature', signature('11'.repeat(32)))
    await post(a, 'signature', signature('22'.repeat(32)))
    await holdsTogether(a, b)
    for (const honest of [a, b]) {
      assert.equal(equivocations(honest, c!, 'vote'), 1)
      assert.equal(disputed(honest, c!, 'missing'), 0, 'its votes were not counted')
      const [proof] = honest.authority!.proofs
      assert.equal(proof!.authority, c!.key)
      assert.equal(proof!.statements.length, 2)
      const line = honest.warnings.find(({ what }) => what === 'vote')
      assert.deepEqual([line!.sha256, line!.otherSha256].sort(), [...proof!.hashes].sort())
    }
    assert.equal(equivocations(a, c!, 'document'), 1)
    const shown = (await (await town.fetch(`${a.url}/v1/mixwright/equivocations`)).json()) as { what: string }[]
    assert.deepEqual(
      shown.map(({ what }) => what),
      ['vote', 'document'],
    )
  })

  it('of whom one talks nonsense, to those who ask and to those who do not', async () => {
    town = await Town.found(3)
    const [, , c] = town.seats
    c!.handler = () => new Response('{"document":{"version":"mixwright-1"', { status: 200 })
    const [a, b] = [town.seat(0), town.seat(1)]
    const nonsense = ['', 'null', '[]', '{', '[['.repeat(50_000), 'x'.repeat(2_000), '{"vote":{},"signature":{}}']
    for (const body of nonsense)
      for (const what of ['vote', 'signature']) {
        const answer = await town.fetch(`${a.url}/v1/mixwright/${what}`, { method: 'POST', body })
        assert.equal(answer.status, 400, body.slice(0, 20))
      }
    for (const path of ['vote', 'vote/1', 'vote/1/1/x', 'signature/99999999999/1', 'consensus/x', 'consensus/-1'])
      assert.equal((await town.fetch(`${a.url}/v1/mixwright/${path}`)).status, 404)
    await holdsTogether(a, b)
    assert.ok(refused(a, 'vote', 'malformed') > nonsense.length, 'posted, and fetched')
    const short = nonsense.filter((body) => body.length <= 1024)
    assert.equal(refused(a, 'signature', 'malformed'), short.length)
    const complaint = a.warnings.find(({ authority, what }) => authority === c!.key && what === 'vote')
    assert.equal(complaint?.reason, 'malformed')
  })

  it('keep agreeing while a stranger floods one of them with votes', async () => {
    town = await Town.found(3)
    // Half a second ahead, it is flooded already when the other's vote comes, and has to fetch it.
    const [a, b] = [town.seat(0, { clock: skewed(town.clock, STEP_MS) }), town.seat(1)]
    await town.passTo(1, 53_000)
    const flood = { method: 'POST', body: '{"vote":null}' }
    const statuses: number[] = []
    for (let slot = 0; slot < 2; slot++) {
      for (let posts = 0; posts < 70; posts++)
        statuses.push((await town.fetch(`${a.url}/v1/mixwright/vote`, flood)).status)
      await town.pass(STEP_MS)
    }
    // Busy at the end of each slot; the second is the one in which votes are taken.
    for (const slot of [statuses.slice(0, 70), statuses.slice(70)])
      assert.deepEqual([slot[0], slot[63], slot[64], slot[69]], [400, 400, 503, 503])
    await town.passTo(2, STEP_MS)
    assert.equal(epochOf(a.authority!.current), 2)
    assert.deepEqual(hashesOf(a), hashesOf(b))
    assert.equal(refused(a, 'body', 'busy') >= 12, true)
  })

  it('of whom one has a clock that is an hour late', async () => {
    town = await Town.found(3)
    const [a, b] = [town.seat(0), town.seat(1)]
    const c = town.seat(2, { clock: skewed(town.clock, -3_600_000) })
    await holdsTogether(a, b)
    assert.ok(refused(a, 'vote', 'wrong-epoch') > 0)
    assert.ok(a.warnings.some(({ authority, reason }) => authority === c.key && reason === 'wrong-epoch'))
    assert.equal(a.authority!.current!.consensus.signatures.length, 2)
  })

  it('of whom one shows two documents to readers', async () => {
    town = await Town.found(3)
    const [a, b] = [town.seat(0), town.seat(1)]
    const c = town.seat(2)
    await town.passTo(1, STEP_MS)
    const honest = c.handler
    let shown = 0
    c.handler = (request) => {
      const { current } = c.authority!
      const { pathname } = new URL(request.url)
      if (!pathname.endsWith('/consensus') || shown++ % 2 === 0) return honest(request)
      // The true document without one node, signed by the hostile one, beside the others' signatures of the true one.
      const { document, signatures } = current!.consensus
      const forged = { ...document, nodes: document.nodes.slice(1) }
      const own = signHash(crypto, documentKind(forged), documentHash(forged), authoritySeed(2))
      return new Response(canonicalJson(consensusSchema, { document: forged, signatures: [own, ...signatures] }))
    }
    for (let reader = 0; reader < 4; reader++) {
      const { sha256 } = await town.source([c.url, a.url, b.url]).read()
      assert.equal(sha256, a.authority!.current!.sha256)
    }
    await town.source([c.url]).read()
    await assert.rejects(town.source([c.url]).read(), (error: { code?: string; data?: { reason?: string } }) => {
      return error.code === 'MIX_DIRECTORY_UNVERIFIED' && error.data?.reason === 'too-few-signatures'
    })
    const report = await verifyDirectory([c.url, a.url, b.url], town.keys, {
      clock: town.clock,
      crypto,
      fetch: town.fetch,
      threshold: 2,
    })
    assert.equal(report.documents.length + report.trouble.length, 3)
  })

  it('of whom two are away: the document stays for the grace, with an alarm, and no longer', async () => {
    town = await Town.found(3)
    const [a, b] = [town.seat(0), town.seat(1)]
    await town.passTo(1, STEP_MS)
    b.authority!.close()
    b.handler = () => new Response(null, { status: 503 })
    await town.passTo(4, STEP_MS)
    assert.equal(epochOf(await town.source().read()), 1)
    assert.equal(a.metrics.value('mixwright_consensus_alarm'), 1)
    assert.ok(a.metrics.value('mixwright_consensus_failures_total') >= 3)
    assert.deepEqual(
      a.told.slice(-3).map(([epoch, document]) => [epoch - FIRST_EPOCH, document - FIRST_EPOCH]),
      [
        [2, 1],
        [3, 1],
        [4, 1],
      ],
    )
    await town.passTo(5, STEP_MS)
    await assert.rejects(town.source().read(), { code: 'MIX_DIRECTORY_UNVERIFIED' })
  })
})
