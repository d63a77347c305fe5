/** `fetch` over an engine that knows HTTP: redirects and repetitions. */
import type { Fetch, FetchInit, HttpAnswer, HttpEngine, HttpRequest } from './fetch-api.js'
import { fetchError } from './fetch-error.js'
import { readRequest } from './fetch-request.js'
import { makeResponse } from './fetch-response.js'
import { MOST_REDIRECTS, redirectedRequest } from './redirect.js'
import { isWorthRepeating, MOST_ATTEMPTS } from './repetition.js'

/** The body of a redirect is read to its end up to this length, to keep its connection. */
const REDIRECT_BODY_BYTES = 65_536

/** `close` is called after the engine's. */
export function fetchWith(engine: HttpEngine, close: () => Promise<void>): Fetch {
  const fetch = async (input: string | URL | Request, init: FetchInit = {}): Promise<Response> => {
    const given = input instanceof Request ? input : undefined
    const signal = (init.signal === undefined ? given?.signal : init.signal) ?? undefined
    signal?.throwIfAborted()
    const mode = init.redirect ?? given?.redirect ?? 'follow'
    let request = await readRequest(input, init)
    for (let redirects = 0; ; redirects++) {
      const answer = await exchange(engine, request, signal)
      const next = mode === 'manual' ? undefined : redirectedOr(answer, () => redirectedRequest(request, answer))
      if (next === undefined) return makeResponse(request, answer, redirects > 0, signal)
      await readAway(answer)
      if (mode === 'error') throw fetchError('MIX_FETCH_REDIRECTS', 'The server redirects, and that was forbidden.')
      if (redirects === MOST_REDIRECTS)
        throw fetchError('MIX_FETCH_REDIRECTS', `The server redirects more than ${MOST_REDIRECTS} times.`)
      request = next
    }
  }
  const closeAll = async () => {
    await engine.close()
    await close()
  }
  return Object.assign(fetch, { close: closeAll, [Symbol.asyncDispose]: closeAll })
}

async function exchange(
  engine: HttpEngine,
  request: HttpRequest,
  signal: AbortSignal | undefined,
): Promise<HttpAnswer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await engine.exchange(request, signal, attempt > 1)
    } catch (error) {
      signal?.throwIfAborted()
      if (attempt === MOST_ATTEMPTS || !isWorthRepeating(request, error)) throw error
    }
  }
}

/** Where the answer cannot be used, its connection is given up. */
function redirectedOr<T>(answer: HttpAnswer, read: () => T): T {
  try {
    return read()
  } catch (error) {
    answer.body?.cancel().catch(() => {})
    throw error
  }
}

async function readAway({ body }: HttpAnswer): Promise<void> {
  const reader = body?.getReader()
  if (reader === undefined) return
  for (let bytes = 0; bytes <= REDIRECT_BODY_BYTES; ) {
    const { done, value } = await reader.read()
    if (done) return
    bytes += value.length
  }
  await reader.cancel()
}
