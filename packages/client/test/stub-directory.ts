/**
 * A directory without a network: serves the official vectors to whoever asks through its `fetch`, and anything else that a
 * test puts in their place. Behaves like the platform's `fetch` where readers rely on it.
 */
import type { Fetch } from '@mixwright/wire'
import { loadVectors } from './vectors.js'

interface Served {
  readonly path: string
  readonly response: { readonly json: string }
}

export const REWARDED_SET = '/v1/nym-nodes/rewarded-set'
export const MIXNODES = '/v2/unstable/nym-nodes/skimmed/mixnodes/active'
export const GATEWAYS = '/v2/unstable/nym-nodes/skimmed/entry-gateways'
export const ROTATION = '/v1/epoch/key-rotation-info'

/** Any JSON: tests bend documents. */
// biome-ignore lint/suspicious/noExplicitAny: every field of every document is bent by some test
export type Json = any

/** An answer: a document, or what `fetch` does. */
export type Answer = Json | ((url: URL, signal: AbortSignal) => Promise<Response>)

export class StubDirectory {
  /** What answers, by path without the base's `/api`. */
  readonly answers = new Map<string, Answer>()
  /** Every request: host, then path and query. */
  readonly requests: string[] = []
  readonly headers: Record<string, string>[] = []

  constructor() {
    const { endpoints } = loadVectors<{ endpoints: Served[] }>('directory-skimmed')
    const misc = loadVectors<{ rewarded_set: Served; key_rotation_info: Served }>('directory-misc')
    for (const { path, response } of [...endpoints, misc.rewarded_set, misc.key_rotation_info])
      if ([REWARDED_SET, MIXNODES, GATEWAYS, ROTATION].includes(path)) this.answers.set(path, JSON.parse(response.json))
  }

  /** The document at `path`, to be bent in place. */
  document(path: string): Json {
    return this.answers.get(path)
  }

  readonly fetch: Fetch = async (input, init) => {
    const url = new URL(String(input))
    this.requests.push(`${url.host} ${url.pathname.slice('/api'.length)}${url.search}`)
    this.headers.push({ ...(init?.headers as Record<string, string>) })
    const signal = init!.signal!
    if (signal.aborted) throw signal.reason
    const answer = this.answers.get(`${url.host} any`) ?? this.answers.get(url.pathname.slice('/api'.length))
    return typeof answer === 'function' ? answer(url, signal) : new Response(JSON.stringify(answer))
  }
}

/** Never answers; ends when the reader gives up. */
export function silence(_url: URL, signal: AbortSignal): Promise<Response> {
  return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}

/** What `fetch` does when nobody listens. */
export async function refusal(): Promise<Response> {
  throw new TypeError('fetch failed', { cause: { code: 'ECONNREFUSED' } })
}
