export { buildPacket, type PacketOptions } from './build.js'
export { HEADER_BYTES, MAX_HOPS, PAYLOAD_OVERHEAD_BYTES } from './constants.js'
export { type CryptoProvider, type CryptoProviderName, loadCryptoProvider } from './crypto/provider.js'
export type { HeaderOptions, RouteNode } from './header.js'
export { decodeNodeAddress, encodeNodeAddress, type NodeAddress, nodeAddress } from './node-address.js'
export {
  PACKET_SIZES,
  type PacketSize,
  type PacketSizeName,
  packetSizeByLength,
  packetSizeByTag,
} from './packet-size.js'
export type { PayloadLength } from './payload.js'
export {
  finishPeels,
  type OpenedHeader,
  openHeaders,
  type PeelDrop,
  type PeelDropReason,
  type PeelOutcome,
  peel,
} from './peel.js'
export { createSurb, type Surb, type SurbForm, type SurbPacket, surbFromBytes, surbToBytes, useSurb } from './surb.js'
