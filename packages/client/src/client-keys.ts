/**
 * The keys of a client (04-client §4.2.1): made once, kept in the table `identity` as raw bytes. The address that they give
 * together with a gateway is `@mixwright/wire`'s; the key shared with the gateway is the table `gateway`'s.
 */
import { MixError, type Random } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import type { ClientStore } from './store/client-store.js'

export interface ClientKeys {
  /** Ed25519 seed, 32 bytes: authenticates us at the gateway. */
  readonly identitySeed: Uint8Array
  /** Ed25519 public key, 32 bytes: first part of the address, and where packets are destined. */
  readonly identityKey: Uint8Array
  /** X25519 secret, 32 bytes: opens what is encrypted for us. */
  readonly encryptionSecret: Uint8Array
  /** X25519 public key, 32 bytes: second part of the address. */
  readonly encryptionKey: Uint8Array
  /** AES-128 key, 16 bytes: hides fragment identifiers in our acks. Never leaves the client. */
  readonly ackKey: Uint8Array
}

/** Secrets by their key in the store, with their lengths in bytes. */
const SECRETS = { 'identity-seed': 32, 'encryption-secret': 32, 'ack-key': 16 } as const

type Secrets = Readonly<Record<keyof typeof SECRETS, Uint8Array>>

/**
 * The keys that the store holds; where it holds none, new ones, durable in it before they are returned.
 * Error: `MIX_STORE`, also when the keys there are incomplete or of a wrong length: they are left as they are, for other
 * keys would be another address.
 */
export async function loadOrCreateClientKeys(
  store: ClientStore,
  crypto: CryptoProvider,
  random: Random,
): Promise<ClientKeys> {
  const stored = await store.load('identity')
  const secrets = stored.size === 0 ? await create(store, random) : check(stored)
  return {
    identitySeed: secrets['identity-seed'],
    identityKey: crypto.ed25519PublicKey(secrets['identity-seed']),
    encryptionSecret: secrets['encryption-secret'],
    encryptionKey: crypto.x25519Base(secrets['encryption-secret']),
    ackKey: secrets['ack-key'],
  }
}

async function create(store: ClientStore, random: Random): Promise<Secrets> {
  const entries = Object.entries(SECRETS).map(([key, length]) => [key, random.bytes(length)] as const)
  if (store.persistent) await store.write(entries.map(([key, value]) => ({ table: 'identity', key, value })))
  return Object.fromEntries(entries) as Secrets
}

function check(stored: ReadonlyMap<string, Uint8Array>): Secrets {
  for (const [key, length] of Object.entries(SECRETS)) {
    const found = stored.get(key)?.length
    if (found === length) continue
    const reason = found === undefined ? 'is missing' : `has ${found} bytes instead of ${length}`
    const message = `The client's keys in the store are damaged: ${key} ${reason}`
    throw new MixError('MIX_STORE', message, { kind: 'local', data: { key, found, expected: length } })
  }
  return Object.fromEntries(stored) as Secrets
}
