/**
 * An exit that dials TCP itself, without a mixnet: names ending in `.test` are 127.0.0.1, but for those that stand for a failure, such
 * as `MIX_EXIT_BUSY.test`, and for `never.test`, which does not answer. What was asked of it is written down.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Exit, ExitConnection, ExitConnectOptions, ExitTarget, RequesterReport } from '@mixwright/client'
import { MixError } from '@mixwright/runtime'

export class PlainExit implements Exit {
  readonly requesters: readonly string[] = []
  readonly asked: ExitTarget[] = []
  /** Aborted while they were not connected yet. */
  readonly givenUp: ExitTarget[] = []
  readonly connections: PlainConnection[] = []
  #wake = () => {}

  async connect(target: ExitTarget, { signal, eager }: ExitConnectOptions = {}): Promise<ExitConnection> {
    this.asked.push(target)
    this.#wake()
    signal?.addEventListener('abort', () => {
      this.givenUp.push(target)
      this.#wake()
    })
    const opening = this.#open(target, signal)
    return eager ? eagerly(opening) : opening
  }

  /** Wait until it holds, looking after each thing asked of this exit. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition())
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
  }

  async #open({ host, port }: ExitTarget, signal: AbortSignal | undefined): Promise<PlainConnection> {
    const [, code] = /^(MIX_[A-Z_]+)\.TEST$/.exec(host.toUpperCase()) ?? []
    if (code !== undefined) throw new MixError(code as `MIX_${string}`, 'as the test wants it', { kind: 'network' })
    if (host === 'never.test')
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
    const socket = connect({ host: host.endsWith('.test') ? '127.0.0.1' : host, port, allowHalfOpen: true })
    await once(socket, 'connect')
    const connection = new PlainConnection(socket)
    this.connections.push(connection)
    this.#wake()
    return connection
  }

  async reports(): Promise<readonly RequesterReport[]> {
    return []
  }

  async close(): Promise<void> {
    for (const connection of this.connections) connection.abort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

export class PlainConnection implements ExitConnection {
  readonly requester = 'nobody'
  readonly opened = Promise.resolve()
  readonly closed: Promise<void>
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
  /** Bytes that were taken from the app's stream, and read into it. */
  written = 0
  read = 0

  constructor(readonly socket: Socket) {
    let incoming!: ReadableStreamDefaultController<Uint8Array>
    let outgoing!: WritableStreamDefaultController
    const chunks = socket.iterator({ destroyOnReturn: false })
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          incoming = controller
        },
        pull: async () => {
          const { done, value } = await chunks.next()
          if (done) return incoming.close()
          this.read += value.length
          incoming.enqueue(value)
        },
        cancel: () => this.abort(),
      },
      { highWaterMark: 0 },
    )
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        outgoing = controller
      },
      write: (chunk) =>
        new Promise((resolve, reject) => {
          this.written += chunk.length
          socket.write(chunk, (error) => (error ? reject(error) : resolve()))
        }),
      close: () => new Promise((resolve) => socket.end(resolve)),
      abort: () => this.abort(),
    })
    socket.on('error', () => {})
    this.closed = once(socket, 'close').then(() => {
      if (socket.readableEnded && socket.writableFinished) return
      const lost = new MixError('MIX_EXIT_RESET', 'it broke', { kind: 'network' })
      outgoing.error(lost)
      if (!socket.readableEnded) incoming.error(lost)
      throw lost
    })
    this.closed.catch(() => {})
  }

  abort(): void {
    this.socket.destroy()
  }
}

/** Streams that are there before the connection is. */
function eagerly(opening: Promise<PlainConnection>): ExitConnection {
  const reader = opening.then(({ readable }) => readable.getReader())
  const writer = opening.then(({ writable }) => writable.getWriter())
  const opened = opening.then(() => {})
  const closed = opening.then((connection) => connection.closed)
  for (const promise of [reader, writer, opened, closed]) promise.catch(() => {})
  return {
    requester: 'nobody',
    opened,
    closed,
    readable: new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const { done, value } = await (await reader).read()
          if (done) controller.close()
          else controller.enqueue(value)
        },
      },
      { highWaterMark: 0 },
    ),
    writable: new WritableStream<Uint8Array>({
      write: async (chunk) => (await writer).write(chunk),
      close: async () => (await writer).close(),
    }),
    abort: () => void opening.then((connection) => connection.abort()).catch(() => {}),
  }
}
