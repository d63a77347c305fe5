import assert from 'node:assert/strict'
import { createCipheriv, createHash, createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fromHex, type Random, SystemRandom, toHex } from '@mixwright/runtime'
import { loadCryptoProvider } from '@mixwright/sphinx'
import { encodeNoiseFrame } from '@mixwright/wire'
import {
  type NoiseCiphers,
  type NoiseHandshake,
  type NoiseHandshakeStep,
  NoiseInitiator,
  NoiseResponder,
} from '../src/noise/handshake.js'
import { NoiseStream } from '../src/noise/noise-stream.js'
import type { NoiseCipher } from '../src/noise/transport.js'
import { LOW_ORDER_POINTS, newKeyPair } from './noise-peers.js'

interface Transport {
  plaintext: string
  wire: string
}

interface NoiseCase {
  handshake: { from: string; handshake_hash_after: string; noise_message: string; wire: string }[]
  handshake_hash: string
  initiator_ephemeral_private: string
  key_initiator_to_responder: string
  initiator_static_private: string
  initiator_static_public: string
  responder_ephemeral_private: string
  responder_static_private: string
  responder_static_public: string
  transport_initiator_to_responder: Transport[]
  transport_responder_to_initiator: Transport[]
  write_of_70000_filler_bytes_after_those: {
    plaintext_len: number
    wire_header: string
    wire_len: number
    wire_sha256: string
  }[]
}

const file = new URL('../../../../vectors/mixnode-noise.json', import.meta.url)
const vector = (JSON.parse(readFileSync(file, 'utf8')) as { cases: NoiseCase[] }).cases[0]!
const crypto = await loadCryptoProvider()
const random = new SystemRandom()

/** A source that gives one ephemeral key. */
function fixed(hex: string): Random {
  return { bytes: () => fromHex(hex), fork: () => fixed(hex) }
}

function vectorSides(): { initiator: NoiseInitiator; responder: NoiseResponder } {
  const responderKey = fromHex(vector.responder_static_public)
  const initiatorKeys = {
    secret: fromHex(vector.initiator_static_private),
    publicKey: fromHex(vector.initiator_static_public),
  }
  const responderKeys = { secret: fromHex(vector.responder_static_private), publicKey: responderKey }
  return {
    initiator: new NoiseInitiator(crypto, fixed(vector.initiator_ephemeral_private), initiatorKeys, responderKey),
    responder: new NoiseResponder(crypto, fixed(vector.responder_ephemeral_private), responderKeys),
  }
}

function successOf(step: NoiseHandshakeStep): { message?: Uint8Array; ciphers?: NoiseCiphers } {
  assert.ok(!('error' in step), 'error' in step ? step.error : '')
  return step
}

/** Run a whole handshake; the ciphers of both sides. */
function shakeHands(initiator: NoiseHandshake, responder: NoiseHandshake): [NoiseCiphers, NoiseCiphers] {
  const first = successOf(initiator.start()).message!
  const second = successOf(responder.read(first)).message!
  const { message: third, ciphers } = successOf(initiator.read(second))
  return [ciphers!, successOf(responder.read(third!)).ciphers!]
}

function seal(cipher: NoiseCipher, plaintext: Uint8Array): Uint8Array {
  const message = new Uint8Array(plaintext.length + 16)
  message.set(plaintext)
  cipher.sealInPlace(message, 0, plaintext.length)
  return message
}

/** A connection whose handshake is over. */
function established(ciphers: NoiseCiphers): NoiseStream {
  const stream = new NoiseStream({
    start: () => ({ ciphers }),
    read: () => ({ error: 'noise-handshake' }),
    hash: new Uint8Array(0),
    wipe() {},
  })
  stream.start()
  return stream
}

