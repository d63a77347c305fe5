export { Node, type NodeOptions, type NodeRole } from './node.js'
export { createNodeKeys, loadOrCreateNodeKeys, type NodeKeys } from './node-keys.js'
