/**
 * Reading what a client says: the gateway's side of `client-request.ts` (02-gateway §3.1). Apart from it, because clients
 * must not carry the schema library with them.
 */
import { base64 } from '@scure/base'
import { z } from 'zod'
import { decodeBase58 } from '../base58.js'
import type { ClientRequest } from './client-request.js'
import { parseJsonText } from './json-text.js'

const u8 = z.int().min(0).max(255)
const bytes = z.array(u8).transform((values): Uint8Array => Uint8Array.from(values))
const bytesOf = (length: number) =>
  z
    .array(u8)
    .length(length)
    .transform((values): Uint8Array => Uint8Array.from(values))
const base64Text = z.base64().transform((text): Uint8Array => base64.decode(text))
const protocolVersion = u8.optional().transform((version) => version ?? 0)

const handshakePayload = { protocol_version: protocolVersion, data: bytes }

const clientRequest = z.discriminatedUnion('type', [
  z.object({ type: z.literal('supportedProtocol') }),
  z.object({ type: z.literal('handshakePayload'), ...handshakePayload }),
  z.object({ type: z.literal('registerHandshakeInitRequest'), ...handshakePayload }),
  z.object({ type: z.literal('handshakeError'), message: z.string() }),
  z.object({
    type: z.literal('authenticateV2'),
    protocolVersion: u8,
    clientIdentity: bytesOf(32),
    addressCiphertext: base64Text,
    nonce: base64Text,
    requestUnixTimestamp: z.int().min(0),
    requestSignature: bytesOf(64),
  }),
  z.object({
    type: z.literal('authenticate'),
    protocol_version: u8.nullish(),
    address: z.string(),
    enc_address: z.string(),
    iv: z.string(),
  }),
  z.object({ type: z.literal('claimFreeTestnetBandwidth') }),
  z.object({
    type: z.literal('ecashCredential'),
    enc_credential: bytes,
    iv: bytes.optional(),
    nonce: bytes.optional(),
  }),
  z.object({ type: z.literal('upgradeModeJWT'), token: z.string() }),
  z.object({ type: z.literal('encryptedRequest'), ciphertext: bytes, nonce: bytes }),
  z.object({ type: z.literal('bandwidthCredential'), enc_credential: bytes, iv: bytes }),
  z.object({ type: z.literal('bandwidthCredentialV2'), enc_credential: bytes, iv: bytes }),
])

/** Parse a text message; undefined when it is no request. Never throws. */
export function parseClientRequest(text: string): ClientRequest | undefined {
  const parsed = clientRequest.safeParse(parseJsonText(text))
  return parsed.success ? parsed.data : undefined
}

/** What travels encrypted inside `encryptedRequest` (02-gateway §3.1): externally tagged, unlike everything around it. */
const sensitiveRequest = z.union([
  z.object({ ForgetMe: z.object({ client: z.boolean(), stats: z.boolean() }) }),
  z.object({
    RememberMe: z.object({ session_type: z.enum(['Vpn', 'Mixnet', 'Wasm', 'Native', 'Socks5', 'Unknown']) }),
  }),
])

export type SensitiveRequest = z.infer<typeof sensitiveRequest>

/** Parse the plaintext of an `encryptedRequest`; undefined when it is none that we serve. */
export function parseSensitiveRequest(plaintext: Uint8Array): SensitiveRequest | undefined {
  try {
    return sensitiveRequest.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(plaintext)))
  } catch {
    return undefined
  }
}

/** The binary fields of a legacy `authenticate` (02-gateway §5.4): all base58; undefined when one does not decode. */
export function decodeLegacyAuthentication(request: {
  readonly address: string
  readonly enc_address: string
  readonly iv: string
}): { readonly address: Uint8Array; readonly addressCiphertext: Uint8Array; readonly nonce: Uint8Array } | undefined {
  const address = decodeBase58(request.address, 32)
  const addressCiphertext = decodeBase58(request.enc_address, 48)
  const nonce = decodeBase58(request.iv, 12)
  return address && addressCiphertext && nonce ? { address, addressCiphertext, nonce } : undefined
}
