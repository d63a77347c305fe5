/**
 * Reading the network document from whichever directories have it (03-directory §18), for clients and nodes alike: all of
 * them are asked at once, each answer is verified against the pinned keys, two that agree are enough. A directory that lies,
 * lags or talks nonsense is named in the log and passed over.
 */
import { type Clock, type Logger, MixError } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { decodeBase58 } from '../base58.js'
import { type Fetch, fetchBytes, unreachableError } from '../directory/bounded-json.js'
import { scheduledEpoch } from './network-document.js'
import {
  DocumentChain,
  defaultThreshold,
  MAX_CONSENSUS_BYTES,
  type VerifiedDocument,
  verifyConsensus,
} from './verified-document.js'

export const CONSENSUS_PATH = '/v1/mixwright/consensus'
/** Answers that make all others unnecessary. */
const ENOUGH = 2
const DEADLINE_MS = 15_000

export interface ConsensusSourceOptions {
  /** Base URLs such as `http://127.0.0.1:17890/api`, without a slash at the end. */
  readonly baseUrls: readonly string[]
  /** Base58 Ed25519 keys of all authorities. */
  readonly authorities: readonly string[]
  /** Signatures needed. @default more than two thirds of the authorities */
  readonly threshold?: number | undefined
  readonly clock: Clock
  readonly crypto: CryptoProvider
  readonly logger: Logger
  /** @default the platform's */
  readonly fetch?: Fetch | undefined
  /** How long a directory may take, milliseconds. @default 15000 */
  readonly deadlineMs?: number | undefined
}

interface Good {
  readonly url: string
  readonly verified: VerifiedDocument
}

export class ConsensusSource {
  readonly #options: ConsensusSourceOptions
  readonly #fetch: Fetch
  readonly #threshold: number
  readonly #chain = new DocumentChain()

  /** Error: `MIX_OPTIONS` when a key is none or is there twice, or the threshold is not from 1 to their number. */
  constructor(options: ConsensusSourceOptions) {
    this.#options = options
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
    this.#threshold = checkAuthorities(options.authorities, options.threshold)
  }

  /** The last document believed, if it is valid still. */
  get current(): VerifiedDocument | undefined {
    return this.#chain.current(this.#options.clock.now())
  }

