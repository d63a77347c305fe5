/** HTTP/1.1 in Node.js: undici, and for https: node:tls, over connections through an exit. Both are loaded at the first request. */
import { isIP } from 'node:net'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import { type Clock, MixError } from '@mixwright/runtime'
import type { Agent } from 'undici'
import { exitError } from '../../exit/exit-error.js'
import { whenAborted } from '../../when-aborted.js'
import type { Dial, HttpAnswer, HttpEngine, HttpRequest, RequestBody, TlsOptions } from '../fetch-api.js'
import { cutShort, fetchError, httpError, noAnswer } from '../fetch-error.js'
import { targetOf } from '../target.js'
import { ConnectionDuplex } from './connection-duplex.js'

/** To one origin, at once. */
const CONNECTIONS = 16
/** How long an unused connection is kept; less where the server says so. */
const KEEP_ALIVE_MS = 60_000
/** Longest head of an answer, bytes. */
const HEAD_BYTES = 65_536
/** How long a server may take for a TLS handshake. */
const HANDSHAKE_MS = 30_000
/** Longest body that is read into memory before it is sent, if its length is known; longer ones as a stream. */
const ONE_PIECE_BYTES = 16_777_216

export class UndiciEngine implements HttpEngine {
  readonly #dial: Dial
  readonly #tls: TlsOptions
  readonly #clock: Clock
  readonly #closing = new AbortController()
  #agent: Promise<Agent> | undefined

  constructor(dial: Dial, tls: TlsOptions, clock: Clock) {
    this.#dial = dial
    this.#clock = clock
    this.#tls = tls
  }

  async exchange({ url, method, headers, body }: HttpRequest, signal: AbortSignal | undefined): Promise<HttpAnswer> {
    signal?.throwIfAborted()
    this.#closing.signal.throwIfAborted()
    this.#agent ??= this.#start()
    const agent = await this.#agent
    // A connection whose body was read to its end is free only then.
    await new Promise<void>((resolve) => setImmediate(resolve))
    const length = body?.length === undefined ? [] : ['content-length', String(body.length)]
    try {
      const asked = agent.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: method as 'GET',
        headers: [...[...headers].flat(), ...length],
        body: body === undefined ? null : await contentOf(body),
        signal,
        headersTimeout: 0,
        bodyTimeout: 0,
      })
      const answer = await orAborted(asked, signal)
      const received = new Headers()
      for (const [name, value] of Object.entries(answer.headers))
        for (const each of Array.isArray(value) ? value : [value ?? '']) received.append(name, each)
      const content = typedBody(answer.body, signal)
      return { status: answer.statusCode, statusText: answer.statusText, headers: received, body: content }
    } catch (error) {
      throw typed(error, false)
    }
  }

  async close(): Promise<void> {
    const reason = exitError('MIX_EXIT_CLOSED', 'This fetch was closed.', 'usage')
    this.#closing.abort(reason)
    await (await this.#agent)?.destroy(reason)
  }

  async #start(): Promise<Agent> {
    const { Agent } = await import('undici')
    return new Agent({
      connections: CONNECTIONS,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: HEAD_BYTES,
      connect: (options, callback) => {
        const target = targetOf(new URL(`${options.protocol}//${options.hostname}:${options.port}`))
        this.#connect(target.host, target.port, options.protocol === 'https:').then(
          // What undici needs of a socket is a stream.
          (socket) => callback(null, socket as never),
          (error) => callback(error, null),
        )
      },
    })
  }

  async #connect(host: string, port: number, isSecure: boolean): Promise<ConnectionDuplex> {
    const connection = await this.#dial({ host, port }, { eager: true, signal: this.#closing.signal })
    const socket = new ConnectionDuplex(connection)
    return isSecure ? ((await this.#secure(socket, host)) as unknown as ConnectionDuplex) : socket
  }

  async #secure(socket: ConnectionDuplex, host: string) {
    const { connect, rootCertificates } = await import('node:tls')
    const added = this.#tls.ca === undefined ? [] : [this.#tls.ca].flat()
    const name = isIP(host) === 0 ? { servername: host } : {}
    const ca = added.length === 0 ? {} : { ca: [...rootCertificates, ...added] }
    return new Promise((resolve, reject) => {
      const secure = connect({ socket, host, ALPNProtocols: ['http/1.1'], ...name, ...ca })
      socket.on('error', (error) => secure.destroy(error))
      // Requests that wait for it cannot end it.
      const timer = this.#clock.setTimer(HANDSHAKE_MS, () =>
        secure.destroy(fetchError('MIX_FETCH_TLS', 'The server says nothing during the handshake.')),
      )
      secure.once('secureConnect', () => resolve(secure))
      for (const event of ['secureConnect', 'close']) secure.once(event, () => timer.cancel())
      secure.on('error', (error: NodeJS.ErrnoException) => {
        const unheard =
          error.code === 'ECONNRESET' ? 'The server ended the connection during the handshake.' : error.message
        reject(error instanceof MixError ? error : fetchError('MIX_FETCH_TLS', unheard, error))
      })
    })
  }
}

/** undici sees to the signal only once it has a connection. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const stop = whenAborted(signal, () => reject(signal.reason))
    promise.then(resolve, reject).finally(stop)
  })
}

/** In one piece, the end of the body is known with its last byte, and the connection can be kept. */
async function contentOf({ length, open }: RequestBody): Promise<Uint8Array | Readable> {
  if (length === undefined || length > ONE_PIECE_BYTES) return Readable.fromWeb(open() as NodeReadableStream)
  return new Uint8Array(await new Response(open()).arrayBuffer())
}

/** Like the platform's, but with our errors. */
function typedBody(body: Readable, signal: AbortSignal | undefined): ReadableStream<Uint8Array> {
  const chunks = body.iterator()
  // Whoever reads is told; there may be nobody.
  body.on('error', () => {})
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await chunks.next()
          if (done) controller.close()
          else controller.enqueue(new Uint8Array(value.buffer, value.byteOffset, value.length))
        } catch (error) {
          throw signal?.aborted ? signal.reason : typed(error, true)
        }
      },
      cancel: (reason) => {
        body.destroy(reason instanceof Error ? reason : undefined)
      },
    },
    { highWaterMark: 0 },
  )
}

/** undici's errors as ours; others, such as those of the app's own body, as they are. */
function typed(error: unknown, hasHead: boolean): unknown {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof MixError) return cause
  const { code, message, name } = error as { code?: string; message?: string; name?: string }
  // It refuses interim answers that nobody asked for.
  if (code === 'UND_ERR_SOCKET' && message?.startsWith('bad '))
    return httpError('malformed', `The answer is malformed: ${message}.`, error)
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET') return hasHead ? cutShort(error) : noAnswer(error)
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return httpError('too-long', 'The head of the answer is too long.', error)
  if (name === 'HTTPParserError') return httpError('malformed', `The answer is malformed: ${message}.`, error)
  if (code?.startsWith('ERR_SSL_')) return fetchError('MIX_FETCH_TLS', `The encryption failed: ${message}.`, error)
  if (code?.startsWith('UND_ERR_')) return httpError('malformed', `The answer cannot be read: ${message}.`, error)
  return error
}
