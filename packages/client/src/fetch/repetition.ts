/**
 * Which failed requests are sent again: those that mean the same when they arrive twice (RFC 9110 §9.2.2), and failed before the
 * answer's head for a reason that a new connection mends.
 */
import { MixError } from '@mixwright/runtime'
import type { HttpRequest } from './fetch-api.js'

/** In all. */
export const MOST_ATTEMPTS = 3

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])
const MENDED_CODES: ReadonlySet<string> = new Set(['MIX_EXIT_SILENT', 'MIX_EXIT_CLOSED', 'MIX_EXIT_RESET'])
/** These where there is another exit, which is then taken. */
const OTHERWHERE_CODES: ReadonlySet<string> = new Set(['MIX_EXIT_POLICY_REFUSED', 'MIX_EXIT_BUSY'])

export function isWorthRepeating({ method, body }: HttpRequest, error: unknown): boolean {
  if (!SAFE_METHODS.has(method) || body?.repeatable === false || !(error instanceof MixError)) return false
  if (OTHERWHERE_CODES.has(error.code)) return error.retry
  return MENDED_CODES.has(error.code) || error.data.reason === 'no-answer'
}
