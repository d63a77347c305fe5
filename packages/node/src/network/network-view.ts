/**
 * What a node knows of the others: who may be a next hop and who speaks Noise with which key (05-mixnode §5.4, §8.3). One
 * immutable view, replaced as a whole at each refresh; `topology-watch.ts` does that.
 */
import type { NodeAddress } from '@mixwright/sphinx'
import { canonicalIp } from '../link/ip-address.js'
import type { NoisePeers } from '../noise/noise-policy.js'

/** One node as the directory lists it. */
export interface ListedPeer {
  /** All of its addresses, as text. */
  readonly ipAddresses: readonly string[]
  readonly mixPort: number
  /** X25519 Noise key, 32 bytes; undefined for a node that speaks plain TCP. */
  readonly noiseKey?: Uint8Array
}

export class NetworkView implements NoisePeers {
  readonly #ips = new Set<string>()
  readonly #noiseIps = new Set<string>()
  readonly #noiseKeys = new Map<string, Uint8Array>()

  constructor(peers: readonly ListedPeer[]) {
    for (const { ipAddresses, mixPort, noiseKey } of peers) {
      for (const ip of ipAddresses.map(canonicalIp)) {
        this.#ips.add(ip)
        if (noiseKey === undefined) continue
        this.#noiseIps.add(ip)
        this.#noiseKeys.set(`${ip} ${mixPort}`, noiseKey)
      }
    }
  }

  /** Addresses of listed nodes. */
  get size(): number {
    return this.#ips.size
  }

  /** Whether a listed node has this address, on whatever port: the routing filter's question. */
  knows(ip: string): boolean {
    return this.#ips.has(canonicalIp(ip))
  }

  noiseKeyOf({ host, port }: NodeAddress): Uint8Array | undefined {
    return this.#noiseKeys.get(`${canonicalIp(host)} ${port}`)
  }

  speaksNoise(ip: string): boolean {
    return this.#noiseIps.has(canonicalIp(ip))
  }
}
