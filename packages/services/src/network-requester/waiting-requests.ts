/**
 * Requests that overtook the Connect of their connection (06-service-providers §2.4, trap T6), and the ids of connections that have
 * ended, whose late messages nobody is to see (trap T20). No sockets, no timers.
 */
import type { ConnectionRequest } from './proxied-connection.js'

/** In all. At one of these bounds what has waited longest is given up, with all of its connection. */
const WAITING_REQUESTS = 8192
const WAITING_BYTES = 16 * 1024 ** 2
const WAITING_MS = 30_000
/** Ended ids are remembered so long, and so many of them: the oldest goes first. */
const ENDED_MS = 600_000
const ENDED_IDS = 100_000

/** What waits for one Connect. */
interface Waiting<From> {
  readonly bornMs: number
  /** The first one's. */
  readonly from: From
  readonly requests: ConnectionRequest[]
  bytes: number
}

/** `From` is what is kept of the first message of each. */
export class WaitingRequests<From> {
  /** In the order of their first. */
  readonly #waiting = new Map<bigint, Waiting<From>>()
  #requests = 0
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  get requests(): number {
    return this.#requests
  }

  /** Keep it. Returns the ids that were given up for it. */
  add(id: bigint, request: ConnectionRequest, from: From, nowMs: number): bigint[] {
    let waiting = this.#waiting.get(id)
    if (waiting === undefined) {
      waiting = { bornMs: nowMs, from, requests: [], bytes: 0 }
      this.#waiting.set(id, waiting)
    }
    const bytes = request.kind === 'send' ? request.data.length : 0
    waiting.requests.push(request)
    waiting.bytes += bytes
    this.#requests++
    this.#bytes += bytes
    const givenUp: bigint[] = []
    while (this.#requests > WAITING_REQUESTS || this.#bytes > WAITING_BYTES) {
      const [oldest] = this.#waiting.keys()
      this.take(oldest!)
      givenUp.push(oldest!)
    }
    return givenUp
  }

  /** The Connect came: what waits for it, as it came. */
  take(id: bigint): readonly ConnectionRequest[] {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return []
    this.#waiting.delete(id)
    this.#requests -= waiting.requests.length
    this.#bytes -= waiting.bytes
    return waiting.requests
  }

  /** Those whose Connect does not come any more. They are forgotten. */
  expire(nowMs: number): { readonly id: bigint; readonly from: From; readonly requests: number }[] {
    const expired = []
    for (const [id, { bornMs, from, requests }] of this.#waiting) {
      if (nowMs - bornMs < WAITING_MS) break
      this.take(id)
      expired.push({ id, from, requests: requests.length })
    }
    return expired
  }
}

export class EndedConnections {
  /** With when, in that order. */
  readonly #ended = new Map<bigint, number>()

  add(id: bigint, nowMs: number): void {
    this.#ended.delete(id)
    this.#ended.set(id, nowMs)
    if (this.#ended.size <= ENDED_IDS) return
    const [oldest] = this.#ended.keys()
    this.#ended.delete(oldest!)
  }

  has(id: bigint): boolean {
    return this.#ended.has(id)
  }

  expire(nowMs: number): void {
    for (const [id, endedMs] of this.#ended) {
      if (nowMs - endedMs < ENDED_MS) return
      this.#ended.delete(id)
    }
  }
}
