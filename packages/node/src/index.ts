export { DEFAULT_GATEWAY_LIMITS, type GatewayLimits, LOCAL_GATEWAY_LIMITS } from './gateway/door/gateway-limits.js'
export type { WebSocketListenerOptions } from './gateway/door/websocket-listener.js'
export { type ClientListener, Gateway, type GatewayOptions } from './gateway/gateway.js'
export type { LocalDoor, LocalLink, LocalLinkEvents } from './gateway/local-door.js'
export type { SessionSocket } from './gateway/session.js'
export {
  BUILD_INFORMATION,
  type CarriedPolicy,
  type CarriedRequester,
  type NodeDescription,
} from './http/node-description.js'
export { createNodeKeys, loadOrCreateNodeKeys, type NodeKeys } from './keys/node-keys.js'
export type { AcceptOptions, Link, LinkEvents, LinkServer, Links } from './link/link.js'
export { tcpLinks } from './link/tcp-links.js'
export { ConsensusNetwork, type ConsensusNetworkOptions } from './network/consensus-network.js'
export { type DirectoryNetworkOptions, directoryNetwork } from './network/directory-network.js'
export { DirectorySource, type DirectorySourceOptions } from './network/directory-source.js'
export { FoundingNetwork } from './network/founding-network.js'
export type { NetworkSource, NetworkTopology, RotationInfo } from './network/network-source.js'
export type { ListedPeer } from './network/network-view.js'
export { Registration, type RegistrationOptions } from './network/registration.js'
export { StaticSource } from './network/static-source.js'
export { Node, type NodeGatewayOptions, type NodeOptions, type NodeRole } from './node.js'
export { discardSphinxKeys, inspectNode, type NodeInspection } from './node-inspection.js'
export { NoiseInitiator, type NoiseKeyPair, NoiseResponder } from './noise/handshake.js'
export type { NoiseMode } from './noise/noise-policy.js'
export { NoiseStream } from './noise/noise-stream.js'
export { ReplayProtection, type ReplayProtectionOptions, type ReplayVerdict } from './replay/replay-protection.js'
