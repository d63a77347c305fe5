/** The client in browsers: nothing of Node.js is reachable from here. */
import { loadCryptoProvider } from '@mixwright/sphinx'
import type { Client, ConnectOptions } from './api.js'
import { connectOn } from './connect.js'
import type { WebSocketLike } from './gateway/gateway-socket.js'

export type * from './api.js'
export { MOST_REPLY_SURBS } from './arguments.js'
export type { ListedRequester, RotationSchedule, Topology, TopologySource } from './directory/topology.js'
export { openExit } from './exit/exit.js'
export type * from './exit/exit-api.js'
export { createFetch } from './fetch/browser-fetch.js'
export type { Fetch, FetchInit, FetchOptions, Tls, TlsOptions } from './fetch/fetch-api.js'
export type { GatewayDoor, GatewayLink, GatewayLinkEvents } from './gateway/gateway-link.js'
export { LONGEST_MESSAGE_BYTES } from './message-data.js'
export { PROFILES, type Profile, type ProfileName } from './profile.js'
export { type ClientStore, STORE_TABLES, type StoreChange, type StoreTable } from './store/client-store.js'
export { indexedDbStore } from './store/indexed-db-store.js'
export { memoryStore } from './store/memory-store.js'
export type { ByteStream } from './streams/byte-stream.js'

/**
 * Connect to a mixnet; resolves when messages can be sent. Errors are `MixError`s: `MIX_OPTIONS`, `MIX_DIRECTORY_…`,
 * `MIX_GATEWAY_…`, `MIX_STORE…`; or the signal's reason.
 */
export function connect(options: ConnectOptions): Promise<Client> {
  const preferTls = (globalThis as { location?: { protocol: string } }).location?.protocol === 'https:'
  // The types differ only in shared memory, which is not used.
  const openWebSocket = (url: string) => new WebSocket(url) as WebSocketLike
  return connectOn({ openWebSocket, loadCrypto: () => loadCryptoProvider(), preferTls }, options)
}
