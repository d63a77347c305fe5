/**
 * `npm run bench:many`: 200 of our clients in this process, on one network from `mixwright up` in a process of its own, write
 * to each other at random times. One message in ten is anonymous and gets an answer. Delivered must be sent, each exactly
 * once and acknowledged; then: latency, memory and CPU per client.
 *
 *   npm run bench:many -- --clients 200 --seconds 300 --rate 1 --profile no-cover
 *
 * `--rate` is messages a second of each client. The profile is `no-cover` by default: with the cover of `default`, 200
 * clients send 11 000 packets a second, which is more than two cores make and mix.
 * CPU and memory are read from /proc: on other systems than Linux those lines are left out.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Client, connect, type ProfileName, type ReceivedMessage, type SendHandle } from '@mixwright/client'
import { RealClock, SystemRandom, sleep, uniform } from '@mixwright/runtime'
import { metricOf, type RunningNetwork, startNetwork, stopNetwork } from './network-process.js'
import { cpuOf, memoryOf } from './process-usage.js'

const { values: flags } = parseArgs({
  options: {
    clients: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '300' },
    rate: { type: 'string', default: '1' },
    profile: { type: 'string', default: 'no-cover' },
  },
})
const count = Number(flags.clients)
const seconds = Number(flags.seconds)
const meanPauseMs = 1000 / Number(flags.rate)

/** Clients that connect at once. */
const CONNECTING = 20
/** Longest message, bytes: 1 to 5 packets. */
const LONGEST_BYTES = 8_000
const ANONYMOUS_SHARE = 0.1
/** For an answer of one packet: five are kept back. */
const REPLY_SURBS = 6
/** Longest wait for what is still under way at the end. */
const PATIENCE_MS = 120_000
const POLL_MS = 10

const clock = new RealClock()
const random = new SystemRandom()
setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** When each message that has not come yet was sent, by the number in front of it. */
const underWay = new Map<number, number>()
const latenciesMs: number[] = []
const outcomes: Promise<unknown>[] = []
let sent = 0
let delivered = 0
let unexpected = 0
let acknowledged = 0
const failures = new Map<string, number>()

/** A message with its number in front. */
function numbered(bytes: number): Uint8Array {
  const message = new Uint8Array(4 + bytes)
  new DataView(message.buffer).setUint32(0, sent)
  underWay.set(sent++, clock.monotonic())
  return message
}

function track(handle: SendHandle): void {
  const failed = (reason: unknown) => {
    const code = String((reason as { code?: unknown }).code ?? reason)
    failures.set(code, (failures.get(code) ?? 0) + 1)
  }
  outcomes.push(handle.acknowledged.then(() => void acknowledged++, failed))
}

/** Write to somebody, again and again, until it is time. */
async function talk(client: Client, others: readonly Client[], until: number): Promise<void> {
  for (;;) {
    const pause = -meanPauseMs * Math.log(1 - uniform(random))
    if (clock.monotonic() + pause > until) return
    await sleep(clock, pause)
    const other = others[Math.floor(uniform(random) * others.length)]!
    const isAnonymous = uniform(random) < ANONYMOUS_SHARE
    const message = numbered(Math.floor(uniform(random) ** 4 * LONGEST_BYTES))
    track(client.send(other.address, message, isAnonymous ? { replySurbs: REPLY_SURBS } : {}))
  }
}

async function listen(client: Client): Promise<void> {
  for await (const message of client.messages()) take(message)
}

function take({ data, senderTag, reply }: ReceivedMessage): void {
  const number = new DataView(data.buffer, data.byteOffset).getUint32(0)
  const sentAt = underWay.get(number)
  if (sentAt === undefined) {
    unexpected++
    return
  }
  underWay.delete(number)
  delivered++
  latenciesMs.push(clock.monotonic() - sentAt)
  if (senderTag !== undefined) track(reply(numbered(100)))
}

