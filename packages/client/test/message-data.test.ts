import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import type { MessageData } from '../src/api.js'
import { LONGEST_MESSAGE_BYTES, messageBytes } from '../src/message-data.js'

const bytes = (...values: number[]) => Uint8Array.from(values)

async function* chunks(...items: unknown[]): AsyncGenerator<Uint8Array> {
  for (const item of items) yield item as Uint8Array
}

/** A stream that says how it was ended. */
function endless(chunk: Uint8Array) {
  const state = { read: 0, returned: 0 }
  const stream: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        state.read++
        await new Promise((resolve) => setImmediate(resolve))
        return { done: false, value: chunk }
      },
      return: async () => {
        state.returned++
        return { done: true, value: undefined }
      },
    }),
  }
  return { stream, state }
}

const hanging: AsyncIterable<Uint8Array> = {
  [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}), return: () => new Promise(() => {}) }),
}

describe('data', () => {
  it('as text is its UTF-8', () => {
    assert.deepEqual(messageBytes('aé\u{1f642}'), bytes(0x61, 0xc3, 0xa9, 0xf0, 0x9f, 0x99, 0x82))
    assert.deepEqual(messageBytes(''), bytes())
    assert.deepEqual(messageBytes('\ud800'), bytes(0xef, 0xbf, 0xbd), 'half a character')
  })

  it('as bytes is a copy: the app may use its buffer again, also a Buffer of Node.js', () => {
    for (const data of [bytes(1, 2, 3), Buffer.from([1, 2, 3]), new Uint8Array([0, 1, 2, 3]).subarray(1)]) {
      const read = messageBytes(data)
      data.fill(9)
      assert.deepEqual(read, bytes(1, 2, 3))
    }
  })

  it('as a stream is all its chunks, of any size and number, each copied when it comes', async () => {
    const buffer = Buffer.from([1, 2])
    async function* reused() {
      yield buffer
      buffer.fill(3)
      yield buffer
    }
    assert.deepEqual(await messageBytes(reused()), bytes(1, 2, 3, 3))
    assert.deepEqual(await messageBytes(chunks()), bytes())
    assert.deepEqual(await messageBytes(Readable.from([Buffer.from('ab'), Buffer.from('c')])), bytes(97, 98, 99))
    async function* tiny() {
      for (let i = 0; i < 200_000; i++) yield bytes(i)
    }
    const many = await messageBytes(tiny())
    assert.equal(many.length, 200_000)
    assert.ok(many.every((byte, i) => byte === (i & 255)))
  })

  it('as a ReadableStream is read by its reader', async () => {
    let cancelled: unknown
    const stream = (items: unknown[]) =>
      new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            const item = items.shift()
            if (item === undefined) controller.close()
            else controller.enqueue(item as Uint8Array)
          },
          cancel(reason) {
            cancelled = reason ?? 'cancelled'
          },
        },
        { highWaterMark: 0 },
      )
    assert.deepEqual(await messageBytes(stream([bytes(1), bytes(2, 3)])), bytes(1, 2, 3))
    await assert.rejects(async () => messageBytes(stream([bytes(1), 'text', bytes(2)])), { code: 'MIX_MESSAGE_DATA' })
    assert.equal(cancelled, 'cancelled')
  })

  it('of the longest length is taken, of one byte more refused', async () => {
    const longest = new Uint8Array(LONGEST_MESSAGE_BYTES)
    assert.equal((messageBytes(longest) as Uint8Array).length, LONGEST_MESSAGE_BYTES)
    const tooLong = { code: 'MIX_MESSAGE_TOO_LARGE', kind: 'usage' }
    assert.throws(() => messageBytes(new Uint8Array(LONGEST_MESSAGE_BYTES + 1)), tooLong)
    assert.throws(() => messageBytes('x'.repeat(LONGEST_MESSAGE_BYTES + 1)), tooLong)
    assert.throws(() => messageBytes('é'.repeat(LONGEST_MESSAGE_BYTES / 2 + 1)), tooLong)
    const half = longest.subarray(longest.length / 2)
    assert.equal((await messageBytes(chunks(half, half))).length, LONGEST_MESSAGE_BYTES)
    await assert.rejects(async () => messageBytes(chunks(half, half, bytes(1))), tooLong)
  })

  it('without end is read no further than the limit, and told so', async () => {
    const { stream, state } = endless(new Uint8Array(1024 ** 2))
    await assert.rejects(async () => messageBytes(stream), { code: 'MIX_MESSAGE_TOO_LARGE' })
    assert.deepEqual(state, { read: 33, returned: 1 })
  })

  it('that is anything else is refused', async () => {
    for (const data of [undefined, null, 7, {}, [1, 2], new Uint16Array(2), new ArrayBuffer(2), chunks])
      assert.throws(() => messageBytes(data as unknown as MessageData), { code: 'MIX_MESSAGE_DATA', kind: 'usage' })
    for (const chunk of ['text', 7, null, [1]])
      await assert.rejects(async () => messageBytes(chunks(bytes(1), chunk)), { code: 'MIX_MESSAGE_DATA' })
  })

  it('of a stream that throws fails with what it throws', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield bytes(1)
      throw new RangeError('broken')
    }
    await assert.rejects(async () => messageBytes(broken()), { message: 'broken' })
  })
})

describe('a signal', () => {
  it('ends the reading of a stream that hangs, and of one without end', async () => {
    const { stream } = endless(bytes())
    for (const data of [hanging, stream, new ReadableStream<Uint8Array>()]) {
      const [unused, used] = [new AbortController(), new AbortController()]
      const reading = messageBytes(data, unused.signal, used.signal)
      setImmediate(() => used.abort('enough'))
      await assert.rejects(
        async () => reading,
        (reason) => reason === 'enough',
      )
      for (const { signal } of [unused, used]) assert.equal(getEventListeners(signal, 'abort').length, 0)
    }
  })

  it('that has aborted lets nothing be read', async () => {
    await assert.rejects(
      async () => messageBytes(hanging, AbortSignal.abort('before')),
      (reason) => reason === 'before',
    )
  })

  it('is left alone when the stream has ended', async () => {
    const { signal } = new AbortController()
    await messageBytes(chunks(bytes(1)), signal)
    await assert.rejects(async () => messageBytes(chunks(7), signal))
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })
})
