/** What was given to `fetch`, as one request that can be sent. Not `new Request`: in browsers it takes no streams, and hides headers. */
import type { FetchInit, HttpRequest, RequestBody } from './fetch-api.js'
import { fetchError } from './fetch-error.js'

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** Written in any case, they are sent in capitals. */
const KNOWN_METHODS = /^(delete|get|head|options|post|put)$/i
const FORBIDDEN_METHODS = /^(connect|trace|track)$/i
/** Of the connection, not of the request: ours. */
const CONNECTION_HEADERS = [
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]
/** Sent unless the app sets them; the same for everybody, so that they tell nothing. */
const DEFAULT_HEADERS = [
  ['accept', '*/*'],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language', '*'],
  ['user-agent', 'mixwright'],
] as const

/** Throws `TypeError` for what is no request, and `MIX_FETCH_URL`. */
export async function readRequest(input: string | URL | Request, init: FetchInit): Promise<HttpRequest> {
  const given = input instanceof Request ? input : undefined
  const url = readUrl(given?.url ?? String(input))
  const method = readMethod(init.method ?? given?.method ?? 'GET')
  if (init.integrity) throw new TypeError('integrity is not supported')
  const headers = new Headers(init.headers ?? given?.headers)
  for (const name of CONNECTION_HEADERS) headers.delete(name)
  for (const [name, value] of DEFAULT_HEADERS) if (!headers.has(name)) headers.set(name, value)
  const data = init.body !== undefined ? init.body : given && (await bodyOf(given))
  if (data === null || data === undefined) return { url, method, headers, body: undefined }
  if (method === 'GET' || method === 'HEAD') throw new TypeError(`A ${method} request has no body`)
  const { type, body } = await readBody(data)
  if (type !== '' && !headers.has('content-type')) headers.set('content-type', type)
  return { url, method, headers, body }
}

/** An address that can be fetched, or `MIX_FETCH_URL`. */
export function readUrl(text: string, base?: URL): URL {
  let url: URL
  try {
    url = new URL(text, base)
  } catch (cause) {
    throw fetchError('MIX_FETCH_URL', 'This is no absolute URL.', cause)
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw fetchError('MIX_FETCH_URL', `${url.protocol} cannot be fetched: only http: and https: can.`)
  if (url.username !== '' || url.password !== '')
    throw fetchError('MIX_FETCH_URL', 'A URL with a password in it is not fetched: use the header authorization.')
  return url
}

function readMethod(method: string): string {
  if (!TOKEN.test(method) || FORBIDDEN_METHODS.test(method)) throw new TypeError(`${method} is no method for fetch`)
  return KNOWN_METHODS.test(method) ? method.toUpperCase() : method
}

async function bodyOf(request: Request): Promise<BodyInit | null> {
  if (request.bodyUsed) throw new TypeError('The body of the request has been used')
  // Some browsers do not have it as a stream.
  return 'body' in request ? request.body : await (request as Request).arrayBuffer()
}

async function readBody(data: BodyInit): Promise<{ type: string; body: RequestBody }> {
  if (data instanceof ReadableStream) {
    if (data.locked) throw new TypeError('The stream is locked or was read')
    return { type: '', body: { length: undefined, repeatable: false, open: () => data } }
  }
  const whole = new Response(data)
  const blob = data instanceof Blob ? data : await whole.blob()
  const type = whole.headers.get('content-type') ?? ''
  return { type, body: { length: blob.size, repeatable: true, open: () => blob.stream() } }
}
