/** What an operator sees of a network requester: counts and bytes, and never who asked for what. */
import type { Counter, Metrics } from '@mixwright/runtime'

/** How a Connect ended. */
export type ConnectOutcome =
  | 'connected'
  | 'refused-by-policy'
  | 'not-a-destination'
  | 'unknown-host'
  | 'connection-refused'
  | 'host-unreachable'
  | 'network-unreachable'
  | 'timed-out'
  | 'failed'
  | 'too-many'
  /** The client gave up first. */
  | 'given-up'

/** Why a connection ended. */
export type ConnectionEnd =
  /** Both directions in order. */
  | 'finished'
  | 'reset-by-destination'
  | 'reset-by-client'
  /** Nothing from either side for five minutes. */
  | 'idle'
  /** A message of the client did not come: for two minutes, or until the reorder window was full. */
  | 'message-missing'
  /** The client sends faster than the destination takes. */
  | 'buffer-full'
  /** An answer could not be delivered. */
  | 'reply-lost'
  /** It never came about. */
  | 'not-connected'
  | 'requester-closed'

export interface RequesterState {
  readonly connections: () => number
  readonly connecting: () => number
  /** Bytes that wait for a destination, and for the mixnet. */
  readonly uploadBytes: () => number
  readonly downloadBytes: () => number
}

export class RequesterMetrics {
  readonly #metrics: Metrics
  readonly #bytes: Readonly<Record<'up' | 'down', Counter>>

  constructor(metrics: Metrics, state: RequesterState) {
    this.#metrics = metrics
    const carried = (direction: string) =>
      metrics.counter('mixwright_requester_bytes_total', 'Bytes of data carried, by direction', { direction })
    this.#bytes = { up: carried('up'), down: carried('down') }
    metrics.gauge('mixwright_requester_connections', 'Connections, those under way included', {}, state.connections)
    metrics.gauge('mixwright_requester_connecting', 'Connects under way', {}, state.connecting)
    const buffered = (direction: string, read: () => number) =>
      metrics.gauge('mixwright_requester_buffered_bytes', 'Bytes that wait, by direction', { direction }, read)
    buffered('up', state.uploadBytes)
    buffered('down', state.downloadBytes)
  }

  /** A request was taken. */
  request(kind: string): void {
    this.#metrics.counter('mixwright_requester_requests_total', 'Requests taken, by kind', { kind }).increment()
  }

  dropped(reason: string): void {
    this.#metrics.counter('mixwright_requester_dropped_total', 'Messages dropped, by reason', { reason }).increment()
  }

  connect(outcome: ConnectOutcome): void {
    this.#metrics.counter('mixwright_requester_connects_total', 'Connects, by outcome', { outcome }).increment()
  }

  ended(reason: ConnectionEnd): void {
    this.#metrics.counter('mixwright_requester_ended_total', 'Connections ended, by reason', { reason }).increment()
  }

  /** `up`: to the destination. */
  bytes(direction: 'up' | 'down', count: number): void {
    this.#bytes[direction].increment(count)
  }

  policyReload(outcome: 'done' | 'failed'): void {
    this.#metrics
      .counter('mixwright_requester_policy_reloads_total', 'Reloads of the exit policy, by outcome', { outcome })
      .increment()
  }
}
