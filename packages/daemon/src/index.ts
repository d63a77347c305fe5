export { WebSocketApi, type WebSocketApiOptions } from './websocket-api/server.js'
