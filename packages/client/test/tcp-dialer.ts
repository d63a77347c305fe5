/** Stands in for an exit: connections over plain TCP, with the contract of `Exit.connect`, that a test can break. */
import { connect, type Socket } from 'node:net'
import type { MixError } from '@mixwright/runtime'
import { deferred } from '../src/deferred.js'
import type { ExitConnection, ExitConnectOptions, ExitTarget } from '../src/exit/exit-api.js'
import { exitError } from '../src/exit/exit-error.js'
import { ByteStreamPair } from '../src/streams/byte-stream.js'
import { whenAborted } from '../src/when-aborted.js'

export class TcpDialer {
  readonly connections: TcpConnection[] = []
  readonly targets: ExitTarget[] = []
  /** What the next connections are to fail by, at once. */
  readonly failures: MixError[] = []

  readonly dial = async (target: ExitTarget, { signal }: ExitConnectOptions): Promise<ExitConnection> => {
    signal?.throwIfAborted()
    this.targets.push(target)
    const connection = new TcpConnection(target)
    this.connections.push(connection)
    if (signal) whenAborted(signal, () => connection.abort(signal.reason))
    const failure = this.failures.shift()
    if (failure !== undefined) queueMicrotask(() => connection.abort(failure))
    return connection
  }

  get open(): number {
    return this.connections.filter(({ isOver }) => !isOver).length
  }
}

export class TcpConnection implements ExitConnection {
  readonly requester = 'none'
  readonly opened: Promise<void>
  readonly closed: Promise<void>
  isOver = false
  /** Everything written, in order. */
  readonly written: Uint8Array[] = []
  readonly #socket: Socket
  readonly #streams: ByteStreamPair
  readonly #end = deferred()

  constructor({ host, port }: ExitTarget) {
    const open = deferred()
    this.opened = open.promise
    this.closed = this.#end.promise
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true })
    this.#socket = socket
    this.#streams = new ByteStreamPair({
      write: (chunk) => {
        this.written.push(chunk.slice())
        return new Promise((resolve) => socket.write(chunk.slice(), () => resolve()))
      },
      finish: () => new Promise((resolve) => socket.end(() => resolve())),
      abort: (reason) => this.abort(reason),
      read: () => this.#streams.unreadBytes < 65_536 && socket.resume(),
    })
    socket.once('connect', open.resolve)
    socket.on('data', (bytes) => {
      this.#streams.push(new Uint8Array(bytes))
      if (this.#streams.unreadBytes >= 65_536) socket.pause()
    })
    socket.on('end', () => this.#streams.end())
    socket.on('error', (error: NodeJS.ErrnoException) =>
      this.abort(
        error.code === 'ECONNREFUSED'
          ? exitError('MIX_EXIT_CONNECTION_REFUSED', error.message)
          : exitError('MIX_EXIT_RESET', error.message),
      ),
    )
    socket.on('close', () => {
      this.isOver = true
      this.#end.resolve()
    })
    const over = () => open.reject(new Error('over'))
    this.closed.then(over, over)
  }

  get readable() {
    return this.#streams.readable
  }

  get writable() {
    return this.#streams.writable
  }

  abort(reason: unknown = exitError('MIX_EXIT_CLOSED', 'given up', 'usage')): void {
    if (this.isOver) return
    this.isOver = true
    this.#end.reject(reason)
    this.#streams.fail(reason)
    this.#socket.destroy()
  }
}
