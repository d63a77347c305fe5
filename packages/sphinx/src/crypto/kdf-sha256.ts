/**
 * HMAC-SHA256 and Sphinx's two HKDF-SHA256 derivations in a small WebAssembly module of our own (`wasm/kdf-sha256.as`),
 * for the provider on sodium-native. The tests hold it to the RFC's vectors and to the other providers.
 */
import { MixError } from '@mixwright/runtime'
import { HOP_KEYS, type KdfLabel, PAYLOAD_KEY } from './kdf-labels.js'
import { KDF_SHA256_WASM } from './kdf-sha256.wasm.js'

interface KdfModule {
  readonly memory: { readonly buffer: ArrayBuffer }
  /** Where arguments are written, 2048 bytes. */
  readonly INPUT: { readonly value: number }
  /** Where results are read. */
  readonly OUTPUT: { readonly value: number }
  hmac(keyBytes: number, messageBytes: number): void
  prepare(slot: number, saltBytes: number, infoBytes: number, outputBlocks: number): void
  derive(slot: number, keyMaterialBytes: number, outputBlocks: number): void
}

/** The part of the standard interface that is used; the type library of browsers is not loaded here. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { readonly exports: unknown }
}

const DIGEST_BYTES = 32
/** Room at INPUT without the longest key (64) and the hash's padding (72). */
const MAX_MESSAGE_BYTES = 2048 - 64 - 72
const MAX_KEY_BYTES = 64
/** One hash block without its padding. */
const MAX_KEY_MATERIAL_BYTES = 55
const HOP_SLOT = 0
const PAYLOAD_SLOT = 1

export class KdfSha256 {
  readonly #module: KdfModule
  /** The module's whole memory; it never grows. */
  readonly #memory: Uint8Array
  readonly #input: number
  readonly #output: number

  /** Other labels are for tests: salt at most 64 bytes, info at most 110, output at most 288. */
  constructor(hopKeys: KdfLabel = HOP_KEYS, payloadKey: KdfLabel = PAYLOAD_KEY) {
    const bytes = Uint8Array.from(atob(KDF_SHA256_WASM), (character) => character.charCodeAt(0))
    this.#module = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as KdfModule
    this.#memory = new Uint8Array(this.#module.memory.buffer)
    this.#input = this.#module.INPUT.value
    this.#output = this.#module.OUTPUT.value
    this.#prepare(HOP_SLOT, hopKeys)
    this.#prepare(PAYLOAD_SLOT, payloadKey)
  }

  /** HMAC-SHA256, 32 bytes. Key at most 64 bytes, message at most 1912. */
  hmac(key: Uint8Array, message: Uint8Array): Uint8Array {
    requireAtMost(key.length, MAX_KEY_BYTES)
    requireAtMost(message.length, MAX_MESSAGE_BYTES)
    this.#memory.set(key, this.#input)
    this.#memory.set(message, this.#input + key.length)
    this.#module.hmac(key.length, message.length)
    return this.#result(DIGEST_BYTES)
  }

  /** The first `length` of 288 bytes of hop keys. */
  hopKeys(sharedSecret: Uint8Array, length: number): Uint8Array {
    return this.#derive(HOP_SLOT, sharedSecret, Math.min(length, HOP_KEYS.outputBytes))
  }

  /** 192 bytes of payload key. */
  payloadKey(seed: Uint8Array): Uint8Array {
    return this.#derive(PAYLOAD_SLOT, seed, PAYLOAD_KEY.outputBytes)
  }

  #prepare(slot: number, { salt, info, outputBytes }: KdfLabel): void {
    this.#memory.set(salt, this.#input)
    this.#memory.set(info, this.#input + salt.length)
    this.#module.prepare(slot, salt.length, info.length, Math.ceil(outputBytes / DIGEST_BYTES))
  }

  #derive(slot: number, keyMaterial: Uint8Array, outputBytes: number): Uint8Array {
    requireAtMost(keyMaterial.length, MAX_KEY_MATERIAL_BYTES)
    this.#memory.set(keyMaterial, this.#input)
    this.#module.derive(slot, keyMaterial.length, Math.ceil(outputBytes / DIGEST_BYTES))
    return this.#result(outputBytes)
  }

  #result(bytes: number): Uint8Array {
    return this.#memory.slice(this.#output, this.#output + bytes)
  }
}

function requireAtMost(bytes: number, limit: number): void {
  if (bytes > limit)
    throw new MixError('MIX_CRYPTO_LENGTH', `at most ${limit} bytes fit`, { kind: 'bug', data: { bytes, limit } })
}
