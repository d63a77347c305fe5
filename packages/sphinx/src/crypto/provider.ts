/**
 * The cryptography that Sphinx stands on, as one interface (01-sphinx §7.4), and the choice between its three
 * implementations: `sodium-native` where it loads, `libsodium-wasm` else and in browsers, `noble` as the tests' oracle.
 * Which of them are there is `#crypto`'s business. Only the chosen one is loaded. Lengths are the caller's duty: they are fixed by the protocol, and everything from
 * a peer is cut to length before it gets here.
 */

import { MixError } from '@mixwright/runtime'
import { PROVIDERS } from '#crypto'

export type CryptoProviderName = 'sodium-native' | 'libsodium-wasm' | 'noble'

export interface CryptoProvider {
  readonly name: CryptoProviderName

  /** X25519 of a raw 32-byte scalar (clamped on use) and a 32-byte point. Undefined: all-zero result, a low-order point. */
  x25519(scalar: Uint8Array, point: Uint8Array): Uint8Array | undefined
  /** X25519 public key of a raw 32-byte scalar. */
  x25519Base(scalar: Uint8Array): Uint8Array

  /** Ed25519 public key, 32 bytes, of a 32-byte seed. */
  ed25519PublicKey(seed: Uint8Array): Uint8Array
  /** Ed25519 signature, 64 bytes, with a 32-byte seed. */
  ed25519Sign(message: Uint8Array, seed: Uint8Array): Uint8Array
  /** Whether the signature holds; false also for wrong lengths and malformed keys. Never throws. */
  ed25519Verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean

  // Of lists, since many messages can be hashed for less than one after the other.
  /** The first `length` of the 288 bytes of hop keys, of each 32-byte shared secret (HKDF-SHA256, §4.2). */
  hopKeys(sharedSecrets: readonly Uint8Array[], length: number): Uint8Array[]
  /** Sphinx's payload key, 192 bytes, of each 16-byte seed (HKDF-SHA256, §4.3). */
  payloadKeys(seeds: readonly Uint8Array[]): Uint8Array[]
  /** HMAC-SHA256, 32 bytes, with a key of at most 32 bytes over a message of at most 1912. */
  hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array
  /** The same of each message with the key in its place; keys of one length, messages of one length. */
  hmacSha256Each(keys: readonly Uint8Array[], messages: readonly Uint8Array[]): Uint8Array[]
  /** AES-128-CTR with a zero initial counter block: a new array, `data` XOR key stream. */
  aes128Ctr(key: Uint8Array, data: Uint8Array): Uint8Array
  /** ChaCha20 with a 32-byte key, zero nonce and counter from 0: XOR the key stream onto `data` in place. */
  chacha20Xor(key: Uint8Array, data: Uint8Array): void
  /** BLAKE2b in keyed mode, key of 64 bytes; the 32-byte digest is written to `out`. */
  blake2bKeyed(key: Uint8Array, data: Uint8Array, out: Uint8Array): void
}

/** The environment variable that forces a provider where no name is given. */
const FORCING_VARIABLE = 'MIXWRIGHT_CRYPTO'

/**
 * Load a provider. Without a name: the one in `MIXWRIGHT_CRYPTO`, else sodium-native if it loads, else libsodium-wasm.
 * Throws `MIX_CRYPTO_PROVIDER` when the forced name is unknown or does not load: a forced choice never falls back.
 */
export async function loadCryptoProvider(name?: CryptoProviderName): Promise<CryptoProvider> {
  const environment = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env
  const forced = name ?? (environment?.[FORCING_VARIABLE] || undefined)
  if (forced !== undefined) {
    try {
      return await load(forced)
    } catch (cause) {
      if (cause instanceof MixError) throw cause
      throw unavailable(`the crypto provider ${forced} does not load`, forced, cause)
    }
  }
  try {
    return await load('sodium-native')
  } catch {
    return await load('libsodium-wasm')
  }
}

async function load(name: string): Promise<CryptoProvider> {
  const provider = Object.hasOwn(PROVIDERS, name) ? PROVIDERS[name] : undefined
  if (provider === undefined) throw unavailable(`there is no crypto provider ${JSON.stringify(name)} here`, name)
  return await provider()
}

function unavailable(message: string, name: string, cause?: unknown): MixError {
  return new MixError('MIX_CRYPTO_PROVIDER', `${message}; choose ${Object.keys(PROVIDERS).join(' or ')}`, {
    kind: 'usage',
    data: { name },
    cause,
  })
}
