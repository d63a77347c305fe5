/**
 * Text messages from a client (02-gateway §3.1): one JSON object with a `type`. Byte strings are arrays of integers, but
 * base64 or base58 where the table of the book says so. Reading them, the gateway's business, is in
 * `client-request-parser.ts`.
 */
import { base64 } from '@scure/base'

/** Byte strings are bytes here, whatever their form in the text; those of the legacy `authenticate` stay base58. */
export type ClientRequest =
  | { readonly type: 'supportedProtocol' }
  | HandshakeRequest<'handshakePayload'>
  | HandshakeRequest<'registerHandshakeInitRequest'>
  | { readonly type: 'handshakeError'; readonly message: string }
  | {
      readonly type: 'authenticateV2'
      readonly protocolVersion: number
      readonly clientIdentity: Uint8Array
      readonly addressCiphertext: Uint8Array
      readonly nonce: Uint8Array
      readonly requestUnixTimestamp: number
      readonly requestSignature: Uint8Array
    }
  | {
      readonly type: 'authenticate'
      readonly protocol_version?: number | null | undefined
      readonly address: string
      readonly enc_address: string
      readonly iv: string
    }
  | { readonly type: 'claimFreeTestnetBandwidth' }
  | {
      readonly type: 'ecashCredential'
      readonly enc_credential: Uint8Array
      readonly iv?: Uint8Array | undefined
      readonly nonce?: Uint8Array | undefined
    }
  | { readonly type: 'upgradeModeJWT'; readonly token: string }
  | { readonly type: 'encryptedRequest'; readonly ciphertext: Uint8Array; readonly nonce: Uint8Array }
  | DeadCredential<'bandwidthCredential'>
  | DeadCredential<'bandwidthCredentialV2'>

interface HandshakeRequest<T extends string> {
  readonly type: T
  readonly protocol_version: number
  readonly data: Uint8Array
}

interface DeadCredential<T extends string> {
  readonly type: T
  readonly enc_credential: Uint8Array
  readonly iv: Uint8Array
}

/** The JSON text of a request, fields in the official order; what a client sends. */
export function encodeClientRequest(request: ClientRequest): string {
  const wire: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(request)) {
    if (value === undefined) continue
    const asBase64 = request.type === 'authenticateV2' && (name === 'addressCiphertext' || name === 'nonce')
    wire[name] = value instanceof Uint8Array ? (asBase64 ? base64.encode(value) : [...value]) : value
  }
  return JSON.stringify(wire)
}
