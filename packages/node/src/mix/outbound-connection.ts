/**
 * One outgoing TCP connection to one next hop (05-mixnode §6.2, §6.3): a bounded queue, connecting with back-off, writes
 * batched per turn of the event loop. Unlike the official node it keeps what waits when a connection attempt fails, and
 * it reads the socket, so that a peer that went away is noticed before the next write.
 */
import { connect, type Socket } from 'node:net'
import { type Clock, type Random, type Timer, uniform } from '@mixwright/runtime'
import type { NodeAddress } from '@mixwright/sphinx'

export interface OutboundLimits {
  /** Frames that wait for one peer; past it the oldest is dropped. @default 2000 */
  readonly queueFrames: number
  /** Bytes handed to the operating system's socket but not yet taken by it, above which frames stay in the queue. @default 262144 */
  readonly socketBufferBytes: number
  /** TCP connection attempt, milliseconds. @default 1500 */
  readonly connectTimeoutMs: number
  /** Wait after the first failed attempt, milliseconds; doubles with each. @default 100 */
  readonly initialBackoffMs: number
  /** @default 10000 */
  readonly maximumBackoffMs: number
  /** A connection without a frame for this long is closed, milliseconds. @default 300000 */
  readonly idleMs: number
}

export const DEFAULT_OUTBOUND_LIMITS: OutboundLimits = {
  queueFrames: 2000,
  socketBufferBytes: 262_144,
  connectTimeoutMs: 1500,
  initialBackoffMs: 100,
  maximumBackoffMs: 10_000,
  idleMs: 300_000,
}

export interface OutboundEvents {
  sent(frames: number): void
  /** Frames given up: the queue overflowed, or the connection broke with them in its buffer. */
  dropped(reason: 'egress-queue-full' | 'egress-connection-lost' | 'shutdown', frames: number): void
  /** Nothing queued and no connection: the owner may forget this object. */
  idle(): void
}

export class OutboundConnection {
  readonly #address: NodeAddress
  readonly #clock: Clock
  readonly #random: Random
  readonly #limits: OutboundLimits
  readonly #events: OutboundEvents
  #queue: Uint8Array[] = []
  #queueHead = 0
  #socket: Socket | undefined
  #connected = false
  #flushScheduled = false
  /** Frames written to the socket whose fate is not yet known. */
  #unconfirmed = 0
  #failures = 0
  #timer: Timer | undefined
  #lastUse: number
  #closed = false

  constructor(address: NodeAddress, clock: Clock, random: Random, limits: OutboundLimits, events: OutboundEvents) {
    this.#address = address
    this.#clock = clock
    this.#random = random
    this.#limits = limits
    this.#events = events
    this.#lastUse = clock.monotonic()
  }

  get connected(): boolean {
    return this.#connected
  }

  /** Whether it stands in a back-off after a failed attempt. */
  get backingOff(): boolean {
    return this.#socket === undefined && this.#timer !== undefined
  }

  /** Frames that wait, not counting those already in the socket. */
  get queued(): number {
    return this.#queue.length - this.#queueHead
  }

  /** Queue a frame; never blocks. */
  send(frame: Uint8Array): void {
    this.#lastUse = this.#clock.monotonic()
    this.#queue.push(frame)
    if (this.queued > this.#limits.queueFrames) {
      this.#dequeue()
      this.#events.dropped('egress-queue-full', 1)
    }
    if (this.#connected) this.#scheduleFlush()
    else if (this.#socket === undefined && this.#timer === undefined) this.#connect()
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
    this.#socket?.destroy()
  }

  #dequeue(): Uint8Array {
    const frame = this.#queue[this.#queueHead]!
    this.#queue[this.#queueHead++] = undefined as unknown as Uint8Array
    if (this.#queueHead > 1024 && this.#queueHead * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#queueHead)
      this.#queueHead = 0
    }
    return frame
  }

  #connect(): void {
    const { host, port } = this.#address
    let socket: Socket
    try {
      socket = connect({ host, port, noDelay: true })
    } catch {
      // Port 0 and the like: an address that can never be reached. Wait as after any other failure.
      this.#retryLater()
      return
    }
    this.#socket = socket
    const timeout = this.#clock.setTimer(this.#limits.connectTimeoutMs, () => socket.destroy(), { background: true })
    socket.once('connect', () => {
      timeout.cancel()
      this.#connected = true
      this.#failures = 0
      this.#watchIdle()
      this.#flush()
    })
    socket.on('drain', () => this.#flush())
    socket.on('error', () => {})
    socket.once('close', () => {
      timeout.cancel()
      this.#afterClose()
    })
    // Nothing is ever sent back; reading shows the end of the peer.
    socket.resume()
  }

  #afterClose(): void {
    const wasConnected = this.#connected
    this.#socket = undefined
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
    this.#socket = undefined
    const limit = Math.min(this.#limits.initialBackoffMs * 2 ** this.#failures, this.#limits.maximumBackoffMs)
    this.#failures++
    const wait = limit * (0.5 + 0.5 * uniform(this.#random))
    this.#timer = this.#clock.setTimer(
      wait,
      () => {
        this.#timer = undefined
        if (this.queued > 0) this.#connect()
        else this.#events.idle()
      },
      { background: true },
    )
  }

  #watchIdle(): void {
    const remaining = this.#limits.idleMs - (this.#clock.monotonic() - this.#lastUse)
    if (remaining <= 0) {
      this.#socket?.end()
      return
    }
    this.#timer = this.#clock.setTimer(remaining, () => this.#watchIdle(), { background: true })
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return
    this.#flushScheduled = true
    setImmediate(() => {
      this.#flushScheduled = false
      this.#flush()
    })
  }

  /** Hand all that fits to the socket as one vectored write. */
  #flush(): void {
    const socket = this.#socket
    if (socket === undefined || !this.#connected || this.queued === 0) return
    socket.cork()
    let frames = 0
    while (this.queued > 0 && socket.writableLength < this.#limits.socketBufferBytes) {
      const frame = this.#dequeue()
      frames++
      if (this.queued === 0 || socket.writableLength + frame.length >= this.#limits.socketBufferBytes) {
        const batch = frames
        socket.write(frame, (error) => {
          if (error || this.#socket !== socket) return
          this.#unconfirmed -= batch
          this.#events.sent(batch)
        })
      } else socket.write(frame)
    }
    this.#unconfirmed += frames
    socket.uncork()
  }
}
