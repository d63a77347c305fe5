/**
 * The network as its authorities sign it, also before they have signed anything: a document lists nodes, and nodes need Sphinx
 * keys to be listed, made for the rotation that runs. So until the first verified document, and for the rotation alone, the
 * unsigned schedule of a directory is believed. Who forges it can keep this node out, which he could by silence too.
 */
import type { NetworkSource, NetworkTopology, RotationInfo } from './network-source.js'

export class FoundingNetwork implements NetworkSource {
  readonly #signed: NetworkSource
  readonly #unsigned: Pick<NetworkSource, 'keyRotation'>
  #founded = false

  constructor(signed: NetworkSource, unsigned: Pick<NetworkSource, 'keyRotation'>) {
    this.#signed = signed
    this.#unsigned = unsigned
  }

  async keyRotation(): Promise<RotationInfo> {
    try {
      const info = await this.#signed.keyRotation()
      this.#founded = true
      return info
    } catch (error) {
      if (this.#founded) throw error
      return this.#unsigned.keyRotation()
    }
  }

  async topology(): Promise<NetworkTopology> {
    const topology = await this.#signed.topology()
    this.#founded = true
    return topology
  }

  known(ips: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#signed.known(ips)
  }

  announce(): Promise<void> {
    return this.#signed.announce()
  }
}
