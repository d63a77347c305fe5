/**
 * The process of a gateway under test. Argument: `GatewayProcessOptions` as JSON. It does what its parent asks for, one order
 * after the other (`GatewayOrder`), and answers each with what it used; its first answer names its port.
 */
import { DEFAULT_GATEWAY_LIMITS, Gateway, LOCAL_GATEWAY_LIMITS } from '@mixwright/node'
import { MemoryMetrics, RealClock, SystemRandom, silentLogger, sleep } from '@mixwright/runtime'
import { loadCryptoProvider } from '@mixwright/sphinx'
import { MESSAGE_BYTES } from './gateway-message.js'

export interface GatewayProcessOptions {
  readonly databaseFile: string
  /** The defaults of the product, or those of a network on one machine. */
  readonly limits: 'default' | 'local'
  readonly messagesPerClient: number
}

export type GatewayOrder =
  /** Deliver so many messages to this client (identity in hex), as fast as they are accepted, or so many a second. */
  | { readonly deliver: string; readonly messages: number; readonly perSecond?: number }
  /** Tell what is used. */
  | 'tell'
  | 'stop'

export interface GatewayAnswer {
  readonly port: number
  /** How long the order took, seconds. */
  readonly seconds: number
  /** CPU of the whole process since its start, seconds. */
  readonly cpuSeconds: number
  readonly residentBytes: number
  /** Connections refused so far. */
  readonly refused: number
}

/** Delivered and not yet accepted: what a node's acks under way would be. */
const OUTSTANDING = 2_048

const options: GatewayProcessOptions = JSON.parse(process.argv[2] ?? '{}')
const clock = new RealClock()
const metrics = new MemoryMetrics()
const gateway = await Gateway.open({
  clock,
  random: new SystemRandom(),
  logger: silentLogger,
  metrics,
  crypto: await loadCryptoProvider(),
  identitySeed: new Uint8Array(32).fill(9),
  listen: { host: '127.0.0.1', port: 0 },
  databaseFile: options.databaseFile,
  mailboxLimits: { messagesPerClient: options.messagesPerClient, bytesPerClient: Number.POSITIVE_INFINITY },
  limits: options.limits === 'local' ? LOCAL_GATEWAY_LIMITS : DEFAULT_GATEWAY_LIMITS,
  forward() {},
})

async function deliver(destination: Uint8Array, messages: number, perSecond: number): Promise<void> {
  const startedAt = clock.monotonic()
  let delivered = 0
  let accepted = 0
  while (accepted < messages) {
    const due = Math.min(messages, ((clock.monotonic() - startedAt) / 1000) * perSecond)
    while (delivered < due && delivered - accepted < OUTSTANDING) {
      const message = new Uint8Array(MESSAGE_BYTES)
      const view = new DataView(message.buffer)
      view.setUint32(0, delivered++)
      view.setBigUint64(4, process.hrtime.bigint())
      gateway.deliver(destination, message, () => accepted++)
    }
    if (perSecond === Number.POSITIVE_INFINITY) await new Promise((resolve) => setImmediate(resolve))
    else await sleep(clock, 1)
  }
}

function answer(seconds: number): void {
  const { user, system } = process.cpuUsage()
  process.send?.({
    port: gateway.websocketPort,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    refused: metrics.value('mixwright_gateway_refused_total'),
  } satisfies GatewayAnswer)
}

async function obey(order: GatewayOrder): Promise<void> {
  if (order === 'stop') {
    await gateway.close()
    process.disconnect()
    return
  }
  const startedAt = clock.monotonic()
  if (order === 'tell') globalThis.gc?.()
  else await deliver(Buffer.from(order.deliver, 'hex'), order.messages, order.perSecond ?? Number.POSITIVE_INFINITY)
  answer((clock.monotonic() - startedAt) / 1000)
}

process.on('message', (order: GatewayOrder) => void obey(order))
answer(0)
