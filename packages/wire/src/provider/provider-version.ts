/**
 * The two versions of a provider message and its outer frame (06-service-providers §2.1): the provider interface, and in it
 * the socks5 protocol. What stands behind the tag is in `control.ts`, `provider-request.ts` and `provider-response.ts`.
 */
import { concatBytes } from '@mixwright/runtime'

/** A version byte below 3 says legacy; 3 and more is that version. */
export type ProviderVersion = 'legacy' | number

/** Of one message. A requester answers with the versions of the Connect request, which may differ from each other. */
export interface ProviderVersions {
  readonly interface: ProviderVersion
  readonly socks5: ProviderVersion
}

const CURRENT = 3

/** What we speak when we speak first. */
export const CURRENT_VERSIONS: ProviderVersions = { interface: CURRENT, socks5: CURRENT }

/** What a decoder says of bytes that are no message; `reason` is a short kebab-case word for counters. */
export interface MalformedMessage {
  readonly kind: 'malformed'
  readonly reason: string
}

export function malformed(reason: string): MalformedMessage {
  return { kind: 'malformed', reason }
}

export function versionOf(byte: number): ProviderVersion {
  return byte < CURRENT ? 'legacy' : byte
}

export const CONTROL = 0
const PROVIDER_DATA = 1

/** `[interface version][tag 01][body]`, or the bare body in legacy mode. */
export function frameProviderData(version: ProviderVersion, body: Uint8Array): Uint8Array {
  return version === 'legacy' ? body : concatBytes(Uint8Array.of(version, PROVIDER_DATA), body)
}

export type Unframed =
  | { readonly kind: 'control'; readonly interfaceVersion: number; readonly body: Uint8Array }
  | { readonly kind: 'provider-data'; readonly interfaceVersion: ProviderVersion; readonly body: Uint8Array }
  | MalformedMessage

/** Cut the outer frame off; the first byte alone decides between legacy and versioned. `body` is a view. */
export function unframe(bytes: Uint8Array): Unframed {
  const [first, tag] = bytes
  if (first === undefined) return malformed('empty')
  const interfaceVersion = versionOf(first)
  if (interfaceVersion === 'legacy') return { kind: 'provider-data', interfaceVersion, body: bytes }
  if (tag === undefined) return malformed('too-short')
  const body = bytes.subarray(2)
  if (tag === CONTROL) return { kind: 'control', interfaceVersion, body }
  return tag === PROVIDER_DATA ? { kind: 'provider-data', interfaceVersion, body } : malformed('unknown-tag')
}

/** The byte of a socks5 version that is written: legacy requests have a leading zero. */
export function versionByte(version: ProviderVersion): number {
  return version === 'legacy' ? 0 : version
}

/** No request of a socks5 protocol version above this one is understood. */
export const NEWEST_SOCKS5 = CURRENT
