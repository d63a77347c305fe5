/** The head of a request as bytes (RFC 9112 §3, §5). */
import type { HttpRequest } from '../fetch-api.js'

/** Methods whose servers expect a length even of nothing (RFC 9110 §8.6). */
const WITH_CONTENT: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])

export function encodeRequestHead({ url, method, headers, body }: HttpRequest): Uint8Array {
  const lines = [`${method} ${url.pathname}${url.search} HTTP/1.1`, `host: ${url.host}`]
  for (const [name, value] of headers) lines.push(`${name}: ${value}`)
  if (body === undefined && WITH_CONTENT.has(method)) lines.push('content-length: 0')
  if (body !== undefined)
    lines.push(body.length === undefined ? 'transfer-encoding: chunked' : `content-length: ${body.length}`)
  // Header values are byte strings: each character is one byte.
  return Uint8Array.from(`${lines.join('\r\n')}\r\n\r\n`, (character) => character.charCodeAt(0))
}
