/**
 * Who speaks Noise with whom (05-mixnode §5.4, §5.5). Nothing is negotiated: each side decides alone, from what the directory
 * says, before the first byte. So a peer with a key never gets plain text, whatever it answers.
 *
 * | mode | towards a peer | from a peer |
 * |---|---|---|
 * | `prefer` | Noise if this very address has a key, else plain | what the first byte says: the peer's view may be older than ours |
 * | `require` | the same | Noise if any node at this IP address has a key, else plain |
 * | `off` | plain | plain |
 */
import type { NodeAddress } from '@mixwright/sphinx'
import { NOISE_VERSION } from '@mixwright/wire'
import { canonicalIp } from '../link/ip-address.js'

export type NoiseMode = 'prefer' | 'require' | 'off'

/** What a node knows of its peers. It is asked with IPv4-mapped addresses in their dotted form. */
export interface NoisePeers {
  /** X25519 key, 32 bytes, of the node that listens at exactly this address and port; undefined when it speaks plain. */
  noiseKeyOf(address: NodeAddress): Uint8Array | undefined
  /** Whether any node with this IP address has a Noise key, on whatever port. */
  speaksNoise(ip: string): boolean
}

/** How an inbound connection is read; `first-byte`: see `dialectOf`. */
export type InboundDialect = 'noise' | 'plain' | 'first-byte'

/** The key to use towards a next hop; undefined: speak plain. */
export function outboundNoiseKey(mode: NoiseMode, peers: NoisePeers, address: NodeAddress): Uint8Array | undefined {
  if (mode === 'off') return undefined
  const host = canonicalIp(address.host)
  return peers.noiseKeyOf({ family: host.includes(':') ? 6 : 4, host, port: address.port })
}

/** How to read a connection that comes from `remoteIp`. */
export function inboundDialect(mode: NoiseMode, peers: NoisePeers, remoteIp: string): InboundDialect {
  if (mode === 'off') return 'plain'
  if (mode === 'prefer') return 'first-byte'
  return peers.speaksNoise(canonicalIp(remoteIp)) ? 'noise' : 'plain'
}

/** What the first byte of a connection says. What is neither is left to the decoder of plain frames to refuse. */
export function dialectOf(firstByte: number): 'noise' | 'plain' {
  return firstByte === NOISE_VERSION ? 'noise' : 'plain'
}
