/** The one base class of every error that mixwright raises on purpose. */

/** Who has to act: `usage` the caller, `peer` the other side, `network` nobody (try again), `local` this machine's owner, `bug` us. */
export type ErrorKind = 'usage' | 'peer' | 'network' | 'local' | 'bug'

export interface ErrorDetails {
  readonly kind: ErrorKind
  /** Whether the same call may succeed later, unchanged. */
  readonly retry?: boolean
  /** Facts for programs; never secrets, never packet contents. */
  readonly data?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

/** An error with a stable `code` (`MIX_…`, listed in docs/errors.md). Programs match on the code, people read the message. */
export class MixError extends Error {
  readonly code: string
  readonly kind: ErrorKind
  readonly retry: boolean
  readonly data: Readonly<Record<string, unknown>>

  constructor(code: `MIX_${string}`, message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'MixError'
    this.code = code
    this.kind = details.kind
    this.retry = details.retry ?? false
    this.data = details.data ?? {}
  }
}
