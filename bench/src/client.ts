/**
 * `npm run bench:client`: our client beside the official npm client, one after the other on one network of a process of its
 * own, each client in a process of its own too, both with Nym's default settings unless a row says otherwise. Every row is a
 * pair and its ratio (ours / official).
 *
 *   npm run bench:client -- --quick      fewer and smaller: a minute instead of twenty
 *
 * CPU and memory of the processes are read from /proc: on other systems than Linux those rows are left out.
 */
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { type ClientStart, OfficialClient } from '@mixwright/interop'
import { Network } from '@mixwright/localnet'
import { RealClock, sleep } from '@mixwright/runtime'
import { cpuOf, memoryOf } from './process-usage.js'

const OURS = new URL('./our-client-process.js', import.meta.url)
/** Packets that a client of Nym sends in a second with default settings. */
const OFFICIAL_CEILING = 50
/** Bytes of a message in one fragment. */
const FRAGMENT_BYTES = 1604

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false } } })
const clock = new RealClock()
const starts = flags.quick ? 3 : 10
const pings = flags.quick ? 30 : 200
const idleSeconds = flags.quick ? 10 : 60
const smallBytes = 1_000_000
const largeBytes = flags.quick ? 2_000_000 : 10_000_000
const manyMessages = flags.quick ? 500 : 10_000

/** No cover and no stream in the official client: what `no-cover` is in ours. */
const NO_COVER = {
  traffic: { disableMainPoissonPacketDistribution: true },
  coverTraffic: { disableLoopCoverTrafficStream: true },
}

type Profile = 'default' | 'no-cover' | 'fast' | 'local'
interface Contestant {
  readonly name: 'ours' | 'official'
  start(profile: Profile): Promise<OfficialClient>
}

let number = 0
function contestants(net: Network): Contestant[] {
  const common = (id: string): ClientStart => ({
    nymApiUrl: net.nymApiUrl,
    clientId: id,
    preferredGateway: net.gateway(0).identityKey,
  })
  return [
    { name: 'ours', start: (profile) => OfficialClient.start(common(`ours${++number}:${profile}`), OURS) },
    {
      name: 'official',
      start: (profile) =>
        OfficialClient.start({
          ...common(`official${++number}`),
          ...(profile === 'no-cover' && { clientOverride: NO_COVER }),
        }),
    },
  ]
}

const median = (values: readonly number[]) => quantile(values, 0.5)
function quantile(values: readonly number[], at: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(at * sorted.length))]!
}

function row(what: string, unit: string, ours: number | undefined, official: number | undefined, target = ''): void {
  if (ours === undefined || official === undefined) return
  const figures = `${format(ours)} ${unit}  official ${format(official)} ${unit}  ratio ${(ours / official).toFixed(2)}`
  process.stdout.write(`${what.padEnd(46)} ours ${figures}${target && `   (target ${target})`}\n`)
}

