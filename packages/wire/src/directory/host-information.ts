/**
 * What a node says about itself, signed with its identity (03-directory §8.2, 05-mixnode §12.1). The signature covers the
 * compact JSON of the data in declaration order, so a verifier parses and writes it again before it checks.
 */
import { utf8 } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { decodeBase58, encodeBase58 } from '../base58.js'
import { LEGACY_ROTATION_ID } from '../mix/key-rotation.js'
import { publicKey, taggedSphinxKey, versionedNoiseKeySchema } from './key-text.js'
import { fromJson, ipAddress, list, optional, string, struct, type ValueOf } from './schema.js'

const hostInformationSchema = struct({
  ip_address: list(ipAddress),
  hostname: optional(string),
  keys: struct({
    ed25519_identity: publicKey,
    x25519_sphinx: publicKey,
    primary_x25519_sphinx_key: taggedSphinxKey,
    pre_announced_x25519_sphinx_key: optional(taggedSphinxKey),
    x25519_versioned_noise: optional(versionedNoiseKeySchema),
  }),
})
export type HostInformation = ValueOf<typeof hostInformationSchema>

export const signedHostInformationSchema = struct({ data: hostInformationSchema, signature: string })
export type SignedHostInformation = ValueOf<typeof signedHostInformationSchema>

/** The text that is signed. */
export function hostInformationText(data: HostInformation): string {
  return JSON.stringify(fromJson(hostInformationSchema, data))
}

/** Sign with the node's identity; `seed` has 32 bytes. */
export function signHostInformation(
  crypto: CryptoProvider,
  data: HostInformation,
  seed: Uint8Array,
): SignedHostInformation {
  return { data, signature: encodeBase58(crypto.ed25519Sign(utf8(hostInformationText(data)), seed)) }
}

/**
 * Parse an answer of `/host-information`; older nodes lack the rotation-tagged key, which then gets the legacy tag.
 * Error: `MIX_DOCUMENT`. The signature is not yet checked.
 */
export function parseHostInformation(value: unknown): SignedHostInformation {
  return fromJson(signedHostInformationSchema, withTaggedKey(value))
}

/** Whether the signature is the named identity's, over the present layout or one of the three older ones. */
export function verifyHostInformation(crypto: CryptoProvider, { data, signature }: SignedHostInformation): boolean {
  const bytes = decodeBase58(signature, 64)
  const identity = decodeBase58(data.keys.ed25519_identity, 32)
  if (bytes === undefined || identity === undefined) return false
  return [hostInformationText(data), ...legacyTexts(data)].some((text) =>
    crypto.ed25519Verify(bytes, utf8(text), identity),
  )
}

/** The layouts that older nodes signed, newest first: v3, v2, v1. */
export function legacyTexts({ ip_address, hostname, keys }: HostInformation): string[] {
  const { ed25519_identity, x25519_sphinx } = keys
  const noise = keys.x25519_versioned_noise?.x25519_pubkey
  return [
    { ed25519_identity, x25519_sphinx, x25519_noise: noise ?? null },
    { ed25519_identity, x25519_sphinx, x25519_noise: noise ?? '' },
    { ed25519: ed25519_identity, x25519: x25519_sphinx },
  ].map((layout) => JSON.stringify({ ip_address, hostname, keys: layout }))
}

type Loose = { data?: { keys?: Record<string, unknown> } } | null | undefined

function withTaggedKey(value: unknown): unknown {
  const loose = value as Loose
  const keys = loose?.data?.keys
  if (typeof keys !== 'object' || keys === null || Object.hasOwn(keys, 'primary_x25519_sphinx_key')) return value
  const primary = { rotation_id: LEGACY_ROTATION_ID, public_key: keys.x25519_sphinx }
  return { ...loose, data: { ...loose?.data, keys: { ...keys, primary_x25519_sphinx_key: primary } } }
}
