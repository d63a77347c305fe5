/**
 * The exit policy in use and where it comes from (06-service-providers §2.5, §4): read at the start, without which there is no
 * start, and again every hour. A reload that fails keeps what was read last. What the rules mean is in `@mixwright/wire`.
 */
import { readFile } from 'node:fs/promises'
import { type Clock, type Logger, MixError, type Timer } from '@mixwright/runtime'
import { type ExitPolicy, fetchBytes, parseExitPolicy } from '@mixwright/wire'

const RELOAD_MS = 3_600_000
const FETCH_MS = 30_000
const MAX_POLICY_BYTES = 1024 ** 2

export type ExitPolicyChoice =
  /** Every destination, which is still refused where it is not globally routable. */
  | { readonly kind: 'open' }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'text'; readonly text: string }

export interface ExitPolicySourceOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly onReload?: (outcome: 'done' | 'failed') => void
}

export class ExitPolicySource {
  readonly #choice: ExitPolicyChoice
  readonly #options: ExitPolicySourceOptions
  #current: ExitPolicy
  #readAtMs: number
  #timer: Timer | undefined
  #reading: Promise<boolean> | undefined
  readonly #closing = new AbortController()

  private constructor(choice: ExitPolicyChoice, current: ExitPolicy, options: ExitPolicySourceOptions) {
    this.#choice = choice
    this.#current = current
    this.#readAtMs = options.clock.now()
    this.#options = options
    this.#reloadLater()
  }

  /**
   * Error: `MIX_EXIT_POLICY_UNAVAILABLE` when it cannot be read, is malformed (the cause says where) or has no rule, and when the
   * signal gives up.
   */
  static async open(
    choice: ExitPolicyChoice,
    options: ExitPolicySourceOptions,
    signal?: AbortSignal,
  ): Promise<ExitPolicySource> {
    return new ExitPolicySource(choice, await readPolicy(choice, options.clock, signal), options)
  }

  get current(): ExitPolicy {
    return this.#current
  }

  /** When it was read, Unix seconds. */
  get lastUpdated(): number {
    return Math.floor(this.#readAtMs / 1000)
  }

  get isOpen(): boolean {
    return this.#choice.kind === 'open'
  }

  /** Its URL, or an empty text. */
  get upstream(): string {
    return this.#choice.kind === 'url' ? this.#choice.url : ''
  }

  /** Read it now. False: it could not be, and the one before stays. */
  reload(): Promise<boolean> {
    this.#reading ??= this.#reload().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  close(): void {
    this.#timer?.cancel()
    this.#closing.abort()
  }

  #reloadLater(): void {
    if (this.#choice.kind !== 'file' && this.#choice.kind !== 'url') return
    const reload = () => void this.reload().finally(() => this.#closing.signal.aborted || this.#reloadLater())
    this.#timer = this.#options.clock.setTimer(RELOAD_MS, reload, { background: true })
  }

  async #reload(): Promise<boolean> {
    const { clock, logger, onReload } = this.#options
    try {
      this.#current = await readPolicy(this.#choice, clock, this.#closing.signal)
      this.#readAtMs = clock.now()
      onReload?.('done')
      return true
    } catch (error) {
      if (this.#closing.signal.aborted) return false
      logger.error({ reason: String(error) }, 'the exit policy cannot be reloaded; the one before stays')
      onReload?.('failed')
      return false
    }
  }
}

async function readPolicy(choice: ExitPolicyChoice, clock: Clock, signal?: AbortSignal): Promise<ExitPolicy> {
  if (choice.kind === 'open') return parseExitPolicy('ExitPolicy accept *:*')
  const source = choice.kind === 'file' ? choice.path : choice.kind === 'url' ? choice.url : 'the text given'
  try {
    const policy = parseExitPolicy(await readText(choice, clock, signal))
    if (policy.rules.length === 0) throw new Error('it has no rule')
    return policy
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MixError('MIX_EXIT_POLICY_UNAVAILABLE', `The exit policy (${source}) cannot be used: ${reason}`, {
      kind: 'local',
      data: { source, reason },
      retry: choice.kind === 'url',
      cause,
    })
  }
}

async function readText(
  choice: Exclude<ExitPolicyChoice, { kind: 'open' }>,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (choice.kind === 'text') return choice.text
  if (choice.kind === 'file') return readFile(choice.path, { encoding: 'utf8', ...(signal && { signal }) })
  const ending = new AbortController()
  const late = () => ending.abort(new Error(`there was no answer within ${FETCH_MS / 1000} s`))
  const timer = clock.setTimer(FETCH_MS, late)
  const end = () => ending.abort(signal?.reason)
  signal?.addEventListener('abort', end)
  try {
    return new TextDecoder().decode(await fetchBytes(fetch, choice.url, MAX_POLICY_BYTES, ending.signal))
  } finally {
    timer.cancel()
    signal?.removeEventListener('abort', end)
  }
}
