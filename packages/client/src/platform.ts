/** The client on other surroundings than Node.js or a browser: websockets, `fetch` and cryptography are the caller's. */
export { connectOn, type Platform } from './connect.js'
export { DirectoryReader, type DirectoryReaderOptions } from './directory/directory-reader.js'
export type { OpenWebSocket, WebSocketLike } from './gateway/gateway-socket.js'
