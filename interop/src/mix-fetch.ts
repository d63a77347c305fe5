/**
 * The parent's side of mix-fetch 1.4.4, the official `fetch` over the mixnet: start it, fetch through a network requester,
 * several at once, and close it. What it does on the wire is 06-service-providers §3.
 */
import type { Profile } from '@mixwright/client'
import { DrivenProcess, PATIENCE_MS } from './driven-process.js'

export interface MixFetchStart {
  readonly nymApiUrl: string
  /** Address of the network requester; on a network of one's own the package wants it named. */
  readonly requester: string
  /** Base58 identity. Without it, the package draws a gateway from the directory. */
  readonly gateway?: string
  /** `DebugWasmOverride` of the package: delays, Poisson stream and cover; see `overrideFor`. @default what our `default` is */
  readonly clientOverride?: Readonly<Record<string, unknown>>
  /** A whole fetch, its body included, may take so long, milliseconds. @default 60000, as the package's own wrapper */
  readonly requestTimeoutMs?: number
}

/** What the package honours of `RequestInit`, as far as it crosses IPC. */
export interface FetchInit {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** The package checks CORS itself; `unsafe-ignore-cors` is its own word for not doing so. @default 'cors' */
  readonly mode?: 'cors' | 'no-cors' | 'same-origin' | 'unsafe-ignore-cors'
  readonly redirect?: 'follow' | 'error' | 'manual'
}

export interface Fetched {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** From the call until the package had a response, by the child's clock. It reads the whole body before. */
  readonly headMs: number
  /** From the call until the body was there. */
  readonly totalMs: number
}

export interface MixFetchUsage {
  readonly rssBytes: number
  /** Processor time since its start. */
  readonly cpuMs: number
}

export type MixFetchCommand =
  | { readonly kind: 'start'; readonly options: MixFetchStart }
  | { readonly kind: 'fetch'; readonly url: string; readonly init: FetchInit }
  | { readonly kind: 'usage' }

/** The `clientOverride` that equals a profile of ours; the package honours all of it. */
export function overrideFor(profile: Profile): Readonly<Record<string, unknown>> {
  const { averagePacketDelayMs, averageAckDelayMs, averageSendingDelayMs, averageLoopCoverDelayMs } = profile
  return {
    traffic: {
      averagePacketDelayMs,
      ...(averageSendingDelayMs > 0
        ? { messageSendingAverageDelayMs: averageSendingDelayMs }
        : { disableMainPoissonPacketDistribution: true }),
    },
    acknowledgements: { averageAckDelayMs },
    coverTraffic:
      averageLoopCoverDelayMs > 0
        ? { loopCoverTrafficAverageDelayMs: averageLoopCoverDelayMs }
        : { disableLoopCoverTrafficStream: true },
  }
}

const PROGRAM = new URL('./mix-fetch-process.js', import.meta.url)

export class MixFetch implements AsyncDisposable {
  readonly #process = new DrivenProcess<MixFetchCommand>('mix-fetch', PROGRAM)
  readonly #patienceMs: number
  #connectMs = 0

  private constructor({ requestTimeoutMs = 0 }: MixFetchStart) {
    this.#patienceMs = PATIENCE_MS + requestTimeoutMs
  }

  /** Start one; resolves when it is connected to its gateway. Rejects when it fails or ends before. */
  static async start(options: MixFetchStart): Promise<MixFetch> {
    const mixFetch = new MixFetch(options)
    try {
      mixFetch.#connectMs = (await mixFetch.#process.request({ kind: 'start', options })) as number
      return mixFetch
    } catch (error) {
      await mixFetch.close()
      throw error
    }
  }

  /** From the package's setup to connected, milliseconds; without the start of the process and its modules. */
  get connectMs(): number {
    return this.#connectMs
  }

  /** Fetch through the requester, several at once if you like; rejects with what the package says. */
  async fetch(url: string, init: FetchInit = {}): Promise<Fetched> {
    return (await this.#process.request({ kind: 'fetch', url, init }, this.#patienceMs)) as Fetched
  }

  async usage(): Promise<MixFetchUsage> {
    return (await this.#process.request({ kind: 'usage' })) as MixFetchUsage
  }

  /** Warnings and errors that the package wrote to the console. */
  get complaints(): readonly string[] {
    return this.#process.complaints
  }

  /** The last of what Go wrote to its standard error; a panic stands there, and ends the process. */
  get stderr(): string {
    return this.#process.stderr
  }

  /** End it without a farewell, as a closed laptop would. */
  close(): Promise<void> {
    return this.#process[Symbol.asyncDispose]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
