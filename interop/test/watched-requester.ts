/** A network requester of ours on a client of its own, every request and answer of which is written down. */
import { type ArrivedMessage, type Client, connect } from '@mixwright/client'
import type { Network } from '@mixwright/localnet'
import { MemoryMetrics, RealClock, silentLogger } from '@mixwright/runtime'
import { type ExitPolicyChoice, NetworkRequester, type NetworkRequesterOptions } from '@mixwright/services'
import {
  decodeProviderRequest,
  decodeProviderResponse,
  type ProviderRequest,
  type ProviderResponse,
} from '@mixwright/wire'

export interface WatchedRequest {
  readonly request: ProviderRequest | { readonly kind: 'malformed'; readonly reason: string }
  readonly senderTag: string | undefined
}

export class WatchedRequester implements AsyncDisposable {
  readonly metrics = new MemoryMetrics()
  /** In order of arrival. */
  readonly requests: WatchedRequest[] = []
  /** In the order in which they were sent. */
  readonly answers: (ProviderResponse | { readonly kind: 'malformed'; readonly reason: string })[] = []
  readonly #client: Client
  #requester!: NetworkRequester

  private constructor(client: Client) {
    this.#client = client
  }

  /** On the first gateway of the network. Addresses of this machine are allowed. `world` is what stands in for the real one. */
  static async start(
    net: Network,
    policy: ExitPolicyChoice,
    world: Partial<Pick<NetworkRequesterOptions, 'clock' | 'resolve' | 'dial'>> = {},
  ): Promise<WatchedRequester> {
    const gateway = net.gateway(0).identityKey
    const client = await connect({ directory: net.nymApiUrl, gateway, profile: 'local' })
    const watched = new WatchedRequester(client)
    watched.#requester = await NetworkRequester.start({
      client: watched.#listening(),
      clock: new RealClock(),
      logger: silentLogger,
      metrics: watched.metrics,
      policy,
      allowLocalIps: true,
      buildInformation: BUILD,
      ...world,
    })
    // The last one that is added is asked first.
    client.intercept((message) => watched.#arrived(message))
    return watched
  }

  get address(): string {
    return this.#client.address
  }

  /** A counter of the requester, over all labels or for these. */
  count(name: string, labels?: Readonly<Record<string, string>>): number {
    return this.metrics.value(`mixwright_requester_${name}`, labels)
  }

  /** Connects so far. */
  get connects(): Extract<ProviderRequest, { kind: 'connect' }>[] {
    return this.requests.map(({ request }) => request).filter((request) => request.kind === 'connect')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#requester?.close()
    await this.#client.close()
  }

  #arrived({ data, senderTag }: ArrivedMessage): boolean {
    this.requests.push({ request: decodeProviderRequest(data, () => true), senderTag })
    return false
  }

  /** The client, whose plain messages are written down. */
  #listening(): Client {
    const { answers } = this
    return new Proxy(this.#client, {
      get(client, property) {
        const member = Reflect.get(client, property) as unknown
        if (typeof member !== 'function') return member
        return (...words: unknown[]) => {
          if (property === 'send') answers.push(decodeProviderResponse(words[1] as Uint8Array))
          return member.apply(client, words) as unknown
        }
      },
    })
  }
}

const BUILD = {
  binary_name: 'mixwright',
  build_timestamp: '',
  build_version: '0.1.0',
  commit_sha: '',
  commit_timestamp: '',
  commit_branch: '',
  rustc_version: '',
  rustc_channel: '',
  cargo_profile: '',
  cargo_triple: '',
}
