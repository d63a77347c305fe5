/**
 * The outgoing link to one next hop (05-mixnode §6.2, §6.3): a bounded queue, connecting with back-off, a Noise
 * handshake where the peer speaks Noise (§5), writes batched per turn of the event loop. Unlike the official node it keeps
 * what waits when a connection attempt fails, and it reads the link, so that a peer that went away is noticed before the
 * next write. Who speaks Noise is decided elsewhere.
 */
import { type Clock, concatBytes, type Random, type Timer, uniform } from '@mixwright/runtime'
import { MAX_NOISE_PLAINTEXT_BYTES } from '@mixwright/wire'
import type { Link, LinkEvents } from '../link/link.js'
import type { NoiseOutcome, NoiseStream } from '../noise/noise-stream.js'

export interface OutboundLimits {
  /** Frames that wait for one peer; past it the oldest is dropped. @default 2000 */
  readonly queueFrames: number
  /** Bytes handed to the link but not yet taken by the network, above which frames stay in the queue. @default 262144 */
  readonly linkBufferBytes: number
  /** Connection attempt, milliseconds. @default 1500 */
  readonly connectTimeoutMs: number
  /** Noise handshake, from the open connection on, milliseconds. @default 1500 */
  readonly handshakeTimeoutMs: number
  /** Wait after the first failed attempt, milliseconds; doubles with each. @default 100 */
  readonly initialBackoffMs: number
  /** @default 10000 */
  readonly maximumBackoffMs: number
  /** A frame that waited longer is dropped: its sender has sent another by now. Milliseconds. @default 10000 */
  readonly maximumWaitMs: number
  /** A connection without a frame for this long is closed, milliseconds. @default 300000 */
  readonly idleMs: number
}

export const DEFAULT_OUTBOUND_LIMITS: OutboundLimits = {
  queueFrames: 2000,
  linkBufferBytes: 262_144,
  connectTimeoutMs: 1500,
  handshakeTimeoutMs: 1500,
  initialBackoffMs: 100,
  maximumBackoffMs: 10_000,
  maximumWaitMs: 10_000,
  idleMs: 300_000,
}

/** A frame in its two parts, the moment at which it should have left the node, and the moment at which it was queued; both monotonic. */
export interface OutboundFrame {
  readonly header: Uint8Array
  readonly packet: Uint8Array
  readonly dueMs: number
  readonly queuedAtMs: number
}

/** Begin a new link to the peer; never throws. */
export type Connect = (events: LinkEvents) => Link

export interface OutboundEvents {
  /** Handed to the link. */
  written(frames: readonly OutboundFrame[]): void
  /** Taken by the network; `writtenAtMs` is monotonic. */
  sent(frames: readonly OutboundFrame[], writtenAtMs: number): void
  /** Frames given up: the queue overflowed, they waited too long, or the connection broke with them in its buffer. */
  dropped(reason: 'egress-queue-full' | 'egress-late' | 'egress-connection-lost' | 'shutdown', frames: number): void
  /** Nothing queued and no connection: the owner may forget this object. */
  idle(): void
}

export class OutboundConnection {
  readonly #connectLink: Connect
  readonly #clock: Clock
  readonly #random: Random
  readonly #limits: OutboundLimits
  readonly #events: OutboundEvents
  readonly #startNoise: () => NoiseStream | undefined
  #queue: OutboundFrame[] = []
  #queueHead = 0
  #link: Link | undefined
  /** Of the present link; undefined when it speaks plain. */
  #noise: NoiseStream | undefined
  /** Connected, and the handshake is done where there is one. */
  #connected = false
  /** Closed for being idle, and about to be gone: what comes now waits for the next link. */
  #ended = false
  #flushScheduled = false
  /** Frames written to the link whose fate is not yet known. */
  #unconfirmed = 0
  #failures = 0
  #timer: Timer | undefined
  #lastUse: number
  #closed = false

  /** `startNoise` is asked at each new connection for an initiator with the key of this peer; undefined: speak plain. */
  constructor(
    connect: Connect,
    clock: Clock,
    random: Random,
    limits: OutboundLimits,
    events: OutboundEvents,
    startNoise: () => NoiseStream | undefined = () => undefined,
  ) {
    this.#connectLink = connect
    this.#clock = clock
    this.#random = random
    this.#limits = limits
    this.#events = events
    this.#startNoise = startNoise
    this.#lastUse = clock.monotonic()
  }

  get connected(): boolean {
    return this.#connected
  }

  /** Whether it stands in a back-off after a failed attempt. */
  get backingOff(): boolean {
    return this.#link === undefined && this.#timer !== undefined
  }

  /** Frames that wait, not counting those already in the link. */
  get queued(): number {
    return this.#queue.length - this.#queueHead
  }

  /** Frames that wait, or that the network has not taken yet. */
  get waiting(): number {
    return this.queued + this.#unconfirmed
  }

  /** Queue a frame; never blocks. `dueMs` is for the measuring of latency alone. */
  send(header: Uint8Array, packet: Uint8Array, dueMs: number = this.#clock.monotonic()): void {
    this.#lastUse = this.#clock.monotonic()
    this.#queue.push({ header, packet, dueMs, queuedAtMs: this.#lastUse })
    if (this.queued > this.#limits.queueFrames) {
      this.#dequeue()
      this.#events.dropped('egress-queue-full', 1)
    }
    if (this.#connected) this.#scheduleFlush()
    else if (this.#link === undefined && this.#timer === undefined) this.#connect()
  }

  /** Drop the connection and everything that waits. */
  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#timer = undefined
    const lost = this.queued
    this.#queue = []
    this.#queueHead = 0
    if (lost > 0) this.#events.dropped('shutdown', lost)
    this.#link?.destroy()
  }

  #dequeue(): OutboundFrame {
    const frame = this.#queue[this.#queueHead]!
    this.#queue[this.#queueHead++] = undefined as unknown as OutboundFrame
    if (this.#queueHead > 1024 && this.#queueHead * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#queueHead)
      this.#queueHead = 0
    }
    return frame
  }

