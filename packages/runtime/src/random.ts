/**
 * Randomness as a thing that code is handed. `SystemRandom` is the operating system's generator;
 * `SeededRandom` replays the same bytes for the same seed and protects nobody.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes, utf8 } from './bytes.js'

export interface Random {
  /** `length` fresh random bytes. */
  bytes(length: number): Uint8Array
  /** An independent stream. Seeded: the same label gives the same stream. */
  fork(label: string): Random
}

/** Largest request that the Web Crypto interface answers at once, bytes. */
const SYSTEM_LIMIT = 65536

/** The operating system's generator, read in blocks because each call is dear. Handed-out bytes are wiped from the block. */
export class SystemRandom implements Random {
  readonly #block = new Uint8Array(4096)
  #used = this.#block.length

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length)
    if (length > this.#block.length / 4) {
      for (let at = 0; at < length; at += SYSTEM_LIMIT)
        crypto.getRandomValues(out.subarray(at, Math.min(length, at + SYSTEM_LIMIT)))
      return out
    }
    if (this.#used + length > this.#block.length) {
      crypto.getRandomValues(this.#block)
      this.#used = 0
    }
    out.set(this.#block.subarray(this.#used, this.#used + length))
    this.#block.fill(0, this.#used, this.#used + length)
    this.#used += length
    return out
  }

  fork(_label: string): Random {
    return this
  }
}

/** SHA-256 in counter mode over a seed: the same seed gives the same bytes for ever. Tests and `--seed` only. */
export class SeededRandom implements Random {
  readonly #key: Uint8Array
  #counter = 0n
  #block = new Uint8Array(0)

  constructor(seed: string | Uint8Array) {
    this.#key = sha256(concatBytes(utf8('mixwright seeded random v1\0'), typeof seed === 'string' ? utf8(seed) : seed))
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length)
    let filled = 0
    while (filled < length) {
      if (this.#block.length === 0) this.#block = this.#nextBlock()
      const take = Math.min(this.#block.length, length - filled)
      out.set(this.#block.subarray(0, take), filled)
      this.#block = this.#block.subarray(take)
      filled += take
    }
    return out
  }

  fork(label: string): Random {
    return new SeededRandom(concatBytes(this.#key, utf8(label)))
  }

  #nextBlock(): Uint8Array<ArrayBuffer> {
    const counter = new Uint8Array(8)
    new DataView(counter.buffer).setBigUint64(0, this.#counter++)
    return Uint8Array.from(sha256(concatBytes(this.#key, counter)))
  }
}

/** A float in [0, 1) with 53 random bits. */
export function uniform(random: Random): number {
  const b = random.bytes(7)
  const high = ((b[0]! & 0x1f) << 16) | (b[1]! << 8) | b[2]!
  const low = ((b[3]! << 24) | (b[4]! << 16) | (b[5]! << 8) | b[6]!) >>> 0
  return (high * 0x1_0000_0000 + low) / 2 ** 53
}

/** A new array with the items in uniformly random order (Fisher–Yates). */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const out = [...items]
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(uniform(random) * (i + 1))
    ;[out[i], out[j]] = [out[j]!, out[i]!]
  }
  return out
}
