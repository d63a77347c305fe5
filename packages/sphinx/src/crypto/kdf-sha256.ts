/**
 * HMAC-SHA256 and Sphinx's two HKDF-SHA256 derivations in a small WebAssembly module of our own (`wasm/kdf-sha256.as`), for
 * the providers on libsodium. The module with SIMD hashes four messages at once, so everything comes in lists. The tests hold
 * both to the RFC's vectors and to the other providers.
 */
import { MixError } from '@mixwright/runtime'
import { HOP_KEYS, type KdfLabel, PAYLOAD_KEY } from './kdf-labels.js'
import { requireLength } from './length.js'

interface KdfModule {
  readonly memory: { readonly buffer: ArrayBuffer }
  /** Messages that it can hash at once, 1 or 4. */
  readonly LANES: { readonly value: number }
  /** Where arguments are written, 2048 bytes for each lane. */
  readonly INPUT: { readonly value: number }
  /** Where results are read, 288 bytes for each lane. */
  readonly OUTPUT: { readonly value: number }
  hmac(lanes: number, keyBytes: number, messageBytes: number): void
  prepare(slot: number, saltBytes: number, infoBytes: number, outputBlocks: number): void
  derive(lanes: number, slot: number, keyMaterialBytes: number, outputBlocks: number): void
}

/** The part of the standard interface that is used; the type library of browsers is not loaded here. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { readonly exports: unknown }
}

const DIGEST_BYTES = 32
const LANE_INPUT_BYTES = 2048
const LANE_OUTPUT_BYTES = 288
/** Room in a lane without the longest key (64) and the hash's padding (72). */
const MAX_MESSAGE_BYTES = LANE_INPUT_BYTES - 64 - 72
const MAX_KEY_BYTES = 64
/** One hash block without its padding. */
const MAX_KEY_MATERIAL_BYTES = 55
/** All lanes together cost as much as two messages one after the other. */
const FEWEST_FOR_LANES = 3
const HOP_SLOT = 0
const PAYLOAD_SLOT = 1

export class KdfSha256 {
  readonly #module: KdfModule
  readonly #lanes: number
  /** The module's whole memory; it never grows. */
  readonly #memory: Uint8Array
  readonly #input: number
  readonly #output: number

  /** `wasm`: one of the two modules, base64. Other labels are for tests: salt at most 64 bytes, info at most 110, output at most 288. */
  constructor(wasm: string, hopKeys: KdfLabel = HOP_KEYS, payloadKey: KdfLabel = PAYLOAD_KEY) {
    const bytes = Uint8Array.from(atob(wasm), (character) => character.charCodeAt(0))
    this.#module = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as KdfModule
    this.#memory = new Uint8Array(this.#module.memory.buffer)
    this.#lanes = this.#module.LANES.value
    this.#input = this.#module.INPUT.value
    this.#output = this.#module.OUTPUT.value
    this.#prepare(HOP_SLOT, hopKeys)
    this.#prepare(PAYLOAD_SLOT, payloadKey)
  }

  /**
   * HMAC-SHA256, 32 bytes, of each message with the key in its place. Keys of one length, at most 64 bytes; messages of one
   * length, at most 1912.
   */
  hmac(keys: readonly Uint8Array[], messages: readonly Uint8Array[]): Uint8Array[] {
    const keyBytes = keys[0]?.length ?? 0
    const messageBytes = messages[0]?.length ?? 0
    requireAtMost(keyBytes, MAX_KEY_BYTES)
    requireAtMost(messageBytes, MAX_MESSAGE_BYTES)
    return this.#each(
      keys.length,
      DIGEST_BYTES,
      (index, at) => {
        this.#put(keys[index]!, keyBytes, at)
        this.#put(messages[index]!, messageBytes, at + keyBytes)
      },
      (lanes) => this.#module.hmac(lanes, keyBytes, messageBytes),
    )
  }

  /** The first `length` of 288 bytes of hop keys, of each shared secret. */
  hopKeys(sharedSecrets: readonly Uint8Array[], length: number): Uint8Array[] {
    return this.#derive(HOP_SLOT, sharedSecrets, Math.min(length, HOP_KEYS.outputBytes))
  }

  /** 192 bytes of payload key, of each seed. */
  payloadKeys(seeds: readonly Uint8Array[]): Uint8Array[] {
    return this.#derive(PAYLOAD_SLOT, seeds, PAYLOAD_KEY.outputBytes)
  }

  #prepare(slot: number, { salt, info, outputBytes }: KdfLabel): void {
    this.#memory.set(salt, this.#input)
    this.#memory.set(info, this.#input + salt.length)
    this.#module.prepare(slot, salt.length, info.length, Math.ceil(outputBytes / DIGEST_BYTES))
  }

  #derive(slot: number, keyMaterials: readonly Uint8Array[], outputBytes: number): Uint8Array[] {
    const bytes = keyMaterials[0]?.length ?? 0
    requireAtMost(bytes, MAX_KEY_MATERIAL_BYTES)
    const outputBlocks = Math.ceil(outputBytes / DIGEST_BYTES)
    return this.#each(
      keyMaterials.length,
      outputBytes,
      (index, at) => this.#put(keyMaterials[index]!, bytes, at),
      (lanes) => this.#module.derive(lanes, slot, bytes, outputBlocks),
    )
  }

  /** `count` results of `bytes`: `put` writes the arguments of one of them to a place, `run` works on one lane or on all. */
  #each(
    count: number,
    bytes: number,
    put: (index: number, at: number) => void,
    run: (lanes: number) => void,
  ): Uint8Array[] {
    const results: Uint8Array[] = []
    while (results.length < count) {
      const left = count - results.length
      const taken = left < FEWEST_FOR_LANES ? 1 : Math.min(left, this.#lanes)
      for (let lane = 0; lane < taken; lane++) put(results.length + lane, this.#input + lane * LANE_INPUT_BYTES)
      run(taken === 1 ? 1 : this.#lanes)
      // Views into one copy: a new array costs more than its bytes.
      const copy = this.#memory.slice(this.#output, this.#output + (taken - 1) * LANE_OUTPUT_BYTES + bytes)
      if (taken === 1) results.push(copy)
      else for (let at = 0; at < copy.length; at += LANE_OUTPUT_BYTES) results.push(copy.subarray(at, at + bytes))
    }
    return results
  }

  #put(argument: Uint8Array, bytes: number, at: number): void {
    requireLength(argument, bytes)
    this.#memory.set(argument, at)
  }
}

function requireAtMost(bytes: number, limit: number): void {
  if (bytes > limit)
    throw new MixError('MIX_CRYPTO_LENGTH', `at most ${limit} bytes fit`, { kind: 'bug', data: { bytes, limit } })
}