function format(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

type Figures = Record<string, number | undefined>

/** Connecting anew each time: to connected, and to the first message back. */
async function connecting({ start }: Contestant): Promise<Figures> {
  const connects: number[] = []
  const firsts: number[] = []
  for (let i = 0; i < starts; i++) {
    await using client = await start('default')
    const { latenciesMs } = await client.pingPong(1, 11)
    connects.push(client.connectMs)
    firsts.push(client.connectMs + latenciesMs[0]!)
  }
  return { connect: median(connects), first: median(firsts) }
}

/** Default settings: latency, transfers, idling. */
async function byDefault({ start }: Contestant): Promise<Figures> {
  await using client = await start('default')
  await client.pingPong(5, 1000)
  const { latenciesMs } = await client.pingPong(pings, 1000)
  const small = await client.transfer(smallBytes)
  const large = await client.transfer(largeBytes)
  return { p50: median(latenciesMs), p99: quantile(latenciesMs, 0.99), small, large }
}

async function idling({ start }: Contestant): Promise<Figures> {
  await using client = await start('default')
  // The compiler of the engine is busy at first.
  await sleep(clock, flags.quick ? 3_000 : 15_000)
  const before = cpuOf(client.pid)
  await sleep(clock, idleSeconds * 1000)
  const after = cpuOf(client.pid)
  const cpu = before === undefined || after === undefined ? undefined : ((after - before) * 60) / idleSeconds
  return { cpu, memory: memoryOf(client.pid, 'VmRSS') }
}

/** Without cover, as fast as it goes: what a message and a packet cost. */
async function unpaced({ start }: Contestant): Promise<Figures> {
  await using client = await start('no-cover')
  await client.burst(50)
  const cpu0 = cpuOf(client.pid)
  const burst = await client.burst(manyMessages)
  const cpu1 = cpuOf(client.pid)
  const memory = memoryOf(client.pid, 'VmRSS')
  const transfer = await client.transfer(largeBytes)
  const cpu2 = cpuOf(client.pid)
  if (cpu0 === undefined || cpu1 === undefined || cpu2 === undefined) return { burst, transfer }
  return {
    burst,
    transfer,
    memory,
    cpuPerMessage: ((cpu1 - cpu0) / manyMessages) * 1e6,
    packetsPerCpuSecond: largeBytes / FRAGMENT_BYTES / (cpu2 - cpu1),
  }
}

async function throughput(net: Network, profile: Profile): Promise<void> {
  const [ours] = contestants(net)
  await using client = await ours!.start(profile)
  await client.burst(50)
  const bytes = flags.quick ? 1_000_000 : 5_000_000
  const packets = bytes / FRAGMENT_BYTES / ((await client.transfer(bytes)) / 1000)
  const line = `${format(packets)} packets/s, ${(packets / OFFICIAL_CEILING).toFixed(1)} × the official ceiling of ${OFFICIAL_CEILING}`
  process.stdout.write(`${`profile ${profile}: ${bytes / 1e6} MB to itself`.padEnd(46)} ${line}\n`)
}

async function compare(
  net: Network,
  measure: (contestant: Contestant) => Promise<Figures>,
): Promise<[Figures, Figures]> {
  const [ours, official] = contestants(net)
  return [await measure(ours!), await measure(official!)]
}

process.stdout.write(
  `Node.js ${process.version}, load ${loadavg()[0]!.toFixed(2)}, ${new Date(clock.now()).toISOString()}\n`,
)
await using net = await Network.start({ mixes: 3, gateways: 2 })
{
  const [ours, official] = await compare(net, connecting)
  row(`connect (median of ${starts})`, 'ms', ours.connect, official.connect)
  row('connect to first message', 'ms', ours.first, official.first, '≤ 0.5')
}
{
  const [ours, official] = await compare(net, idling)
  row(`idle CPU a minute (${idleSeconds} s measured)`, 's', ours.cpu, official.cpu, 'ours ≤ 4 s')
  const megabytes = (bytes: number | undefined) => bytes && bytes / 1e6
  row('idle memory', 'MB', megabytes(ours.memory), megabytes(official.memory), 'ours ≤ 100 MB')
}
{
  const [ours, official] = await compare(net, byDefault)
  row(`1 kB message to itself, p50 of ${pings}`, 'ms', ours.p50, official.p50)
  row('  p99', 'ms', ours.p99, official.p99)
  row(`${smallBytes / 1e6} MB`, 's', ours.small! / 1000, official.small! / 1000)
  row(`${largeBytes / 1e6} MB`, 's', ours.large! / 1000, official.large! / 1000)
}
{
  const [ours, official] = await compare(net, unpaced)
  row(`no cover: ${manyMessages} messages of 1 kB`, 's', ours.burst! / 1000, official.burst! / 1000)
  row('no cover: CPU per message, sent and received', 'µs', ours.cpuPerMessage, official.cpuPerMessage)
  row(
    `memory after ${manyMessages} messages`,
    'MB',
    ours.memory && ours.memory / 1e6,
    official.memory && official.memory / 1e6,
  )
  row(`no cover: ${largeBytes / 1e6} MB`, 's', ours.transfer! / 1000, official.transfer! / 1000)
  row(
    'packets built per CPU second, receiving included',
    '/s',
    ours.packetsPerCpuSecond,
    official.packetsPerCpuSecond,
    '≥ 2.5',
  )
}
for (const profile of ['fast', 'no-cover', 'local'] as const) await throughput(net, profile)
