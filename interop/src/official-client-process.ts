/**
 * The child process: the official, unmodified npm client, driven over IPC. A process of its own, because the package's
 * WASM may end it, and so that its memory and CPU are not the network's.
 */
import 'fake-indexeddb/auto'
import { WebSocket } from 'ws'
import { dumpDatabases, restoreDatabases } from './indexed-db-dump.js'
import type { ClientStart, Command, Report } from './official-client-protocol.js'

/**
 * After its registration the package frees its event closures and only then closes the socket; `ws` still emits `close`,
 * and the freed closure ends the process (04-client §4.20). So listeners are taken off at `close()`.
 */
class ForgetfulWebSocket extends WebSocket {
  readonly #listeners: [string, (event: never) => void][] = []

  override addEventListener(type: string, listener: unknown, options?: unknown): void {
    this.#listeners.push([type, listener as (event: never) => void])
    super.addEventListener(type as 'message', listener as () => void, options as { once?: boolean })
  }

  override close(code?: number, data?: string | Buffer): void {
    for (const [type, listener] of this.#listeners) super.removeEventListener(type as 'message', listener as () => void)
    super.close(code, data)
  }
}
Object.assign(globalThis, { WebSocket: ForgetfulWebSocket })

// The package writes to the console at every step.
for (const method of ['log', 'info', 'debug', 'warn'] as const) console[method] = () => {}

const { NymClient } = await import('@nymproject/nym-client-wasm-node')
type OfficialClient = Awaited<InstanceType<typeof NymClient>>

let client: OfficialClient
/** While set, messages go there instead of to the parent. */
let intercept: (() => void) | undefined

const report = (message: Report) => process.send?.(message)
const fail = (reason: unknown, id?: number) =>
  report({ kind: 'failed', id, reason: String((reason as Error)?.message ?? reason) })

async function start({ nymApiUrl, clientId, preferredGateway, clientOverride, storage }: ClientStart): Promise<void> {
  if (storage) await restoreDatabases(storage)
  const onMessage = (message: Uint8Array, senderTag: unknown) => {
    if (intercept) return intercept()
    report({
      kind: 'message',
      message: Buffer.from(message).toString('base64'),
      hasSenderTag: senderTag !== undefined && senderTag !== null,
    })
  }
  const options = {
    nymApiUrl,
    clientId,
    ...(preferredGateway && { preferredGateway }),
    ...(clientOverride && { clientOverride }),
  }
  client = await (new NymClient(onMessage, options) as unknown as Promise<OfficialClient>)
  report({ kind: 'started', address: client.selfAddress() })
}

/** One-packet messages to itself, one after the other; resolves with each one's milliseconds. */
async function pingPong(messages: number): Promise<number[]> {
  const times: number[] = []
  const payload = new TextEncoder().encode('hello world')
  for (let i = 0; i < messages; i++) {
    const arrived = new Promise<void>((resolve) => {
      intercept = resolve
    })
    const sentAt = performance.now()
    await client.send_regular_message(payload, client.selfAddress())
    await arrived
    times.push(performance.now() - sentAt)
  }
  intercept = undefined
  return times
}

async function run(command: Command): Promise<unknown> {
  switch (command.kind) {
    case 'start':
      return start(command)
    case 'send': {
      const bytes = Uint8Array.from(Buffer.from(command.message, 'base64'))
      if (command.replySurbs === undefined) return client.send_regular_message(bytes, command.to)
      return client.send_anonymous_message(bytes, command.to, command.replySurbs)
    }
    case 'ping-pong':
      return pingPong(command.messages)
    case 'memory':
      return process.memoryUsage.rss()
    case 'export':
      return dumpDatabases()
  }
}

process.on('message', (command: Command) => {
  const id = command.kind === 'start' ? undefined : command.id
  run(command).then(
    (result) => {
      if (id !== undefined) report({ kind: 'done', id, result: result ?? null })
    },
    (error) => fail(error, id),
  )
})
process.on('uncaughtException', (error) => {
  fail(error)
  process.exitCode = 1
  process.disconnect()
})
process.on('disconnect', () => process.exit())