describe('the handshake of mixnode-noise.json', () => {
  it('equals it in every byte of every message, and in the hash after each', () => {
    const { initiator, responder } = vectorSides()
    const [first, second, third] = vector.handshake
    const { message: one } = successOf(initiator.start())
    assert.equal(toHex(one!), first!.noise_message)
    assert.equal(toHex(initiator.hash), first!.handshake_hash_after)
    const { message: two } = successOf(responder.read(one!))
    assert.equal(toHex(two!), second!.noise_message)
    assert.equal(toHex(responder.hash), second!.handshake_hash_after)
    const { message: three } = successOf(initiator.read(two!))
    assert.equal(toHex(three!), third!.noise_message)
    assert.equal(toHex(initiator.hash), third!.handshake_hash_after)
    assert.ok(successOf(responder.read(three!)).ciphers)
    assert.equal(toHex(responder.hash), vector.handshake_hash)
    assert.equal(toHex(responder.initiatorKey!), vector.initiator_static_public)
  })

  it('reads the messages that the official crate wrote, as frames', () => {
    const { initiator, responder } = vectorSides()
    const [first, second, third] = vector.handshake.map(({ wire }) => fromHex(wire))
    const none = () => assert.fail('a handshake carries nothing')
    const asInitiator = new NoiseStream(initiator)
    assert.deepEqual(asInitiator.start(), { reply: first })
    assert.deepEqual(asInitiator.push(second!, none), { reply: third })
    assert.ok(asInitiator.established)
    const asResponder = new NoiseStream(responder)
    assert.equal(asResponder.start(), undefined)
    assert.deepEqual(asResponder.push(first!, none), { reply: second })
    assert.ok(!asResponder.established)
    assert.equal(asResponder.push(third!, none), undefined)
    assert.ok(asResponder.established)
    // The message without plaintext counts, and gives nothing.
    const read: string[] = []
    for (const { wire } of vector.transport_initiator_to_responder)
      assert.equal(
        asResponder.push(fromHex(wire), (plaintext) => read.push(toHex(plaintext))),
        undefined,
      )
    const written = vector.transport_initiator_to_responder.map(({ plaintext }) => plaintext)
    assert.deepEqual(
      read,
      written.filter((plaintext) => plaintext !== ''),
    )
  })

  it('gives the transport messages of both directions, and reads them', () => {
    const { initiator, responder } = vectorSides()
    const [ofInitiator, ofResponder] = shakeHands(initiator, responder)
    const both = [
      [vector.transport_initiator_to_responder, ofInitiator.send, ofResponder.receive],
      [vector.transport_responder_to_initiator, ofResponder.send, ofInitiator.receive],
    ] as const
    for (const [messages, send, receive] of both) {
      for (const { plaintext, wire } of messages) {
        assert.equal(toHex(encodeNoiseFrame('data', seal(send, fromHex(plaintext)))), wire)
        assert.equal(toHex(receive.open(fromHex(wire).subarray(8))!), plaintext)
      }
    }
  })

  it('cuts 70 000 bytes as the official node does', () => {
    const { initiator, responder } = vectorSides()
    const [ofInitiator, ofResponder] = shakeHands(initiator, responder)
    for (const { plaintext, wire } of vector.transport_initiator_to_responder) {
      seal(ofInitiator.send, fromHex(plaintext))
      ofResponder.receive.open(fromHex(wire).subarray(8))
    }
    const filler = Uint8Array.from({ length: 70_000 }, (_, i) => (7 * i + 3) % 251)
    const sealed = established(ofInitiator).seal([
      filler.subarray(0, 100),
      filler.subarray(100, 66_000),
      filler.subarray(66_000),
    ])
    let offset = 0
    for (const frame of vector.write_of_70000_filler_bytes_after_those) {
      const wire = sealed.subarray(offset, offset + frame.wire_len)
      assert.equal(toHex(wire.subarray(0, 8)), frame.wire_header)
      assert.equal(createHash('sha256').update(wire).digest('hex'), frame.wire_sha256)
      offset += frame.wire_len
    }
    assert.equal(offset, sealed.length)
    const pieces: Uint8Array[] = []
    established(ofResponder).push(sealed, (plaintext) => pieces.push(plaintext))
    assert.deepEqual(
      pieces.map(({ length }) => length),
      vector.write_of_70000_filler_bytes_after_those.map(({ plaintext_len }) => plaintext_len),
    )
    assert.deepEqual(new Uint8Array(Buffer.concat(pieces)), filler)
  })
})

