/** Frames of streams, and the older `tcp_proxy` message. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, fromHex, toHex } from '@mixwright/runtime'
import fc from 'fast-check'
import {
  decodeStreamFrame,
  decodeTcpProxyMessage,
  encodeStreamFrame,
  encodeTcpProxyMessage,
  STREAM_FRAME_TYPES,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

interface Frame {
  stream_id: string
  msg_type: number
  sequence_num: number
  payload: string
}
interface StreamVectors {
  encode: (Frame & { name: string; bytes: string })[]
  decode: { bytes: string; result: Partial<Frame> & { frame: string } }[]
}
interface TcpProxyVectors {
  messages: { name: string; session_id: string; message_id: number; bytes: string }[]
}

const streams = loadVectors<StreamVectors>('sp-lp-stream')
const proxies = loadVectors<TcpProxyVectors>('sp-tcp-proxy').messages

describe('sp-lp-stream.json', () => {
  for (const vector of streams.encode) {
    it(`${vector.name}, both directions`, () => {
      const frame = {
        streamId: BigInt(vector.stream_id),
        type: vector.msg_type,
        sequence: vector.sequence_num,
        reserved: 0,
        content: fromHex(vector.payload),
      }
      assert.equal(toHex(encodeStreamFrame(frame)), vector.bytes)
      assert.deepEqual(decodeStreamFrame(fromHex(vector.bytes)), frame)
    })
  }
  for (const { bytes, result } of streams.decode) {
    it(`${result.frame}: ${bytes}`, () => {
      const frame = decodeStreamFrame(fromHex(bytes))
      assert.equal(frame !== undefined, result.frame === 'stream')
      if (frame === undefined) return
      assert.equal(frame.streamId, BigInt(result.stream_id!))
      assert.equal(frame.type, result.msg_type)
      assert.equal(frame.sequence, result.sequence_num)
      assert.equal(toHex(frame.content), result.payload)
    })
  }
})

describe('stream frames', () => {
  it('types are those of the wire', () => {
    assert.deepEqual(Object.values(STREAM_FRAME_TYPES), [0, 1, 2, 3, 4])
  })
  it('what is read is written as it was; nothing else is read, whatever the bytes', () => {
    const seed = fc.constantFrom(...streams.encode.map(({ bytes }) => fromHex(bytes)))
    const edit = fc.tuple(fc.nat({ max: 18 }), fc.integer({ min: 0, max: 255 }))
    const input = fc.tuple(
      seed,
      fc.array(edit, { maxLength: 3 }),
      fc.uint8Array({ maxLength: 20 }),
      fc.nat({ max: 40 }),
    )
    let read = 0
    fc.assert(
      fc.property(input, ([seed, edits, tail, cut]) => {
        const bytes = concatBytes(seed, tail).subarray(0, cut)
        for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value
        const frame = decodeStreamFrame(Buffer.from(bytes))
        assert.equal(frame !== undefined, bytes.length >= 16 && bytes[0] === 3 && bytes[1] === 0 && bytes[10]! <= 4)
        if (frame === undefined) return
        read++
        assert.equal(toHex(encodeStreamFrame(frame)), toHex(bytes))
      }),
      { numRuns: 5000 },
    )
    assert.notEqual(read, 0)
  })
})

describe('sp-tcp-proxy.json', () => {
  for (const { name, session_id: uuid, message_id: messageId, bytes } of proxies) {
    it(`${name}, both directions`, () => {
      const data = { data: fromHex('68656c6c6f'), empty_data: new Uint8Array(0) }[name]
      const message = { data, sessionId: fromHex(uuid.replaceAll('-', '')), messageId }
      assert.equal(toHex(encodeTcpProxyMessage(message)), bytes)
      assert.deepEqual(decodeTcpProxyMessage(fromHex(bytes)), message)
    })
  }
})

describe('tcp_proxy messages', () => {
  const seeds = proxies.map(({ bytes }) => fromHex(bytes))

  it('are none when cut', () => {
    for (const seed of seeds) {
      for (let length = 0; length < seed.length; length++) {
        assert.equal(decodeTcpProxyMessage(Buffer.from(seed.subarray(0, length))), undefined)
      }
    }
  })
  it('may have bytes behind them', () => {
    for (const seed of seeds) {
      assert.deepEqual(decodeTcpProxyMessage(concatBytes(seed, Uint8Array.of(1))), decodeTcpProxyMessage(seed))
    }
  })
  it('of other variants, lengths and session ids are none', () => {
    const [data, , close] = seeds
    const refused = (seed: Uint8Array, at: number, value: number) => {
      const bytes = Uint8Array.from(seed)
      bytes[at] = value
      assert.equal(decodeTcpProxyMessage(bytes), undefined)
    }
    refused(data!, 0, 2)
    refused(data!, 3, 1)
    refused(data!, 4, 255)
    refused(data!, 11, 255)
    refused(close!, 4, 15)
    refused(close!, 4, 17)
  })
  it('what is read is written as it was', () => {
    const input = fc.tuple(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat({ max: 45 }), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
    )
    let read = 0
    fc.assert(
      fc.property(input, ([seed, edits]) => {
        const bytes = Buffer.from(seed)
        for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value
        const message = decodeTcpProxyMessage(bytes)
        if (message === undefined) return
        read++
        const written = encodeTcpProxyMessage(message)
        assert.equal(toHex(written), toHex(bytes.subarray(0, written.length)))
      }),
      { numRuns: 5000 },
    )
    assert.notEqual(read, 0)
  })
  it('throws for a session id of another length', () => {
    assert.throws(
      () => encodeTcpProxyMessage({ data: undefined, sessionId: new Uint8Array(15), messageId: 0 }),
      RangeError,
    )
  })
})