const say = (what: string, value: string) => console.log(`  ${what.padEnd(58)} ${value}`)
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`
const quantile = (sorted: readonly number[], share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!

interface Usage {
  readonly resident: number | undefined
  /** Alive after a garbage collection: the heap and the buffers outside. */
  readonly alive: number
  readonly cpu: number | undefined
}
function usage(): Usage {
  collectGarbage()
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return { resident: memoryOf(process.pid, 'VmRSS'), alive: heapUsed + external, cpu: cpuOf(process.pid) }
}

function sayMemory(when: string, before: Usage, { resident, alive }: Usage): void {
  say(`memory per client ${when}, alive`, megabytes((alive - before.alive) / count))
  if (before.resident === undefined || resident === undefined) return
  const perClient = megabytes((resident - before.resident) / count)
  say('  resident', `${perClient}; the process ${megabytes(resident)}, before ${megabytes(before.resident)}`)
}

const connectOne = ({ summary }: RunningNetwork) =>
  connect({ directory: summary.nymApiUrl, profile: flags.profile as ProfileName })

async function connectAll(net: RunningNetwork): Promise<Client[]> {
  const clients: Client[] = []
  while (clients.length < count) {
    const many = Math.min(CONNECTING, count - clients.length)
    clients.push(...(await Promise.all(Array.from({ length: many }, () => connectOne(net)))))
  }
  return clients
}

async function run(net: RunningNetwork): Promise<boolean> {
  // What the first client loads is not counted as the clients'.
  await (await connectOne(net)).close()
  const before = usage()
  const startedAt = clock.monotonic()
  const clients = await connectAll(net)
  say(`${count} clients connected`, `${((clock.monotonic() - startedAt) / 1000).toFixed(1)} s`)
  sayMemory('connected', before, usage())
  const listening = clients.map(listen)

  const cpu0 = { clients: cpuOf(process.pid), network: cpuOf(net.process.pid) }
  const until = clock.monotonic() + seconds * 1000
  await Promise.all(clients.map((client) => talk(client, clients, until)))
  const cpu1 = { clients: cpuOf(process.pid), network: cpuOf(net.process.pid) }
  say('messages sent meanwhile', `${sent}, ${(sent / seconds).toFixed(0)} a second`)
  const endedAt = clock.monotonic()
  await settled(PATIENCE_MS)
  say('and then until the last was delivered and acknowledged', `${Math.round(clock.monotonic() - endedAt)} ms`)
  sayMemory('after that', before, usage())

  latenciesMs.sort((a, b) => a - b)
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) => quantile(latenciesMs, share).toFixed(0))
  say('delivery: p50, p99, p99.9', `${p50}, ${p99}, ${p999} ms`)
  const perMessage = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined ? '–' : `${(((to - from) / sent) * 1e6).toFixed(0)} µs`
  say('CPU per message, clients (both ends)', perMessage(cpu0.clients, cpu1.clients))
  say('CPU per message, network', perMessage(cpu0.network, cpu1.network))
  const counters = clients.map((client) => client.status().counters)
  const sum = (of: (counter: (typeof counters)[number]) => number) => counters.reduce((all, one) => all + of(one), 0)
  const dropped = sum((counter) => Object.values(counter.dropped).reduce((all, one) => all + one, 0))
  say('packets sent, of these cover', `${sum((c) => c.packetsSent)}, ${sum((c) => c.coverSent)}`)
  say('packets sent again', `${sum((c) => c.retransmissions)}`)
  say('dropped by the clients, by the network', `${dropped}, ${await metricOf(net, 'mixwright_dropped_packets_total')}`)
  say('delivered / sent', `${delivered} / ${sent} = ${(delivered / sent).toFixed(6)}`)
  say('delivered again or unknown', `${unexpected}`)
  say('acknowledged / sent', `${acknowledged} / ${sent} = ${(acknowledged / sent).toFixed(6)}`)
  for (const [code, times] of failures) say(`  failed with ${code}`, `${times}`)
  await Promise.all(clients.map((client) => client.close()))
  await Promise.all(listening)
  return delivered === sent && acknowledged === sent && unexpected === 0
}

/** Wait for every outcome, those of answers sent meanwhile included, and every delivery; for so long at most. */
async function settled(patienceMs: number): Promise<void> {
  const end = new AbortController()
  const deadline = clock.setTimer(patienceMs, () => end.abort())
  const late = new Promise<void>((resolve) => end.signal.addEventListener('abort', () => resolve()))
  while (!end.signal.aborted && (outcomes.length > 0 || underWay.size > 0))
    await Promise.race([late, Promise.all([sleep(clock, POLL_MS), ...outcomes.splice(0)])])
  deadline.cancel()
}

const directory = mkdtempSync(join(tmpdir(), 'mixwright-bench-'))
try {
  const net = await startNetwork(directory)
  console.log(
    `Node.js ${process.version}, ${net.crypto}, load ${loadavg()[0]!.toFixed(2)}; 3 mix nodes, 2 gateways; ` +
      `${count} clients, profile ${flags.profile}, ${seconds} s\n`,
  )
  try {
    if (!(await run(net))) process.exitCode = 1
  } finally {
    await stopNetwork(net)
  }
} finally {
  rmSync(directory, { recursive: true, force: true })
}