describe('the handshake', () => {
  it('agrees with itself for random keys, with every provider', async () => {
    for (const name of ['sodium-native', 'libsodium-wasm', 'noble'] as const) {
      const provider = await loadCryptoProvider(name)
      for (let round = 0; round < 5; round++) {
        const [own, theirs] = [newKeyPair(provider, random), newKeyPair(provider, random)]
        const responder = new NoiseResponder(provider, random, theirs)
        const [a, b] = shakeHands(new NoiseInitiator(provider, random, own, theirs.publicKey), responder)
        assert.deepEqual(responder.initiatorKey, Buffer.from(own.publicKey))
        for (const [send, receive] of [
          [a.send, b.receive],
          [b.send, a.receive],
        ] as const) {
          const plaintext = random.bytes(500)
          assert.deepEqual(receive.open(seal(send, plaintext)), Buffer.from(plaintext))
        }
      }
    }
  })

  it('numbers messages in 64 bits, big-endian, and opens each number once', () => {
    const { initiator, responder } = vectorSides()
    const [{ send }, { receive }] = shakeHands(initiator, responder)
    const plaintext = Uint8Array.of(1, 2, 3)
    for (let number = 0; number < 600; number++) {
      const message = seal(send, plaintext)
      const nonce = Buffer.alloc(12)
      nonce.writeBigUInt64BE(BigInt(number), 4)
      const cipher = createCipheriv('aes-256-gcm', fromHex(vector.key_initiator_to_responder), nonce)
      assert.deepEqual(message.subarray(0, 3), new Uint8Array(cipher.update(plaintext)))
      assert.ok(receive.open(message))
      assert.equal(receive.open(message), undefined)
    }
  })

  it('ignores what a payload says, up to the longest message', () => {
    const { responder } = vectorSides()
    const name = Buffer.from('Noise_XKpsk3_25519_AESGCM_SHA256')
    const hash = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
    const hmac = (key: Uint8Array, data: Uint8Array) => createHmac('sha256', key).update(data).digest()
    const responderKey = fromHex(vector.responder_static_public)
    const secret = fromHex(vector.initiator_ephemeral_private)
    const ephemeral = crypto.x25519Base(secret)
    // The first message once more by the Noise paper, with a payload.
    const h = hash(hash(hash(name), responderKey), ephemeral)
    const chaining = hmac(hmac(name, ephemeral), Uint8Array.of(1))
    const extracted = hmac(chaining, crypto.x25519(secret, responderKey)!)
    const key = hmac(extracted, Buffer.concat([hmac(extracted, Uint8Array.of(1)), Uint8Array.of(2)]))
    const cipher = createCipheriv('aes-256-gcm', key, new Uint8Array(12)).setAAD(h)
    const payload = Buffer.concat([cipher.update(new Uint8Array(1024 - 48)), cipher.final(), cipher.getAuthTag()])
    const stream = new NoiseStream(responder)
    const outcome = stream.push(encodeNoiseFrame('handshake', Buffer.concat([ephemeral, payload])), () => assert.fail())
    assert.ok(outcome && 'reply' in outcome && outcome.reply.length === 56)
  })

  it('fails for another responder key', () => {
    const [own, theirs, other] = [0, 1, 2].map(() => newKeyPair(crypto, random))
    const initiator = new NoiseInitiator(crypto, random, own!, other!.publicKey)
    const { message } = successOf(initiator.start())
    assert.deepEqual(new NoiseResponder(crypto, random, theirs!).read(message!), { error: 'noise-handshake' })
  })

  it('overwrites its ephemeral secrets when it is done, and when it is given up', () => {
    const drawn: Uint8Array[] = []
    const watched: Random = {
      bytes(length) {
        drawn.push(random.bytes(length))
        return drawn.at(-1)!
      },
      fork: () => watched,
    }
    const [own, theirs] = [newKeyPair(crypto, random), newKeyPair(crypto, random)]
    const zero = new Uint8Array(32)
    const sides = () =>
      [new NoiseInitiator(crypto, watched, own, theirs.publicKey), new NoiseResponder(crypto, watched, theirs)] as const
    shakeHands(...sides())
    const given = sides().map((side) => new NoiseStream(side))
    assert.notDeepEqual(drawn[2], zero)
    for (const stream of given) stream.close()
    const failing = new NoiseStream(sides()[1])
    failing.push(encodeNoiseFrame('handshake', new Uint8Array(48).fill(9)), () => assert.fail())
    assert.deepEqual(
      drawn.map((secret) => toHex(secret) === toHex(zero)),
      // The last initiator was only drawn for.
      [true, true, true, true, false, true],
    )
  })

  it('refuses every low-order point, wherever it stands', () => {
    const [own, theirs] = [newKeyPair(crypto, random), newKeyPair(crypto, random)]
    for (const point of LOW_ORDER_POINTS) {
      const toThem = () => new NoiseInitiator(crypto, random, own, theirs.publicKey)
      assert.deepEqual(new NoiseInitiator(crypto, random, own, point).start(), { error: 'noise-low-order' })
      const ephemeral = new Uint8Array(48)
      ephemeral.set(point)
      assert.deepEqual(new NoiseResponder(crypto, random, theirs).read(ephemeral), { error: 'noise-low-order' })
      const waiting = toThem()
      waiting.start()
      assert.deepEqual(waiting.read(ephemeral), { error: 'noise-low-order' })
      // As the static key of an initiator that keeps to the protocol otherwise.
      const hollow = new NoiseInitiator(crypto, random, { ...own, publicKey: point }, theirs.publicKey)
      const responder = new NoiseResponder(crypto, random, theirs)
      const second = successOf(responder.read(successOf(hollow.start()).message!)).message!
      assert.deepEqual(responder.read(successOf(hollow.read(second)).message!), { error: 'noise-low-order' })
    }
  })
})
