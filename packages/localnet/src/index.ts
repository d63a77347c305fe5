export { Network, type NetworkNode, type NetworkOptions } from './network.js'
export { NodeHandle } from './node-handle.js'
