/**
 * `npm run bench:gateway`: a gateway in a process of its own, its database safe against power loss. Messages stored for a
 * client that is away, and drained when it comes, beside the bare sealing of as many (their floor); thousands of idle
 * clients, and live deliveries among them; ten thousand connections from one address.
 *
 *   npm run bench:gateway -- --quick      2 000 messages, 500 idle clients and 1 000 connections, a tenth
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { RealClock, SystemRandom } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { PUSHED_MIX_MESSAGE, sealBinaryFrame } from '@mixwright/wire'
import { BenchClient } from './gateway-client.js'
import { MESSAGE_BYTES } from './gateway-message.js'
import type { GatewayAnswer, GatewayOrder, GatewayProcessOptions } from './gateway-process.js'

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false } } })
const scale = flags.quick ? 0.1 : 1
const STORED = 20_000 * scale
const IDLE = 5_000 * scale
const CONNECTIONS = 10_000 * scale
const LIVE_PER_SECOND = 200
const LIVE_SECONDS = 10
/** What a gateway has to reach, messages a second. */
const TARGET = 2_000
const ELSEWHERE = '127.0.0.2'

const clock = new RealClock()
const random = new SystemRandom()

class GatewayUnderTest {
  readonly #child: ChildProcess
  port = 0

  constructor(options: GatewayProcessOptions) {
    this.#child = fork(fileURLToPath(new URL('./gateway-process.js', import.meta.url)), [JSON.stringify(options)], {
      execArgv: ['--expose-gc'],
    })
  }

  async ready(): Promise<void> {
    this.port = (await this.#answer()).port
  }

  async ask(order: GatewayOrder): Promise<GatewayAnswer> {
    this.#child.send(order)
    return this.#answer()
  }

  async stop(): Promise<void> {
    this.#child.send('stop' satisfies GatewayOrder)
    await once(this.#child, 'exit')
  }

  async #answer(): Promise<GatewayAnswer> {
    const [answer] = await Promise.race([
      once(this.#child, 'message'),
      once(this.#child, 'exit').then(() => {
        throw new Error('the gateway ended')
      }),
    ])
    return answer as GatewayAnswer
  }
}

function say(what: string, value: string): void {
  console.log(`  ${what.padEnd(64)} ${value}`)
}
const micros = (seconds: number) => `${(seconds * 1e6).toFixed(0)} µs`
const ms = (value: number) => `${value.toFixed(2)} ms`
const quantile = (values: readonly number[], share: number) =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))]!
const against = (perSecond: number) => `${Math.round(perSecond)} (${(perSecond / TARGET).toFixed(1)} × target)`

/** CPU seconds of sealing one message, in this process and this run. */
function sealSeconds(): number {
  const [key, message] = [random.bytes(32), random.bytes(MESSAGE_BYTES)]
  const seal = (times: number) => {
    for (let i = 0; i < times; i++) sealBinaryFrame(key, PUSHED_MIX_MESSAGE, random.bytes(12), message)
  }
  seal(2_000)
  const before = process.cpuUsage()
  seal(5_000)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6 / 5_000
}

/** Stored for a client that is away, then drained; every message is there once, and in order. */
async function storeAndDrain(gateway: GatewayUnderTest, crypto: CryptoProvider): Promise<void> {
  const client = new BenchClient(crypto)
  await client.connect(gateway.port)
  await client.register()
  await client.drop()
  const identity = Buffer.from(client.identity).toString('hex')
  const before = await gateway.ask('tell')
  const stored = await gateway.ask({ deliver: identity, messages: STORED })
  say('stored messages a second', against(STORED / stored.seconds))
  say('CPU a stored message', micros((stored.cpuSeconds - before.cpuSeconds) / STORED))

  await client.connect(gateway.port)
  const startedAt = clock.monotonic()
  await client.authenticate(clock.now() / 1000)
  await client.received(STORED)
  const seconds = (clock.monotonic() - startedAt) / 1000
  const drained = await gateway.ask('tell')
  const cpu = (drained.cpuSeconds - stored.cpuSeconds) / STORED
  const floor = sealSeconds()
  say('drained messages a second, from authenticating to the last', against(STORED / seconds))
  say('CPU a drained message', micros(cpu))
  say('of this, sealing alone (floor)', `${micros(floor)}; × floor ${(cpu / floor).toFixed(2)}`)
  client.pushes.forEach(({ frame }, i) => {
    if (Buffer.from(client.open(frame)).readUInt32BE(0) !== i) throw new Error(`message ${i} is not in its place`)
  })
  await client.drop()
}

