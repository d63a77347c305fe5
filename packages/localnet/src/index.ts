export { Network, type NetworkNode, type NetworkOptions } from './network.js'
export { NetworkClient } from './network-client.js'
export { NodeHandle } from './node-handle.js'
