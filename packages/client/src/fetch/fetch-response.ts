/** An answer as the `Response` that the app gets: its content decoded, and the properties set that no constructor takes. */
import { MixError } from '@mixwright/runtime'
import type { HttpAnswer, HttpRequest } from './fetch-api.js'
import { httpError } from './fetch-error.js'

const NULL_BODY_STATUSES: ReadonlySet<number> = new Set([204, 205, 304])
const FORMATS: Readonly<Record<string, CompressionFormat>> = { gzip: 'gzip', 'x-gzip': 'gzip', deflate: 'deflate' }

export function makeResponse(
  { url, method }: HttpRequest,
  answer: HttpAnswer,
  redirected: boolean,
  signal: AbortSignal | undefined,
): Response {
  const { status, statusText, headers } = answer
  if (status < 200 || status > 599) {
    answer.body?.cancel().catch(() => {})
    throw httpError('malformed', `The server answers with the status ${status}, which is none.`)
  }
  const isNull = method === 'HEAD' || NULL_BODY_STATUSES.has(status) || answer.body === undefined
  const response = new Response(isNull ? null : decoded(answer.body!, headers, signal), { status, statusText })
  const shown = new URL(url)
  shown.hash = ''
  return described(response, { url: shown.href, redirected, headers })
}

/** Browsers would keep `set-cookie` from a response that was made by hand. */
function described(response: Response, facts: { url: string; redirected: boolean; headers: Headers }): Response {
  for (const [name, value] of Object.entries(facts)) Object.defineProperty(response, name, { value, enumerable: true })
  const clone = () =>
    described(Response.prototype.clone.call(response), { ...facts, headers: new Headers(facts.headers) })
  return Object.defineProperty(response, 'clone', { value: clone })
}

function decoded(
  body: ReadableStream<Uint8Array>,
  headers: Headers,
  signal: AbortSignal | undefined,
): ReadableStream<Uint8Array> {
  const format = FORMATS[headers.get('content-encoding')?.trim().toLowerCase() ?? '']
  if (format === undefined || headers.get('content-length') === '0') return body
  const decompression = new DecompressionStream(format) as ReadableWritablePair<Uint8Array, Uint8Array>
  const reader = body.pipeThrough(decompression).getReader()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (done) controller.close()
          else controller.enqueue(value)
        } catch (error) {
          if (error instanceof MixError || signal?.aborted) throw error
          throw httpError('encoding', 'The answer is not encoded as it says.', error)
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
}
