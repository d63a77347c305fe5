import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, SystemRandom } from '@mixwright/runtime'
import { loadCryptoProvider, type NodeAddress, nodeAddress } from '@mixwright/sphinx'
import { encodeFrame, encodeNoiseFrame, type Frame } from '@mixwright/wire'
import fc from 'fast-check'
import { InboundStream } from '../src/mix/inbound-stream.js'
import { NoiseInitiator } from '../src/noise/handshake.js'
import { inboundDialect, type NoiseMode, type NoisePeers, outboundNoiseKey } from '../src/noise/noise-policy.js'
import { NoiseStream } from '../src/noise/noise-stream.js'
import { ListedPeers, newKeyPair } from './noise-peers.js'

const crypto = await loadCryptoProvider()
const random = new SystemRandom()
const own = newKeyPair(crypto, random)
const theirs = newKeyPair(crypto, random)
const frame = (fill: number) => encodeFrame(new Uint8Array(386).fill(fill), 0)

function inbound(mode: NoiseMode, peers: NoisePeers, remoteIp = '127.0.0.1'): InboundStream {
  const { secret: noiseSecret, publicKey: noiseKey } = theirs
  return new InboundStream({ mode, peers, crypto, random, noiseSecret, noiseKey, remoteIp })
}

/** Send one frame as the policy of the initiator has it; what the responder made of it. */
function exchange(
  initiator: { mode: NoiseMode; peers: NoisePeers; address: NodeAddress },
  responder: InboundStream,
): { frames: number; replied: boolean; error: string | undefined } {
  let frames = 0
  let replied = false
  let error: string | undefined
  const say = (bytes: Uint8Array): Uint8Array | undefined => {
    const outcome = responder.push(bytes, () => frames++)
    if (outcome === undefined) return undefined
    if ('error' in outcome) {
      error = outcome.error
      return undefined
    }
    replied = true
    return outcome.reply
  }
  const key = outboundNoiseKey(initiator.mode, initiator.peers, initiator.address)
  if (key === undefined) say(frame(1))
  else {
    const noise = new NoiseStream(new NoiseInitiator(crypto, random, own, key))
    const first = noise.start()
    const second = first && 'reply' in first ? say(first.reply) : undefined
    if (second !== undefined) {
      const third = noise.push(second, () => assert.fail())
      if (third && 'reply' in third) say(third.reply)
      say(noise.seal([frame(1)]))
    }
  }
  return { frames, replied, error }
}

const V4 = nodeAddress('127.0.0.1', 1789)!
const MAPPED = nodeAddress('::ffff:127.0.0.1', 1789)!
const toResponder = new ListedPeers({ '127.0.0.1 1789': theirs.publicKey })
const toInitiator = new ListedPeers({ '127.0.0.1 4000': own.publicKey })
const nobody = new ListedPeers()

describe('the Noise policy', () => {
  it('decides each combination of what the two sides know as the book says', () => {
    for (const address of [V4, MAPPED]) {
      for (const remoteIp of ['127.0.0.1', '::ffff:127.0.0.1', '::FFFF:127.0.0.1']) {
        const run = (initiatorKnows: boolean, responderKnows: boolean, mode: NoiseMode) =>
          exchange(
            { mode: 'require', peers: initiatorKnows ? toResponder : nobody, address },
            inbound(mode, responderKnows ? toInitiator : nobody, remoteIp),
          )
        const delivered = (replied: boolean) => ({ frames: 1, replied, error: undefined })
        const closed = (error: string) => ({ frames: 0, replied: false, error })
        assert.deepEqual(run(true, true, 'require'), delivered(true))
        assert.deepEqual(run(true, false, 'require'), closed('frame-version-old'))
        assert.deepEqual(run(false, true, 'require'), closed('noise-version'))
        assert.deepEqual(run(false, false, 'require'), delivered(false))
        for (const responderKnows of [true, false]) {
          assert.deepEqual(run(true, responderKnows, 'prefer'), delivered(true))
          assert.deepEqual(run(false, responderKnows, 'prefer'), delivered(false))
          assert.deepEqual(run(true, responderKnows, 'off'), closed('frame-version-old'))
          assert.deepEqual(run(false, responderKnows, 'off'), delivered(false))
        }
      }
    }
  })

  it('asks for exactly the address towards a peer, and for the IP address alone from one', () => {
    const peers = new ListedPeers({ '10.0.0.1 1789': theirs.publicKey })
    const key = (host: string, port: number) => outboundNoiseKey('prefer', peers, nodeAddress(host, port)!)
    assert.equal(key('10.0.0.1', 1789), theirs.publicKey)
    assert.equal(key('::ffff:10.0.0.1', 1789), theirs.publicKey)
    assert.equal(key('10.0.0.1', 1790), undefined)
    assert.equal(key('10.0.0.2', 1789), undefined)
    assert.equal(outboundNoiseKey('off', peers, nodeAddress('10.0.0.1', 1789)!), undefined)
    assert.equal(inboundDialect('require', peers, '10.0.0.1'), 'noise')
    assert.equal(inboundDialect('require', peers, '::ffff:10.0.0.1'), 'noise')
    assert.equal(inboundDialect('require', peers, '10.0.0.2'), 'plain')
  })

  it('is not asked at all when Noise is off', () => {
    const peers = new ListedPeers({ '10.0.0.1 1789': theirs.publicKey })
    outboundNoiseKey('off', peers, nodeAddress('10.0.0.1', 1789)!)
    assert.equal(inboundDialect('off', peers, '10.0.0.1'), 'plain')
    assert.deepEqual(peers.asked, [])
  })
})

