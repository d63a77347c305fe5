/**
 * Deciding whether a client that says it is registered may come in (02-gateway §5.1, §5.4): the checks in the official
 * order, with the official texts where a person may read them.
 */
import type { Clock } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  authenticatedProtocol,
  authenticationSignedBytes,
  type ClientRequest,
  CURRENT_PROTOCOL,
  provesSharedKey,
} from '@mixwright/wire'
import { decodeLegacyAuthentication } from '@mixwright/wire/gateway-side'
import { type ClientStore, isStale } from './store/client-store.js'

/** Largest difference between the client's clock and ours, seconds. */
const MAXIMUM_SKEW_SECONDS = 120

export interface AuthenticationServices {
  readonly crypto: CryptoProvider
  readonly clock: Clock
  readonly clients: ClientStore
  /** Whether the unsigned, replayable `authenticate` of older WASM clients is taken. */
  readonly acceptLegacyAuthentication: boolean
}

export type AuthenticationOutcome =
  | {
      readonly kind: 'accepted'
      readonly identity: Uint8Array
      readonly sharedKey: Uint8Array
      readonly protocolVersion: number
      /** Make this authentication unrepeatable; to be called before it takes effect. */
      remember(): void
    }
  | { readonly kind: 'refused'; readonly reason: string }

/** `authenticateV2`: signed and timed. */
export function authenticateClient(
  request: ClientRequest & { type: 'authenticateV2' },
  { crypto, clock, clients }: AuthenticationServices,
): AuthenticationOutcome {
  const { clientIdentity: identity, requestUnixTimestamp: timestamp, nonce } = request
  const protocolVersion = authenticatedProtocol(request.protocolVersion)
  if (protocolVersion === undefined) return incompatible(request.protocolVersion)
  if (Math.abs(clock.now() / 1000 - timestamp) > MAXIMUM_SKEW_SECONDS) {
    return refuse('the provided request timestamp is excessively skewed')
  }
  const signed = authenticationSignedBytes(request)
  if (signed === undefined || !crypto.ed25519Verify(request.requestSignature, signed, identity)) {
    return refuse('failed to verify request signature')
  }
  const client = clients.find(identity)
  if (client === undefined) return refuse('the client is not registered')
  if (!provesSharedKey(client.sharedKey, request)) return refuse('failed to verify provided address ciphertext')
  if (isStale(client, timestamp, nonce)) {
    return refuse('the provided request timestamp is smaller or equal to one previously used')
  }
  const remember = () => clients.touch(identity, client, timestamp, nonce)
  return { kind: 'accepted', identity, sharedKey: client.sharedKey, protocolVersion, remember }
}

/** The older form: proves the key, but neither time nor identity. */
export function authenticateLegacyClient(
  request: ClientRequest & { type: 'authenticate' },
  { clients, acceptLegacyAuthentication }: AuthenticationServices,
): AuthenticationOutcome {
  if (!acceptLegacyAuthentication) {
    return refuse('the legacy authentication method is no longer supported. please update your client')
  }
  const decoded = decodeLegacyAuthentication(request)
  if (decoded === undefined) return refuse('the authentication request is malformed')
  const { address: identity, addressCiphertext, nonce } = decoded
  const client = clients.find(identity)
  if (client === undefined) return refuse('the client is not registered')
  if (!provesSharedKey(client.sharedKey, { clientIdentity: identity, addressCiphertext, nonce })) {
    return refuse('failed to verify provided address ciphertext')
  }
  // Raised as for a registration: the client then sends key rotations and signs its next authentication.
  const protocolVersion = authenticatedProtocol(Math.max(request.protocol_version ?? 0, 4)) ?? CURRENT_PROTOCOL
  return { kind: 'accepted', identity, sharedKey: client.sharedKey, protocolVersion, remember() {} }
}

function incompatible(reported: number): AuthenticationOutcome {
  return refuse(
    `Attempted to negotiate connection with client using incompatible protocol version. Ours is ${CURRENT_PROTOCOL} and the client reports ${reported}`,
  )
}

function refuse(reason: string): AuthenticationOutcome {
  return { kind: 'refused', reason }
}
