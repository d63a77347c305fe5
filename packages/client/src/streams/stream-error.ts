/** Why a stream between clients did not come about, or ended (docs/errors.md). */
import { MixError } from '@mixwright/runtime'

const ERRORS = {
  MIX_STREAM_SILENT: { kind: 'network', retry: true },
  MIX_STREAM_REFUSED: { kind: 'peer', retry: true },
  MIX_STREAM_RESET: { kind: 'peer', retry: false },
  MIX_STREAM_OVERFLOW: { kind: 'peer', retry: false },
  MIX_STREAM_IDLE: { kind: 'network', retry: false },
  MIX_STREAM_CLOSED: { kind: 'usage', retry: false },
  MIX_STREAM_LIMIT: { kind: 'usage', retry: true },
} as const

export function streamError(code: keyof typeof ERRORS, message: string): MixError {
  return new MixError(code, message, ERRORS[code])
}
