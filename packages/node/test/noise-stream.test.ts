import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, SystemRandom } from '@mixwright/runtime'
import { loadCryptoProvider } from '@mixwright/sphinx'
import { encodeNoiseFrame } from '@mixwright/wire'
import fc from 'fast-check'
import { NoiseInitiator, NoiseResponder } from '../src/noise/handshake.js'
import { type NoiseOutcome, NoiseStream } from '../src/noise/noise-stream.js'
import { newKeyPair } from './noise-peers.js'

const crypto = await loadCryptoProvider()
const random = new SystemRandom()
const own = newKeyPair(crypto, random)
const theirs = newKeyPair(crypto, random)
const newInitiator = () => new NoiseStream(new NoiseInitiator(crypto, random, own, theirs.publicKey))
const newResponder = () => new NoiseStream(new NoiseResponder(crypto, random, theirs))
const nothing = () => assert.fail('there is no plaintext')

function replyOf(outcome: NoiseOutcome): Uint8Array {
  assert.ok(outcome !== undefined && 'reply' in outcome, JSON.stringify(outcome))
  return outcome.reply
}

/** Both ends of a connection, and what the initiator said. */
function connection(): { initiator: NoiseStream; responder: NoiseStream; said: [Uint8Array, Uint8Array] } {
  const initiator = newInitiator()
  const responder = newResponder()
  const first = replyOf(initiator.start())
  const third = replyOf(initiator.push(replyOf(responder.push(first, nothing)), nothing))
  assert.equal(responder.push(third, nothing), undefined)
  assert.ok(initiator.established && responder.established)
  return { initiator, responder, said: [first, third] }
}

function read(stream: NoiseStream, bytes: Uint8Array): { plaintext: Uint8Array; outcome: NoiseOutcome } {
  const pieces: Uint8Array[] = []
  const outcome = stream.push(bytes, (piece) => pieces.push(piece))
  return { plaintext: concatBytes(...pieces), outcome }
}

/** The frame with one bit turned. */
function turned(frame: Uint8Array, at: number, bit: number): Uint8Array {
  const out = Uint8Array.from(frame)
  out[at] = out[at]! ^ bit
  return out
}

/** What must come of a turned bit: bytes 5 to 7 are ignored, a longer length waits, everything else is an error. */
function judge(frame: Uint8Array, at: number, bit: number, outcome: NoiseOutcome): void {
  if (at >= 5 && at < 8) assert.ok(outcome === undefined || 'reply' in outcome)
  else if (outcome === undefined) {
    assert.ok(at === 3 || at === 4, `byte ${at} made no difference`)
    const length = (turned(frame, at, bit)[3]! << 8) | turned(frame, at, bit)[4]!
    assert.ok(length > frame.length - 8)
  } else assert.ok('error' in outcome, `byte ${at} was answered`)
}

