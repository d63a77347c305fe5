/**
 * A TLS connection as a byte stream over another: moves bytes between the two and the engine. Ciphertext is read only while the app
 * takes the plaintext. An end without TLS's own word for it is an error, for anybody on the way can cut a connection.
 */
import { deferred } from '../../deferred.js'
import { type ByteStream, ByteStreamPair } from '../../streams/byte-stream.js'
import { fetchError } from '../fetch-error.js'
import type { RustlsConnection } from './rustls.js'

/** Plaintext that waits for the app, bytes: no more is read then. One more read may come on top. */
const UNREAD_BYTES = 65_536

export class TlsStream {
  /** Resolves after the handshake. */
  readonly opened: Promise<void>
  readonly stream: ByteStream
  readonly #tls: RustlsConnection
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>
  readonly #pair: ByteStreamPair
  readonly #open = deferred()
  #isOpen = false
  /** The engine is gone. */
  #isOver = false
  readonly #endings = new Set<'ours' | 'theirs'>()
  #whenRoom: (() => void) | undefined

  constructor(tls: RustlsConnection, { readable, writable }: ByteStream) {
    this.#tls = tls
    this.#reader = readable.getReader()
    this.#writer = writable.getWriter()
    this.#writer.closed.then(
      () => this.#ended('ours'),
      (error) => this.#fail(error),
    )
    this.#pair = new ByteStreamPair({
      write: (chunk) => this.#write(chunk),
      finish: () => this.#finish(),
      abort: (reason) => this.#fail(reason),
      read: () => this.#whenRoom?.(),
    })
    this.stream = this.#pair
    this.opened = this.#open.promise
    this.#run().catch((error) => this.#fail(error))
  }

  async #run(): Promise<void> {
    await this.#flush()
    for (;;) {
      const { done, value } = await this.#reader.read()
      if (this.#isOver) return
      if (done) throw fetchError('MIX_FETCH_TLS', 'The connection was cut: it ended without the word of the server.')
      let rest = value
      while (rest.length > 0) {
        rest = rest.subarray(this.#receive(rest))
        await this.#flush()
        while (this.#pair.unreadBytes >= UNREAD_BYTES)
          await new Promise<void>((resolve) => {
            this.#whenRoom = resolve
          })
        if (this.#isOver) return
      }
      if (this.#tls.status().peerHasEnded) {
        this.#pair.end()
        return this.#ended('theirs')
      }
    }
  }

  /** Ciphertext came; gives how much of it was taken. */
  #receive(bytes: Uint8Array): number {
    let taken: number
    try {
      taken = this.#tls.receive(bytes)
    } catch (error) {
      // The alert tells the server why.
      this.#flush().catch(() => {})
      throw error
    }
    for (let plain = this.#tls.read(); plain.length > 0; plain = this.#tls.read()) this.#pair.push(plain)
    if (!this.#isOpen && !this.#tls.status().isHandshaking) {
      this.#isOpen = true
      this.#open.resolve()
    }
    return taken
  }

  async #write(chunk: Uint8Array): Promise<void> {
    for (let rest = chunk; rest.length > 0 && !this.#isOver; ) {
      rest = rest.subarray(this.#tls.write(rest))
      await this.#flush()
    }
  }

  async #finish(): Promise<void> {
    if (this.#isOver) return
    this.#tls.finish()
    await this.#flush()
    await this.#writer.close()
  }

  /** Nothing waits between the engine and the writer: so the order is kept, whoever calls. */
  async #flush(): Promise<void> {
    while (!this.#isOver) {
      const bytes = this.#tls.send()
      if (bytes.length === 0) return
      await this.#writer.write(bytes)
    }
  }

  #ended(direction: 'ours' | 'theirs'): void {
    this.#endings.add(direction)
    if (this.#endings.size < 2 || this.#isOver) return
    this.#isOver = true
    this.#tls.drop()
  }

  #fail(reason: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#tls.drop()
    this.#open.reject(reason)
    this.#pair.fail(reason)
    this.#reader.cancel(reason).catch(() => {})
    this.#writer.abort(reason).catch(() => {})
    this.#whenRoom?.()
  }
}
