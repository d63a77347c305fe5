/**
 * Frames between the links that they came on and the peeling (05-mixnode §18.3). Each link has a queue; they are served in
 * turn, address by address and link by link, one frame each, so that a peer that floods waits behind itself alone. A full
 * queue stops the reading of its link, which holds the sender back. What has waited too long is dropped, oldest first.
 */
import type { Frame } from '@mixwright/wire'

export interface QueuedFrame {
  readonly frame: Frame
  /** Monotonic; delays count from it. */
  readonly receivedAtMs: number
  /** On the queues' own count of time. */
  readonly queuedAtMs: number
}

/** What one link has waiting. Made by `InboundQueues.open`. */
export interface InboundQueue {
  /** Whether its link should not be read for now. */
  readonly full: boolean
  push(frame: Frame, receivedAtMs: number): void
  /** The link is gone. What waits is still served. */
  close(): void
}

export interface InboundQueuesOptions {
  /** Bytes waiting in all queues that full speed needs; shared among the links that have something waiting. @default 262144 */
  readonly targetBytes?: number
  /** Bytes waiting in all queues past which the oldest frame of the pushing link is dropped. @default 67108864 */
  readonly maximumBytes?: number
  /**
   * Longest wait, milliseconds. A turn of the event loop counts 10 at most: what a machine that is starved, or that slept, took
   * from us is no overload of ours. @default 250
   */
  readonly maximumWaitMs?: number
  dropped(reason: 'ingress-late' | 'ingress-queue-full'): void
}

/** Longest turn that counts as waiting, milliseconds. */
const LONGEST_TURN_MS = 10
/** A link may always have this much waiting, bytes: a few frames, and less than one read. */
const LEAST_SHARE_BYTES = 16_384

export class InboundQueues {
  readonly #targetBytes: number
  readonly #maximumBytes: number
  readonly #maximumWaitMs: number
  readonly #dropped: InboundQueuesOptions['dropped']
  /** Addresses with something waiting, in the order in which they are served next. */
  readonly #turns: AddressTurn[] = []
  readonly #addresses = new Map<string, AddressTurn>()
  #waitingLinks = 0
  #frames = 0
  #bytes = 0
  /** The time that counts as waiting, so far. */
  #passedMs = 0
  #lastTurnMs = 0

  constructor(options: InboundQueuesOptions) {
    this.#targetBytes = options.targetBytes ?? 262_144
    this.#maximumBytes = options.maximumBytes ?? 67_108_864
    this.#maximumWaitMs = options.maximumWaitMs ?? 250
    this.#dropped = options.dropped
  }

  /** Frames waiting. */
  get size(): number {
    return this.#frames
  }

  /** A queue for a link from `ip`; `resume` is called when it is no longer full. */
  open(ip: string, resume: () => void): InboundQueue {
    const link = new LinkQueue(ip, resume)
    const queues = this
    return {
      get full() {
        return queues.#checkFull(link)
      },
      push: (frame, receivedAtMs) => this.#push(link, frame, receivedAtMs),
      close: () => {
        link.resume = undefined
      },
    }
  }

  /** Up to `count` frames, in turn. At `nowMs` those that waited too long are dropped instead. */
  take(count: number, nowMs: number): QueuedFrame[] {
    const taken: QueuedFrame[] = []
    this.#passedMs += Math.min(nowMs - this.#lastTurnMs, LONGEST_TURN_MS)
    this.#lastTurnMs = nowMs
    while (taken.length < count) {
      const turn = this.#turns.shift()
      if (turn === undefined) break
      const link = turn.links.shift()!
      const queued = this.#shift(link)
      if (link.length > 0) turn.links.push(link)
      else this.#waitingLinks--
      if (turn.links.length > 0) this.#turns.push(turn)
      else this.#addresses.delete(turn.ip)
      if (link.held && !this.#isFull(link)) {
        link.held = false
        link.resume?.()
      }
      if (this.#passedMs - queued.queuedAtMs > this.#maximumWaitMs) this.#dropped('ingress-late')
      else taken.push(queued)
    }
    return taken
  }

  /** Forget everything; returns how many frames that were. */
  clear(): number {
    const lost = this.#frames
    this.#turns.length = 0
    this.#addresses.clear()
    this.#frames = this.#bytes = this.#waitingLinks = 0
    return lost
  }

  #push(link: LinkQueue, frame: Frame, receivedAtMs: number): void {
    if (this.#bytes + frame.packet.length > this.#maximumBytes) {
      this.#dropped('ingress-queue-full')
      if (link.length === 0) return
      this.#shift(link)
    } else if (link.length === 0) this.#enter(link)
    link.push({ frame, receivedAtMs, queuedAtMs: this.#passedMs })
    link.bytes += frame.packet.length
    this.#bytes += frame.packet.length
    this.#frames++
  }

  #enter(link: LinkQueue): void {
    this.#waitingLinks++
    let turn = this.#addresses.get(link.ip)
    if (turn === undefined) {
      turn = { ip: link.ip, links: [] }
      this.#addresses.set(link.ip, turn)
      this.#turns.push(turn)
    }
    turn.links.push(link)
  }

  #shift(link: LinkQueue): QueuedFrame {
    const queued = link.shift()
    const bytes = queued.frame.packet.length
    link.bytes -= bytes
    this.#bytes -= bytes
    this.#frames--
    return queued
  }

  #checkFull(link: LinkQueue): boolean {
    link.held = this.#isFull(link)
    return link.held
  }

  #isFull(link: LinkQueue): boolean {
    return link.bytes > Math.max(LEAST_SHARE_BYTES, this.#targetBytes / Math.max(1, this.#waitingLinks))
  }
}

interface AddressTurn {
  readonly ip: string
  /** Links with something waiting, in the order in which they are served next. */
  readonly links: LinkQueue[]
}

/** First in, first out, without moving everything at each step. */
class LinkQueue {
  readonly ip: string
  resume: (() => void) | undefined
  bytes = 0
  /** Told to be full, and not yet resumed. */
  held = false
  #items: (QueuedFrame | undefined)[] = []
  #head = 0

  constructor(ip: string, resume: () => void) {
    this.ip = ip
    this.resume = resume
  }

  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: QueuedFrame): void {
    this.#items.push(item)
  }

  shift(): QueuedFrame {
    const item = this.#items[this.#head]!
    this.#items[this.#head++] = undefined
    if (this.#head === this.#items.length) {
      this.#items = []
      this.#head = 0
    } else if (this.#head > 1024) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }
}