describe('a Noise stream', () => {
  it('carries data both ways, cut anywhere', () => {
    const { initiator, responder } = connection()
    for (const [from, to] of [
      [initiator, responder],
      [responder, initiator],
    ] as const) {
      const data = random.bytes(5000)
      const sealed = from.seal([data.subarray(0, 1), data.subarray(1, 1), data.subarray(1)])
      const pieces: Uint8Array[] = []
      for (const byte of sealed)
        assert.equal(
          to.push(Uint8Array.of(byte), (piece) => pieces.push(piece)),
          undefined,
        )
      assert.deepEqual(concatBytes(...pieces), data)
    }
  })

  it('packs as few frames as can be, and none for nothing', () => {
    const { initiator, responder } = connection()
    const frames = (chunks: readonly Uint8Array[]) => {
      const sealed = initiator.seal(chunks)
      const bytes = chunks.reduce((sum, { length }) => sum + length, 0)
      assert.equal(read(responder, sealed).plaintext.length, bytes)
      return (sealed.length - bytes) / 24
    }
    const of = (length: number) => random.bytes(length)
    assert.equal(frames([]), 0)
    assert.equal(frames([of(0), of(0)]), 0)
    assert.equal(frames(Array.from({ length: 27 }, () => of(2417))), 1)
    assert.equal(frames([of(65_519)]), 1)
    assert.equal(frames([of(65_519), of(0)]), 1)
    assert.equal(frames([of(65_519), of(1)]), 2)
    assert.equal(frames([of(1), of(65_519)]), 2)
    assert.equal(frames([of(70_000), of(70_000)]), 3)
  })

  it('gives an error and no reply for a turned bit in any byte of any handshake message', () => {
    for (const bit of [0x01, 0x80]) {
      for (let at = 0; at < 56; at++) {
        const first = replyOf(newInitiator().start())
        judge(first, at, bit, newResponder().push(turned(first, at, bit), nothing))

        const initiator = newInitiator()
        const second = replyOf(newResponder().push(replyOf(initiator.start()), nothing))
        judge(second, at, bit, initiator.push(turned(second, at, bit), nothing))
      }
      for (let at = 0; at < 72; at++) {
        const initiator = newInitiator()
        const responder = newResponder()
        const second = replyOf(responder.push(replyOf(initiator.start()), nothing))
        const third = replyOf(initiator.push(second, nothing))
        judge(third, at, bit, responder.push(turned(third, at, bit), nothing))
        assert.equal(responder.established, at >= 5 && at < 8)
      }
    }
  })

  it('gives an error and no plaintext for a turned bit in any byte of a data message', () => {
    for (let at = 0; at < 40; at++) {
      const { initiator, responder } = connection()
      const good = initiator.seal([Uint8Array.of(7)])
      const sealed = initiator.seal([random.bytes(16)])
      const { plaintext, outcome } = read(responder, concatBytes(good, turned(sealed, at, 0x01)))
      judge(sealed, at, 0x01, outcome)
      // What came before the tampered message stays valid.
      assert.deepEqual([...plaintext.subarray(0, 1)], [7])
      assert.equal(plaintext.length > 1, at >= 5 && at < 8)
    }
  })

  it('waits at every cut of a handshake, and refuses messages that are too short or too long', () => {
    const initiator = newInitiator()
    const first = replyOf(initiator.start())
    for (let cut = 0; cut < first.length; cut++) {
      const responder = newResponder()
      assert.equal(responder.push(first.subarray(0, cut), nothing), undefined)
      assert.ok(!responder.established)
      assert.ok(replyOf(responder.push(first.subarray(cut), nothing)))
    }
    const refusal = (length: number) => {
      if (length < 16 || length > 1024) return 'noise-length'
      return 'noise-handshake'
    }
    for (let length = 0; length <= 1100; length++) {
      if (length === 48) continue
      // The right bytes cut short, or with others behind.
      const message = new Uint8Array(length).fill(9)
      message.set(first.subarray(8, 8 + Math.min(48, length)))
      const outcome = newResponder().push(encodeNoiseFrame('handshake', message), nothing)
      assert.deepEqual(outcome, { error: refusal(length) }, `${length} bytes`)
    }
    for (let length = 0; length < 64; length++) {
      const responder = newResponder()
      const third = replyOf(replyTo(responder))
      const cut = encodeNoiseFrame('handshake', third.subarray(8, 8 + length))
      assert.deepEqual(responder.push(cut, nothing), { error: refusal(length) })
    }
  })

  it('accepts nothing that was said before', () => {
    const { initiator, said } = connection()
    const data = initiator.seal([Uint8Array.of(1)])
    // A whole recorded connection, to a node that draws a new ephemeral key.
    const [first, third] = said
    const responder = newResponder()
    assert.ok(replyOf(responder.push(first, nothing)))
    assert.deepEqual(responder.push(third, nothing), { error: 'noise-handshake' })
    assert.deepEqual(responder.push(data, nothing), { error: 'noise-handshake' })
    assert.ok(!responder.established)
    // In one piece there is not even an answer.
    assert.deepEqual(newResponder().push(concatBytes(first, third, data), nothing), { error: 'noise-handshake' })
    // The first message twice, and a message of data twice or out of order.
    const twice = newResponder()
    twice.push(first, nothing)
    assert.deepEqual(twice.push(first, nothing), { error: 'noise-handshake' })
    const again = connection()
    const [one, two] = [again.initiator.seal([Uint8Array.of(1)]), again.initiator.seal([Uint8Array.of(2)])]
    assert.deepEqual(read(again.responder, concatBytes(one, one)), {
      plaintext: Uint8Array.of(1),
      outcome: { error: 'noise-decrypt' },
    })
    const lossy = connection()
    lossy.initiator.seal([one])
    assert.deepEqual(lossy.responder.push(lossy.initiator.seal([two]), nothing), { error: 'noise-decrypt' })
  })

  it('holds each message to its place', () => {
    const data = encodeNoiseFrame('data', new Uint8Array(48))
    assert.deepEqual(newResponder().push(data, nothing), { error: 'noise-type' })
    const initiator = newInitiator()
    initiator.start()
    assert.deepEqual(initiator.push(data, nothing), { error: 'noise-type' })
    const late = connection()
    const handshake = encodeNoiseFrame('handshake', new Uint8Array(48))
    assert.deepEqual(late.responder.push(handshake, nothing), { error: 'noise-type' })
  })

  it('says the same error for ever, and forgets its keys', () => {
    const { initiator, responder } = connection()
    const good = initiator.seal([Uint8Array.of(1)])
    const bad = encodeNoiseFrame('data', new Uint8Array(20))
    assert.deepEqual(responder.push(bad, nothing), { error: 'noise-decrypt' })
    assert.ok(!responder.established)
    assert.deepEqual(responder.push(good, nothing), { error: 'noise-decrypt' })
    const closed = connection()
    const unread = closed.initiator.seal([Uint8Array.of(1)])
    closed.responder.close()
    assert.deepEqual(closed.responder.push(unread, nothing), { error: 'noise-decrypt' })
  })

  it('never throws on bytes that were changed, in any state', () => {
    const change = fc.record({ at: fc.nat(400), to: fc.nat(255), cut: fc.boolean() })
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), fc.nat(2), fc.nat(80), (changes, stage, chunk) => {
        const { initiator, responder, said } = connection()
        const stream = stage === 0 ? newResponder() : stage === 1 ? newInitiator() : responder
        if (stage === 1) stream.start()
        let bytes = stage === 2 ? initiator.seal([new Uint8Array(300)]) : concatBytes(...said)
        for (const { at, to, cut } of changes) {
          if (cut) bytes = bytes.slice(0, at)
          else if (at < bytes.length) bytes[at] = to
        }
        let failed: NoiseOutcome
        for (let offset = 0; offset < bytes.length; offset += chunk + 1) {
          const outcome = stream.push(bytes.subarray(offset, offset + chunk + 1), (plaintext) => {
            assert.deepEqual(plaintext, Buffer.alloc(300), 'only what was sent comes out')
          })
          if (failed !== undefined) assert.deepEqual(outcome, failed)
          if (outcome !== undefined && 'error' in outcome) failed = outcome
        }
      }),
      { numRuns: 150 },
    )
  })
})

/** The initiator's side of a handshake with `responder`, up to its last message. */
function replyTo(responder: NoiseStream): NoiseOutcome {
  const initiator = newInitiator()
  return initiator.push(replyOf(responder.push(replyOf(initiator.start()), nothing)), nothing)
}