  /**
   * Ask and verify. Errors: `MIX_DIRECTORY_UNVERIFIED` when nobody has a document to be believed, or two are that contradict
   * each other; `MIX_DIRECTORY_UNREACHABLE` when nobody answers at all; the signal's reason.
   */
  async read(signal?: AbortSignal): Promise<VerifiedDocument> {
    const { clock, baseUrls, logger, deadlineMs = DEADLINE_MS } = this.#options
    signal?.throwIfAborted()
    const controller = new AbortController()
    const onAbort = () => controller.abort(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    const timer = clock.setTimer(deadlineMs, () => controller.abort(new Error('takes too long')), { background: true })
    const good: Good[] = []
    const failures: MixError[] = []
    try {
      await new Promise<void>((resolve) => {
        let waiting = baseUrls.length
        if (waiting === 0) resolve()
        for (const url of baseUrls)
          void this.#ask(url, controller.signal)
            .then(
              (answer) => (answer instanceof MixError ? failures.push(answer) : good.push(answer)),
              (error) => failures.push(unreachableError(url, reasonOf(error), error)),
            )
            .then(() => {
              waiting--
              if (waiting === 0 || this.#isEnough(good)) resolve()
            })
      })
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
      controller.abort()
    }
    signal?.throwIfAborted()
    // Before the first document nobody has one to show, and the error says so.
    const say = good.length > 0 || this.#chain.last !== undefined ? 'warn' : 'debug'
    for (const { message, data } of failures) logger[say]({ url: data.url, reason: data.reason }, message)
    return this.#believe(good, failures)
  }

  async #ask(url: string, signal: AbortSignal): Promise<Good | MixError> {
    const { clock, crypto, authorities } = this.#options
    const bytes = await fetchBytes(this.#fetch, url + CONSENSUS_PATH, MAX_CONSENSUS_BYTES, signal)
    const verified = verifyConsensus(crypto, bytes, authorities, this.#threshold)
    if (typeof verified === 'string') return unverified(url, verified)
    const refusal = this.#chain.refusal(verified, clock.now())
    return refusal === undefined ? { url, verified } : unverified(url, refusal)
  }

  /** Whether two directories agree on a document that is no older than our clock expects. */
  #isEnough(good: readonly Good[]): boolean {
    const now = this.#options.clock.now()
    const fresh = good.filter(
      ({ verified: { document } }) => document.epoch_id >= scheduledEpoch(document.schedule, now),
    )
    return fresh.some(
      ({ verified }) => fresh.filter((other) => other.verified.sha256 === verified.sha256).length >= ENOUGH,
    )
  }

  #believe(good: readonly Good[], failures: readonly MixError[]): VerifiedDocument {
    const newest = good.reduce<Good | undefined>(
      (best, one) => (best === undefined || epochOf(one) > epochOf(best) ? one : best),
      undefined,
    )
    if (newest === undefined) throw allFailed(failures)
    const { verified, url } = newest
    const other = good.find((one) => epochOf(one) === epochOf(newest) && one.verified.sha256 !== verified.sha256)
    if (other !== undefined) {
      const facts = { url, sha256: verified.sha256, otherUrl: other.url, otherSha256: other.verified.sha256 }
      this.#options.logger.error({ epoch: epochOf(newest), ...facts }, 'two valid network documents for one epoch')
      throw unverified(url, 'contradicts-another', facts)
    }
    if (this.#chain.last?.sha256 !== verified.sha256)
      this.#options.logger.info({ epoch: epochOf(newest), sha256: verified.sha256, url }, 'network document verified')
    this.#chain.follow(verified)
    return verified
  }
}

/** The threshold in force. Error: `MIX_OPTIONS`. */
export function checkAuthorities(authorities: readonly string[], threshold?: number): number {
  const needed = threshold ?? defaultThreshold(authorities.length)
  const areKeys = authorities.every((key) => typeof key === 'string' && decodeBase58(key, 32) !== undefined)
  const areDifferent = new Set(authorities).size === authorities.length
  if (areKeys && areDifferent && Number.isInteger(needed) && needed >= 1 && needed <= authorities.length) return needed
  const message = `Authorities are given by different base58 keys of 32 bytes, with a threshold from 1 to their number.`
  throw new MixError('MIX_OPTIONS', message, { kind: 'usage', data: { option: 'authorities' } })
}

function epochOf({ verified }: Good): number {
  return verified.document.epoch_id
}

function reasonOf(error: unknown): string {
  if (error instanceof MixError) return String(error.data.reason)
  return error instanceof Error ? error.message : String(error)
}

const REASONS: Readonly<Record<string, string>> = {
  malformed: 'it is no network document',
  'too-few-signatures': 'too few of the known authorities have signed it',
  stale: 'it is older than the grace allows by our clock',
  'from-the-future': 'it is of an epoch to come by our clock',
  'goes-backwards': 'it is older than one that was seen',
  'leaves-the-chain': 'it does not follow the one that was seen',
  'contradicts-another': 'another one is as valid for the same epoch',
}

function unverified(url: string, reason: string, facts: Readonly<Record<string, unknown>> = {}): MixError {
  const message = `The network document of the directory at ${url} is not believed: ${REASONS[reason] ?? reason}.`
  const data = { url, reason, ...facts }
  return new MixError('MIX_DIRECTORY_UNVERIFIED', message, { kind: 'peer', retry: true, data })
}

/** One error for all; that nobody answers is said only when nobody did. */
function allFailed(failures: readonly MixError[]): MixError {
  const told = failures.find(({ code }) => code === 'MIX_DIRECTORY_UNVERIFIED') ?? failures[0]
  if (told === undefined) return unreachableError('', 'there is none')
  const messages = failures.map(({ message }) => message)
  const data = { ...told.data, failures: messages }
  return new MixError(told.code as `MIX_${string}`, messages.join(' '), { kind: told.kind, retry: true, data })
}
