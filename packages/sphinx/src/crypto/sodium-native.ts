/**
 * The crypto provider on sodium-native, the fastest: libsodium compiled to machine code for curves, ChaCha20 and
 * BLAKE2b, our WebAssembly module for HMAC and HKDF, node:crypto for AES. Node.js only, the one file of this package that is.
 */
import { createCipheriv } from 'node:crypto'
import { createRequire } from 'node:module'
import { KdfSha256 } from './kdf-sha256.js'
import { WASM } from './kdf-sha256-simd.wasm.js'
import { requireLength } from './length.js'
import type { CryptoProvider } from './provider.js'

/** The part of sodium-native that is used. Each throws on a wrong length and on a status other than 0. */
interface SodiumNative {
  crypto_scalarmult(out: Uint8Array, scalar: Uint8Array, point: Uint8Array): void
  crypto_scalarmult_base(out: Uint8Array, scalar: Uint8Array): void
  crypto_sign_seed_keypair(publicKey: Uint8Array, secretKey: Uint8Array, seed: Uint8Array): void
  crypto_sign_detached(signature: Uint8Array, message: Uint8Array, secretKey: Uint8Array): void
  crypto_sign_verify_detached(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean
  crypto_stream_chacha20_xor(out: Uint8Array, data: Uint8Array, nonce: Uint8Array, key: Uint8Array): void
  crypto_generichash(out: Uint8Array, data: Uint8Array, key: Uint8Array): void
}

const ZERO_COUNTER = new Uint8Array(16)
const ZERO_NONCE = new Uint8Array(8)

/** Throws where sodium-native has no binary for this machine or is not installed. */
export function sodiumNative(): CryptoProvider {
  const sodium = createRequire(import.meta.url)('sodium-native') as SodiumNative
  const kdf = new KdfSha256(WASM)
  // A short array that native code has seen costs the engine more than the copy out of one that stays.
  const product = new Uint8Array(32)

  const keyPair = (seed: Uint8Array) => {
    requireLength(seed, 32)
    const publicKey = new Uint8Array(32)
    const secretKey = new Uint8Array(64)
    sodium.crypto_sign_seed_keypair(publicKey, secretKey, seed)
    return { publicKey, secretKey }
  }

  return {
    name: 'sodium-native',
    x25519(scalar, point) {
      requireLength(scalar, 32)
      requireLength(point, 32)
      try {
        sodium.crypto_scalarmult(product, scalar, point)
      } catch {
        return undefined
      }
      const out = new Uint8Array(product)
      product.fill(0)
      return out
    },
    x25519Base(scalar) {
      requireLength(scalar, 32)
      const out = new Uint8Array(32)
      sodium.crypto_scalarmult_base(out, scalar)
      return out
    },
    ed25519PublicKey: (seed) => keyPair(seed).publicKey,
    ed25519Sign(message, seed) {
      const signature = new Uint8Array(64)
      const { secretKey } = keyPair(seed)
      sodium.crypto_sign_detached(signature, message, secretKey)
      secretKey.fill(0)
      return signature
    },
    ed25519Verify(signature, message, publicKey) {
      if (signature.length !== 64 || publicKey.length !== 32) return false
      return sodium.crypto_sign_verify_detached(signature, message, publicKey)
    },
    hopKeys: (sharedSecrets, length) => kdf.hopKeys(sharedSecrets, length),
    payloadKeys: (seeds) => kdf.payloadKeys(seeds),
    hmacSha256: (key, message) => kdf.hmac([key], [message])[0]!,
    hmacSha256Each: (keys, messages) => kdf.hmac(keys, messages),
    aes128Ctr: (key, data) => createCipheriv('aes-128-ctr', key, ZERO_COUNTER).update(data),
    chacha20Xor: (key, data) => sodium.crypto_stream_chacha20_xor(data, data, ZERO_NONCE, key),
    blake2bKeyed: (key, data, out) => sodium.crypto_generichash(out, data, key),
  }
}
