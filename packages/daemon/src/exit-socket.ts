/**
 * A connection through an exit as a stream of Node.js, with room for one high-water mark in each direction and no more. Ending
 * it ends our direction only; destroying it before both have ended aborts the connection.
 */
import { Duplex } from 'node:stream'
import type { ExitConnection } from '@mixwright/client'

type Done = (error?: Error | null) => void

export class ExitSocket extends Duplex {
  readonly #connection: ExitConnection
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>

  constructor(connection: ExitConnection) {
    super()
    this.#connection = connection
    this.#reader = connection.readable.getReader()
    this.#writer = connection.writable.getWriter()
    for (const { closed } of [this.#reader, this.#writer]) closed.catch((error) => this.destroy(error))
  }

  override _read(): void {
    this.#reader.read().then(
      ({ done, value }) => this.push(done ? null : value),
      () => {
        // `closed` tells it.
      },
    )
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.#writer.write(chunk).then(() => done(), done)
  }

  override _final(done: Done): void {
    this.#writer.close().then(() => done(), done)
  }

  override _destroy(error: Error | null, done: Done): void {
    if (!this.readableEnded || !this.writableFinished) this.#connection.abort(error ?? undefined)
    done(error)
  }
}
