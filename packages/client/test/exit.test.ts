import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MixError, utf8 } from '@mixwright/runtime'
import fc from 'fast-check'
import { openExit } from '../src/exit/exit.js'
import type { ExitConnection, ExitOptions } from '../src/exit/exit-api.js'
import { type Asked, addressOf, ScriptedRequesters } from './scripted-requester.js'

const FIRST = addressOf(1)
const SECOND = addressOf(2)
const TARGET = { host: 'example.org', port: 443 }
const EMPTY = new Uint8Array(0)

const open = (requesters: ScriptedRequesters, options: ExitOptions = {}) =>
  openExit(requesters.client, { requester: FIRST, clock: requesters.clock, ...options })

/** Connects to everything, and says so. */
const connects = (requesters: ScriptedRequesters) => (asked: Asked) => {
  if (asked.kind === 'connect')
    requesters.answer(asked.to, {
      kind: 'data',
      connectionId: asked.connectionId,
      sequence: 0n,
      closed: false,
      data: EMPTY,
    })
  if (asked.kind === 'control')
    requesters.answer(asked.to, { kind: 'control', interfaceVersion: 3, answer: { kind: 'health' } })
}

const hasCode = (code: string) => (error: unknown) => error instanceof MixError && error.code === code

async function readAll({ readable }: ExitConnection): Promise<Uint8Array> {
  return new Uint8Array(await new Response(readable).arrayBuffer())
}

