/**
 * The floor of a mix node's work: two bare X25519 of the native provider, which no forwarded packet can do without
 * (05-mixnode §18.1). CPU time of the whole process, so it must do nothing else meanwhile.
 */
import type { CryptoProvider } from '@mixwright/sphinx'
import { median } from './statistics.js'

const PAIRS = 1000

export class Floor {
  readonly #crypto: CryptoProvider
  readonly #secret: Uint8Array
  readonly #point: Uint8Array
  readonly #samples: number[] = []

  constructor(crypto: CryptoProvider) {
    this.#crypto = crypto
    this.#secret = new Uint8Array(32).fill(7)
    this.#point = crypto.x25519Base(this.#secret)
    this.#pairs()
  }

  /** Measure now: between two rows, so that the floor sees the same machine as they do. */
  sample(): void {
    for (let round = 0; round < 3; round++) this.#samples.push(this.#pairs())
  }

  /** Microseconds of CPU for two multiplications: the median of all samples. */
  get micros(): number {
    return median(this.#samples)
  }

  #pairs(): number {
    const start = process.cpuUsage()
    for (let i = 0; i < PAIRS; i++) {
      this.#crypto.x25519(this.#secret, this.#point)
      this.#crypto.x25519(this.#secret, this.#point)
    }
    const { user, system } = process.cpuUsage(start)
    return (user + system) / PAIRS
  }
}
