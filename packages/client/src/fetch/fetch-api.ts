/** `createFetch`: what it takes and gives, and the seams below it; types only. */
import type { ExitConnection, ExitConnectOptions, ExitOptions, ExitTarget } from '../exit/exit-api.js'
import type { ByteStream } from '../streams/byte-stream.js'

/**
 * The platform's `fetch`, through the mixnet. It differs in this:
 * - it rejects with a `MixError` where the platform has `TypeError: fetch failed`, and bodies error with one: the errors of
 *   `Exit.connect`, `MIX_FETCH_TLS`, `MIX_FETCH_TLS_MISSING`, `MIX_FETCH_HTTP`, `MIX_FETCH_REDIRECTS`, `MIX_FETCH_URL`; a call that is
 *   wrong in itself is a `TypeError`, and after an abort it is the signal's reason;
 * - there are no origins and no cookie jar: `mode`, `credentials`, `cache` and `referrer` do nothing, all headers but those of the
 *   connection may be set, and `getSetCookie()` shows what came;
 * - `redirect: 'manual'` gives the answer itself, its headers and all;
 * - it waits as long as the server does: give a signal.
 */
export interface Fetch extends AsyncDisposable {
  (input: string | URL | Request, init?: FetchInit): Promise<Response>
  /** End its connections and its exit. What is under way fails by `MIX_EXIT_CLOSED`. The client stays. */
  close(): Promise<void>
}

/** `duplex: 'half'` may be left out. */
export type FetchInit = RequestInit & { readonly duplex?: 'half' }

export interface FetchOptions extends ExitOptions {
  /** For `https:`. Node.js needs none; a browser needs `createTls()` of `@mixwright/client/tls`. */
  readonly tls?: TlsOptions | Tls
}

export interface TlsOptions {
  /** Certificates of authorities to trust besides Mozilla's, PEM. */
  readonly ca?: string | readonly string[]
}

/** TLS over any connection. */
export interface Tls extends TlsOptions {
  /** Resolves after the handshake; rejects with `MIX_FETCH_TLS`, or why the connection failed. `host` is whom the certificate must name. */
  open(connection: ByteStream, host: string): Promise<ByteStream>
}

/** `Exit.connect`, or what stands in for it. */
export type Dial = (target: ExitTarget, options: ExitConnectOptions) => Promise<ExitConnection>

/** One request, ready to be sent. */
export interface HttpRequest {
  /** `http:` or `https:`. */
  readonly url: URL
  readonly method: string
  readonly headers: Headers
  readonly body: RequestBody | undefined
}

export interface RequestBody {
  /** Bytes; undefined: known at its end. */
  readonly length: number | undefined
  /** Whether `open` may be called again. */
  readonly repeatable: boolean
  open(): ReadableStream<Uint8Array>
}

/** The head of an answer, and its body as it came over the wire. */
export interface HttpAnswer {
  readonly status: number
  readonly statusText: string
  readonly headers: Headers
  readonly body: ReadableStream<Uint8Array> | undefined
}

/** Sends requests and gives answers: connections, and HTTP/1.1 on them. Nothing of `fetch` is known here. */
export interface HttpEngine {
  /** `fresh`: not on a connection that was used before, where the engine can choose. */
  exchange(request: HttpRequest, signal: AbortSignal | undefined, fresh: boolean): Promise<HttpAnswer>
  close(): Promise<void>
}
