/**
 * The crypto provider on libsodium compiled to WebAssembly: runs in browsers and wherever sodium-native has no binary.
 * The wrapper's functions allocate and copy on every call, so the hot ones are called on the module underneath,
 * with one fixed piece of its memory as the place for arguments and results. AES, which libsodium has not for this
 * mode, comes from noble.
 */
import { MixError } from '@mixwright/runtime'
import { ctr } from '@noble/ciphers/aes.js'
import { HOP_KEYS, type KdfLabel, PAYLOAD_KEY } from './kdf-labels.js'
import { requireLength } from './length.js'
import type { CryptoProvider } from './provider.js'

/** Address in the module's memory, or a count of bytes there. 64-bit lengths are passed as low and high word. */
type Word = number

/** The functions of the compiled module that are used; each gives 0 or a status. */
interface SodiumModule {
  /** A view of the whole memory; another object after the memory has grown. */
  readonly HEAPU8: Uint8Array
  _malloc(bytes: Word): Word
  _crypto_scalarmult(out: Word, scalar: Word, point: Word): number
  _crypto_scalarmult_base(out: Word, scalar: Word): number
  _crypto_stream_chacha20_xor(out: Word, data: Word, low: Word, high: Word, nonce: Word, key: Word): number
  _crypto_generichash(out: Word, outLength: Word, data: Word, low: Word, high: Word, key: Word, keyLength: Word): number
  _crypto_auth_hmacsha256(out: Word, data: Word, low: Word, high: Word, key: Word): number
  _crypto_kdf_hkdf_sha256_extract(out: Word, salt: Word, saltLength: Word, data: Word, length: Word): number
  _crypto_kdf_hkdf_sha256_expand(out: Word, outLength: Word, info: Word, infoLength: Word, key: Word): number
}

/** Room for keys, points and digests: the first bytes of the fixed piece of memory. */
const SMALL_BYTES = 512
/** Room for data: the largest payload (32785 bytes) and some. */
const DATA_BYTES = 65536 - SMALL_BYTES

const ZERO_COUNTER = new Uint8Array(16)

export async function libsodiumWasm(): Promise<CryptoProvider> {
  const { default: sodium } = await import('libsodium-wrappers-sumo')
  await sodium.ready
  const found = (sodium as unknown as { libsodium?: SodiumModule }).libsodium
  if (typeof found?._malloc !== 'function') throw new Error('libsodium-wrappers-sumo hides its module')
  return new LibsodiumWasm(sodium, found)
}

type Sodium = typeof import('libsodium-wrappers-sumo').default

class LibsodiumWasm implements CryptoProvider {
  readonly name = 'libsodium-wasm'
  readonly #sodium: Sodium
  readonly #module: SodiumModule
  /** Fixed places: three small ones of 64 bytes, eight zero bytes, room for derived bytes, and data. */
  readonly #a: Word
  readonly #b: Word
  readonly #c: Word
  readonly #zeroNonce: Word
  readonly #data: Word

  constructor(sodium: Sodium, module: SodiumModule) {
    this.#sodium = sodium
    this.#module = module
    const base = module._malloc(SMALL_BYTES + DATA_BYTES)
    if (base === 0) throw new Error('no memory for the crypto provider')
    module.HEAPU8.fill(0, base, base + SMALL_BYTES)
    this.#a = base
    this.#b = base + 64
    this.#c = base + 128
    this.#zeroNonce = base + 192
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
    requireLength(seed, 32)
    return this.#sodium.crypto_sign_seed_keypair(seed).publicKey
  }

  ed25519Sign(message: Uint8Array, seed: Uint8Array): Uint8Array {
    requireLength(seed, 32)
    return this.#sodium.crypto_sign_detached(message, this.#sodium.crypto_sign_seed_keypair(seed).privateKey)
  }

  ed25519Verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
    if (signature.length !== 64 || publicKey.length !== 32) return false
    return this.#sodium.crypto_sign_verify_detached(signature, message, publicKey)
  }

  hopKeys(sharedSecret: Uint8Array, length: number): Uint8Array {
    return this.#derive(sharedSecret, HOP_KEYS, length)
  }

  payloadKey(seed: Uint8Array): Uint8Array {
    return this.#derive(seed, PAYLOAD_KEY, PAYLOAD_KEY.outputBytes)
  }

  hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
    this.#room(message.length)
    // HMAC pads its key with zeros, so a shorter key is the same as that key zero-padded to libsodium's 32 bytes.
    this.#module.HEAPU8.fill(0, this.#b, this.#b + 32)
    this.#put(key, this.#b)
    this.#put(message, this.#data)
    this.#module._crypto_auth_hmacsha256(this.#a, this.#data, message.length, 0, this.#b)
    return this.#take(this.#a, 32)
  }

  aes128Ctr(key: Uint8Array, data: Uint8Array): Uint8Array {
    return ctr(key, ZERO_COUNTER).encrypt(data)
  }

  chacha20Xor(key: Uint8Array, data: Uint8Array): void {
    this.#room(data.length)
    this.#put(key, this.#b)
    this.#put(data, this.#data)
    this.#module._crypto_stream_chacha20_xor(this.#data, this.#data, data.length, 0, this.#zeroNonce, this.#b)
    data.set(this.#module.HEAPU8.subarray(this.#data, this.#data + data.length))
  }

  blake2bKeyed(key: Uint8Array, data: Uint8Array, out: Uint8Array): void {
    this.#room(data.length)
    this.#put(key, this.#b)
    this.#put(data, this.#data)
    this.#module._crypto_generichash(this.#a, 32, this.#data, data.length, 0, this.#b, key.length)
    out.set(this.#module.HEAPU8.subarray(this.#a, this.#a + 32))
  }

  #derive(keyMaterial: Uint8Array, { salt, info }: KdfLabel, length: number): Uint8Array {
    const at = this.#data
    const out = at + salt.length + keyMaterial.length + info.length
    this.#put(salt, at)
    this.#put(keyMaterial, at + salt.length)
    this.#put(info, out - info.length)
    this.#module._crypto_kdf_hkdf_sha256_extract(this.#a, at, salt.length, at + salt.length, keyMaterial.length)
    this.#module._crypto_kdf_hkdf_sha256_expand(out, length, out - info.length, info.length, this.#a)
    return this.#take(out, length)
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
