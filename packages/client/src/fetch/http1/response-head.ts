/** The head of an answer (RFC 9112 §4, §5, §6.3), read strictly: what two readers could take for two things is refused. */
import { cutShort, httpError, noAnswer } from '../fetch-error.js'
import { type ByteReader, latin1 } from './byte-reader.js'

/** Longest head, and longest trailers, bytes. */
export const HEAD_BYTES = 65_536
/** Interim answers (1xx) before the real one. */
const MOST_INTERIM = 16

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: ([\t \x21-\x7e\x80-\xff]*))?$/
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t \x21-\x7e\x80-\xff]*)$/

export interface ResponseHead {
  readonly status: number
  readonly statusText: string
  readonly headers: Headers
  /** Bytes, or how the end of the body is known. */
  readonly framing: number | 'chunked' | 'until-close'
  /** Whether the connection may be used again after the body. */
  readonly keepAlive: boolean
  /** How long the server keeps it then, milliseconds; undefined: it does not say. */
  readonly keepAliveMs: number | undefined
}

/** The next final answer's head. Rejects with `MIX_FETCH_HTTP`. */
export async function readResponseHead(reader: ByteReader, method: string): Promise<ResponseHead> {
  for (let interim = 0; interim <= MOST_INTERIM; interim++) {
    if (!(await reader.fill())) throw interim === 0 ? noAnswer() : cutShort()
    const lines = await readLines(reader)
    const [, minor, code, statusText = ''] = STATUS_LINE.exec(lines[0] ?? '') ?? []
    if (code === undefined) throw httpError('malformed', 'The server does not answer in HTTP/1.1.')
    const status = Number(code)
    const headers = readFields(lines.slice(1))
    if (status >= 200) return { status, statusText, headers, ...framingOf(headers, status, method, minor === '1') }
    if (status === 101) break
  }
  throw httpError('malformed', 'The server gives interim answers only.')
}

/** The trailers of a chunked body: checked, and dropped, as the platform does. */
export async function skipTrailers(reader: ByteReader): Promise<void> {
  readFields(await readLines(reader))
}

/** Lines up to an empty one, without their ends. */
async function readLines(reader: ByteReader): Promise<string[]> {
  const lines: string[] = []
  for (let room = HEAD_BYTES; ; ) {
    const bytes = await reader.line(room)
    const line = latin1(withoutEnd(bytes, room))
    if (line === '') return lines
    lines.push(line)
    room -= bytes.length
  }
}

function withoutEnd(line: Uint8Array, room: number): Uint8Array {
  if (line[line.length - 1] === 10) {
    if (line[line.length - 2] !== 13) throw httpError('malformed', 'A line of the answer ends without CR.')
    return line.subarray(0, -2)
  }
  if (line.length < room) throw cutShort()
  throw httpError('too-long', `The head of the answer is longer than ${HEAD_BYTES} bytes.`)
}

function readFields(lines: readonly string[]): Headers {
  const headers = new Headers()
  for (const line of lines) {
    const [, name, value] = FIELD_LINE.exec(line) ?? []
    if (name === undefined) throw httpError('malformed', 'A header of the answer is malformed.')
    headers.append(name, value!.trimEnd())
  }
  return headers
}

function framingOf(
  headers: Headers,
  status: number,
  method: string,
  isLatest: boolean,
): Pick<ResponseHead, 'framing' | 'keepAlive' | 'keepAliveMs'> {
  const connection = (headers.get('connection') ?? '').toLowerCase().split(/[\t ]*,[\t ]*/)
  const keepAlive = isLatest ? !connection.includes('close') : connection.includes('keep-alive')
  const [, seconds] = /(?:^|[\t ,;])timeout=([0-9]{1,6})/i.exec(headers.get('keep-alive') ?? '') ?? []
  const keepAliveMs = seconds === undefined ? undefined : Number(seconds) * 1000
  const coding = headers.get('transfer-encoding')
  const length = headers.get('content-length')
  if (coding !== null && (coding.toLowerCase() !== 'chunked' || length !== null || !isLatest))
    throw httpError('malformed', 'The answer does not say how long it is in one way.')
  // The same length several times is one (RFC 9110 §8.6).
  const lengths = new Set(length?.split(/[\t ]*,[\t ]*/))
  const [only = ''] = lengths
  if (length !== null && (lengths.size > 1 || !/^[0-9]{1,15}$/.test(only)))
    throw httpError('malformed', 'The length of the answer is none.')
  if (method === 'HEAD' || status === 204 || status === 304) return { framing: 0, keepAlive, keepAliveMs }
  if (coding !== null) return { framing: 'chunked', keepAlive, keepAliveMs }
  if (length !== null) return { framing: Number(only), keepAlive, keepAliveMs }
  return { framing: 'until-close', keepAlive: false, keepAliveMs }
}
