/** The two clients and four nodes of `client-packets.json`, with all their keys, as ours would see them. */
import assert from 'node:assert/strict'
import { fromHex } from '@mixwright/runtime'
import { type CryptoProvider, encodeNodeAddress, type PeelOutcome, peel } from '@mixwright/sphinx'
import { decodeRecipient, encodeBase58, type Recipient } from '@mixwright/wire'
import type { ClientKeys } from '../src/client-keys.js'
import type { GatewayNode, Topology } from '../src/directory/topology.js'
import { loadVectors } from './vectors.js'

interface ClientVector {
  readonly address_bytes: string
  readonly identity_private: string
  readonly encryption_private: string
  readonly ack_key: string
}

export interface OpenedVector {
  readonly sphinx_version: number
  readonly destination: string
  readonly plaintext: string
}

export interface PacketVector {
  readonly kind: string
  readonly packet: string
  readonly fragment?: string
  readonly fragment_identifier?: string
  /** The key of a reply block, and the block. */
  readonly surb_key?: string
  readonly surb?: string
  /** Of loop cover. */
  readonly decrypted_content?: string
  readonly opened: OpenedVector
  readonly ack_opened: OpenedVector
}

interface PacketVectors {
  readonly a: ClientVector
  readonly b: ClientVector
  readonly nodes: readonly {
    readonly mix_host: string
    readonly identity_public: string
    readonly sphinx_private: string
    readonly sphinx_public: string
  }[]
  readonly packets: readonly PacketVector[]
}

const vectors = loadVectors<PacketVectors>('client-packets')

export const officialPackets = vectors.packets

export interface OfficialClient {
  readonly keys: ClientKeys
  readonly recipient: Recipient
}

export function officialClient(name: 'a' | 'b', crypto: CryptoProvider): OfficialClient {
  const vector = vectors[name]
  const recipient = decodeRecipient(fromHex(vector.address_bytes), () => true)!
  const encryptionSecret = fromHex(vector.encryption_private)
  const identitySeed = fromHex(vector.identity_private)
  const keys: ClientKeys = {
    identitySeed,
    identityKey: crypto.ed25519PublicKey(identitySeed),
    encryptionSecret,
    encryptionKey: crypto.x25519Base(encryptionSecret),
    ackKey: fromHex(vector.ack_key),
  }
  assert.deepEqual([keys.identityKey, keys.encryptionKey], [recipient.identity, recipient.encryption])
  return { keys, recipient }
}

/** Both clients are at the one gateway. */
export function officialTopology(rotationId: number): Topology {
  const [first, second, third, last] = vectors.nodes.map(({ mix_host, sphinx_public }) => {
    const [host, port] = mix_host.split(':')
    const address = encodeNodeAddress({ family: 4, host: host!, port: Number(port) }, 32)
    return { address, publicKey: fromHex(sphinx_public) }
  })
  const identity = encodeBase58(fromHex(vectors.nodes[3]!.identity_public))
  const gateway: GatewayNode = { ...last!, identity, websocketUrls: [] }
  return {
    layers: [[first!], [second!], [third!]],
    gateways: new Map([[identity, gateway]]),
    epochId: 100,
    rotationId,
    readAt: 0,
  }
}

/** A packet as its four hops see it: what the last one is left with, and how long the mixes hold it. */
export function peelAll(
  crypto: CryptoProvider,
  packet: Uint8Array,
): { readonly versions: number[]; readonly delayMs: number; readonly final: PeelOutcome & { kind: 'final' } } {
  const versions: number[] = []
  let delayMs = 0
  let current = packet
  for (const { sphinx_private } of vectors.nodes) {
    const outcome = peel(crypto, fromHex(sphinx_private), current)
    if (outcome.kind === 'drop') assert.fail(`dropped: ${outcome.reason}`)
    versions.push(outcome.version)
    if (outcome.kind === 'final') return { versions, delayMs, final: outcome }
    delayMs += Number(outcome.delayNanos) / 1e6
    current = outcome.packet
  }
  assert.fail('no final hop')
}
