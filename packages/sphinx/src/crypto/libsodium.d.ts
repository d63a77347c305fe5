/** The part of npm's `libsodium`, which brings no types, that is used: the compiled module without its wrappers. */
declare module 'libsodium' {
  /** Address in the module's memory, or a count of bytes there. 64-bit lengths are passed as low and high word. */
  export type Word = number

  /** Each function gives 0 or a status. */
  export interface SodiumModule {
    /** A view of the whole memory; another object after the memory has grown. */
    readonly HEAPU8: Uint8Array
    /** Gives 0 when there is no memory. */
    _malloc(bytes: Word): Word
    _free(at: Word): void
    _crypto_scalarmult(out: Word, scalar: Word, point: Word): number
    _crypto_scalarmult_base(out: Word, scalar: Word): number
    _crypto_sign_seed_keypair(publicKey: Word, secretKey: Word, seed: Word): number
    _crypto_sign_detached(out: Word, outLength: Word, data: Word, low: Word, high: Word, secretKey: Word): number
    _crypto_sign_verify_detached(signature: Word, data: Word, low: Word, high: Word, publicKey: Word): number
    _crypto_generichash(
      out: Word,
      outLength: Word,
      data: Word,
      low: Word,
      high: Word,
      key: Word,
      keyLength: Word,
    ): number
  }

  /** A new instance, with a memory of its own. */
  export default function libsodium(): Promise<SodiumModule>
}
