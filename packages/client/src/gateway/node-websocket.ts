/** Websockets in Node.js, by `ws`: no compression (02-gateway §1), messages capped, small writes sent at once. */
import { MAX_BINARY_BYTES } from '@mixwright/wire'
import { WebSocket } from 'ws'
import type { OpenWebSocket } from './gateway-socket.js'

export const openNodeWebSocket: OpenWebSocket = (url) =>
  new WebSocket(url, { perMessageDeflate: false, maxPayload: MAX_BINARY_BYTES })