/** From `Gateway.deliver` to the client's process, milliseconds. */
async function liveLatencies(gateway: GatewayUnderTest, client: BenchClient): Promise<number[]> {
  const messages = LIVE_PER_SECOND * LIVE_SECONDS
  client.pushes = []
  const deliver = Buffer.from(client.identity).toString('hex')
  await gateway.ask({ deliver, messages, perSecond: LIVE_PER_SECOND })
  await client.received(messages)
  return client.pushes.map(
    ({ frame, atNanos }) => Number(atNanos - Buffer.from(client.open(frame)).readBigUInt64BE(4)) / 1e6,
  )
}

async function idleClients(gateway: GatewayUnderTest, crypto: CryptoProvider): Promise<void> {
  const awake = new BenchClient(crypto)
  await awake.connect(gateway.port)
  await awake.register()
  await awake.drop()
  await awake.connect(gateway.port)
  await awake.authenticate(clock.now() / 1000)
  const alone = await liveLatencies(gateway, awake)
  const before = await gateway.ask('tell')
  const startedAt = clock.monotonic()
  const clients: BenchClient[] = []
  while (clients.length < IDLE) {
    const some = Array.from({ length: Math.min(50, IDLE - clients.length) }, () => new BenchClient(crypto))
    await Promise.all(
      some.map(async (client) => {
        await client.connect(gateway.port)
        await client.register()
      }),
    )
    clients.push(...some)
  }
  const seconds = (clock.monotonic() - startedAt) / 1000
  const after = await gateway.ask('tell')
  say('connected and registered a second', `${Math.round(IDLE / seconds)}`)
  say(
    'resident memory of an idle client',
    `${((after.residentBytes - before.residentBytes) / IDLE / 1000).toFixed(1)} kB`,
  )
  const among = await liveLatencies(gateway, awake)
  const latencies = (values: number[]) => `p50 ${ms(quantile(values, 0.5))}, p99 ${ms(quantile(values, 0.99))}`
  say(`live delivery, ${LIVE_PER_SECOND} a second, nobody else there`, latencies(alone))
  say('among the idle clients', latencies(among))
  await Promise.all(clients.map((client) => client.drop()))
  await awake.drop()
}

/** More connections than one address may have, while a client elsewhere asks and is answered. */
async function oneAddress(gateway: GatewayUnderTest, crypto: CryptoProvider): Promise<void> {
  const honest = new BenchClient(crypto)
  await honest.connect(gateway.port, ELSEWHERE)
  await honest.register()
  const before = await gateway.ask('tell')
  const answerMs: number[] = []
  let going = true
  const asking = (async () => {
    while (going) {
      const askedAt = clock.monotonic()
      await honest.ask({ type: 'supportedProtocol' })
      answerMs.push(clock.monotonic() - askedAt)
    }
  })()
  const open = new Set<Socket>()
  for (let i = 0; i < CONNECTIONS; i += 100) {
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        const socket = connect({ host: '127.0.0.1', port: gateway.port })
        open.add(socket)
        socket.on('error', () => {}).on('close', () => open.delete(socket))
        socket.resume()
        await once(socket, 'connect')
      }),
    )
  }
  going = false
  await asking
  const after = await gateway.ask('tell')
  say('refused', `${after.refused - before.refused} of ${CONNECTIONS}`)
  say('CPU a connection', micros((after.cpuSeconds - before.cpuSeconds) / CONNECTIONS))
  say('resident memory, before and after', `${megabytes(before.residentBytes)}, ${megabytes(after.residentBytes)}`)
  say(`question and answer of a client elsewhere, ${answerMs.length} times`, `p99 ${ms(quantile(answerMs, 0.99))}`)
  for (const socket of open) socket.destroy()
  await honest.drop()
}
const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`

const directory = mkdtempSync(join(tmpdir(), 'mixwright-bench-'))
async function measured(
  limits: GatewayProcessOptions['limits'],
  title: string,
  run: (gateway: GatewayUnderTest, crypto: CryptoProvider) => Promise<void>,
): Promise<void> {
  console.log(`\n${title}`)
  const databaseFile = join(directory, `${run.name}.sqlite`)
  const gateway = new GatewayUnderTest({ databaseFile, limits, messagesPerClient: STORED })
  await gateway.ready()
  await run(gateway, await loadCryptoProvider())
  await gateway.stop()
}

try {
  const load = () =>
    loadavg()
      .map((value) => value.toFixed(2))
      .join(' ')
  console.log(`Load of the machine before: ${load()}`)
  console.log(`Node.js ${process.version}, ${process.platform}-${process.arch}, ${(await loadCryptoProvider()).name}`)
  await measured('local', `${STORED} messages of ${MESSAGE_BYTES} bytes for a client that is away`, storeAndDrain)
  await measured('local', `${IDLE} idle clients`, idleClients)
  await measured('default', `${CONNECTIONS} connections from one address`, oneAddress)
  console.log(`\nLoad of the machine after: ${load()}`)
} finally {
  rmSync(directory, { recursive: true, force: true })
}
