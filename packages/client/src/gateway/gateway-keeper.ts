/**
 * Keeps one link to the gateway up: tries again when it cannot be had or is lost, at growing and random intervals, and at
 * once when the machine has slept. How a link is made, and how it notices that it is dead, is the door's.
 */
import { type Clock, type MixError, type Random, type Timer, uniform } from '@mixwright/runtime'
import { decodeBase58, type MixPacket } from '@mixwright/wire'
import type { GatewayDoor, GatewayLink } from './gateway-link.js'

export interface GatewayKeeperEvents {
  /** A message or an ack that the gateway pushed; also while a link comes up or is being hung up. */
  received(message: Uint8Array): void
  /** Packets may be sent. */
  up(): void
  /** The link was lost, or an attempt failed; the next one begins in `retryInMs`. */
  down(reason: MixError, retryInMs: number): void
}

export interface GatewayKeeperOptions {
  readonly door: GatewayDoor
  readonly clock: Clock
  readonly random: Random
  readonly events: GatewayKeeperEvents
}

/** The first attempt after a loss comes within half of this to all of it; each further one twice as late. Milliseconds. */
const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 30_000
/** A link that was up for so long had nothing to do with the failures before it. */
const STEADY_MS = 60_000
/** How often the wall clock is looked at, and how far it must have jumped for a sleep, milliseconds. */
const TICK_MS = 1_000
const SLEEP_MS = 10_000

export class GatewayKeeper {
  /** Ed25519 identity of the gateway, base58. */
  readonly identity: string
  /** The same, 32 bytes. */
  readonly identityKey: Uint8Array
  readonly #door: GatewayDoor
  readonly #clock: Clock
  readonly #random: Random
  readonly #events: GatewayKeeperEvents
  /** What the caller wants. */
  #wanted: 'up' | 'paused' | 'closed' = 'paused'
  /** How things are. `leaving`: a link, or an attempt, is being ended. */
  #phase: 'idle' | 'waiting' | 'connecting' | 'up' | 'leaving' = 'idle'
  #link: GatewayLink | undefined
  #upSince = 0
  #attempt: AbortController | undefined
  #retry: Timer | undefined
  #failures = 0
  #losses = 0
  #reason: MixError | undefined
  #tick: Timer | undefined
  #gone: Promise<void> | undefined
  #tellGone: (() => void) | undefined

  constructor({ door, clock, random, events }: GatewayKeeperOptions) {
    this.identity = door.gateway
    this.identityKey = decodeBase58(door.gateway, 32)!
    this.#door = door
    this.#clock = clock
    this.#random = random
    this.#events = events
  }

  get state(): 'connecting' | 'up' | 'down' | 'paused' | 'closed' {
    if (this.#wanted !== 'up') return this.#wanted
    if (this.#phase === 'up') return 'up'
    return this.#phase === 'waiting' ? 'down' : 'connecting'
  }

  /** Why the last link or attempt ended; undefined while one is up. */
  get reason(): MixError | undefined {
    return this.#reason
  }

  /** Links lost, not counting those that we hung up. */
  get losses(): number {
    return this.#losses
  }

  /** Bytes handed over that the operating system has not taken yet. */
  get unsentBytes(): number {
    return this.#link?.unsentBytes ?? 0
  }

  /** Hand one packet to the gateway; false when the link is not up. */
  send(packet: MixPacket): boolean {
    if (this.#phase !== 'up') return false
    this.#link?.send(packet)
    return true
  }

  /** Connect, and stay connected. Also the way back from `pause`. */
  resume(): void {
    if (this.#wanted !== 'paused') return
    this.#wanted = 'up'
    this.#watchForSleep(this.#clock.now())
    if (this.#phase === 'idle') void this.#connect()
  }

  /** Hang up and stay away. What the gateway was about to push still comes. */
  pause(): void {
    if (this.#wanted === 'up') this.#hangUp('paused')
  }

  /** Something changed for the better (the machine woke, the network is back): try now; look whether the link still lives. */
  wake(): void {
    this.#failures = 0
    if (this.#phase === 'up') this.#link?.probe?.()
    if (this.#phase !== 'waiting') return
    this.#retry?.cancel()
    void this.#connect()
  }

  /** Hang up for good; resolves when the link is gone and nothing more will be `received`. */
  close(): Promise<void> {
    this.#gone ??= new Promise((resolve) => {
      this.#tellGone = resolve
      this.#hangUp('closed')
    })
    return this.#gone
  }

  #hangUp(wanted: 'paused' | 'closed'): void {
    this.#wanted = wanted
    this.#tick?.cancel()
    this.#retry?.cancel()
    if (this.#phase === 'waiting') this.#phase = 'idle'
    if (this.#phase === 'idle') this.#tellGone?.()
    if (this.#phase !== 'connecting' && this.#phase !== 'up') return
    this.#phase = 'leaving'
    this.#attempt?.abort()
    this.#link?.close()
  }

  async #connect(): Promise<void> {
    this.#phase = 'connecting'
    const attempt = new AbortController()
    this.#attempt = attempt
    const end: { reason?: MixError } = {}
    let link: GatewayLink | undefined
    try {
      link = await this.#door.connect(
        {
          received: (message) => this.#events.received(message),
          closed: (reason) => {
            end.reason = reason
            if (link !== undefined) this.#ended(reason)
          },
        },
        attempt.signal,
      )
    } catch (error) {
      return this.#ended(error as MixError)
    }
    if (end.reason) return this.#ended(end.reason)
    this.#link = link
    if (attempt.signal.aborted) return link.close()
    this.#phase = 'up'
    this.#upSince = this.#clock.monotonic()
    this.#reason = undefined
    this.#events.up()
  }

  /** A link or an attempt is over. */
  #ended(reason: MixError): void {
    const wasUp = this.#phase === 'up'
    this.#link = undefined
    if (this.#phase === 'leaving') {
      this.#phase = 'idle'
      this.#tellGone?.()
      if (this.#wanted === 'up') void this.#connect()
      return
    }
    if (wasUp) this.#losses++
    if (wasUp && this.#clock.monotonic() - this.#upSince >= STEADY_MS) this.#failures = 0
    this.#reason = reason
    const latest = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures++)
    const retryInMs = (latest / 2) * (1 + uniform(this.#random))
    this.#phase = 'waiting'
    this.#retry = this.#clock.setTimer(retryInMs, () => void this.#connect())
    this.#events.down(reason, retryInMs)
  }

  /** A machine that slept has a wall clock that jumped. Its connections are dead as a rule, and no timer says so. */
  #watchForSleep(lastLook: number): void {
    this.#tick = this.#clock.setTimer(
      TICK_MS,
      () => {
        const now = this.#clock.now()
        this.#watchForSleep(now)
        if (now - lastLook > TICK_MS + SLEEP_MS) this.wake()
      },
      { background: true },
    )
  }
}
