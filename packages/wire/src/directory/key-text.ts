/** Public keys as directory documents write them: base58 text of 32 bytes, in JSON and in bincode alike. */
import { decodeBase58 } from '../base58.js'
import { struct, text, u8, u32 } from './schema.js'

export const publicKey = text((value) => decodeBase58(value, 32) !== undefined, 'a base58 key of 32 bytes')

/** A Sphinx key and the rotation that it belongs to. */
export const taggedSphinxKey = struct({ rotation_id: u32, public_key: publicKey })

/** A Noise key and the newest version of the protocol that its owner speaks. */
export const versionedNoiseKeySchema = struct({ supported_version: u8, x25519_pubkey: publicKey })