/** A connection that is through its handshake. */
function connected(): { stream: InboundStream; noise: NoiseStream } {
  const stream = inbound('prefer', nobody)
  const noise = new NoiseStream(new NoiseInitiator(crypto, random, own, theirs.publicKey))
  const none = () => assert.fail('no frame yet')
  const first = noise.start() as { reply: Uint8Array }
  const second = stream.push(first.reply, none) as { reply: Uint8Array }
  const third = noise.push(second.reply, none) as { reply: Uint8Array }
  assert.ok(!stream.established)
  assert.equal(stream.push(third.reply, none), undefined)
  assert.ok(stream.established)
  return { stream, noise }
}

describe('an inbound stream', () => {
  it('is established when nothing is owed before frames', () => {
    assert.ok(inbound('off', toInitiator).established)
    assert.ok(inbound('require', nobody).established)
    assert.ok(!inbound('require', toInitiator).established)
    const silent = inbound('prefer', nobody)
    assert.ok(!silent.established)
    assert.equal(
      silent.push(new Uint8Array(0), () => assert.fail()),
      undefined,
    )
    assert.ok(!silent.established)
    silent.push(Uint8Array.of(8), () => assert.fail())
    assert.ok(silent.established)
    const noise = inbound('prefer', nobody)
    noise.push(Uint8Array.of(1), () => assert.fail())
    assert.ok(!noise.established)
  })

  it('gives frames in order, however they and the Noise frames are cut', () => {
    const { stream, noise } = connected()
    const frames = Array.from({ length: 20 }, (_, i) => frame(i))
    const bytes = concatBytes(...frames)
    // Noise frames that begin and end in the midst of a frame, sent byte by byte.
    const pieces = [bytes.subarray(0, 2), bytes.subarray(2, 1000), bytes.subarray(1000)]
    const seen: number[] = []
    for (const byte of concatBytes(...pieces.map((piece) => noise.seal([piece]))))
      assert.equal(
        stream.push(Uint8Array.of(byte), ({ packet }) => seen.push(packet[0]!)),
        undefined,
      )
    assert.deepEqual(
      seen,
      frames.map((_, i) => i),
    )
  })

  it('ends at a malformed frame inside Noise, with the frames before it, and for good', () => {
    const { stream, noise } = connected()
    const seen: Frame[] = []
    const sealed = noise.seal([frame(1), Uint8Array.of(9, 9, 9, 9)])
    assert.deepEqual(
      stream.push(sealed, (one) => seen.push(one)),
      { error: 'frame-version-new' },
    )
    assert.equal(seen.length, 1)
    assert.deepEqual(
      stream.push(noise.seal([frame(2)]), () => assert.fail()),
      { error: 'frame-version-new' },
    )
  })

  it('has no way back to plain frames once it was Noise, nor the other way round', () => {
    const { stream } = connected()
    assert.deepEqual(
      stream.push(frame(1), () => assert.fail()),
      { error: 'noise-version' },
    )
    const plain = inbound('prefer', toInitiator)
    plain.push(frame(1), () => {})
    const first = new NoiseStream(new NoiseInitiator(crypto, random, own, theirs.publicKey)).start()
    assert.deepEqual(
      plain.push((first as { reply: Uint8Array }).reply, () => assert.fail()),
      { error: 'frame-version-old' },
    )
  })

  it('never throws, whatever comes', () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.uint8Array({ minLength: 16, maxLength: 80 }).map((message) => encodeNoiseFrame('handshake', message)),
      fc.uint8Array({ minLength: 16, maxLength: 80 }).map((message) => encodeNoiseFrame('data', message)),
      fc.constant(frame(3)),
    )
    const mode = fc.constantFrom<NoiseMode>('prefer', 'require', 'off')
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), mode, fc.boolean(), (parts, mode, known) => {
        const stream = inbound(mode, known ? toInitiator : nobody)
        let error: string | undefined
        for (const bytes of parts) {
          const outcome = stream.push(bytes, () => assert.equal(error, undefined))
          assert.ok(outcome === undefined || 'error' in outcome, 'bytes made up are not answered')
          if (error !== undefined && bytes.length > 0) assert.deepEqual(outcome, { error })
          if (outcome !== undefined && 'error' in outcome) error = outcome.error
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('gives only what was sent when the plaintext or the sealed bytes are changed', () => {
    fc.assert(
      fc.property(fc.nat(900), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, flip, inside) => {
        const { stream, noise } = connected()
        const plaintext = concatBytes(frame(1), frame(2))
        if (inside && at < plaintext.length) plaintext[at]! ^= flip
        const sealed = noise.seal([plaintext])
        if (!inside && at < sealed.length) sealed[at]! ^= flip
        let frames = 0
        const outcome = stream.push(sealed, () => frames++)
        assert.ok(outcome === undefined || 'error' in outcome)
        // Changed after sealing: all or nothing.
        if (!inside) assert.equal(frames, at >= sealed.length || (at >= 5 && at < 8) ? 2 : 0)
      }),
      { numRuns: 200 },
    )
  })
})
