/** The crypto provider in plain JavaScript, of the noble libraries: slow, runs everywhere, the oracle of the tests. */
import { ctr } from '@noble/ciphers/aes.js'
import { chacha20orig } from '@noble/ciphers/chacha.js'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { blake2b } from '@noble/hashes/blake2.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { HOP_KEYS, type KdfLabel, PAYLOAD_KEY } from './kdf-labels.js'
import { requireLength } from './length.js'
import type { CryptoProvider } from './provider.js'

const ZERO_COUNTER = new Uint8Array(16)
const ZERO_NONCE = new Uint8Array(8)

export function noble(): CryptoProvider {
  return {
    name: 'noble',
    x25519(scalar, point) {
      requireLength(scalar, 32)
      requireLength(point, 32)
      try {
        return x25519.getSharedSecret(scalar, point)
      } catch {
        return undefined
      }
    },
    x25519Base(scalar) {
      requireLength(scalar, 32)
      return x25519.getPublicKey(scalar)
    },
    ed25519PublicKey(seed) {
      requireLength(seed, 32)
      return ed25519.getPublicKey(seed)
    },
    ed25519Sign(message, seed) {
      requireLength(seed, 32)
      return ed25519.sign(message, seed)
    },
    ed25519Verify(signature, message, publicKey) {
      try {
        return ed25519.verify(signature, message, publicKey, { zip215: false })
      } catch {
        return false
      }
    },
    hopKeys: (sharedSecrets, length) => sharedSecrets.map((secret) => derive(secret, HOP_KEYS, length)),
    payloadKeys: (seeds) => seeds.map((seed) => derive(seed, PAYLOAD_KEY, PAYLOAD_KEY.outputBytes)),
    hmacSha256: (key, message) => hmac(sha256, key, message),
    hmacSha256Each: (keys, messages) => keys.map((key, index) => hmac(sha256, key, messages[index]!)),
    aes128Ctr: (key, data) => ctr(key, ZERO_COUNTER).encrypt(data),
    chacha20Xor: (key, data) => data.set(chacha20orig(key, ZERO_NONCE, data)),
    blake2bKeyed: (key, data, out) => out.set(blake2b(data, { key, dkLen: 32 })),
  }
}

function derive(keyMaterial: Uint8Array, { salt, info }: KdfLabel, length: number): Uint8Array {
  return hkdf(sha256, keyMaterial, salt, info, length)
}
