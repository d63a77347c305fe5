/**
 * Text messages to a client (02-gateway §3.2, §3.3). Numbers are integers within 2⁵³−1, never null and never absent:
 * official clients read them as `u8` and `i64`, and one that fails to parse leaves them deaf.
 */

import { z } from 'zod'
import { parseJsonText } from './json-text.js'

export type ServerResponse =
  | { readonly type: 'supportedProtocol'; readonly version: number }
  | { readonly type: 'handshakePayload'; readonly protocolVersion: number; readonly data: Uint8Array }
  | { readonly type: 'handshakeError'; readonly message: string }
  | { readonly type: 'register'; readonly protocolVersion: number }
  | { readonly type: 'authenticate'; readonly protocolVersion: number; readonly bandwidthRemaining: number }
  | { readonly type: 'bandwidth'; readonly availableTotal: number }
  | { readonly type: 'send'; readonly remainingBandwidth: number }
  | { readonly type: 'encryptedResponse'; readonly ciphertext: Uint8Array; readonly nonce: Uint8Array }
  | { readonly type: 'error'; readonly message: string }
  | { readonly type: 'typedError'; readonly outOfBandwidth: { readonly required: number; readonly available: number } }

/** The JSON text of a response, `type` first. Success is the only status ever sent: failures are errors. */
export function encodeServerResponse(response: ServerResponse): string {
  return JSON.stringify(wireForm(response))
}

function wireForm(response: ServerResponse): Record<string, unknown> {
  const { type } = response
  switch (response.type) {
    case 'supportedProtocol':
      return { type, version: response.version }
    case 'handshakePayload':
      return { type, protocol_version: response.protocolVersion, data: [...response.data] }
    case 'handshakeError':
    case 'error':
      return { type, message: response.message }
    case 'register':
      return { type, protocol_version: response.protocolVersion, status: true, upgrade_mode: false }
    case 'authenticate':
      return {
        type,
        protocol_version: response.protocolVersion,
        status: true,
        bandwidth_remaining: response.bandwidthRemaining,
        upgrade_mode: false,
      }
    case 'bandwidth':
      return { type, available_total: response.availableTotal, upgrade_mode: false }
    case 'send':
      return { type, remaining_bandwidth: response.remainingBandwidth, upgrade_mode: false }
    case 'encryptedResponse':
      return { type, ciphertext: [...response.ciphertext], nonce: [...response.nonce] }
    case 'typedError':
      return { type, error: { out_of_bandwidth: response.outOfBandwidth } }
  }
}

const u8 = z.int().min(0).max(255)
/** Absent means 0, as official clients read it. */
const protocolVersion = u8.optional().transform((version) => version ?? 0)
const bytes = z.array(u8).transform((values) => Uint8Array.from(values))
/** An i64; what JavaScript cannot count is cut to what it can. */
const bandwidth = z
  .number()
  .refine((value) => Number.isInteger(value) && Math.abs(value) <= 2 ** 63)
  .transform((value) => Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value)))

const serverResponse = z.discriminatedUnion('type', [
  z.object({ type: z.literal('supportedProtocol'), version: u8 }),
  z.object({ type: z.literal('handshakePayload'), protocol_version: protocolVersion, data: bytes }),
  z.object({ type: z.literal('handshakeError'), message: z.string() }),
  z.object({ type: z.literal('register'), protocol_version: protocolVersion, status: z.literal(true) }),
  z.object({
    type: z.literal('authenticate'),
    protocol_version: protocolVersion,
    status: z.literal(true),
    bandwidth_remaining: bandwidth,
  }),
  z.object({ type: z.literal('bandwidth'), available_total: bandwidth }),
  z.object({ type: z.literal('send'), remaining_bandwidth: bandwidth }),
  z.object({ type: z.literal('encryptedResponse'), ciphertext: bytes, nonce: bytes }),
  z.object({ type: z.literal('error'), message: z.string() }),
  z.object({
    type: z.literal('typedError'),
    error: z.union([
      z.literal('ticket_replay'),
      z.object({ out_of_bandwidth: z.object({ required: bandwidth, available: bandwidth }) }),
    ]),
  }),
])

/** Parse a text message of a gateway; undefined when it is none, or says that registering or authenticating failed. */
export function parseServerResponse(text: string): ServerResponse | undefined {
  const parsed = serverResponse.safeParse(parseJsonText(text))
  return parsed.success ? ownForm(parsed.data) : undefined
}

function ownForm(response: z.infer<typeof serverResponse>): ServerResponse {
  switch (response.type) {
    case 'handshakePayload':
      return { type: response.type, protocolVersion: response.protocol_version, data: response.data }
    case 'register':
      return { type: response.type, protocolVersion: response.protocol_version }
    case 'authenticate': {
      const { type, protocol_version, bandwidth_remaining } = response
      return { type, protocolVersion: protocol_version, bandwidthRemaining: bandwidth_remaining }
    }
    case 'bandwidth':
      return { type: response.type, availableTotal: response.available_total }
    case 'send':
      return { type: response.type, remainingBandwidth: response.remaining_bandwidth }
    case 'typedError':
      if (response.error === 'ticket_replay') return { type: 'error', message: 'ticket_replay' }
      return { type: response.type, outOfBandwidth: response.error.out_of_bandwidth }
    default:
      return response
  }
}
