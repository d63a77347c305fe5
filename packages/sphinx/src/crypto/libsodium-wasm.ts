/**
 * The crypto provider on libsodium compiled to WebAssembly: runs in browsers and wherever sodium-native has no binary.
 * Its functions are called on the bare module, without the official wrappers, which would allocate and copy on every call
 * and add their size to a web page; one fixed piece of the module's memory is the place for arguments and results.
 * libsodium's standard build has neither plain HMAC-SHA256 nor plain ChaCha20, and no build has AES-CTR: these come from
 * our own module and from noble.
 */
import { MixError } from '@mixwright/runtime'
import { ctr } from '@noble/ciphers/aes.js'
import { chacha20orig } from '@noble/ciphers/chacha.js'
import libsodium, { type SodiumModule, type Word } from 'libsodium'
import { KdfSha256 } from './kdf-sha256.js'
import { WASM } from './kdf-sha256.wasm.js'
import { requireLength } from './length.js'
import type { CryptoProvider } from './provider.js'

/** Room for keys, points, signatures and digests: the first bytes of the fixed piece of memory. */
const SMALL_BYTES = 512
/** Room for data: the largest payload (32785 bytes) and some. */
const DATA_BYTES = 65536 - SMALL_BYTES

const ZERO_COUNTER = new Uint8Array(16)
const ZERO_NONCE = new Uint8Array(8)

/**
 * `sodium_init` is not called: it chooses between implementations, of which this build has one of each, and readies
 * libsodium's own randomness, which is never used here.
 */
export async function libsodiumWasm(): Promise<CryptoProvider> {
  return new LibsodiumWasm(await libsodium())
}

class LibsodiumWasm implements CryptoProvider {
  readonly name = 'libsodium-wasm'
  readonly #module: SodiumModule
  readonly #kdf = new KdfSha256(WASM)
  /** Fixed places: three small ones of 64 bytes, and data. */
  readonly #a: Word
  readonly #b: Word
  readonly #c: Word
  readonly #data: Word

  constructor(module: SodiumModule) {
    this.#module = module
    const base = module._malloc(SMALL_BYTES + DATA_BYTES)
    if (base === 0) throw new Error('no memory for the crypto provider')
    this.#a = base
    this.#b = base + 64
    this.#c = base + 128
    this.#data = base + SMALL_BYTES
  }

  x25519(scalar: Uint8Array, point: Uint8Array): Uint8Array | undefined {
    requireLength(scalar, 32)
    requireLength(point, 32)
    this.#put(scalar, this.#b)
    this.#put(point, this.#c)
    if (this.#module._crypto_scalarmult(this.#a, this.#b, this.#c) !== 0) return undefined
    return this.#take(this.#a, 32)
  }

  x25519Base(scalar: Uint8Array): Uint8Array {
    requireLength(scalar, 32)
    this.#put(scalar, this.#b)
    this.#module._crypto_scalarmult_base(this.#a, this.#b)
    return this.#take(this.#a, 32)
  }

  ed25519PublicKey(seed: Uint8Array): Uint8Array {
    this.#signingKeys(seed)
    this.#module.HEAPU8.fill(0, this.#c, this.#c + 64)
    return this.#take(this.#b, 32)
  }

  ed25519Sign(message: Uint8Array, seed: Uint8Array): Uint8Array {
    this.#signingKeys(seed)
    this.#lend(message, (at) => this.#module._crypto_sign_detached(this.#a, 0, at, message.length, 0, this.#c))
    this.#module.HEAPU8.fill(0, this.#c, this.#c + 64)
    return this.#take(this.#a, 64)
  }

  ed25519Verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
    if (signature.length !== 64 || publicKey.length !== 32) return false
    this.#put(signature, this.#a)
    this.#put(publicKey, this.#b)
    const verify = (at: Word) => this.#module._crypto_sign_verify_detached(this.#a, at, message.length, 0, this.#b)
    return this.#lend(message, verify) === 0
  }

  hopKeys(sharedSecrets: readonly Uint8Array[], length: number): Uint8Array[] {
    return this.#kdf.hopKeys(sharedSecrets, length)
  }

  payloadKeys(seeds: readonly Uint8Array[]): Uint8Array[] {
    return this.#kdf.payloadKeys(seeds)
  }

  hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
    return this.#kdf.hmac([key], [message])[0]!
  }

  hmacSha256Each(keys: readonly Uint8Array[], messages: readonly Uint8Array[]): Uint8Array[] {
    return this.#kdf.hmac(keys, messages)
  }

  aes128Ctr(key: Uint8Array, data: Uint8Array): Uint8Array {
    return ctr(key, ZERO_COUNTER).encrypt(data)
  }

  chacha20Xor(key: Uint8Array, data: Uint8Array): void {
    chacha20orig(key, ZERO_NONCE, data, data)
  }

  blake2bKeyed(key: Uint8Array, data: Uint8Array, out: Uint8Array): void {
    this.#room(data.length)
    this.#put(key, this.#b)
    this.#put(data, this.#data)
    this.#module._crypto_generichash(this.#a, 32, this.#data, data.length, 0, this.#b, key.length)
    out.set(this.#module.HEAPU8.subarray(this.#a, this.#a + 32))
  }

  /** Signed messages are of any length: each gets memory of its own for as long as the call takes. */
  #lend(message: Uint8Array, use: (at: Word) => number): number {
    const at = this.#module._malloc(message.length)
    if (at === 0) throw new Error('no memory for a signed message')
    this.#put(message, at)
    const status = use(at)
    this.#module._free(at)
    return status
  }

  /** The key pair of a 32-byte seed: the public key at `b`, the secret one of 64 bytes at `c`. */
  #signingKeys(seed: Uint8Array): void {
    requireLength(seed, 32)
    this.#put(seed, this.#a)
    this.#module._crypto_sign_seed_keypair(this.#b, this.#c, this.#a)
  }

  #put(bytes: Uint8Array, at: Word): void {
    this.#module.HEAPU8.set(bytes, at)
  }

  #take(at: Word, length: number): Uint8Array {
    return this.#module.HEAPU8.slice(at, at + length)
  }

  /** Sphinx never asks for more; whoever does must not write past the fixed piece. */
  #room(bytes: number): void {
    if (bytes > DATA_BYTES)
      throw new MixError('MIX_CRYPTO_LENGTH', `the crypto provider takes at most ${DATA_BYTES} bytes at once`, {
        kind: 'bug',
        data: { bytes, limit: DATA_BYTES },
      })
  }
}
