/**
 * What we know of one network requester: whether it lives, which hosts it refused, and how many of our reply blocks it has. Pure;
 * time is handed in.
 */

/** A failure counts for so long. */
const FAILURE_MS = 60_000
/** A host that it refused is not tried there again for so long. */
const REFUSED_MS = 600_000
/** Hosts remembered; the one refused longest ago goes first. */
const MOST_REFUSED = 1000
/** After so long without a word it is asked whether it lives. */
const QUIET_MS = 10_000
/** Connections that have been idle for so long are looked after less often. */
const IDLE_MS = 120_000
const IDLE_QUIET_MS = 60_000
/** A question is repeated after so long: either way it may be lost. */
const ASK_AGAIN_MS = 5000
/** Data that one reply block brings, bytes, and what a message has beside it (04-client §4.4). */
const SURB_BYTES = 1590
const MESSAGE_OVERHEAD_BYTES = 40
/** An official requester answers nothing before it has ten, which it keeps, and one for each packet (06-service-providers §2.6). */
const SURBS_AT_START = 24
const FEW_SURBS = 20

export class RequesterState {
  readonly address: string
  #lastHeardMs = Number.NEGATIVE_INFINITY
  #lastFailureMs = Number.NEGATIVE_INFINITY
  /** When it was first asked of those questions that it did not answer, and last. */
  #askedMs: number | undefined
  #askedAgainMs = 0
  /** By host, with when. */
  readonly #refused = new Map<string, number>()
  /** Our reply blocks there, at least. It may have asked for more behind our back. */
  #surbs = 0

  constructor(address: string) {
    this.address = address
  }

  get hasBeenHeard(): boolean {
    return this.#lastHeardMs > Number.NEGATIVE_INFINITY
  }

  /** Smaller is better: it lives, it is unknown, it failed a moment ago. */
  rank(nowMs: number): number {
    if (nowMs - this.#lastFailureMs < FAILURE_MS) return 2
    return this.hasBeenHeard ? 0 : 1
  }

  refuses(host: string, nowMs: number): boolean {
    const since = this.#refused.get(host)
    return since !== undefined && nowMs - since < REFUSED_MS
  }

  /** Its policy forbids this host. */
  refused(host: string, nowMs: number): void {
    this.#refused.delete(host)
    this.#refused.set(host, nowMs)
    if (this.#refused.size > MOST_REFUSED) this.#refused.delete(this.#refused.keys().next().value!)
  }

  failed(nowMs: number): void {
    this.#lastFailureMs = nowMs
    this.#askedMs = undefined
    // It may have lost them.
    this.#surbs = 0
  }

  /** A message of it came, with so many bytes. */
  heard(bytes: number, nowMs: number): void {
    this.#lastHeardMs = nowMs
    this.#lastFailureMs = Number.NEGATIVE_INFINITY
    this.#askedMs = undefined
    this.#surbs = Math.max(0, this.#surbs - Math.ceil((bytes + MESSAGE_OVERHEAD_BYTES) / SURB_BYTES))
  }

  /** A first connection was opened, or our own link has come back: silence counts from now. */
  listenFrom(nowMs: number): void {
    this.#lastHeardMs = Math.max(this.#lastHeardMs, nowMs)
    this.#askedMs = undefined
  }

  /** For how long it has left a question unanswered, milliseconds. */
  unansweredMs(nowMs: number): number {
    return this.#askedMs === undefined ? 0 : nowMs - this.#askedMs
  }

  /** Whether to ask now if it lives; `usedMs`: when one of its connections was last written to, or brought something. */
  isToBeAsked(usedMs: number, nowMs: number): boolean {
    if (this.#askedMs !== undefined) return nowMs - this.#askedAgainMs >= ASK_AGAIN_MS
    return nowMs - this.#lastHeardMs >= (nowMs - usedMs < IDLE_MS ? QUIET_MS : IDLE_QUIET_MS)
  }

  asked(nowMs: number): void {
    this.#askedMs ??= nowMs
    this.#askedAgainMs = nowMs
  }

  /** How many reply blocks go with a request, so that it can be answered at once; they count as given. */
  surbsFor(request: 'connect' | 'question' | 'send' | 'credit', renewedBytes = 0): number {
    const count = this.#surbsFor(request, renewedBytes)
    this.#surbs += count
    return count
  }

  #surbsFor(request: 'connect' | 'question' | 'send' | 'credit', renewedBytes: number): number {
    switch (request) {
      case 'connect':
        return Math.max(4, SURBS_AT_START - this.#surbs)
      case 'question':
        return Math.max(2, 12 - this.#surbs)
      case 'send':
        return this.#surbs < FEW_SURBS ? 3 : 1
      case 'credit':
        return renewedBytes === 0 ? 0 : Math.ceil(renewedBytes / SURB_BYTES) + 3
    }
  }
}
