/**
 * The answering side of verloc (05-mixnode §13): others measure how far we are. Each answer costs two Ed25519 operations and
 * tells anybody how fast we are, so answers are few: past the limits a connection is closed, as on any other error. Measuring
 * others ourselves is not done.
 */
import type { Clock, Counter, Metrics, Timer } from '@mixwright/runtime'
import type { ListenAddress } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import { answerVerlocEcho, VERLOC_ECHO_BYTES, VERLOC_REPLY_BYTES } from '@mixwright/wire'
import { TokenBucket } from '../gateway/door/token-bucket.js'
import type { Link, LinkEvents, LinkServer, Links } from '../link/link.js'

/** Connections at once; the official measurer holds one to each node. */
const MAXIMUM_LINKS = 64
/** Of these, from one address. */
const MAXIMUM_LINKS_PER_IP = 4
/** Answers per second over all connections, a few percent of a core; a measurer asks about 20 times a second. */
const ANSWERS_PER_SECOND = 200
/** Silence after which a connection is closed, milliseconds. */
const IDLE_MS = 10_000
/** Replies that wait to be read; who leaves more is not answered further. */
const UNREAD_REPLIES = 32

export interface VerlocOptions {
  readonly clock: Clock
  readonly metrics: Metrics
  readonly crypto: CryptoProvider
  readonly links: Links
  readonly listen: ListenAddress
  /** Ed25519 seed of the node, 32 bytes. */
  readonly identitySeed: Uint8Array
}

export class VerlocListener {
  readonly #options: VerlocOptions
  readonly #answered: Counter
  readonly #open = new Set<VerlocLink>()
  readonly #linksByIp = new Map<string, number>()
  readonly #allowance: TokenBucket
  #server: LinkServer | undefined

  private constructor(options: VerlocOptions) {
    this.#options = options
    this.#allowance = new TokenBucket(options.clock, ANSWERS_PER_SECOND, ANSWERS_PER_SECOND)
    this.#answered = options.metrics.counter('mixwright_verloc_answers_total', 'Distance measurements answered')
  }

  /** Listen. Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  static async open(options: VerlocOptions): Promise<VerlocListener> {
    const listener = new VerlocListener(options)
    listener.#server = await options.links.listen(options.listen, {
      maximumLinks: MAXIMUM_LINKS,
      refused: () => listener.#count('too-many-connections'),
      accepted: (link) => listener.#accept(link),
    })
    return listener
  }

  get port(): number {
    return this.#server?.port ?? 0
  }

  async close(): Promise<void> {
    const closed = this.#server?.close()
    for (const link of this.#open) link.end()
    await closed
  }

  #accept(link: Link): LinkEvents {
    const { remoteIp } = link
    const links = this.#linksByIp.get(remoteIp) ?? 0
    const verloc = new VerlocLink(link, this.#options, {
      answer: (echo) => this.#answer(echo),
      closed: () => {
        this.#open.delete(verloc)
        const left = (this.#linksByIp.get(remoteIp) ?? 1) - 1
        if (left > 0) this.#linksByIp.set(remoteIp, left)
        else this.#linksByIp.delete(remoteIp)
      },
    })
    this.#open.add(verloc)
    this.#linksByIp.set(remoteIp, links + 1)
    if (links >= MAXIMUM_LINKS_PER_IP) {
      this.#count('too-many-connections')
      verloc.end()
    }
    return verloc
  }

  /** The reply, or undefined: then the connection is to be closed. */
  #answer(echo: Uint8Array): Uint8Array | undefined {
    const { crypto, identitySeed } = this.#options
    if (!this.#allowance.tryTake()) {
      this.#count('too-many-echoes')
      return undefined
    }
    const reply = answerVerlocEcho(crypto, echo, identitySeed)
    if (reply === undefined) this.#count('signature')
    else this.#answered.increment()
    return reply
  }

  #count(reason: string): void {
    this.#options.metrics
      .counter('mixwright_verloc_refused_total', 'Distance measurements broken off, by reason', { reason })
      .increment()
  }
}

interface VerlocLinkEvents {
  answer(echo: Uint8Array): Uint8Array | undefined
  closed(): void
}

/** One measurer: echoes in, replies out, in turn. Holds less than one echo. */
class VerlocLink implements LinkEvents {
  readonly #link: Link
  readonly #clock: Clock
  readonly #events: VerlocLinkEvents
  readonly #echo = new Uint8Array(VERLOC_ECHO_BYTES)
  #filled = 0
  #idle: Timer
  #ended = false

  constructor(link: Link, { clock }: VerlocOptions, events: VerlocLinkEvents) {
    this.#link = link
    this.#clock = clock
    this.#events = events
    this.#idle = this.#wait()
  }

  data(chunk: Uint8Array): void {
    let rest = chunk
    while (rest.length > 0 && !this.#ended) {
      const taken = rest.subarray(0, VERLOC_ECHO_BYTES - this.#filled)
      this.#echo.set(taken, this.#filled)
      this.#filled += taken.length
      rest = rest.subarray(taken.length)
      if (this.#filled < VERLOC_ECHO_BYTES) return
      this.#filled = 0
      const reply = this.#events.answer(this.#echo)
      if (reply === undefined || this.#link.bufferedBytes > UNREAD_REPLIES * VERLOC_REPLY_BYTES) return this.end()
      this.#link.write([reply])
      this.#idle.cancel()
      this.#idle = this.#wait()
    }
  }

  closed(): void {
    this.#ended = true
    this.#idle.cancel()
    this.#events.closed()
  }

  end(): void {
    this.#ended = true
    this.#link.destroy()
  }

  #wait(): Timer {
    return this.#clock.setTimer(IDLE_MS, () => this.end(), { background: true })
  }
}
