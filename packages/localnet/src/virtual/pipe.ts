/**
 * One direction of a connection in memory: what is written comes out whole and in order, after the time that its way takes, and
 * only as fast as the other side reads, as with the socket buffers of TCP. What it destroys it counts.
 */
import type { Timer, VirtualClock } from '@mixwright/runtime'
import type { Path } from './path.js'

/** Sees everything that goes through a pipe: whatever was written is delivered or lost, sooner or later. */
export interface PipeObserver<T> {
  written(payload: T): void
  delivered(payload: T): void
  lost(payload: T): void
}

export interface PipeEvents<T> {
  /** The network has room again for all that was written. */
  drained(): void
  data(payload: T): void
  /** The writer has ended it, and everything before was read. */
  ended(): void
  /** Whether the reader takes data now. */
  isReading(): boolean
}

interface Segment<T> {
  /** Undefined: the end. */
  readonly payload: T | undefined
  readonly bytes: number
  readonly taken: ((error?: Error) => void) | undefined
  arrivesAtMs: number
}

/** Closer moments are one moment: sums of times are not exact. Milliseconds. */
const SAME_MOMENT_MS = 1e-6

/** Bytes that the socket buffers of both sides hold together. What does not fit waits in the writer. */
export const WINDOW_BYTES = 262_144

export class Pipe<T> {
  readonly #clock: VirtualClock
  readonly #path: Path
  readonly #events: PipeEvents<T>
  readonly #observer: PipeObserver<T> | undefined
  /** Not yet taken by the network. */
  #waiting: Segment<T>[] = []
  #waitingBytes = 0
  /** Taken: travelling, or arrived and not read. */
  #underWay: Segment<T>[] = []
  #underWayBytes = 0
  #lineFreeAtMs = 0
  #lastArrivalMs = 0
  #timer: Timer | undefined
  #state: 'open' | 'ending' | 'closed' = 'open'
  #isOpen = false
  /** Something written had to wait, and `drained` is owed. */
  #isHeldUp = false
  #isDelivering = false

  constructor(clock: VirtualClock, path: Path, events: PipeEvents<T>, observer?: PipeObserver<T>) {
    this.#clock = clock
    this.#path = path
    this.#events = events
    this.#observer = observer
  }

  /** Bytes that the network has not taken. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  get isClosed(): boolean {
    return this.#state === 'closed'
  }

  /** The connection stands: what was written until now leaves. */
  open(): void {
    this.#isOpen = true
    this.#take()
  }

  /** `taken` is called when the network took it, or with the error. Nothing happens after `end` or `close`. */
  write(payload: T, bytes: number, taken?: (error?: Error) => void): void {
    if (this.#state !== 'open') {
      this.#observer?.written(payload)
      this.#observer?.lost(payload)
      if (taken) queueMicrotask(() => taken(new Error('the connection is closed')))
      return
    }
    this.#observer?.written(payload)
    this.#waiting.push({ payload, bytes, taken, arrivesAtMs: 0 })
    this.#waitingBytes += bytes
    this.#take()
    this.#isHeldUp = this.#waitingBytes > 0
  }

  /** No more is written; the reader is told when it has read everything. */
  end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ending'
    this.#waiting.push({ payload: undefined, bytes: 0, taken: undefined, arrivesAtMs: 0 })
    this.#take()
  }

  /** What the network has not taken is lost; what it has still arrives, and then the end. */
  abandon(): void {
    if (this.#state === 'closed') return
    this.#loseWaiting()
    this.#state = 'open'
    this.end()
  }

  /** Everything that has not been read is lost; nothing comes out any more. */
  close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#timer?.cancel()
    for (const { payload } of this.#underWay) if (payload !== undefined) this.#observer?.lost(payload)
    this.#underWay = []
    this.#underWayBytes = 0
    this.#loseWaiting()
  }

  /** Look again whether something can be delivered: the way is open, or the reader reads. */
  look(): void {
    if (this.#isDelivering) return
    this.#isDelivering = true
    while (this.#state !== 'closed' && !this.#path.isCut && this.#events.isReading()) {
      const first = this.#underWay[0]
      if (first === undefined || first.arrivesAtMs - this.#clock.monotonic() > SAME_MOMENT_MS) break
      this.#underWay.shift()
      this.#underWayBytes -= first.bytes
      if (first.payload === undefined) {
        this.close()
        this.#events.ended()
        break
      }
      this.#observer?.delivered(first.payload)
      this.#events.data(first.payload)
    }
    this.#isDelivering = false
    this.#take()
    this.#await()
  }

  #loseWaiting(): void {
    const lost = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    for (const { payload, taken } of lost) {
      if (payload !== undefined) this.#observer?.lost(payload)
      if (taken) queueMicrotask(() => taken(new Error('the connection broke')))
    }
  }

  /** Let the network take as much as fits. */
  #take(): void {
    if (!this.#isOpen || this.#state === 'closed' || this.#waiting.length === 0) return
    while (this.#waiting.length > 0 && this.#underWayBytes < WINDOW_BYTES) {
      const segment = this.#waiting.shift()!
      this.#waitingBytes -= segment.bytes
      this.#underWayBytes += segment.bytes
      const start = Math.max(this.#clock.monotonic(), this.#lineFreeAtMs)
      this.#lineFreeAtMs = start + (segment.bytes * 1000) / this.#path.bytesPerSecond
      segment.arrivesAtMs = Math.max(this.#lastArrivalMs, this.#lineFreeAtMs + this.#path.travelMs())
      this.#lastArrivalMs = segment.arrivesAtMs
      this.#underWay.push(segment)
      if (segment.taken) queueMicrotask(segment.taken)
    }
    if (this.#isHeldUp && this.#waitingBytes === 0) {
      this.#isHeldUp = false
      queueMicrotask(() => this.#events.drained())
    }
    this.#await()
  }

  /** Come back when the first segment arrives. */
  #await(): void {
    const first = this.#underWay[0]
    if (first === undefined || this.#timer !== undefined || this.#isDelivering) return
    const waitMs = first.arrivesAtMs - this.#clock.monotonic()
    // One that has arrived waits for the way or for its reader, who will call `look`.
    if (waitMs <= SAME_MOMENT_MS && (this.#path.isCut || !this.#events.isReading())) return
    this.#timer = this.#clock.setTimer(waitMs, () => {
      this.#timer = undefined
      this.look()
    })
  }
}
