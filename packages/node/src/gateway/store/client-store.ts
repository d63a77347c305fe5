/**
 * What a gateway remembers of each client (02-gateway §9.3): the shared key, and the time and nonces of its last
 * authentication. A client whose key is lost stays broken for ever, so this is durable.
 */
import { concatBytes, equalBytes } from '@mixwright/runtime'
import { NONCE_BYTES } from '@mixwright/wire'
import type { GatewayDatabase } from './gateway-database.js'

export interface StoredClient {
  readonly sharedKey: Uint8Array
  /** Unix seconds of the last accepted authentication; 0 when there was none. */
  readonly lastTimestamp: number
  /** Nonces of the authentications accepted in that second, 12 bytes each. */
  readonly lastNonces: Uint8Array
}

/** Authentications of one client within one second; more are refused. */
const NONCES_PER_SECOND = 16

export class ClientStore {
  readonly #database: GatewayDatabase
  readonly #find
  readonly #register
  readonly #touch
  readonly #forget

  constructor(database: GatewayDatabase) {
    this.#database = database
    this.#find = database.prepare('SELECT shared_key, last_timestamp, last_nonces FROM clients WHERE identity = ?')
    this.#register = database.prepare(
      `INSERT INTO clients (identity, shared_key, last_timestamp, last_nonces) VALUES (?, ?, 0, x'')
       ON CONFLICT (identity) DO UPDATE SET shared_key = excluded.shared_key`,
    )
    this.#touch = database.prepare('UPDATE clients SET last_timestamp = ?, last_nonces = ? WHERE identity = ?')
    this.#forget = database.prepare('DELETE FROM clients WHERE identity = ?')
  }

  find(identity: Uint8Array): StoredClient | undefined {
    const row = this.#find.get([identity]) as
      | { shared_key: ArrayBuffer; last_timestamp: number; last_nonces: ArrayBuffer }
      | undefined
    return (
      row && {
        sharedKey: new Uint8Array(row.shared_key),
        lastTimestamp: row.last_timestamp,
        lastNonces: new Uint8Array(row.last_nonces),
      }
    )
  }

  has(identity: Uint8Array): boolean {
    return this.#find.get([identity]) !== undefined
  }

  /** Registering again replaces the key and keeps the rest. */
  register(identity: Uint8Array, sharedKey: Uint8Array): void {
    this.#database.transaction(() => this.#register.run([identity, sharedKey]))
  }

  /** Remember an accepted authentication. */
  touch(identity: Uint8Array, client: StoredClient, timestamp: number, nonce: Uint8Array): void {
    const sameSecond = timestamp === client.lastTimestamp ? client.lastNonces : new Uint8Array(0)
    this.#database.transaction(() => this.#touch.run([timestamp, concatBytes(sameSecond, nonce), identity]))
  }

  forget(identity: Uint8Array): void {
    this.#database.transaction(() => this.#forget.run([identity]))
  }
}

/**
 * Whether an authentication is a repetition (02-gateway §5.1 check 6). Official gateways refuse a second one within the
 * same second; ours takes it when its nonce is new, because every quick restart of a client produces one.
 */
export function isStale(client: StoredClient, timestamp: number, nonce: Uint8Array): boolean {
  if (timestamp !== client.lastTimestamp) return timestamp < client.lastTimestamp
  if (client.lastNonces.length >= NONCES_PER_SECOND * NONCE_BYTES) return true
  for (let at = 0; at < client.lastNonces.length; at += NONCE_BYTES) {
    if (equalBytes(client.lastNonces.subarray(at, at + NONCE_BYTES), nonce)) return true
  }
  return false
}

/** The key of a client in maps: its identity as a string, made cheaply, for this process only. */
export function keyOf(identity: Uint8Array): string {
  return Buffer.from(identity.buffer, identity.byteOffset, identity.length).toString('latin1')
}
