export { Network, type NetworkNode, type NetworkOptions } from './network.js'
export { NetworkClient } from './network-client.js'
export { type NetworkAccess, NodeHandle } from './node-handle.js'
