/**
 * The other authorities over HTTP (03-directory §18): what is sent to them and asked of them, each request bounded in time
 * and size. That one of them is away is normal; it is counted, and nobody waits for it.
 */
import type { Clock, Metrics } from '@mixwright/runtime'
import { MixError } from '@mixwright/runtime'
import {
  CONSENSUS_PATH,
  type DocumentSignature,
  documentSignatureSchema,
  type Fetch,
  fetchBytes,
  fetchJson,
  fromJson,
  MAX_CONSENSUS_BYTES,
  MAX_DOCUMENT_BYTES,
  type SignedVote,
} from '@mixwright/wire'
import type { RoundName } from './consensus-state.js'

/** Base paths of the exchange, below a directory's base URL. */
export const VOTE_PATH = '/v1/mixwright/vote'
export const SIGNATURE_PATH = '/v1/mixwright/signature'
const SMALL_BYTES = 65_536

export interface AuthorityAddress {
  /** Base58 Ed25519 key. */
  readonly key: string
  /** Base URL of its directory, such as `http://192.0.2.1:17890/api`. */
  readonly url: string
}

export interface PeersOptions {
  readonly peers: readonly AuthorityAddress[]
  readonly clock: Clock
  readonly metrics: Metrics
  /** For one request, milliseconds. */
  readonly deadlineMs: number
  readonly fetch?: Fetch | undefined
}

export class AuthorityPeers {
  readonly #options: PeersOptions
  readonly #urls: ReadonlyMap<string, string>
  readonly #fetch: Fetch
  readonly #abort = new AbortController()

  constructor(options: PeersOptions) {
    this.#options = options
    this.#urls = new Map(options.peers.map(({ key, url }) => [key, url.replace(/\/+$/, '')]))
    this.#fetch = options.fetch ?? globalThis.fetch
  }

  get keys(): readonly string[] {
    return [...this.#urls.keys()]
  }

  /** Never rejects. */
  async sendVote(to: string, vote: SignedVote): Promise<void> {
    await this.#ask(to, 'vote', (url, signal) => fetchJson(this.#fetch, url + VOTE_PATH, SMALL_BYTES, signal, vote))
  }

  /** Never rejects. */
  async sendSignature(to: string, signature: DocumentSignature): Promise<void> {
    await this.#ask(to, 'signature', (url, signal) =>
      fetchJson(this.#fetch, url + SIGNATURE_PATH, SMALL_BYTES, signal, signature),
    )
  }

  /** The vote of `author` that `from` holds, as it came; undefined when there is none. */
  vote(from: string, { epochId, round }: RoundName, author: string): Promise<Uint8Array | undefined> {
    return this.#ask(from, 'vote', (url, signal) =>
      fetchBytes(this.#fetch, `${url}${VOTE_PATH}/${epochId}/${round}/${author}`, MAX_DOCUMENT_BYTES, signal),
    )
  }

  /** The signatures that `from` holds; none when it has none to show. */
  async signatures(from: string, { epochId, round }: RoundName): Promise<readonly DocumentSignature[]> {
    const answer = await this.#ask(from, 'signature', async (url, signal) => {
      const body = await fetchJson(this.#fetch, `${url}${SIGNATURE_PATH}/${epochId}/${round}`, SMALL_BYTES, signal)
      return Array.isArray(body) ? body.map((one) => fromJson(documentSignatureSchema, one)) : []
    })
    return answer ?? []
  }

  /** The newest document that `from` has, as it came. */
  consensus(from: string): Promise<Uint8Array | undefined> {
    return this.#ask(from, 'consensus', (url, signal) =>
      fetchBytes(this.#fetch, `${url}${CONSENSUS_PATH}/latest`, MAX_CONSENSUS_BYTES, signal),
    )
  }

  /** Cut off what is under way. */
  close(): void {
    this.#abort.abort()
  }

  async #ask<T>(
    peer: string,
    what: string,
    work: (url: string, signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const { clock, deadlineMs, metrics } = this.#options
    const controller = new AbortController()
    const onClose = () => controller.abort()
    this.#abort.signal.addEventListener('abort', onClose, { once: true })
    const timer = clock.setTimer(deadlineMs, () => controller.abort(), { background: true })
    try {
      if (this.#abort.signal.aborted) return undefined
      return await work(this.#urls.get(peer)!, controller.signal)
    } catch (error) {
      if (!(error instanceof MixError) && !controller.signal.aborted) throw error
      metrics
        .counter('mixwright_consensus_unanswered_total', 'Requests to other authorities that failed', {
          authority: peer,
          what,
        })
        .increment()
      return undefined
    } finally {
      timer.cancel()
      this.#abort.signal.removeEventListener('abort', onClose)
    }
  }
}
