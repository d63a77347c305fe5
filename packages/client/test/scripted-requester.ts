/**
 * A client without a network whose messages a script answers: what an exit sends, and what it makes of the answers. Messages take
 * no time; the clock is virtual.
 */
import { type MixError, VirtualClock } from '@mixwright/runtime'
import {
  CURRENT_VERSIONS,
  decodeProviderRequest,
  encodeBase58,
  encodeProviderResponse,
  type ProviderRequest,
  type ProviderResponse,
} from '@mixwright/wire'
import type { ArrivedMessage, Client, ClientEvents, SendHandle, SendOptions } from '../src/api.js'

/** A request as it came to a requester. */
export type Asked = Exclude<ReturnType<typeof decodeProviderRequest>, { kind: 'malformed' }> & {
  readonly to: string
  readonly replySurbs: number
}

export const addressOf = (number: number) => {
  const key = encodeBase58(new Uint8Array(32).fill(number))
  return `${key}.${key}@${key}`
}

type Omitted<T> = T extends unknown ? Omit<T, 'versions'> : never

export class ScriptedRequesters {
  readonly clock = new VirtualClock()
  readonly asked: Asked[] = []
  /** What a requester does about a request. */
  onRequest: (asked: Asked) => void = () => {}
  listed: string[] = []
  gatewayState: 'up' | 'down' = 'up'
  /** Handles settle at once unless held back. */
  holdAcks = false
  readonly held: (() => void)[] = []
  #interceptors: ((message: ArrivedMessage) => boolean)[] = []
  readonly #listeners = new Set<(detail: ClientEvents['gateway']) => void>()
  /** Messages that nobody intercepted. */
  readonly stray: Uint8Array[] = []

  /** What the exit is opened over. */
  get client(): Client {
    return {
      address: addressOf(99),
      send: (to: string, data: Uint8Array, options: SendOptions = {}) => this.#send(to, data, options),
      intercept: (take: (message: ArrivedMessage) => boolean) => {
        this.#interceptors.unshift(take)
        return () => {
          this.#interceptors = this.#interceptors.filter((other) => other !== take)
        }
      },
      on: (_: 'gateway', listener: (detail: ClientEvents['gateway']) => void) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
      closeLane: () => {},
      status: () => ({ gateway: { state: this.gatewayState } }),
      requesters: async () => this.listed.map((address) => ({ address, gateway: '', usesExitPolicy: true })),
    } as unknown as Client
  }

  get interceptors(): number {
    return this.#interceptors.length
  }

  requests<K extends Asked['kind']>(kind: K): Extract<Asked, { kind: K }>[] {
    return this.asked.filter((asked) => asked.kind === kind) as Extract<Asked, { kind: K }>[]
  }

  gateway(state: ClientEvents['gateway']['state'], reason?: MixError): void {
    for (const listener of this.#listeners) listener({ state, address: addressOf(99), ...(reason && { reason }) })
  }

  /** A requester answers by our reply blocks. */
  answer(from: string, response: Omitted<ProviderResponse>): void {
    this.deliver(encodeProviderResponse({ versions: CURRENT_VERSIONS, ...response } as ProviderResponse), from)
  }

  deliver(data: Uint8Array, repliedBy: string | undefined): void {
    const message = { data, senderTag: undefined, repliedBy } as ArrivedMessage
    if (!this.#interceptors.some((take) => take(message))) this.stray.push(data)
  }

  #send(to: string, data: Uint8Array, { replySurbs = 0 }: SendOptions): SendHandle {
    const request = decodeProviderRequest(data, () => true) as ProviderRequest
    const asked = { ...request, to, replySurbs } as Asked
    this.asked.push(asked)
    queueMicrotask(() => this.onRequest(asked))
    const settled = this.holdAcks ? new Promise<void>((resolve) => this.held.push(resolve)) : Promise.resolve()
    return {
      queued: Promise.resolve(),
      sent: settled,
      acknowledged: settled,
      progress: { packets: 1, sent: 1, acknowledged: 1, retransmissions: 0 },
    }
  }
}
