/**
 * Errors of the local websocket (04-client §4.18.5): a kind, which apps may rely on, and a detail for people. In text the two
 * are joined by a colon.
 */

/** Byte and text of each kind. Those from 0x80 on are an app's own, about an answer that it cannot read. */
const KINDS = {
  'empty-request': [0x01, 'received request contained no data'],
  'too-short-request': [0x02, 'received request did not contain enough data'],
  'unknown-request': [0x03, 'unknown request type'],
  'malformed-request': [0x04, 'malformed request'],
  'empty-response': [0x80, 'received response contained no data'],
  'too-short-response': [0x81, 'received response did not contain enough data'],
  'unknown-response': [0x82, 'unknown response type'],
  'malformed-response': [0x83, 'malformed response'],
  other: [0xff, 'other'],
} as const satisfies Record<string, readonly [number, string]>

export type ApiErrorKind = keyof typeof KINDS

const ALL = Object.keys(KINDS) as readonly ApiErrorKind[]

/** An error as the daemon answers it, or as a decoder returns it in place of what it could not read. */
export interface ApiError {
  readonly kind: 'error'
  readonly error: ApiErrorKind
  /** The detail, without the text of the kind. */
  readonly message: string
}

export function apiError(error: ApiErrorKind, message: string): ApiError {
  return { kind: 'error', error, message }
}

/** The byte of a kind. */
export function apiErrorByte(error: ApiErrorKind): number {
  return KINDS[error][0]
}

/** The kind of a byte. */
export function apiErrorOfByte(byte: number): ApiErrorKind | undefined {
  return ALL.find((kind) => KINDS[kind][0] === byte)
}

/** `kind:detail`. */
export function formatApiError({ error, message }: ApiError): string {
  return `${KINDS[error][1]}:${message}`
}

/** Read `kind:detail`; a text with no known kind is all detail, of kind `other`. */
export function parseApiError(text: string): ApiError {
  const error = ALL.find((kind) => text.startsWith(`${KINDS[kind][1]}:`))
  return error === undefined ? apiError('other', text) : apiError(error, text.slice(KINDS[error][1].length + 1))
}
