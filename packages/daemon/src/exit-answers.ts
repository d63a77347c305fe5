/**
 * Why there is no connection through the exit, in the words of each door: the reply code of SOCKS5 (RFC 1928 §6; a host that
 * does not answer is 06, as in Tor) and the status of HTTP. What is not in the table is a general failure.
 */
import { MixError } from '@mixwright/runtime'

export interface ExitAnswer {
  /** Reply code of SOCKS5. */
  readonly socks5: number
  /** Status of HTTP. */
  readonly http: number
}

const ANSWERS: Readonly<Record<string, ExitAnswer>> = {
  MIX_EXIT_POLICY_REFUSED: { socks5: 0x02, http: 403 },
  MIX_EXIT_NETWORK_UNREACHABLE: { socks5: 0x03, http: 502 },
  MIX_EXIT_HOST_UNREACHABLE: { socks5: 0x04, http: 502 },
  MIX_EXIT_UNKNOWN_HOST: { socks5: 0x04, http: 502 },
  MIX_EXIT_CONNECTION_REFUSED: { socks5: 0x05, http: 502 },
  MIX_EXIT_TIMED_OUT: { socks5: 0x06, http: 504 },
  MIX_EXIT_SILENT: { socks5: 0x01, http: 504 },
  MIX_EXIT_BUSY: { socks5: 0x01, http: 503 },
  MIX_EXIT_NONE: { socks5: 0x01, http: 503 },
  MIX_EXIT_TARGET: { socks5: 0x01, http: 400 },
}

const GENERAL_FAILURE: ExitAnswer = { socks5: 0x01, http: 502 }

export function exitAnswer(error: unknown): ExitAnswer {
  return (error instanceof MixError && ANSWERS[error.code]) || GENERAL_FAILURE
}
