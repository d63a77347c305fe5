/**
 * A connection in memory: two ends, a pipe each way. How it opens, ends, is destroyed and reset is as with TCP sockets: what the
 * network has taken of a side that goes still arrives; what comes for it is lost.
 */
import type { VirtualClock } from '@mixwright/runtime'
import type { Path, Traveller } from './path.js'
import { Pipe, type PipeObserver } from './pipe.js'
import type { VirtualProcess } from './virtual-process.js'

export interface EndEvents<T> {
  opened?(): void
  data(payload: T): void
  drained?(): void
  /** Once and last. */
  closed(): void
}

/** What both ends belong to. */
interface EndOwner {
  reset(): void
  endClosed(): void
}

export class End<T> {
  readonly #process: VirtualProcess
  readonly #path: Path
  readonly #connection: EndOwner
  /** Undefined until the program has the connection. */
  #events: EndEvents<T> | undefined
  #out!: Pipe<T>
  #in!: Pipe<T>
  #isPaused = false
  #isClosed = false

  constructor(process: VirtualProcess, path: Path, connection: EndOwner) {
    this.#process = process
    this.#path = path
    this.#connection = connection
  }

  get bufferedBytes(): number {
    return this.#out.waitingBytes
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get isReading(): boolean {
    return this.#events !== undefined && !this.#isPaused && !this.#isClosed && this.#process.isReading
  }

  join(out: Pipe<T>, incoming: Pipe<T>): void {
    this.#out = out
    this.#in = incoming
  }

  /** The program has the connection and hears of it from now on. */
  attach(events: EndEvents<T>): void {
    this.#events = events
    this.#in.look()
  }

  write(payload: T, bytes: number, written?: (error?: Error) => void): void {
    const taken = written && ((error?: Error) => this.#process.run(() => written(error)))
    // The other side is gone, and answers this with a reset.
    if (this.#out.isClosed && !this.#isClosed) this.#path.travel(() => this.drop())
    this.#out.write(payload, bytes, taken)
    if (this.#path.breaksNow()) this.#connection.reset()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.look()
  }

  end(): void {
    this.#out.end()
  }

  destroy(): void {
    this.#out.abandon()
    this.#in.close()
    this.#close()
  }

  /** The connection is broken: nothing of it arrives any more. */
  drop(): void {
    this.#out.close()
    this.#in.close()
    this.#close()
  }

  look(): void {
    this.#in.look()
  }

  opened(): void {
    this.#out.open()
    this.#process.run(() => this.#isClosed || this.#events?.opened?.())
  }

  received(payload: T): void {
    this.#events?.data(payload)
  }

  drained(): void {
    this.#process.run(() => this.#isClosed || this.#events?.drained?.())
  }

  /** The other side has ended it. */
  ended(): void {
    this.#out.end()
    this.#close()
  }

  #close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#process.left(this)
    this.#connection.endClosed()
    queueMicrotask(() => this.#process.run(() => this.#events?.closed()))
  }
}

export class Connection<T> implements Traveller {
  readonly client: End<T>
  readonly server: End<T>
  readonly #path: Path

  constructor(
    clock: VirtualClock,
    path: Path,
    client: VirtualProcess,
    server: VirtualProcess,
    observers: { readonly up?: PipeObserver<T> | undefined; readonly down?: PipeObserver<T> | undefined } = {},
  ) {
    this.#path = path
    this.client = new End(client, path, this)
    this.server = new End(server, path, this)
    const pipe = (from: End<T>, to: End<T>, observer: PipeObserver<T> | undefined) =>
      new Pipe<T>(
        clock,
        path,
        {
          drained: () => from.drained(),
          data: (payload) => to.received(payload),
          isReading: () => to.isReading,
          ended: () => to.ended(),
        },
        observer,
      )
    const up = pipe(this.client, this.server, observers.up)
    const down = pipe(this.server, this.client, observers.down)
    this.client.join(up, down)
    this.server.join(down, up)
    path.enter(this)
  }

  wayChanged(): void {
    this.client.look()
    this.server.look()
  }

  reset(): void {
    this.client.drop()
    this.server.drop()
  }

  endClosed(): void {
    if (this.client.isClosed && this.server.isClosed) this.#path.leave(this)
  }
}
