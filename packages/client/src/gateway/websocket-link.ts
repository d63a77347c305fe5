/**
 * Links to one of Nym's gateways over a websocket (02-gateway §1, §4.2, §7.1): which of its addresses, deadlines, the
 * timestamps of authentications, and whether the gateway is still there. What is said is `gateway-session.ts`'s, when to try
 * again `gateway-keeper.ts`'s.
 */
import { type Clock, MixError, type Random, type Timer } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { decodeBase58, type MixPacket } from '@mixwright/wire'
import type { GatewayDoor, GatewayLink, GatewayLinkEvents } from './gateway-link.js'
import { GatewaySession, type SessionAction, type SessionStep } from './gateway-session.js'
import { GatewaySocket, type OpenWebSocket } from './gateway-socket.js'
import type { Registration } from './registration.js'

export interface WebSocketDoorOptions {
  /** Ed25519 identity of the gateway, base58. */
  readonly gateway: string
  /** Where it listens for clients, best first, as known now; tried in turn. */
  urls(): readonly string[]
  readonly openWebSocket: OpenWebSocket
  /** The client's Ed25519 seed, 32 bytes. */
  readonly identitySeed: Uint8Array
  readonly crypto: CryptoProvider
  readonly clock: Clock
  readonly random: Random
  /** What `onRegistered` told in an earlier life. Without it the first connection registers. */
  readonly registration?: Registration | undefined
  /** The gateway knows us by a new key: to be stored, or the next start registers again. */
  onRegistered(registration: Registration): void
}

/** For TCP, TLS and the websocket's upgrade together, milliseconds. */
const OPEN_MS = 5_000
/** For each answer while connecting, and for a claim, milliseconds. What is pushed meanwhile starts the time anew. */
const ANSWER_MS = 10_000
/** The gateway answers every packet; a link on which nothing at all comes for so long after one is dead. Milliseconds. */
const SILENCE_MS = 15_000
/** The same after a probe: nothing waits before that. */
const PROBE_MS = 5_000
/** A link on which nothing has come for so long is probed: a client that sends nothing would not notice its death. */
const QUIET_MS = 60_000
/** A timer so late says that this process stood still, and could not hear: it listens first. Milliseconds. */
const LATE_MS = 1_000
/** Text by which a gateway refuses the second of an authentication. */
const STALE_TIMESTAMP = /timestamp is smaller or equal/i
/** Largest lead of an authentication's timestamp over our clock, seconds; gateways take 120. */
const MAXIMUM_LEAD_SECONDS = 60

export class WebSocketDoor implements GatewayDoor {
  readonly #options: WebSocketDoorOptions
  readonly #identity: Uint8Array
  #sharedKey: Uint8Array | undefined
  #lastRequestTime = 0

  /** Error: `MIX_GATEWAY_UNKNOWN` when the gateway is no base58 identity. */
  constructor(options: WebSocketDoorOptions) {
    const identity = decodeBase58(options.gateway, 32)
    if (identity === undefined) {
      const message = `${JSON.stringify(options.gateway)} is no identity of a gateway.`
      throw new MixError('MIX_GATEWAY_UNKNOWN', message, { kind: 'usage', data: { gateway: options.gateway } })
    }
    this.#options = options
    this.#identity = identity
    this.#sharedKey = options.registration?.sharedKey
  }

  get gateway(): string {
    return this.#options.gateway
  }

  /**
   * Connect, and authenticate or register. A gateway that has lost our registration gets it anew, under the same identity, so
   * that the address stays; one that has seen this second before, from an earlier process, gets the next one. Errors:
   * `MIX_GATEWAY_…` as in docs/errors.md.
   */
  async connect(events: GatewayLinkEvents, signal?: AbortSignal): Promise<GatewayLink> {
    try {
      return await this.#connect(events, signal)
    } catch (error) {
      if (!(error instanceof MixError)) throw error
      if (error.code === 'MIX_GATEWAY_UNREGISTERED') this.#sharedKey = undefined
      else if (!STALE_TIMESTAMP.test(String(error.data.message))) throw error
      return await this.#connect(events, signal)
    }
  }

  /** By the first address behind which the gateway answers. */
  async #connect(events: GatewayLinkEvents, signal: AbortSignal | undefined): Promise<GatewayLink> {
    const failures: MixError[] = []
    for (const url of this.#options.urls()) {
      signal?.throwIfAborted()
      try {
        return await this.#open(url, events, signal)
      } catch (error) {
        if (!(error instanceof MixError) || error.kind !== 'network') throw error
        failures.push(error)
      }
    }
    signal?.throwIfAborted()
    if (failures.length === 1) throw failures[0]
    const reasons = failures.map(({ message }) => message)
    const message = `Gateway ${this.gateway} cannot be reached. ${reasons.join(' ') || 'The network tells no address of it.'}`
    const data = { gateway: this.gateway, reasons }
    throw new MixError('MIX_GATEWAY_UNREACHABLE', message, { kind: 'network', retry: true, data })
  }

  #open(url: string, events: GatewayLinkEvents, signal: AbortSignal | undefined): Promise<GatewayLink> {
    const { crypto, random, identitySeed, clock, openWebSocket } = this.#options
    const session = new GatewaySession({
      crypto,
      random,
      identitySeed,
      gatewayIdentity: this.#identity,
      sharedKey: this.#sharedKey,
      requestTime: () => this.#nextRequestTime(),
    })
    return new Promise((resolve, reject) => {
      const abort = () => link.abandon()
      const settled = () => signal?.removeEventListener('abort', abort)
      const link: WebSocketLink = new WebSocketLink(openWebSocket, url, clock, session, {
        received: (message) => events.received(message),
        closed: (reason) => events.closed(reason),
        registered: (sharedKey, protocolVersion) => this.#remember(sharedKey, protocolVersion),
        live() {
          settled()
          resolve(link)
        },
        failed(reason) {
          settled()
          reject(signal?.aborted ? signal.reason : reason)
        },
      })
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /** The gateway takes each second once; so fast reconnections run ahead of the clock, though not when it was set back. */
  #nextRequestTime(): number {
    const now = Math.floor(this.#options.clock.now() / 1000)
    const next = this.#lastRequestTime + 1
    this.#lastRequestTime = next > now && next <= now + MAXIMUM_LEAD_SECONDS ? next : now
    return this.#lastRequestTime
  }

  #remember(sharedKey: Uint8Array, protocolVersion: number): void {
    const { gateway, clock, onRegistered } = this.#options
    this.#sharedKey = sharedKey
    onRegistered({ gateway, sharedKey, protocolVersion, registeredAt: clock.now() })
  }
}

