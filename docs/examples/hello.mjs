// The official npm client, unmodified, says hello to itself through three mix nodes and a gateway:
//
//   npx mixwright exec -- node docs/examples/hello.mjs
import 'fake-indexeddb/auto'
import { EventEmitter, once } from 'node:events'
import { NymClient } from '@nymproject/nym-client-wasm-node'
import WebSocket from 'ws'

// The client frees its listeners and only then closes the socket; `ws` would call them once more, which ends the
// process. So they are taken off first. Browsers need none of this.
globalThis.WebSocket = class extends WebSocket {
  #listeners = []

  addEventListener(type, listener, options) {
    this.#listeners.push([type, listener])
    super.addEventListener(type, listener, options)
  }

  close(code, reason) {
    for (const [type, listener] of this.#listeners) this.removeEventListener(type, listener)
    this.on('error', () => {})
    super.close(code, reason)
  }
}

const received = new EventEmitter()
const client = await new NymClient((message) => received.emit('message', message), {
  clientId: 'hello',
  nymApiUrl: process.env.NYM_API,
})
const [[message]] = await Promise.all([
  once(received, 'message'),
  client.send_regular_message(new TextEncoder().encode('hello world'), client.selfAddress()),
])
console.log(new TextDecoder().decode(message))
process.exit(0)
