/** A network that is told once and never changes: for benchmarks and tests of single nodes. */
import type { NetworkSource, NetworkTopology, RotationInfo } from './network-source.js'
import type { ListedPeer } from './network-view.js'

export class StaticSource implements NetworkSource {
  readonly #peers: readonly ListedPeer[]
  readonly #rotationId: number

  /** One epoch of a thousand years, in the rotation of this id. */
  constructor(peers: readonly ListedPeer[], rotationId = 0) {
    this.#peers = peers
    this.#rotationId = rotationId
  }

  async keyRotation(): Promise<RotationInfo> {
    const epochMs = 1000 * 365 * 24 * 3_600_000
    return { validityEpochs: 3, initialEpochId: 0, epochMs, epochId: 3 * this.#rotationId, epochStartMs: 0 }
  }

  async topology(): Promise<NetworkTopology> {
    return { peers: this.#peers, routable: true }
  }

  async known(ips: readonly string[]): Promise<ReadonlySet<string>> {
    return new Set(ips.filter((ip) => this.#peers.some(({ ipAddresses }) => ipAddresses.includes(ip))))
  }

  async announce(): Promise<void> {}
}
