/** Answering measurements of distance: the official bytes, and what ends a connection (05-mixnode §13). */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, describe, it } from 'node:test'
import { fromHex, MemoryMetrics, toHex, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { answerVerlocEcho, encodeVerlocEcho, VERLOC_REPLY_BYTES } from '@mixwright/wire'
import type { AcceptOptions, Link, Links } from '../src/link/link.js'
import { VerlocListener } from '../src/verloc/verloc-listener.js'

const vector: Record<'echo' | 'reply' | 'sequence', string> = JSON.parse(
  readFileSync(new URL('../../../../vectors/mixnode-verloc.json', import.meta.url), 'utf8'),
)
const senderSeed = new Uint8Array(32).fill(0x09)
const ownSeed = new Uint8Array(32).fill(0x0a)

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

/** A listener whose connections are made by the test. */
async function listener() {
  const clock = new VirtualClock()
  const metrics = new MemoryMetrics()
  let accept!: AcceptOptions['accepted']
  const links: Links = {
    listen: async (_address, options) => {
      accept = options.accepted
      return { port: 1790, close: async () => {} }
    },
    connect: () => assert.fail('it never connects'),
  }
  const verloc = await VerlocListener.open({
    clock,
    metrics,
    crypto,
    links,
    listen: { host: '127.0.0.1', port: 1790 },
    identitySeed: ownSeed,
  })
  const connect = (remoteIp = '192.0.2.1') => {
    const replies: Uint8Array[] = []
    const state = { destroyed: false, bufferedBytes: 0 }
    const link: Link = {
      remoteIp,
      get bufferedBytes() {
        return state.bufferedBytes
      },
      write: (chunks) => void replies.push(...chunks),
      pause() {},
      resume() {},
      destroy() {
        if (state.destroyed) return
        state.destroyed = true
        queueMicrotask(() => events.closed())
      },
    }
    const events = accept(link)
    return { events, replies, state }
  }
  const refused = (reason: string) => metrics.value('mixwright_verloc_refused_total', { reason })
  return { clock, metrics, verloc, connect, refused }
}

const echo = (sequence: number) => encodeVerlocEcho(crypto, BigInt(sequence), senderSeed)

describe('verloc', () => {
  it('writes the official bytes', () => {
    const made = encodeVerlocEcho(crypto, BigInt(vector.sequence), senderSeed)
    assert.equal(toHex(made), vector.echo)
    assert.equal(toHex(answerVerlocEcho(crypto, made, ownSeed)!), vector.reply)
  })

  it('answers however the bytes come in', async () => {
    const { connect, metrics } = await listener()
    const official = fromHex(vector.echo)
    const single = connect()
    for (const byte of official) single.events.data(Uint8Array.of(byte))
    assert.deepEqual(single.replies.map(toHex), [vector.reply])
    const joined = connect()
    joined.events.data(Buffer.concat([echo(1), echo(2), echo(3).subarray(0, 50)]))
    joined.events.data(echo(3).subarray(50))
    assert.deepEqual(
      joined.replies.map((reply) => [reply.length, reply[7]]),
      [1, 2, 3].map((sequence) => [VERLOC_REPLY_BYTES, sequence]),
    )
    assert.equal(metrics.value('mixwright_verloc_answers_total'), 4)
  })

  it('closes at a wrong signature, whichever bit is wrong, and says nothing', async () => {
    const { connect, refused } = await listener()
    const official = fromHex(vector.echo)
    for (let index = 0; index < official.length; index += 7) {
      const { events, replies, state } = connect(`192.0.2.${index}`)
      const wrong = official.slice()
      wrong[index]! ^= 1
      events.data(wrong)
      events.data(official)
      assert.deepEqual([replies.length, state.destroyed], [0, true], String(index))
    }
    assert.equal(refused('signature'), 15)
  })

  it('answers so many a second and no more, over all connections', async () => {
    const { connect, clock, refused } = await listener()
    const peers = Array.from({ length: 50 }, (_, index) => connect(`192.0.2.${index}`))
    for (let sequence = 0; sequence < 4; sequence++) for (const { events } of peers) events.data(echo(sequence))
    assert.ok(peers.every(({ replies, state }) => replies.length === 4 && !state.destroyed))
    peers[0]!.events.data(echo(5))
    assert.deepEqual([peers[0]!.state.destroyed, refused('too-many-echoes')], [true, 1])
    clock.advance(1_000)
    peers[1]!.events.data(echo(5))
    assert.equal(peers[1]!.replies.length, 5)
  })

  it('holds few connections of one address, and none that is silent or does not read', async () => {
    const { connect, clock, refused, verloc } = await listener()
    const peers = Array.from({ length: 5 }, () => connect())
    assert.deepEqual(
      peers.map(({ state }) => state.destroyed),
      [false, false, false, false, true],
    )
    assert.equal(refused('too-many-connections'), 1)
    clock.advance(9_999)
    peers[0]!.events.data(echo(1))
    clock.advance(1)
    assert.deepEqual([peers[0]!.state.destroyed, peers[1]!.state.destroyed], [false, true])
    await Promise.resolve()
    // Their place is free again.
    const next = connect()
    assert.equal(next.state.destroyed, false)
    next.state.bufferedBytes = 1 << 20
    next.events.data(echo(1))
    assert.equal(next.state.destroyed, true)
    await verloc.close()
    await Promise.resolve()
    assert.equal(peers[0]!.state.destroyed, true)
    assert.equal(clock.pending, 0)
  })
})
