import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { concatBytes, fromHex, SeededRandom, toHex, uniform } from '@mixwright/runtime'
import fc from 'fast-check'
import {
  encodeFrame,
  type Frame,
  FrameDecoder,
  type FrameError,
  type KeyRotation,
  MAX_FRAME_BYTES,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

interface FrameVectors {
  frames: {
    frame_len: number
    frame_sha256: string
    header_hex: string
    key_rotation_of_packet: KeyRotation
    packet_len: number
    size_name: string
    size_tag: number
    use_legacy_packet_encoding: boolean
  }[]
  streams: {
    name: string
    header_hex?: string
    stream_len?: number
    result: { error: string | null; leftover_bytes: number | null }
  }[]
}

const vectors = loadVectors<FrameVectors>('mixnode-frames')
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
/** The body the vectors were made with. */
const filler = (length: number) => Uint8Array.from({ length }, (_, i) => (7 * i + 3) % 251)

function decodeAll(chunks: readonly Uint8Array[]): {
  frames: Frame[]
  error: FrameError | undefined
  boundary: boolean
} {
  const decoder = new FrameDecoder()
  const frames: Frame[] = []
  for (const chunk of chunks) decoder.push(chunk, (frame) => frames.push({ ...frame, packet: frame.packet.slice() }))
  return { frames, error: decoder.error, boundary: decoder.atBoundary }
}

const bytewise = (bytes: Uint8Array) => Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))

describe('frames of mixnode-frames.json', () => {
  for (const vector of vectors.frames) {
    it(`${vector.size_name} as ${vector.header_hex}, both directions`, () => {
      const packet = filler(vector.packet_len)
      const version = vector.use_legacy_packet_encoding ? 7 : 8
      const bytes = encodeFrame(packet, vector.key_rotation_of_packet, version)
      assert.equal(toHex(bytes.subarray(0, vector.header_hex.length / 2)), vector.header_hex)
      assert.equal(bytes.length, vector.frame_len)
      assert.equal(sha256(bytes), vector.frame_sha256)
      const { frames, error } = decodeAll([bytes])
      assert.equal(error, undefined)
      assert.equal(frames.length, 1)
      assert.equal(frames[0]?.size.tag, vector.size_tag)
      // Version 7 has no place for the rotation.
      assert.equal(frames[0]?.rotation, version === 7 ? 0 : vector.key_rotation_of_packet)
      assert.equal(sha256(frames[0]!.packet), sha256(packet))
    })
  }
})

describe('streams of mixnode-frames.json', () => {
  const errorOf: Record<string, FrameError> = {
    'version 6 (unversioned legacy)': 'frame-version-old',
    'version 1 (first byte of a Noise header)': 'frame-version-old',
    'version 9': 'frame-version-new',
    'size tag 0': 'frame-size',
    'size tag 6 (outfox regular)': 'frame-size',
    'size tag 7 (outfox ack)': 'frame-size',
    'size tag 8': 'frame-size',
    'type 1 (retired vpn)': 'frame-type',
    'type 2 (outfox) with ack size': 'frame-type',
    'rotation 3': 'frame-rotation',
    'v7 with type 1': 'frame-type',
  }
  for (const vector of vectors.streams.filter(({ header_hex }) => header_hex !== undefined)) {
    it(`${vector.name}: ${vector.header_hex}`, () => {
      const stream = fromHex(vector.header_hex!)
      for (const chunks of [[stream], bytewise(stream)]) {
        const { frames, error } = decodeAll(chunks)
        assert.equal(frames.length, 0)
        assert.equal(error !== undefined, vector.result.error !== null)
        if (vector.name in errorOf) assert.equal(error, errorOf[vector.name])
      }
    })
  }

  const three = concatBytes(encodeFrame(filler(386), 1), encodeFrame(filler(2413), 0, 7), encodeFrame(filler(386), 2))

  it('three frames in one stream, whole and byte by byte', () => {
    for (const chunks of [[three], bytewise(three)]) {
      const { frames, error, boundary } = decodeAll(chunks)
      assert.equal(error, undefined)
      assert.equal(boundary, true)
      assert.deepEqual(
        frames.map(({ version, size, rotation }) => [version, size.name, rotation]),
        [
          [8, 'ack', 1],
          [7, 'regular', 0],
          [8, 'ack', 2],
        ],
      )
    }
  })

  it('the last byte missing: two frames, and the end is not clean', () => {
    const { frames, error, boundary } = decodeAll([three.subarray(0, three.length - 1)])
    assert.equal(frames.length, 2)
    assert.equal(error, undefined)
    assert.equal(boundary, false)
  })

  it('frames before an error stay valid, nothing after it is read', () => {
    const { frames, error } = decodeAll([concatBytes(three, Uint8Array.of(9, 1, 0, 0), three)])
    assert.equal(frames.length, 3)
    assert.equal(error, 'frame-version-new')
  })
})

describe('the decoder under any chunking', () => {
  it('gives the same frames however the stream is cut', () => {
    const sizes = [386, 2413, 8557, 16749, 33133]
    const frame = fc.record({
      length: fc.constantFrom(...sizes),
      rotation: fc.constantFrom<KeyRotation>(0, 1, 2),
      version: fc.constantFrom<7 | 8>(7, 8),
    })
    fc.assert(
      fc.property(
        fc.array(frame, { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat(70_000), { maxLength: 20 }),
        (frames, cuts) => {
          const stream = concatBytes(
            ...frames.map(({ length, rotation, version }) => encodeFrame(filler(length), rotation, version)),
          )
          const at = [0, ...cuts.map((cut) => cut % stream.length).sort((a, b) => a - b), stream.length]
          const chunks = at.slice(1).map((end, i) => stream.subarray(at[i], end))
          const decoded = decodeAll(chunks)
          assert.equal(decoded.error, undefined)
          assert.deepEqual(
            decoded.frames.map(({ packet, rotation }) => [packet.length, rotation]),
            frames.map(({ length, rotation, version }) => [length, version === 7 ? 0 : rotation]),
          )
          for (const { packet } of decoded.frames) assert.deepEqual(packet, filler(packet.length))
        },
      ),
      { numRuns: 100 },
    )
  })

  it('never throws on noise and never holds more than one frame', (t) => {
    const random = new SeededRandom('frame fuzz')
    const runs = 20_000
    let errors = 0
    for (let run = 0; run < runs; run++) {
      const decoder = new FrameDecoder()
      const bytes = random.bytes(Math.floor(uniform(random) * 64))
      // Half of the runs start like a real frame, so that the deeper checks are reached too.
      if (run % 2 === 0 && bytes.length > 3)
        bytes.set([8 - (bytes[0]! & 1), bytes[1]! % 8, bytes[2]! % 3, bytes[3]! % 4])
      const error = decoder.push(bytes, ({ packet }) => assert.ok(packet.length < MAX_FRAME_BYTES))
      if (error !== undefined) errors++
    }
    assert.ok(errors > runs / 4)
    t.diagnostic(`${runs} noisy streams, ${errors} ended by a frame error`)
  })
})
