/** A connection through an exit as a Node.js stream: what undici and node:tls stand on. */
import { Duplex } from 'node:stream'
import type { ExitConnection } from '../../exit/exit-api.js'

export class ConnectionDuplex extends Duplex {
  readonly #connection: ExitConnection
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>

  constructor(connection: ExitConnection) {
    super()
    this.#connection = connection
    this.#reader = connection.readable.getReader()
    this.#writer = connection.writable.getWriter()
    this.#writer.closed.catch((error) => this.destroy(error))
  }

  override _read(): void {
    this.#reader.read().then(
      ({ done, value }) => this.push(done ? null : value),
      (error) => this.destroy(error),
    )
  }

  override _write(chunk: Uint8Array, _encoding: string, callback: (error?: Error) => void): void {
    this.#writer.write(chunk).then(() => callback(), callback)
  }

  override _final(callback: (error?: Error) => void): void {
    this.#writer.close().then(() => callback(), callback)
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    // Does nothing where both directions have ended.
    this.#connection.abort(error ?? undefined)
    callback(error)
  }
}
