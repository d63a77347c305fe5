/**
 * One JSON document over HTTP (03-directory §1): no more bytes than agreed, and every way to fail an error with a code. How
 * long it may take is the signal's matter. Only `Accept` is sent, so that browsers ask without a preflight.
 */
import { concatBytes, MixError } from '@mixwright/runtime'

const POST_HEADERS = { accept: 'application/json', 'content-type': 'application/json' }

/** The platform's `fetch`, or something that behaves like it. */
export type Fetch = typeof globalThis.fetch

/**
 * Read and parse `url`; with a `body`, post that as JSON. Errors: `MIX_DIRECTORY_UNREACHABLE` when no document comes, `MIX_DIRECTORY_DOCUMENT` when it is too
 * long or no JSON, the signal's reason when that aborts.
 */
export async function fetchJson(
  fetch: Fetch,
  url: string,
  maxBytes: number,
  signal: AbortSignal,
  body?: unknown,
): Promise<unknown> {
  const bytes = await fetchBytes(fetch, url, maxBytes, signal, body)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw documentError(url, 'it is no JSON')
  }
}

/** The same, not parsed. Errors: `MIX_DIRECTORY_UNREACHABLE`, `MIX_DIRECTORY_DOCUMENT` when it is too long, the signal's reason. */
export async function fetchBytes(
  fetch: Fetch,
  url: string,
  maxBytes: number,
  signal: AbortSignal,
  body?: unknown,
): Promise<Uint8Array> {
  try {
    const response = await fetch(url, {
      signal,
      headers: { accept: 'application/json' },
      ...(body !== undefined && { method: 'POST', body: JSON.stringify(body), headers: POST_HEADERS }),
      cache: 'no-store',
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
    })
    if (!response.ok) {
      void response.body?.cancel().catch(() => {})
      throw unreachableError(url, `it answers with status ${response.status}`)
    }
    return await readBody(response, url, maxBytes)
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (error instanceof MixError) throw error
    throw unreachableError(url, reasonOf(error), error)
  }
}

async function readBody(response: Response, url: string, maxBytes: number): Promise<Uint8Array> {
  if (response.body === null) return new Uint8Array(0)
  const reader = response.body.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    length += value.length
    if (length > maxBytes) {
      void reader.cancel().catch(() => {})
      throw documentError(url, `it has more than ${maxBytes} bytes`)
    }
    chunks.push(value)
  }
  return concatBytes(...chunks)
}

/** `fetch` says "fetch failed" and hides the reason in the cause. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: unknown; message?: unknown }; message?: unknown }
  return String(cause?.code ?? cause?.message ?? message ?? error)
}

/** Nothing to be had from there now. */
export function unreachableError(url: string, reason: string, cause?: unknown): MixError {
  const message = `The directory at ${url} cannot be read: ${reason}.`
  return new MixError('MIX_DIRECTORY_UNREACHABLE', message, {
    kind: 'network',
    retry: true,
    data: { url, reason },
    cause,
  })
}

/** Something came, and it is not what it should be. */
export function documentError(url: string, reason: string, cause?: unknown): MixError {
  const message = `The directory at ${url} serves a bad document: ${reason}.`
  return new MixError('MIX_DIRECTORY_DOCUMENT', message, { kind: 'peer', data: { url, reason }, cause })
}
