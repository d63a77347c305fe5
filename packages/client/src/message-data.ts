/** What apps give as data, as bytes: text in UTF-8, streams read to their end, all within the limit. */
import { MixError, utf8 } from '@mixwright/runtime'
import type { MessageData } from './api.js'
import { whenAborted } from './when-aborted.js'

/** Longest message, bytes: some 21 000 packets, seven minutes of the default stream. */
export const LONGEST_MESSAGE_BYTES = 32 * 1024 ** 2
/** Room for a stream's first bytes; doubled when it is full. */
const FIRST_BYTES = 16 * 1024

/**
 * The bytes at once where there are any at once, else a promise, which rejects with the reason of the first signal that
 * aborts: no stream can hold up a message for ever. Always a copy: the app may use its buffer again.
 * Error: `MIX_MESSAGE_TOO_LARGE`, `MIX_MESSAGE_DATA`, or what the stream throws.
 */
export function messageBytes(data: MessageData, ...signals: readonly AbortSignal[]): Uint8Array | Promise<Uint8Array> {
  // UTF-8 is never shorter than UTF-16 has units.
  if (typeof data === 'string') return checked(utf8(checked(data)))
  // Not by `slice`, which is a view of a Buffer.
  if (data instanceof Uint8Array) return new Uint8Array(checked(data))
  if (typeof (data as ReadableStream | undefined)?.getReader === 'function')
    return collect(chunksOf(data as ReadableStream<Uint8Array>), signals)
  if (typeof (data as AsyncIterable<Uint8Array> | undefined)?.[Symbol.asyncIterator] === 'function')
    return collect((data as AsyncIterable<Uint8Array>)[Symbol.asyncIterator](), signals)
  throw wrongData()
}

async function collect(chunks: AsyncIterator<Uint8Array>, signals: readonly AbortSignal[]): Promise<Uint8Array> {
  const { givenUp, stopListening } = firstAbort(signals)
  let bytes = new Uint8Array(FIRST_BYTES)
  let length = 0
  try {
    for (;;) {
      const { done, value } = await Promise.race([givenUp, chunks.next()])
      if (done) return bytes.slice(0, length)
      if (!(value instanceof Uint8Array)) throw wrongData()
      const end = length + value.length
      if (end > LONGEST_MESSAGE_BYTES) throw tooLarge(end)
      if (end > bytes.length) {
        const larger = new Uint8Array(Math.max(end, 2 * bytes.length))
        larger.set(bytes.subarray(0, length))
        bytes = larger
      }
      bytes.set(value, length)
      length = end
    }
  } catch (reason) {
    // Its answer is not waited for: a stream that hangs has none.
    void (async () => chunks.return?.())().catch(() => {})
    throw reason
  } finally {
    stopListening()
  }
}

/** `givenUp` rejects with the reason of the first signal that aborts. */
function firstAbort(signals: readonly AbortSignal[]): { givenUp: Promise<never>; stopListening: () => void } {
  const stops: (() => void)[] = []
  const givenUp = new Promise<never>((_, reject) => {
    for (const signal of signals) {
      if (signal.aborted) reject(signal.reason)
      else stops.push(whenAborted(signal, () => reject(signal.reason)))
    }
  })
  const stopListening = () => {
    for (const stop of stops) stop()
  }
  return { givenUp, stopListening }
}

/** Not every browser can iterate over a stream, and none can give up a read. */
function chunksOf(stream: ReadableStream<Uint8Array>): AsyncIterator<Uint8Array> {
  const reader = stream.getReader()
  return {
    next: () => reader.read() as Promise<IteratorResult<Uint8Array>>,
    return: async () => {
      await reader.cancel()
      return { done: true, value: undefined }
    },
  }
}

function checked<T extends string | Uint8Array>(data: T): T {
  if (data.length > LONGEST_MESSAGE_BYTES) throw tooLarge(data.length)
  return data
}

function tooLarge(length: number): MixError {
  return new MixError('MIX_MESSAGE_TOO_LARGE', `A message has at most ${LONGEST_MESSAGE_BYTES} bytes.`, {
    kind: 'usage',
    data: { length, limit: LONGEST_MESSAGE_BYTES },
  })
}

function wrongData(): MixError {
  const message = 'Data is a string, a Uint8Array, or a stream or async iterable of Uint8Arrays.'
  return new MixError('MIX_MESSAGE_DATA', message, { kind: 'usage' })
}
