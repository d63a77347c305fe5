/** What apps give as data, as bytes: text in UTF-8, streams read to their end, all within the limit. */
import { concatBytes, MixError, utf8 } from '@mixwright/runtime'
import type { MessageData } from './api.js'

/** Longest message, bytes: some 21 000 packets, seven minutes of the default stream. */
export const LONGEST_MESSAGE_BYTES = 32 * 1024 ** 2

/** The bytes at once where there are any at once, else a promise. Error: `MIX_MESSAGE_TOO_LARGE`, `MIX_MESSAGE_DATA`. */
export function messageBytes(data: MessageData): Uint8Array | Promise<Uint8Array> {
  if (typeof data === 'string') return checked(utf8(data))
  // A copy: the app may use its buffer again.
  if (data instanceof Uint8Array) return checked(data).slice()
  if (typeof (data as AsyncIterable<Uint8Array> | undefined)?.[Symbol.asyncIterator] === 'function')
    return collect(data)
  if (typeof (data as ReadableStream | undefined)?.getReader === 'function')
    return collect(chunksOf(data as ReadableStream))
  throw wrongData()
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of stream) {
    if (!(chunk instanceof Uint8Array)) throw wrongData()
    length += chunk.length
    if (length > LONGEST_MESSAGE_BYTES) throw tooLarge(length)
    chunks.push(chunk.slice())
  }
  return concatBytes(...chunks)
}

/** Not every browser can iterate over a stream. */
async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}

function checked(bytes: Uint8Array): Uint8Array {
  if (bytes.length > LONGEST_MESSAGE_BYTES) throw tooLarge(bytes.length)
  return bytes
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
