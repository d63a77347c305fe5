import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, fromHex, toHex } from '@mixwright/runtime'
import fc from 'fast-check'
import {
  encodeFrame,
  encodeNoiseFrame,
  MAX_NOISE_HANDSHAKE_BYTES,
  NoiseFrameDecoder,
  type NoiseFrameError,
  type NoiseFrameType,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

interface NoiseVectors {
  cases: {
    pattern_tag: number
    handshake: { noise_message: string; wire: string }[]
    transport_initiator_to_responder: { plaintext: string; wire: string }[]
    write_of_70000_filler_bytes_after_those: { plaintext_len: number; wire_header: string; wire_len: number }[]
  }[]
}

const vectors = loadVectors<NoiseVectors>('mixnode-noise')
const xk = vectors.cases.find(({ pattern_tag }) => pattern_tag === 1)!
const ik = vectors.cases.find(({ pattern_tag }) => pattern_tag === 2)!

function decodeAll(chunks: readonly Uint8Array[], expected: NoiseFrameType = 'handshake') {
  const decoder = new NoiseFrameDecoder()
  decoder.expected = expected
  const messages: string[] = []
  let error: NoiseFrameError | undefined
  for (const chunk of chunks) {
    error = decoder.push(chunk, (message) => {
      messages.push(toHex(message))
      return undefined
    })
  }
  return { messages, error }
}

const bytewise = (bytes: Uint8Array) => Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
const header = (version: number, pattern: number, type: number, length: number) =>
  Uint8Array.of(version, pattern, type, length >> 8, length & 0xff, 0, 0, 0)

describe('Noise frames of mixnode-noise.json', () => {
  it('handshake messages, both directions', () => {
    for (const { noise_message, wire } of xk.handshake) {
      assert.equal(toHex(encodeNoiseFrame('handshake', fromHex(noise_message))), wire)
      assert.deepEqual(decodeAll([fromHex(wire)]), { messages: [noise_message], error: undefined })
    }
  })

  it('data messages in one stream, at once and byte by byte', () => {
    const wires = xk.transport_initiator_to_responder.map(({ wire }) => fromHex(wire))
    const messages = wires.map((wire) => toHex(wire.subarray(8)))
    for (const wire of wires) assert.deepEqual(encodeNoiseFrame('data', wire.subarray(8)), wire)
    const stream = concatBytes(...wires)
    assert.deepEqual(decodeAll([stream], 'data'), { messages, error: undefined })
    assert.deepEqual(decodeAll(bytewise(stream), 'data'), { messages, error: undefined })
  })

  it('headers of the longest data messages', () => {
    for (const { plaintext_len, wire_header, wire_len } of xk.write_of_70000_filler_bytes_after_those) {
      const frame = encodeNoiseFrame('data', new Uint8Array(plaintext_len + 16))
      assert.equal(toHex(frame.subarray(0, 8)), wire_header)
      assert.equal(frame.length, wire_len)
    }
  })

  it('refuses the other pattern that official nodes know', () => {
    assert.equal(decodeAll([fromHex(ik.handshake[0]!.wire)]).error, 'noise-pattern')
  })
})

describe('the Noise frame decoder', () => {
  it('refuses every version, pattern and type but the one expected, with the header', () => {
    for (let value = 0; value < 256; value++) {
      const refusal = (error: NoiseFrameError, good: number) => (value === good ? undefined : error)
      assert.equal(decodeAll([header(value, 1, 0, 48)]).error, refusal('noise-version', 1))
      assert.equal(decodeAll([header(1, value, 0, 48)]).error, refusal('noise-pattern', 1))
      assert.equal(decodeAll([header(1, 1, value, 48)]).error, refusal('noise-type', 0))
      assert.equal(decodeAll([header(1, 1, value, 48)], 'data').error, refusal('noise-type', 1))
    }
  })

  it('refuses every illegal length, and no other, with the header', () => {
    for (let length = 0; length <= 0xffff; length++) {
      const handshake = length < 16 || length > MAX_NOISE_HANDSHAKE_BYTES
      assert.equal(decodeAll([header(1, 1, 0, length)]).error, handshake ? 'noise-length' : undefined)
      assert.equal(decodeAll([header(1, 1, 1, length)], 'data').error, length < 16 ? 'noise-length' : undefined)
    }
    assert.throws(() => encodeNoiseFrame('data', new Uint8Array(0x10000)), RangeError)
  })

  it('takes plain frames for another version', () => {
    const packet = new Uint8Array(386)
    assert.equal(decodeAll([encodeFrame(packet, 0, 7)]).error, 'noise-version')
    assert.equal(decodeAll([encodeFrame(packet, 1, 8)]).error, 'noise-version')
  })

  it('ignores what the reserved bytes say', () => {
    const frame = encodeNoiseFrame('handshake', new Uint8Array(48).fill(5))
    frame.fill(0xff, 5, 8)
    assert.deepEqual(decodeAll(bytewise(frame)), { messages: [toHex(frame.subarray(8))], error: undefined })
  })

  it('waits at every cut, and goes on from there', () => {
    const frame = encodeNoiseFrame(
      'handshake',
      Uint8Array.from({ length: 64 }, (_, i) => i),
    )
    for (let cut = 0; cut < frame.length; cut++) {
      assert.deepEqual(decodeAll([frame.subarray(0, cut)]), { messages: [], error: undefined })
      const both = decodeAll([frame.subarray(0, cut), frame.subarray(cut)])
      assert.deepEqual(both, { messages: [toHex(frame.subarray(8))], error: undefined })
    }
  })

  it('changes the expected type between two frames of one chunk', () => {
    const decoder = new NoiseFrameDecoder()
    const lengths: number[] = []
    const chunk = concatBytes(
      encodeNoiseFrame('handshake', new Uint8Array(64)),
      encodeNoiseFrame('data', new Uint8Array(2000)),
    )
    const error = decoder.push(chunk, (message) => {
      lengths.push(message.length)
      decoder.expected = 'data'
      return undefined
    })
    assert.deepEqual([lengths, error], [[64, 2000], undefined])
  })

  it('ends with the error of its owner, and stays ended', () => {
    const decoder = new NoiseFrameDecoder<'unwanted'>()
    let seen = 0
    const frame = encodeNoiseFrame('handshake', new Uint8Array(48))
    const refuse = () => {
      seen++
      return 'unwanted' as const
    }
    assert.equal(decoder.push(concatBytes(frame, frame), refuse), 'unwanted')
    assert.equal(decoder.push(frame, refuse), 'unwanted')
    assert.equal(seen, 1)
  })

  it('never throws, and gives the same for any chunking of any bytes', () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.uint8Array({ minLength: 16, maxLength: 200 }).map((message) => encodeNoiseFrame('data', message)),
      fc.tuple(fc.constantFrom(1, 2), fc.nat(0xffff)).map(([version, length]) => header(version, 1, 1, length)),
    )
    const stream = fc.array(part, { maxLength: 8 }).map((parts) => concatBytes(...parts))
    fc.assert(
      fc.property(stream, fc.array(fc.nat(300), { maxLength: 30 }), (bytes, sizes) => {
        const chunks: Uint8Array[] = []
        let offset = 0
        for (const size of sizes) {
          chunks.push(bytes.subarray(offset, offset + size))
          offset = Math.min(bytes.length, offset + size)
        }
        chunks.push(bytes.subarray(offset))
        assert.deepEqual(decodeAll(chunks, 'data'), decodeAll([bytes], 'data'))
      }),
      { numRuns: 500 },
    )
  })
})
