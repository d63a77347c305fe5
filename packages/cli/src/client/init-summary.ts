/** A new client told to people and to programs, in the words of nym-client (04-client §4.19). */
import { encodeRecipient, parseRecipient } from '@mixwright/wire'
import type { ClientFacts } from './client-directory.js'

export interface InitSummary {
  readonly version: string
  readonly id: string
  /** Ed25519, base58. */
  readonly identity_key: string
  /** X25519, base58. */
  readonly encryption_key: string
  readonly gateway_id: string
  readonly gateway_listener: string
  readonly fallback_listener: string | null
  /** ISO 8601. */
  readonly gateway_registration: string
  /** 96 bytes. */
  readonly address: readonly number[]
  readonly client_listening_port: number
  readonly client_address: string
}

export function summarize(version: string, id: string, facts: ClientFacts, listeningPort: number): InitSummary {
  const [keys = ''] = facts.address.split('@')
  const [identityKey = '', encryptionKey = ''] = keys.split('.')
  const [listener = '', fallback = null] = facts.gatewayUrls
  return {
    version,
    id,
    identity_key: identityKey,
    encryption_key: encryptionKey,
    gateway_id: facts.gateway,
    gateway_listener: listener,
    fallback_listener: fallback,
    gateway_registration: facts.registeredAt,
    address: [...encodeRecipient(parseRecipient(facts.address, () => true)!)],
    client_listening_port: listeningPort,
    client_address: facts.address,
  }
}

export function describe(summary: InitSummary): string {
  return `Version: ${summary.version}
ID: ${summary.id}
Identity key: ${summary.identity_key}
Encryption: ${summary.encryption_key}
Gateway ID: ${summary.gateway_id}
Gateway: ${summary.gateway_listener}
Registered at: ${summary.gateway_registration}
Client listening port: ${summary.client_listening_port}
Address of this client: ${summary.client_address}
`
}
