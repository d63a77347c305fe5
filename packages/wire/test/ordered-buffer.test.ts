/** Messages of a connection in any order, any number of times. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, fromHex, toHex } from '@mixwright/runtime'
import fc from 'fast-check'
import { OrderedBuffer } from '../src/index.js'
import { loadVectors } from './vectors.js'

interface OrderedBufferVectors {
  scripts: {
    name: string
    steps: { write_seq: number; data: string; write_error: string | null; read: { data: string } | null }[]
  }[]
}

/** How the official errors begin that stand for ours. */
const ERRORS = {
  taken: null,
  repeated: 'attempted to overwrite',
  old: 'received message',
  'too-far': 'received message',
}
const empty = new Uint8Array(0)

describe('sp-ordered-buffer.json', () => {
  for (const { name, steps } of loadVectors<OrderedBufferVectors>('sp-ordered-buffer').scripts) {
    it(name, () => {
      const buffer = new OrderedBuffer()
      for (const { write_seq: sequence, data, write_error: error, read } of steps) {
        const written = buffer.write(BigInt(sequence), fromHex(data), false)
        assert.equal(error?.startsWith(ERRORS[written]!) ?? null, written === 'taken' ? null : true)
        assert.equal(written === 'too-far', error?.includes('way higher') ?? false)
        const got = buffer.read()
        assert.equal(got && toHex(concatBytes(...got.data)), read?.data)
        if (got) assert.equal(got.closed, false)
      }
    })
  }
})

describe('OrderedBuffer', () => {
  it('keeps a close that overtook data for its turn', () => {
    const buffer = new OrderedBuffer()
    assert.equal(buffer.write(2n, empty, true), 'taken')
    assert.equal(buffer.read(), undefined)
    buffer.write(1n, Uint8Array.of(1), false)
    assert.equal(buffer.read(), undefined)
    buffer.write(0n, Uint8Array.of(0), false)
    assert.deepEqual(buffer.read(), { data: [Uint8Array.of(0), Uint8Array.of(1)], closed: true })
  })

  it('gives the data of a message that closes', () => {
    const buffer = new OrderedBuffer()
    buffer.write(0n, Uint8Array.of(7), true)
    assert.deepEqual(buffer.read(), { data: [Uint8Array.of(7)], closed: true })
  })

  it('gives nothing that lies past the close, and calls everything old after it', () => {
    const buffer = new OrderedBuffer()
    buffer.write(3n, Uint8Array.of(3), false)
    buffer.write(2n, empty, true)
    buffer.write(1n, empty, true)
    buffer.write(0n, Uint8Array.of(0), false)
    assert.equal(buffer.bytes, 2)
    assert.deepEqual(buffer.read(), { data: [Uint8Array.of(0)], closed: true })
    assert.equal(buffer.bytes, 0)
    for (const sequence of [0n, 2n, 3n, 5000n]) assert.equal(buffer.write(sequence, Uint8Array.of(9), true), 'old')
    assert.equal(buffer.read(), undefined)
    assert.equal(buffer.bytes, 0)
  })

  it('counts the bytes that wait, once each', () => {
    const buffer = new OrderedBuffer()
    buffer.write(2n, new Uint8Array(10), false)
    buffer.write(2n, new Uint8Array(99), false)
    buffer.write(5000n, new Uint8Array(99), false)
    buffer.write(1n, new Uint8Array(5), false)
    assert.equal(buffer.bytes, 15)
    buffer.write(0n, new Uint8Array(1), false)
    buffer.read()
    assert.equal(buffer.bytes, 0)
  })

  it('says that keepalives moved it on, without data', () => {
    const buffer = new OrderedBuffer()
    buffer.write(0n, empty, false)
    assert.deepEqual(buffer.read(), { data: [], closed: false })
  })

  it('holds no more than the window', () => {
    const buffer = new OrderedBuffer()
    let taken = 0
    for (let sequence = 1n; sequence < 3000n; sequence++) {
      if (buffer.write(sequence, Uint8Array.of(1), false) === 'taken') taken++
    }
    assert.equal(taken, 1000)
    assert.equal(buffer.bytes, 1000)
    assert.equal(buffer.write(2n ** 64n - 1n, empty, true), 'too-far')
  })

  it('has a gap while later messages wait for a missing one', () => {
    const buffer = new OrderedBuffer()
    assert.equal(buffer.hasGap, false)
    buffer.write(1n, empty, false)
    buffer.read()
    assert.equal(buffer.hasGap, true)
    buffer.write(0n, empty, false)
    buffer.read()
    assert.equal(buffer.hasGap, false)
    buffer.write(2n, empty, true)
    buffer.write(5n, empty, true)
    buffer.read()
    assert.equal(buffer.hasGap, false, 'what lies past the close waits for nothing')
  })

  it('any order and repetition of a script gives the same bytes and one close', () => {
    const chunk = fc.uint8Array({ maxLength: 4 })
    const script = fc
      .record({ chunks: fc.array(chunk, { maxLength: 30 }), past: fc.array(chunk, { maxLength: 3 }) })
      .chain(({ chunks, past }) => {
        const messages = [...chunks, empty, ...past].map((data, sequence) => ({
          sequence: BigInt(sequence),
          data,
          // What comes past the close are closes again, as official peers send them, or data, which they do not.
          closed: sequence === chunks.length || (sequence > chunks.length && data.length === 0),
        }))
        return fc.record({
          expected: fc.constant(concatBytes(...chunks)),
          arrivals: fc
            .tuple(
              fc.shuffledSubarray(messages, { minLength: messages.length }),
              fc.array(fc.constantFrom(...messages), { maxLength: 20 }),
            )
            .chain(([all, again]) => fc.shuffledSubarray([...all, ...again], { minLength: all.length + again.length })),
          /** Whether it is read after each arrival, or only in the end. */
          eager: fc.boolean(),
        })
      })
    fc.assert(
      fc.property(script, ({ expected, arrivals, eager }) => {
        const buffer = new OrderedBuffer()
        const got: Uint8Array[] = []
        let closes = 0
        const read = () => {
          const result = buffer.read()
          got.push(...(result?.data ?? []))
          if (result?.closed) closes++
        }
        for (const { sequence, data, closed } of arrivals) {
          buffer.write(sequence, data, closed)
          if (eager) read()
        }
        read()
        assert.deepEqual(concatBytes(...got), expected)
        assert.equal(closes, 1)
        assert.equal(buffer.bytes, 0)
      }),
      { numRuns: 2000 },
    )
  })
})
