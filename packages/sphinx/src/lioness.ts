/**
 * LIONESS, the wide-block cipher of the payload (01-sphinx §7.3): a block of any length above 32 bytes, where a change
 * of one bit changes all of it. Left half L 32 bytes, right half R the rest; S is ChaCha20, H is keyed BLAKE2b.
 */
import type { CryptoProvider } from './crypto/provider.js'

const LEFT_BYTES = 32

/** Encrypt `block` (33 bytes or more) in place with a 192-byte key. */
export function lionessEncrypt(crypto: CryptoProvider, key: Uint8Array, block: Uint8Array): void {
  const left = block.subarray(0, LEFT_BYTES)
  const right = block.subarray(LEFT_BYTES)
  applyStream(crypto, key.subarray(0, 32), left, right)
  applyHash(crypto, key.subarray(32, 96), left, right)
  applyStream(crypto, key.subarray(96, 128), left, right)
  applyHash(crypto, key.subarray(128, 192), left, right)
}

/** Decrypt `block` (33 bytes or more) in place with a 192-byte key. */
export function lionessDecrypt(crypto: CryptoProvider, key: Uint8Array, block: Uint8Array): void {
  const left = block.subarray(0, LEFT_BYTES)
  const right = block.subarray(LEFT_BYTES)
  applyHash(crypto, key.subarray(128, 192), left, right)
  applyStream(crypto, key.subarray(96, 128), left, right)
  applyHash(crypto, key.subarray(32, 96), left, right)
  applyStream(crypto, key.subarray(0, 32), left, right)
}

/** Every call is synchronous and fills all 32 bytes before it reads them, so these serve all calls. */
const streamKey = new Uint8Array(LEFT_BYTES)
const digest = new Uint8Array(LEFT_BYTES)

/** R ^= S(L ^ K) */
function applyStream(crypto: CryptoProvider, key: Uint8Array, left: Uint8Array, right: Uint8Array): void {
  for (let i = 0; i < LEFT_BYTES; i++) streamKey[i] = left[i]! ^ key[i]!
  crypto.chacha20Xor(streamKey, right)
}

/** L ^= H(K, R) */
function applyHash(crypto: CryptoProvider, key: Uint8Array, left: Uint8Array, right: Uint8Array): void {
  crypto.blake2bKeyed(key, right, digest)
  for (let i = 0; i < LEFT_BYTES; i++) left[i]! ^= digest[i]!
}