/** What a link tells its door: `live` or `failed`, and `closed` only after `live`. */
interface WebSocketLinkEvents extends GatewayLinkEvents {
  registered(sharedKey: Uint8Array, protocolVersion: number): void
  live(): void
  failed(reason: MixError): void
}

class WebSocketLink implements GatewayLink {
  readonly #clock: Clock
  readonly #session: GatewaySession
  readonly #events: WebSocketLinkEvents
  readonly #socket: GatewaySocket
  #state: 'connecting' | 'live' | 'closed' = 'connecting'
  /** Until the answer that `#step` names. */
  #deadline: Timer | undefined
  #step: SessionStep | undefined
  /** Looks after signs of life; fires no later than the earliest moment at which something may have to be done. */
  #watch: Timer | undefined
  #watchDue = Number.POSITIVE_INFINITY
  #lastHeard: number
  /** When the link is dead unless something comes. */
  #signDue: number | undefined

  constructor(
    openWebSocket: OpenWebSocket,
    url: string,
    clock: Clock,
    session: GatewaySession,
    events: WebSocketLinkEvents,
  ) {
    this.#clock = clock
    this.#session = session
    this.#events = events
    this.#lastHeard = clock.monotonic()
    this.#socket = new GatewaySocket(openWebSocket, url, clock, OPEN_MS, {
      opened: () => this.#perform(session.onOpen()),
      text: (text) => this.#heard(session.onText(text)),
      binary: (data) => this.#heard(session.onBinary(data)),
      ended: (reason) => this.#ended(reason),
    })
  }

  get unsentBytes(): number {
    return this.#socket.unsentBytes
  }

  send(packet: MixPacket): void {
    const frame = this.#session.sealPacket(packet)
    if (frame === undefined) return
    this.#socket.send(frame)
    this.#expectSign(SILENCE_MS)
  }

  probe(): void {
    this.#perform(this.#session.probe())
    this.#expectSign(PROBE_MS)
  }

  close(): void {
    this.#socket.leave(hungUp())
  }

  /** End it without a word. */
  abandon(): void {
    this.#socket.drop(hungUp())
  }

  #heard(actions: readonly SessionAction[]): void {
    this.#lastHeard = this.#clock.monotonic()
    this.#signDue = undefined
    this.#perform(actions)
  }

  #perform(actions: readonly SessionAction[]): void {
    for (const action of actions) {
      switch (action.kind) {
        case 'say':
          this.#socket.send(action.text)
          break
        case 'registered':
          this.#events.registered(action.sharedKey, action.protocolVersion)
          break
        case 'live':
          this.#state = 'live'
          this.#keepWatch()
          this.#events.live()
          break
        case 'received':
          this.#events.received(action.message)
          break
        case 'failed':
          return this.#socket.drop(action.error)
      }
    }
    const step = this.#session.awaits
    if (step !== this.#step || actions.length > 0) this.#awaitAnswer(step)
  }

  #awaitAnswer(step: SessionStep | undefined): void {
    this.#deadline?.cancel()
    this.#step = step
    if (step === undefined || this.#state === 'closed') return
    this.#deadline = this.#clock.setTimer(ANSWER_MS, () => this.#perform(this.#session.onDeadline()))
  }

  #expectSign(withinMs: number): void {
    if (this.#state !== 'live') return
    this.#signDue = Math.min(this.#signDue ?? Number.POSITIVE_INFINITY, this.#clock.monotonic() + withinMs)
    if (this.#signDue < this.#watchDue) this.#keepWatch()
  }

  #keepWatch(): void {
    this.#watch?.cancel()
    this.#watchDue = this.#signDue ?? this.#lastHeard + QUIET_MS
    this.#watch = this.#clock.setTimer(this.#watchDue - this.#clock.monotonic(), () => this.#look())
  }

  #look(): void {
    const now = this.#clock.monotonic()
    if (this.#signDue !== undefined && now >= this.#signDue) {
      if (now - this.#signDue < LATE_MS) return this.#socket.drop(silent())
      this.#signDue = now + PROBE_MS
    }
    this.#watchDue = Number.POSITIVE_INFINITY
    if (this.#signDue === undefined && now >= this.#lastHeard + QUIET_MS) this.probe()
    else this.#keepWatch()
  }

  #ended(reason: MixError): void {
    const wasLive = this.#state === 'live'
    this.#state = 'closed'
    this.#deadline?.cancel()
    this.#watch?.cancel()
    if (wasLive) this.#events.closed(reason)
    else this.#events.failed(reason)
  }
}

/** The end of a link that we wanted. */
function hungUp(): MixError {
  return new MixError('MIX_GATEWAY_LEFT', 'We hung up.', { kind: 'local', retry: true })
}

function silent(): MixError {
  const message = 'The gateway gives no sign of life: the connection is dead.'
  return new MixError('MIX_GATEWAY_SILENT', message, { kind: 'network', retry: true })
}