/** Let everything happen that needs no time. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

describe('a connection through an exit', () => {
  it('is open when the exit has connected, and carries both directions in order', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const exit = open(requesters)
    const connection = await exit.connect(TARGET)
    const [connect] = requesters.requests('connect')
    assert.equal(connect!.remote, 'example.org:443')
    assert.equal(connect!.returnAddress, undefined)
    assert.ok(connect!.replySurbs >= 20, 'an official requester keeps ten')
    const writer = connection.writable.getWriter()
    await writer.write(utf8('hello '))
    await writer.write(utf8('world'))
    await writer.close()
    await settle()
    const sends = requesters.requests('send')
    assert.equal(sends.map(({ data }) => new TextDecoder().decode(data)).join(''), 'hello world')
    assert.deepEqual(
      sends.map(({ sequence }) => sequence),
      sends.map((_, index) => BigInt(index)),
    )
    assert.deepEqual([sends.at(-1)!.closed, sends.at(-1)!.data.length], [true, 0])

    const { connectionId } = connect!
    const answer = (sequence: bigint, text: string, closed = false) =>
      requesters.answer(FIRST, { kind: 'data', connectionId, sequence, closed, data: utf8(text) })
    answer(3n, '', true)
    answer(2n, 'to you')
    answer(1n, 'good day ')
    assert.equal(new TextDecoder().decode(await readAll(connection)), 'good day to you')
    await connection.closed
    answer(1n, 'late')
    assert.deepEqual(requesters.stray, [], 'what comes late disturbs nobody')
    await exit.close()
    assert.equal(requesters.interceptors, 0)
  })

  it('whatever the order in which messages come, and however often, the app reads the same', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 }),
        fc.infiniteStream(fc.nat()),
        async (chunks, numbers) => {
          const requesters = new ScriptedRequesters()
          requesters.onRequest = connects(requesters)
          const connection = await open(requesters).connect(TARGET)
          const { connectionId } = requesters.requests('connect')[0]!
          const messages = [...chunks, EMPTY].map((data, index) => ({
            kind: 'data' as const,
            connectionId,
            sequence: BigInt(index + 1),
            closed: index === chunks.length,
            data,
          }))
          const next = () => numbers.next().value as number
          const shuffled = [...messages, ...messages.slice(0, 3)]
            .map((message) => ({ message, at: next() }))
            .sort((a, b) => a.at - b.at)
          for (const { message } of shuffled) requesters.answer(FIRST, message)
          assert.deepEqual(Buffer.from(await readAll(connection)), Buffer.concat(chunks))
        },
      ),
      { numRuns: 50 },
    )
  })

  for (const [text, code] of [
    ['Domain "example.org:443" failed filter check', 'MIX_EXIT_POLICY_REFUSED'],
    ['connection refused: example.org:443', 'MIX_EXIT_CONNECTION_REFUSED'],
    ['host unreachable: example.org:443', 'MIX_EXIT_HOST_UNREACHABLE'],
    ['network unreachable: example.org:443', 'MIX_EXIT_NETWORK_UNREACHABLE'],
    ['unknown host: example.org', 'MIX_EXIT_UNKNOWN_HOST'],
    ['timed out: example.org:443', 'MIX_EXIT_TIMED_OUT'],
    ['too many connections: 256', 'MIX_EXIT_BUSY'],
    ['something new', 'MIX_EXIT_CONNECT_FAILED'],
  ] as const)
    it(`"${text}" is ${code}`, async () => {
      const requesters = new ScriptedRequesters()
      requesters.onRequest = (asked) => {
        if (asked.kind === 'connect')
          requesters.answer(FIRST, { kind: 'connection-error', connectionId: asked.connectionId, message: text })
      }
      await assert.rejects(open(requesters).connect(TARGET), hasCode(code))
    })

  it('a close before anything else means that the exit could not connect', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = (asked) => {
      if (asked.kind !== 'connect') return
      const { connectionId } = asked
      requesters.answer(FIRST, { kind: 'data', connectionId, sequence: 0n, closed: true, data: EMPTY })
    }
    await assert.rejects(open(requesters).connect(TARGET), hasCode('MIX_EXIT_CONNECT_FAILED'))
  })

  it('an eager one is there at once, and its streams tell what became of it', async () => {
    const requesters = new ScriptedRequesters()
    const connection = await open(requesters).connect(TARGET, { eager: true })
    const writer = connection.writable.getWriter()
    await writer.write(utf8('GET'))
    assert.equal(requesters.requests('send').length, 1, 'sent along with the question')
    const { connectionId } = requesters.requests('connect')[0]!
    requesters.answer(FIRST, { kind: 'connection-error', connectionId, message: 'connection refused: x' })
    const refused = hasCode('MIX_EXIT_CONNECTION_REFUSED')
    await assert.rejects(connection.opened, refused)
    await assert.rejects(connection.closed, refused)
    await assert.rejects(readAll(connection), refused)
    await assert.rejects(writer.write(utf8('more')), refused)
  })

  it('an answer by the reply blocks of somebody else is ignored', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const connection = await open(requesters, { requester: [FIRST] }).connect(TARGET)
    const { connectionId } = requesters.requests('connect')[0]!
    const forged = { kind: 'data', connectionId, sequence: 1n, closed: true, data: utf8('forged') } as const
    requesters.answer(SECOND, forged)
    requesters.answer(FIRST, { ...forged, data: utf8('true') })
    assert.equal(new TextDecoder().decode(await readAll(connection)), 'true')
  })

  it('with our address the requester needs no reply blocks', async () => {
    const requesters = new ScriptedRequesters()
    await open(requesters, { anonymous: false }).connect(TARGET, { eager: true })
    const [connect] = requesters.requests('connect')
    assert.equal(connect!.replySurbs, 0)
    assert.notEqual(connect!.returnAddress, undefined)
  })

  it('that the signal ends is told to the requester', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const giveUp = new AbortController()
    const connection = await open(requesters).connect(TARGET, { signal: giveUp.signal })
    giveUp.abort(new Error('enough'))
    await assert.rejects(connection.closed, { message: 'enough' })
    assert.equal(requesters.requests('send').at(-1)!.closed, true)
  })
})

describe('flow', () => {
  it('small writes are gathered while a message waits for its slot', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const connection = await open(requesters).connect(TARGET)
    requesters.holdAcks = true
    const writer = connection.writable.getWriter()
    for (let i = 0; i < 1000; i++) await writer.write(Uint8Array.of(i))
    assert.equal(requesters.requests('send').length, 1)
    for (const release of requesters.held.splice(0)) release()
    await settle()
    assert.deepEqual(
      requesters.requests('send').map(({ data }) => data.length),
      [1, 999],
    )
  })

  it('a link that stands still makes the app wait', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const connection = await open(requesters).connect(TARGET)
    requesters.holdAcks = true
    let written = 0
    const writer = connection.writable.getWriter()
    const writing = (async () => {
      for (; written < 1000; written++) await writer.write(new Uint8Array(16_384))
    })()
    await settle()
    await settle()
    assert.ok(written < 80, `${written} chunks were taken`)
    connection.abort()
    await assert.rejects(writing)
  })

  it("never sends beyond the requester's credit", async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = (asked) => {
      connects(requesters)(asked)
      if (asked.kind === 'credit' && asked.limit < 2n ** 60n)
        requesters.answer(FIRST, { kind: 'credit', connectionId: asked.connectionId, limit: 20_000n })
    }
    const connection = await open(requesters).connect(TARGET)
    await settle()
    const sent = () => requesters.requests('send').reduce((sum, { data }) => sum + data.length, 0)
    const writer = connection.writable.getWriter()
    void writer.write(new Uint8Array(50_000)).catch(() => {})
    await settle()
    assert.equal(sent(), 20_000)
    const { connectionId } = requesters.requests('connect')[0]!
    requesters.answer(FIRST, { kind: 'credit', connectionId, limit: 50_000n })
    requesters.answer(FIRST, { kind: 'credit', connectionId, limit: 30_000n })
    await settle()
    assert.equal(sent(), 50_000)
  })

  it('gives credit, with the reply blocks that it takes, as the app reads', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const connection = await open(requesters).connect(TARGET)
    const { connectionId } = requesters.requests('connect')[0]!
    const push = (from: number, to: number) => {
      for (let i = from; i < to; i++)
        requesters.answer(FIRST, {
          kind: 'data',
          connectionId,
          sequence: BigInt(i + 1),
          closed: false,
          data: new Uint8Array(16_384),
        })
    }
    push(0, 8)
    await settle()
    assert.equal(requesters.requests('credit').length, 1, 'nothing was read')
    const reader = connection.readable.getReader()
    for (let i = 0; i < 8; i++) await reader.read()
    const [first, ...further] = requesters.requests('credit')
    assert.equal(first!.limit, 1_048_576n)
    assert.deepEqual(
      further.map(({ limit }) => limit),
      [1_048_576n + 65_536n, 1_048_576n + 131_072n],
    )
    for (const { replySurbs } of further) assert.ok(replySurbs * 1590 >= 65_536)
  })

  it('an official requester that sends more than the app takes is stopped', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const connection = await open(requesters).connect(TARGET)
    const { connectionId } = requesters.requests('connect')[0]!
    for (let i = 0; i < 1100; i++)
      requesters.answer(FIRST, {
        kind: 'data',
        connectionId,
        sequence: BigInt(i + 1),
        closed: false,
        data: new Uint8Array(16_384),
      })
    await assert.rejects(connection.closed, hasCode('MIX_EXIT_RESET'))
  })

  it('a message beyond the window would leave a hole for ever: it is an error', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const connection = await open(requesters).connect(TARGET)
    const { connectionId } = requesters.requests('connect')[0]!
    requesters.answer(FIRST, { kind: 'data', connectionId, sequence: 2000n, closed: false, data: utf8('x') })
    await assert.rejects(connection.closed, hasCode('MIX_EXIT_RESET'))
  })

  it('says every minute that it is there, also when it has nothing more to send', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const connection = await open(requesters).connect(TARGET)
    const { connectionId } = requesters.requests('connect')[0]!
    const minutes = async (count: number) => {
      for (let second = 0; second < 60 * count; second += 5) {
        requesters.clock.advance(5000)
        if (second % 60 === 0) requesters.answer(FIRST, { kind: 'credit', connectionId, limit: 1_000_000n })
        await settle()
      }
    }
    await minutes(3)
    assert.equal(requesters.requests('send').length, 3)
    await connection.writable.close()
    await minutes(3)
    assert.equal(requesters.requests('send').length, 4)
    const limits = requesters.requests('credit').map(({ limit }) => limit)
    assert.deepEqual(limits, [limits[0], limits[0], limits[0], limits[0]])
    connection.abort()
  })

  it('a message that is missing for two minutes is an error, however much comes after it; one that comes late is none', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const connection = await open(requesters).connect(TARGET)
    const { connectionId } = requesters.requests('connect')[0]!
    let ended = false
    const failed = assert.rejects(connection.closed, hasCode('MIX_EXIT_RESET')).then(() => {
      ended = true
    })
    const answer = (sequence: bigint) =>
      requesters.answer(FIRST, { kind: 'data', connectionId, sequence, closed: false, data: EMPTY })
    const wait = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 5000) {
        requesters.clock.advance(5000)
        await settle()
      }
    }
    answer(2n)
    await wait(115_000)
    answer(1n)
    await wait(60_000)
    answer(4n)
    await wait(60_000)
    answer(5n)
    // Nothing can come while our own link is down.
    requesters.gatewayState = 'down'
    await wait(60_000)
    assert.equal(ended, false)
    requesters.gatewayState = 'up'
    await wait(5000)
    await failed
  })
})

describe('a requester', () => {
  it('that is silent about a connection is given up in time', async () => {
    const requesters = new ScriptedRequesters()
    const connecting = open(requesters, { connectTimeoutMs: 30_000 }).connect(TARGET)
    const failed = assert.rejects(connecting, hasCode('MIX_EXIT_SILENT'))
    await settle()
    requesters.clock.advance(31_000)
    await failed
    assert.equal(requesters.clock.pending, 0, 'no timer is left')
  })

  it('of which a message is missing for three minutes, while others come, is no hang', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const connection = await open(requesters).connect(TARGET)
    const { connectionId } = requesters.requests('connect')[0]!
    const failed = assert.rejects(connection.closed, hasCode('MIX_EXIT_RESET'))
    for (let minute = 0; minute < 4; minute++) {
      const sequence = BigInt(minute + 2)
      requesters.answer(FIRST, { kind: 'data', connectionId, sequence, closed: false, data: utf8('x') })
      for (let second = 0; second < 60; second++) {
        requesters.clock.advance(1000)
        await settle()
      }
    }
    await failed
  })

  it('that dies in the middle of a download is noticed by its silence to questions', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const connection = await open(requesters, { silenceMs: 30_000 }).connect(TARGET)
    for (let second = 0; second < 100; second++) {
      requesters.clock.advance(1000)
      await settle()
    }
    const answered = requesters.requests('control').length
    assert.ok(answered >= 5, 'it was asked whether it lives')
    for (const { replySurbs } of requesters.requests('control')) assert.ok(replySurbs >= 2)
    requesters.onRequest = () => {}
    const failed = assert.rejects(connection.closed, hasCode('MIX_EXIT_SILENT'))
    for (let second = 0; second < 45; second++) {
      requesters.clock.advance(1000)
      await settle()
    }
    await failed
  })

  it('is not blamed for the time in which our own gateway is away', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const connection = await open(requesters).connect(TARGET)
    let ended = false
    void connection.closed.catch(() => {
      ended = true
    })
    requesters.gatewayState = 'down'
    requesters.onRequest = () => {}
    requesters.clock.advance(200_000)
    requesters.gatewayState = 'up'
    requesters.gateway('up')
    requesters.clock.advance(25_000)
    await settle()
    assert.equal(ended, false)
  })

  it('that refuses a host is passed over for this host, and for no other', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = (asked) => {
      if (asked.kind === 'connect' && asked.to === FIRST && asked.remote === 'example.org:443') {
        const message = 'Domain "example.org:443" failed filter check'
        requesters.answer(FIRST, { kind: 'connection-error', connectionId: asked.connectionId, message })
      } else connects(requesters)(asked)
    }
    const exit = open(requesters, { requester: [FIRST, SECOND] })
    const other = await exit.connect({ host: 'other.org', port: 80 })
    assert.equal(other.requester, FIRST)
    assert.equal((await exit.connect(TARGET)).requester, SECOND)
    assert.equal((await exit.connect(TARGET)).requester, SECOND)
    assert.equal(
      requesters.requests('connect').filter(({ to, remote }) => to === FIRST && /example/.test(remote)).length,
      1,
    )
    assert.equal((await exit.connect({ host: 'other.org', port: 80 })).requester, FIRST)
  })

  it('of several, the first that answers is taken', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = (asked) => {
      if (asked.to === SECOND) connects(requesters)(asked)
    }
    const exit = open(requesters, { requester: [FIRST, SECOND] })
    assert.equal((await exit.connect(TARGET)).requester, SECOND)
  })

  it('is found in the directory', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const exit = openExit(requesters.client, { clock: requesters.clock })
    await assert.rejects(exit.connect(TARGET), hasCode('MIX_EXIT_NONE'))
    requesters.listed = [SECOND]
    assert.equal((await exit.connect(TARGET)).requester, SECOND)
  })

  it('tells what it is', async () => {
    const requesters = new ScriptedRequesters()
    const build = {
      binary_name: 'nym-network-requester',
      build_timestamp: '',
      build_version: '1.2.3',
      commit_sha: '',
      commit_timestamp: '',
      commit_branch: '',
      rustc_version: '',
      rustc_channel: '',
      cargo_profile: '',
      cargo_triple: '',
    }
    requesters.onRequest = ({ to, kind }) => {
      requesters.clock.advance(700)
      if (kind === 'control' && to === SECOND)
        requesters.answer(SECOND, {
          kind: 'control',
          interfaceVersion: 3,
          answer: { kind: 'binary-info', binaryName: 'nym-network-requester', build },
        })
    }
    const exit = open(requesters, { requester: [SECOND] })
    assert.deepEqual(await exit.reports(), [
      { address: SECOND, answeredInMs: 700, binaryName: 'nym-network-requester', version: '1.2.3' },
    ])
  })
})

describe('limits', () => {
  it('beyond them a connection waits for one to end', async () => {
    const requesters = new ScriptedRequesters()
    requesters.onRequest = connects(requesters)
    const exit = open(requesters, { maximumConnections: 2 })
    const first = await exit.connect(TARGET)
    await exit.connect(TARGET)
    const third = exit.connect(TARGET)
    await settle()
    assert.equal(requesters.requests('connect').length, 2)
    first.abort()
    await third
    const fourth = exit.connect(TARGET)
    await exit.close()
    await assert.rejects(fourth, hasCode('MIX_EXIT_CLOSED'))
  })

  for (const target of [
    { host: '', port: 1 },
    { host: 'a b', port: 1 },
    { host: 'x', port: 0 },
    { host: 'x', port: 65_536 },
    { host: 'x'.repeat(256), port: 1 },
  ])
    it(`${target.host.slice(0, 5)}:${target.port} is no target`, async () => {
      const requesters = new ScriptedRequesters()
      await assert.rejects(open(requesters).connect(target), hasCode('MIX_EXIT_TARGET'))
      assert.equal(requesters.asked.length, 0)
    })
})
