/** Why a fetch failed that did not fail at its exit. */
import { type ErrorKind, MixError } from '@mixwright/runtime'

/** What is wrong with an answer: for programs. */
export type HttpFault = 'no-answer' | 'cut-short' | 'malformed' | 'too-long' | 'encoding'

const KINDS = {
  MIX_FETCH_REDIRECTS: 'peer',
  MIX_FETCH_TLS: 'peer',
  MIX_FETCH_TLS_MISSING: 'usage',
  MIX_FETCH_URL: 'usage',
} as const satisfies Record<string, ErrorKind>

export function fetchError(code: keyof typeof KINDS, message: string, cause?: unknown): MixError {
  return new MixError(code, message, { kind: KINDS[code], cause })
}

export function httpError(reason: HttpFault, message: string, cause?: unknown): MixError {
  return new MixError('MIX_FETCH_HTTP', message, {
    kind: 'peer',
    retry: reason === 'no-answer',
    data: { reason },
    cause,
  })
}

/** The connection ended in order before a byte of the answer came: what becomes of a kept connection that the server gave up. */
export function noAnswer(cause?: unknown): MixError {
  return httpError('no-answer', 'The server ended the connection without an answer.', cause)
}

export function cutShort(cause?: unknown): MixError {
  return httpError('cut-short', 'The server ended the connection in the middle of its answer.', cause)
}
