/**
 * The child process: mix-fetch 1.4.4, unmodified, driven over IPC (06-service-providers §3). It is two WASM modules: the
 * client in Rust, and HTTP and TLS in Go, which find each other and what a browser has in the global scope.
 */
import 'fake-indexeddb/auto'
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import { RealClock } from '@mixwright/runtime'
import { end, obey, reportComplaints } from './driven-child.js'
import { ForgetfulWebSocket } from './forgetful-web-socket.js'
import type { Fetched, FetchInit, MixFetchCommand, MixFetchStart } from './mix-fetch.js'

/** What `wasm_exec.js` and then the Go module put into the global scope. */
interface GoScope {
  Go: new () => {
    exit: (code: number) => void
    importObject: WebAssembly.Imports
    run: (instance: WebAssembly.Instance) => Promise<void>
  }
  mixFetch: (url: string, init: object) => Promise<Response>
}

const clock = new RealClock()
const scope = globalThis as unknown as GoScope
// With Node's `fs` in the global scope, Go writes to the real standard error: a panic is seen there. Without a `location`, every
// request that CORS is checked for is such a panic.
Object.assign(globalThis, { WebSocket: ForgetfulWebSocket, fs, location: new URL('http://mix-fetch.test') })
reportComplaints()

const PACKAGE = '@nymproject/mix-fetch-wasm'
const fileOf = (name: string) => fs.readFileSync(fileURLToPath(import.meta.resolve(`${PACKAGE}/${name}`)))

async function start({ requestTimeoutMs = 60_000, ...options }: MixFetchStart): Promise<number> {
  const rust = await import('@nymproject/mix-fetch-wasm')
  await rust.default({ module_or_path: fileOf('mix_fetch_wasm_bg.wasm') })
  rust.set_panic_hook()
  const { send_client_data, start_new_mixnet_connection, mix_fetch_initialised, finish_mixnet_connection } = rust
  const bridge = { send_client_data, start_new_mixnet_connection, mix_fetch_initialised, finish_mixnet_connection }
  Object.assign(globalThis, { __rs_go_bridge__: bridge })

  await import(`${PACKAGE}/wasm_exec.js`)
  const go = new scope.Go()
  go.exit = (code) => end(`the Go runtime ended with code ${code}`)
  const { instance } = await WebAssembly.instantiate(fileOf('go_conn.wasm'), go.importObject)
  // Runs until the end; what it offers is in the global scope when this returns.
  void go.run(instance)

  const startedAt = clock.monotonic()
  const { requester, gateway, ...others } = options
  await rust.setupMixFetch({
    ...others,
    preferredNetworkRequester: requester,
    ...(gateway !== undefined && { preferredGateway: gateway }),
    forceTls: false,
    mixFetchOverride: { requestTimeoutMs },
  })
  return clock.monotonic() - startedAt
}

async function fetchThroughMixnet(url: string, init: FetchInit): Promise<Fetched> {
  const startedAt = clock.monotonic()
  // The package takes `mode` out of what it is given.
  const response = await scope.mixFetch(url, { ...init })
  const headMs = clock.monotonic() - startedAt
  const body = new Uint8Array(await response.arrayBuffer())
  const totalMs = clock.monotonic() - startedAt
  return { status: response.status, headers: Object.fromEntries(response.headers), body, headMs, totalMs }
}

obey((command: MixFetchCommand) => {
  switch (command.kind) {
    case 'start':
      return start(command.options)
    case 'fetch':
      return fetchThroughMixnet(command.url, command.init)
    case 'usage': {
      const { user, system } = process.cpuUsage()
      return { rssBytes: process.memoryUsage.rss(), cpuMs: (user + system) / 1000 }
    }
  }
})
