/** Where an answer sends us, and what goes along: the Fetch standard's HTTP-redirect fetch. */
import type { HttpAnswer, HttpRequest } from './fetch-api.js'
import { fetchError } from './fetch-error.js'
import { readUrl } from './fetch-request.js'

/** So many are followed. */
export const MOST_REDIRECTS = 20

const STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
/** They describe the body, and go with it. */
const BODY_HEADERS = ['content-encoding', 'content-language', 'content-location', 'content-type']
/** They are for one origin's eyes. */
const ORIGIN_HEADERS = ['authorization', 'cookie', 'proxy-authorization']

/** The next request; undefined: this is the answer. Throws `MIX_FETCH_REDIRECTS` where it cannot be followed. */
export function redirectedRequest(
  request: HttpRequest,
  { status, headers: answered }: HttpAnswer,
): HttpRequest | undefined {
  const location = STATUSES.has(status) ? answered.get('location') : null
  if (location === null) return undefined
  const url = targetOf(location, request.url)
  const { method } = request
  const isRead = method === 'GET' || method === 'HEAD'
  const becomesGet = (status === 303 && !isRead) || (status < 303 && method === 'POST')
  if (!becomesGet && request.body?.repeatable === false)
    throw fetchError('MIX_FETCH_REDIRECTS', 'A redirect asks for the body again, which was a stream.')
  const headers = new Headers(request.headers)
  if (becomesGet) for (const name of BODY_HEADERS) headers.delete(name)
  if (url.origin !== request.url.origin) for (const name of ORIGIN_HEADERS) headers.delete(name)
  return { url, method: becomesGet ? 'GET' : method, headers, body: becomesGet ? undefined : request.body }
}

function targetOf(location: string, from: URL): URL {
  try {
    const url = readUrl(location, from)
    if (url.hash === '') url.hash = from.hash
    return url
  } catch (cause) {
    throw fetchError('MIX_FETCH_REDIRECTS', 'The server redirects to what is no web address.', cause)
  }
}
