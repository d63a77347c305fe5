/**
 * Asking directories to take this node in (03-directory §18): who we are, signed, and where our HTTP API answers. Asked again
 * until it is taken, and every half hour after, in case a directory has forgotten. Directories that know registration only by a
 * chain answer 404: there the operator registers the node.
 */
import type { Clock, Logger, Timer } from '@mixwright/runtime'
import type { Fetch, SignedHostInformation } from '@mixwright/wire'

export interface RegistrationOptions {
  /** Base URLs such as `https://directory.example/api`. */
  readonly directories: readonly string[]
  /** What a directory with tokens asks for. */
  readonly token?: string | undefined
  readonly clock: Clock
  readonly logger: Logger
  /** One of the addresses in the host information, and the port of the HTTP API there. */
  readonly host: string
  readonly httpPort: number
  hostInformation(): SignedHostInformation
  /** @default the platform's */
  readonly fetch?: Fetch
}

const DEADLINE_MS = 30_000
/** Pauses after a failure, milliseconds; doubled with each. A directory hears a node once a minute, so after a refusal they are longer. */
const FIRST_PAUSE_MS = 1_000
const REFUSED_PAUSE_MS = 61_000
const LONGEST_PAUSE_MS = 600_000
const RENEWAL_MS = 1_800_000

const REGISTERED = 'registered with the directory'

/** What a refusal means to the operator. */
const REFUSALS: Readonly<Record<number, string>> = {
  403: 'its operator has not allowed it, or the token is wrong',
  404: 'it takes no registrations',
  422: 'it cannot read the HTTP API of this node; is the port open to it?',
  429: 'it was asked less than a minute ago',
}

export class Registration {
  readonly #options: RegistrationOptions
  readonly #fetch: Fetch
  readonly #timers = new Map<string, Timer>()
  readonly #closing = new AbortController()

  /** Registers from now on, at each directory by itself. */
  constructor(options: RegistrationOptions) {
    this.#options = options
    this.#fetch = options.fetch ?? globalThis.fetch
    for (const url of options.directories) void this.#register(url.replace(/\/+$/, ''), 0, undefined)
  }

  close(): void {
    this.#closing.abort()
    for (const timer of this.#timers.values()) timer.cancel()
  }

  async #register(url: string, repeats: number, told: string | undefined): Promise<void> {
    const { clock, logger } = this.#options
    const answer = await this.#ask(url)
    if (this.#closing.signal.aborted) return
    const { reason } = answer
    // Each fault is told once, and so is its end.
    if (reason === undefined) logger[told === REGISTERED ? 'debug' : 'info']({ url }, REGISTERED)
    else logger[reason === told ? 'debug' : 'warn']({ url, reason }, 'the directory does not take this node')
    const first = answer.refused ? REFUSED_PAUSE_MS : FIRST_PAUSE_MS
    const failures = reason === told ? repeats + 1 : 0
    const wait = reason === undefined ? RENEWAL_MS : Math.min(first * 2 ** failures, LONGEST_PAUSE_MS)
    const again = () => void this.#register(url, failures, reason ?? REGISTERED)
    this.#timers.set(url, clock.setTimer(wait, again, { background: true }))
  }

  /** Why the directory did not take the node, if so, and whether it said that itself. */
  async #ask(url: string): Promise<{ readonly reason?: string; readonly refused?: boolean }> {
    const { clock, host, httpPort, hostInformation, token } = this.#options
    const late = new AbortController()
    const timer = clock.setTimer(DEADLINE_MS, () => late.abort(new Error('it does not answer in time')), {
      background: true,
    })
    const body = {
      host,
      http_port: httpPort,
      host_information: hostInformation(),
      ...(token !== undefined && { token }),
    }
    try {
      const response = await this.#fetch(`${url}/v1/mixwright/register`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.any([late.signal, this.#closing.signal]),
      })
      void response.body?.cancel().catch(() => {})
      if (response.ok) return {}
      return { reason: REFUSALS[response.status] ?? `it answers with status ${response.status}`, refused: true }
    } catch (error) {
      const { cause, message } = error as { cause?: { code?: unknown }; message: string }
      return { reason: String(cause?.code ?? message) }
    } finally {
      timer.cancel()
    }
  }
}
