/** Building a whole Sphinx packet (01-sphinx §6, §7): header ‖ payload under one layer of encryption per hop. */
import type { Random } from '@mixwright/runtime'
import { HEADER_BYTES } from './constants.js'
import type { CryptoProvider } from './crypto/provider.js'
import { buildHeader, type HeaderOptions } from './header.js'
import { payloadKeys } from './keys.js'
import { type PayloadLength, payloadLength, sealPayload } from './payload.js'

export type PacketOptions = HeaderOptions & PayloadLength & { readonly message: Uint8Array }

/**
 * Build a packet of 348 + payload bytes. Throws what `buildHeader`, `payloadLength` and `sealPayload` throw:
 * `MIX_SPHINX_ROUTE`, `MIX_SPHINX_VERSION`, `MIX_SPHINX_PUBLIC_KEY`, `MIX_SPHINX_PAYLOAD_SIZE`,
 * `MIX_SPHINX_MESSAGE_TOO_LONG`.
 */
export function buildPacket(crypto: CryptoProvider, random: Random, options: PacketOptions): Uint8Array {
  const packet = new Uint8Array(HEADER_BYTES + payloadLength(options))
  const { hops, version } = buildHeader(crypto, random, options, packet.subarray(0, HEADER_BYTES))
  const layers = hops.map((keys) => ({ keys, version }))
  sealPayload(crypto, packet.subarray(HEADER_BYTES), options.message, payloadKeys(crypto, layers))
  return packet
}
