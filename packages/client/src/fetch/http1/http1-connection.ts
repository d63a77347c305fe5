/**
 * One connection to a server, and HTTP/1.1 on it: one request after the other (RFC 9112 §9). The request's body goes out while the
 * answer may come already. What connections there are is the pool's.
 */
import { concatBytes, utf8 } from '@mixwright/runtime'
import type { ByteStream } from '../../streams/byte-stream.js'
import { whenAborted } from '../../when-aborted.js'
import type { HttpAnswer, HttpRequest, RequestBody } from '../fetch-api.js'
import { ByteReader } from './byte-reader.js'
import { encodeRequestHead } from './request-head.js'
import { type NextBytes, readBody } from './response-body.js'
import { readResponseHead } from './response-head.js'

/** A body up to this length goes out together with the head, bytes. */
const ONE_WRITE_BYTES = 16_384

export class Http1Connection {
  readonly #reader: ByteReader
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>
  readonly #abort: (reason: unknown) => void
  readonly #onFree: (connection: Http1Connection, keepMs: number) => void
  #upload: ReadableStreamDefaultReader<Uint8Array> | undefined
  #ended = false

  /**
   * `onFree` is called after each exchange, and once when the connection ends: whether, and for how many milliseconds at most, it
   * may be kept. 0: it has ended.
   */
  constructor(
    stream: ByteStream,
    abort: (reason: unknown) => void,
    onFree: (connection: Http1Connection, keepMs: number) => void,
  ) {
    this.#reader = new ByteReader(stream.readable)
    this.#writer = stream.writable.getWriter()
    this.#writer.closed.catch(() => {})
    this.#abort = abort
    this.#onFree = onFree
  }

  /** Send a request; resolves with the head of its answer. The connection is busy until the body was read. */
  async exchange(request: HttpRequest, signal: AbortSignal | undefined): Promise<HttpAnswer> {
    if (signal?.aborted) {
      this.end(signal.reason)
      throw signal.reason
    }
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined
    const stop = signal
      ? whenAborted(signal, () => {
          controller?.error(signal.reason)
          this.end(signal.reason)
        })
      : () => {}
    let sent = false
    let unsendable: { readonly error: unknown } | undefined
    const onLast = () => {
      sent = true
    }
    this.#send(request, onLast).catch((error) => {
      // A server may end without having read everything: what it said is seen by reading.
      if (error instanceof BrokenPipe) return
      unsendable = { error }
      this.end(error)
    })
    try {
      const { framing, keepAlive, keepAliveMs, ...head } = await readResponseHead(this.#reader, request.method)
      const finish = () => {
        stop()
        if (keepAlive && sent) this.#onFree(this, keepAliveMs ?? Number.POSITIVE_INFINITY)
        else this.end(undefined)
      }
      if (framing === 0) {
        finish()
        return { ...head, body: undefined }
      }
      const body = this.#bodyStream(readBody(this.#reader, framing), finish, (created) => {
        controller = created
      })
      return { ...head, body }
    } catch (error) {
      stop()
      this.end(error)
      signal?.throwIfAborted()
      if (unsendable !== undefined) throw unsendable.error
      throw error
    }
  }

  /** Watch a connection that nobody uses: whatever comes now, it is of no use any more. */
  watchIdle(onLost: () => void): void {
    this.#reader.fill().then(onLost, onLost)
  }

  end(reason: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#upload?.cancel(reason).catch(() => {})
    this.#abort(reason)
    this.#onFree(this, 0)
  }

  #bodyStream(
    next: NextBytes,
    finish: () => void,
    created: (controller: ReadableStreamDefaultController<Uint8Array>) => void,
  ): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: created,
        pull: async (controller) => {
          try {
            const bytes = await next()
            if (bytes !== undefined) return controller.enqueue(bytes)
            finish()
            controller.close()
          } catch (error) {
            this.end(error)
            controller.error(error)
          }
        },
        cancel: (reason) => this.end(reason),
      },
      { highWaterMark: 0 },
    )
  }

  /** `onLast` is called when the last byte is on its way. */
  async #send(request: HttpRequest, onLast: () => void): Promise<void> {
    const head = encodeRequestHead(request)
    const { body } = request
    if (body === undefined) {
      onLast()
      return this.#write(head)
    }
    if (body.length !== undefined && body.length <= ONE_WRITE_BYTES) {
      const content = new Uint8Array(await new Response(body.open()).arrayBuffer())
      onLast()
      return this.#write(concatBytes(head, content))
    }
    await this.#write(head)
    await this.#sendBody(body, onLast)
  }

  async #sendBody({ length, open }: RequestBody, onLast: () => void): Promise<void> {
    const reader = open().getReader()
    this.#upload = reader
    let bytes = 0
    try {
      while (bytes !== length) {
        const { done, value } = await reader.read()
        if (done) break
        if (!(value instanceof Uint8Array)) throw new TypeError('A chunk of a body is a Uint8Array')
        if (value.length === 0) continue
        bytes += value.length
        if (bytes === length) onLast()
        const size = utf8(`${value.length.toString(16)}\r\n`)
        await this.#write(length === undefined ? concatBytes(size, value, CRLF) : value)
      }
      if (length !== undefined) return
      onLast()
      await this.#write(LAST_CHUNK)
    } catch (error) {
      reader.cancel(error).catch(() => {})
      throw error
    } finally {
      this.#upload = undefined
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      await this.#writer.write(bytes)
    } catch (cause) {
      throw new BrokenPipe('the connection takes nothing more', { cause })
    }
  }
}

/** Never leaves this file: the reading side knows better why. */
class BrokenPipe extends Error {}

const CRLF = utf8('\r\n')
const LAST_CHUNK = utf8('0\r\n\r\n')
