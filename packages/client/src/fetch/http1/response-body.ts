/** The body of an answer out of its framing (RFC 9112 §6, §7). */
import { cutShort, httpError } from '../fetch-error.js'
import { type ByteReader, latin1 } from './byte-reader.js'
import { type ResponseHead, skipTrailers } from './response-head.js'

/** Longest line that tells a chunk's size, with its extensions, bytes. */
const CHUNK_LINE_BYTES = 4096
/** Size, then extensions, which say nothing to us. 13 digits are below 2^53. */
const CHUNK_LINE = /^([0-9a-f]{1,13})[\t ]*(?:;[\t \x21-\x7e\x80-\xff]*)?\r\n$/i

/** The next bytes of the body; undefined at its end. Rejects with `MIX_FETCH_HTTP`, or with the connection's error. */
export type NextBytes = () => Promise<Uint8Array | undefined>

export function readBody(reader: ByteReader, framing: ResponseHead['framing']): NextBytes {
  if (framing === 'until-close') return () => reader.take(Number.POSITIVE_INFINITY)
  if (framing === 'chunked') return chunks(reader)
  let left = framing
  return async () => {
    if (left === 0) return undefined
    const bytes = await reader.take(left)
    if (bytes === undefined) throw cutShort()
    left -= bytes.length
    return bytes
  }
}

function chunks(reader: ByteReader): NextBytes {
  let left = 0
  let isFirst = true
  return async () => {
    if (left === 0) {
      if (!isFirst && (await lineOf(reader, 2)) !== '\r\n')
        throw httpError('malformed', 'A chunk of the answer is longer than it says.')
      isFirst = false
      const [, size] = CHUNK_LINE.exec(await lineOf(reader, CHUNK_LINE_BYTES)) ?? []
      if (size === undefined) throw httpError('malformed', 'A chunk of the answer has no length.')
      left = Number.parseInt(size, 16)
      if (left === 0) {
        await skipTrailers(reader)
        return undefined
      }
    }
    const bytes = await reader.take(left)
    if (bytes === undefined) throw cutShort()
    left -= bytes.length
    return bytes
  }
}

async function lineOf(reader: ByteReader, most: number): Promise<string> {
  const line = await reader.line(most)
  if (line[line.length - 1] !== 10 && line.length < most) throw cutShort()
  return latin1(line)
}
