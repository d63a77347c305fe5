/**
 * Text messages to a client (02-gateway §3.2, §3.3). Numbers are integers within 2⁵³−1, never null and never absent:
 * official clients read them as `u8` and `i64`, and one that fails to parse leaves them deaf.
 */
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

/** A JSON object of which nothing is known. */
type Loose = Readonly<Record<string, unknown>>

/** Parse a text message of a gateway; undefined when it is none, or says that registering or authenticating failed. */
export function parseServerResponse(text: string): ServerResponse | undefined {
  const value = parseJsonText(text)
  return typeof value === 'object' && value !== null ? ownForm(value as Loose) : undefined
}

function ownForm(wire: Loose): ServerResponse | undefined {
  const type = wire.type
  switch (type) {
    case 'supportedProtocol':
      return isByte(wire.version) ? { type, version: wire.version } : undefined
    case 'handshakePayload': {
      const protocolVersion = protocolVersionOf(wire)
      const data = bytesOf(wire.data)
      return protocolVersion !== undefined && data ? { type, protocolVersion, data } : undefined
    }
    case 'handshakeError':
    case 'error':
      return typeof wire.message === 'string' ? { type, message: wire.message } : undefined
    case 'register': {
      const protocolVersion = protocolVersionOf(wire)
      return protocolVersion !== undefined && wire.status === true ? { type, protocolVersion } : undefined
    }
    case 'authenticate': {
      const protocolVersion = protocolVersionOf(wire)
      const bandwidthRemaining = bandwidthOf(wire.bandwidth_remaining)
      if (protocolVersion === undefined || bandwidthRemaining === undefined || wire.status !== true) return undefined
      return { type, protocolVersion, bandwidthRemaining }
    }
    case 'bandwidth': {
      const availableTotal = bandwidthOf(wire.available_total)
      return availableTotal === undefined ? undefined : { type, availableTotal }
    }
    case 'send': {
      const remainingBandwidth = bandwidthOf(wire.remaining_bandwidth)
      return remainingBandwidth === undefined ? undefined : { type, remainingBandwidth }
    }
    case 'encryptedResponse': {
      const ciphertext = bytesOf(wire.ciphertext)
      const nonce = bytesOf(wire.nonce)
      return ciphertext && nonce ? { type, ciphertext, nonce } : undefined
    }
    case 'typedError': {
      if (wire.error === 'ticket_replay') return { type: 'error', message: 'ticket_replay' }
      const outOfBandwidth = (wire.error as { out_of_bandwidth?: Loose } | null | undefined)?.out_of_bandwidth
      const required = bandwidthOf(outOfBandwidth?.required)
      const available = bandwidthOf(outOfBandwidth?.available)
      if (required === undefined || available === undefined) return undefined
      return { type, outOfBandwidth: { required, available } }
    }
    default:
      return undefined
  }
}

function isByte(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 255
}

/** Absent means 0, as official clients read it; null does not. */
function protocolVersionOf({ protocol_version: version = 0 }: Loose): number | undefined {
  return isByte(version) ? version : undefined
}

function bytesOf(value: unknown): Uint8Array | undefined {
  return Array.isArray(value) && value.every(isByte) ? Uint8Array.from(value) : undefined
}

/** An i64; what JavaScript cannot count is cut to what it can. */
function bandwidthOf(value: unknown): number | undefined {
  if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) > 2 ** 63) return undefined
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value))
}