  #connect(): void {
    let deadline = this.#closeAfter(this.#limits.connectTimeoutMs)
    this.#link = this.#connectLink({
      opened: () => {
        deadline.cancel()
        const noise = this.#startNoise()
        if (noise === undefined) return this.#established()
        this.#noise = noise
        deadline = this.#closeAfter(this.#limits.handshakeTimeoutMs)
        this.#shakeHands(noise.start())
      },
      // Nothing is ever sent back after the handshake; reading shows the end of the peer.
      data: (chunk) => {
        if (this.#connected || this.#noise === undefined) return
        this.#shakeHands(this.#noise.push(chunk, () => {}))
        if (this.#connected) deadline.cancel()
      },
      drained: () => this.#flush(),
      closed: () => {
        deadline.cancel()
        this.#afterClose()
      },
    })
  }

  #closeAfter(delayMs: number): Timer {
    return this.#clock.setTimer(delayMs, () => this.#link?.destroy(), { background: true })
  }

  /** A peer that fails the handshake is one that cannot be reached: what waits goes on waiting, and never leaves in plain. */
  #shakeHands(outcome: NoiseOutcome): void {
    if (outcome === undefined) return
    if ('error' in outcome) this.#link?.destroy()
    else {
      this.#link?.write([outcome.reply])
      if (this.#noise?.established) this.#established()
    }
  }

  #established(): void {
    this.#connected = true
    this.#failures = 0
    this.#watch()
    this.#flush()
  }

  #afterClose(): void {
    const wasConnected = this.#connected
    this.#ended = false
    this.#link = undefined
    this.#noise?.close()
    this.#noise = undefined
    this.#connected = false
    if (this.#unconfirmed > 0) this.#events.dropped('egress-connection-lost', this.#unconfirmed)
    this.#unconfirmed = 0
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#closed) return
    if (!wasConnected) this.#retryLater()
    else if (this.queued > 0) this.#connect()
    else this.#events.idle()
  }

  #retryLater(): void {
    const limit = Math.min(this.#limits.initialBackoffMs * 2 ** this.#failures, this.#limits.maximumBackoffMs)
    this.#failures++
    const wait = limit * (0.5 + 0.5 * uniform(this.#random))
    this.#timer = this.#clock.setTimer(
      wait,
      () => {
        this.#timer = undefined
        // What nobody can be given waits no longer for it than what a slow peer has not taken.
        this.#dropLate()
        if (this.queued > 0) this.#connect()
        else this.#events.idle()
      },
      { background: true },
    )
  }

  /** While connected: what a peer that stopped reading leaves in the queue ends as late, and an idle link is closed. */
  #watch(): void {
    this.#dropLate()
    const remaining = this.#limits.idleMs - (this.#clock.monotonic() - this.#lastUse)
    if (remaining <= 0) {
      // Not `end`: a peer that never reads, or never closes its side, would hold the link for ever.
      this.#ended = true
      this.#link?.destroy()
      return
    }
    const wait = Math.min(remaining, this.#limits.maximumWaitMs)
    this.#timer = this.#clock.setTimer(wait, () => this.#watch(), { background: true })
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return
    this.#flushScheduled = true
    setImmediate(() => {
      this.#flushScheduled = false
      this.#flush()
    })
  }

  /** Hand over all that fits; with Noise, each batch as one Noise frame. */
  #flush(): void {
    const link = this.#link
    if (link === undefined || !this.#connected || this.#ended) return
    this.#dropLate()
    while (this.queued > 0 && link.bufferedBytes < this.#limits.linkBufferBytes) {
      const batch = this.#dequeueBatch()
      const pieces = batch.flatMap(({ header, packet }) => [header, packet])
      const writtenAtMs = this.#clock.monotonic()
      this.#unconfirmed += batch.length
      this.#events.written(batch)
      link.write([this.#noise ? this.#noise.seal(pieces) : concatBytes(...pieces)], (error) => {
        if (error || this.#link !== link) return
        this.#unconfirmed -= batch.length
        this.#events.sent(batch, writtenAtMs)
      })
    }
  }

  #dropLate(): void {
    const oldestMs = this.#clock.monotonic() - this.#limits.maximumWaitMs
    while (this.queued > 0 && this.#queue[this.#queueHead]!.queuedAtMs < oldestMs) {
      this.#dequeue()
      this.#events.dropped('egress-late', 1)
    }
  }

  /** Frames that fit one Noise frame together, at least one. */
  #dequeueBatch(): OutboundFrame[] {
    const batch: OutboundFrame[] = []
    let bytes = 0
    do {
      const next = this.#dequeue()
      batch.push(next)
      bytes += lengthOf(next)
    } while (this.queued > 0 && bytes + lengthOf(this.#queue[this.#queueHead]!) <= MAX_NOISE_PLAINTEXT_BYTES)
    return batch
  }
}

function lengthOf({ header, packet }: OutboundFrame): number {
  return header.length + packet.length
}
