/**
 * A packet over four hops, built and peeled with everything drawn from a seed. The same file runs in Node.js and, bundled,
 * in browsers: the bytes must be the same.
 */
import { equalBytes, SeededRandom, toHex } from '@mixwright/runtime'
import {
  buildPacket,
  type CryptoProviderName,
  encodeNodeAddress,
  loadCryptoProvider,
  PACKET_SIZES,
  peel,
} from '@mixwright/sphinx'

export interface PacketFromSeed {
  readonly provider: CryptoProviderName
  /** The packet as each hop meets it, hexadecimal. */
  readonly packets: readonly string[]
  /** Signature of the first packet by an Ed25519 key of the seed, and whether it holds. */
  readonly signature: string
  readonly signatureHolds: boolean
  /** Whether the last hop found the message. */
  readonly arrived: boolean
}

const HOPS = 4

/** With the provider that is taken by default. */
export async function packetFromSeed(seed: string): Promise<PacketFromSeed> {
  const crypto = await loadCryptoProvider()
  const random = new SeededRandom(seed)
  const secrets = Array.from({ length: HOPS }, () => random.bytes(32))
  const message = random.bytes(PACKET_SIZES.regular.plaintextBytes)
  const route = secrets.map((secret, hop) => ({
    address: encodeNodeAddress({ family: 4, host: `10.0.0.${hop + 1}`, port: 1789 }, 32),
    publicKey: crypto.x25519Base(secret),
  }))
  let packet = buildPacket(crypto, random, {
    route,
    delaysNanos: route.map(() => 15_000_000n),
    destination: random.bytes(32),
    packetSize: PACKET_SIZES.regular,
    message,
  })
  const packets: string[] = []
  let arrived = false
  for (const secret of secrets) {
    packets.push(toHex(packet))
    const outcome = peel(crypto, secret, packet)
    if (outcome.kind === 'forward') packet = outcome.packet
    else arrived = outcome.kind === 'final' && equalBytes(outcome.message, message)
  }
  const key = random.bytes(32)
  const signature = crypto.ed25519Sign(packet, key)
  const signatureHolds = crypto.ed25519Verify(signature, packet, crypto.ed25519PublicKey(key))
  return { provider: crypto.name, packets, signature: toHex(signature), signatureHolds, arrived }
}
