/**
 * Why a connection through an exit did not come about, or ended: from a requester's words (06-service-providers §2.3, §2.5) to typed
 * errors. Official requesters say one thing in words, that their policy forbids; ours give every reason, its kind in front.
 */
import { type ErrorKind, MixError } from '@mixwright/runtime'

export type ExitErrorCode =
  | 'MIX_EXIT_POLICY_REFUSED'
  | 'MIX_EXIT_CONNECTION_REFUSED'
  | 'MIX_EXIT_HOST_UNREACHABLE'
  | 'MIX_EXIT_NETWORK_UNREACHABLE'
  | 'MIX_EXIT_UNKNOWN_HOST'
  | 'MIX_EXIT_TIMED_OUT'
  | 'MIX_EXIT_CONNECT_FAILED'
  | 'MIX_EXIT_BUSY'
  | 'MIX_EXIT_SILENT'
  | 'MIX_EXIT_NONE'
  | 'MIX_EXIT_TARGET'
  | 'MIX_EXIT_RESET'
  | 'MIX_EXIT_CLOSED'

/** What the text of a ConnectionError begins with, and what it means. */
const REASONS: readonly (readonly [RegExp, ExitErrorCode])[] = [
  [/failed filter check$/, 'MIX_EXIT_POLICY_REFUSED'],
  [/^connection refused: /, 'MIX_EXIT_CONNECTION_REFUSED'],
  [/^host unreachable: /, 'MIX_EXIT_HOST_UNREACHABLE'],
  [/^network unreachable: /, 'MIX_EXIT_NETWORK_UNREACHABLE'],
  [/^unknown host: /, 'MIX_EXIT_UNKNOWN_HOST'],
  [/^timed out: /, 'MIX_EXIT_TIMED_OUT'],
  [/^too many connections: /, 'MIX_EXIT_BUSY'],
  [/^connect failed: /, 'MIX_EXIT_CONNECT_FAILED'],
]
/** Longest text of a requester that is repeated, characters. */
const LONGEST_TEXT = 300

/** After these another requester, or the same one later, may do better. */
const WORTH_ANOTHER: ReadonlySet<ExitErrorCode> = new Set([
  'MIX_EXIT_POLICY_REFUSED',
  'MIX_EXIT_BUSY',
  'MIX_EXIT_SILENT',
  'MIX_EXIT_TIMED_OUT',
])

export function exitError(
  code: ExitErrorCode,
  message: string,
  kind: ErrorKind = 'network',
  data: Record<string, unknown> = {},
): MixError {
  return new MixError(code, message, { kind, retry: WORTH_ANOTHER.has(code), data })
}

/**
 * What a requester meant by the text of a ConnectionError. Before the connection was open; afterwards it is a reset. A policy is the
 * same tomorrow: to try again is of use only where there is another requester.
 */
export function requesterError(text: string, wasOpen: boolean, hasAnother: boolean): MixError {
  const said = text.slice(0, LONGEST_TEXT)
  if (wasOpen) return exitError('MIX_EXIT_RESET', `The exit ended the connection: ${said}`)
  const code = REASONS.find(([pattern]) => pattern.test(text))?.[1] ?? 'MIX_EXIT_CONNECT_FAILED'
  const retry = WORTH_ANOTHER.has(code) && (code !== 'MIX_EXIT_POLICY_REFUSED' || hasAnother)
  return new MixError(code, `The exit did not connect: ${said}`, { kind: 'network', retry })
}

/** Whether another requester should be tried after this. */
export function isWorthAnother(error: unknown): boolean {
  return error instanceof MixError && WORTH_ANOTHER.has(error.code as ExitErrorCode)
}
