/**
 * `npm run bench:node`: what a mix node costs and how long it holds packets (05-mixnode §16 to §18). A generator in a process
 * of its own sends distinct, prepared packets over real sockets to a node in another, on the same cores, and is the next hop
 * of all of them. CPU is that of the whole node process, given as a multiple of the floor: two bare X25519 of the native
 * provider, measured between the rows.
 *
 *   npm run bench:node -- --quick    about a minute: fewer rows, shorter
 *   npm run bench:node -- --json     the figures as one JSON document
 *   npm run bench:node -- --only overload    rows whose name contains this
 */
import { availableParallelism, cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { loadCryptoProvider } from '@mixwright/sphinx'
import { Floor } from './node/floor.js'
import type { NodeUnderTestOptions } from './node/node-under-test.js'
import { preparePackets } from './node/packet-pool.js'
import { CONNECTIONS, measureRow, type RowOptions, type RowResult, windowOf } from './node/row.js'

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    /** Write a CPU profile of the node of each row into this directory. */
    profile: { type: 'string' },
  },
})
const { quick } = flags
const WARM_MS = quick ? 800 : 5000
const SLICES = quick ? 2 : 6
const PACKETS = quick ? 50_000 : 100_000
const DELAYED = quick ? 20_000 : 100_000
/** Packets a second of the honest peer beside those that flood. */
const HONEST_RATE = 100

/** A node to measure, and at which parts of its capacity. */
interface Subject {
  readonly name: string
  readonly node: NodeUnderTestOptions
  readonly parts: readonly number[]
}

const plain = { crypto: 'sodium-native', workers: 0, noise: false, replay: false } as const
const safe = { ...plain, noise: true, replay: true } as const
const ALL = [0.1, 0.5, 0.9]
const SUBJECTS: readonly Subject[] = quick
  ? [
      { name: 'plain', node: plain, parts: [0.5] },
      { name: 'Noise, replay filter', node: safe, parts: [0.5] },
      { name: 'plain, 1 worker', node: { ...plain, workers: 1 }, parts: [] },
      { name: 'plain, 2 workers', node: { ...plain, workers: 2 }, parts: [0.5] },
      { name: 'plain, libsodium-wasm', node: { ...plain, crypto: 'libsodium-wasm' }, parts: [] },
    ]
  : [
      { name: 'plain', node: plain, parts: ALL },
      { name: 'replay filter', node: { ...plain, replay: true }, parts: [0.5] },
      { name: 'Noise', node: { ...plain, noise: true }, parts: [0.5] },
      { name: 'Noise, replay filter', node: safe, parts: ALL },
      { name: 'plain, 1 worker', node: { ...plain, workers: 1 }, parts: [0.5] },
      { name: 'plain, 2 workers', node: { ...plain, workers: 2 }, parts: ALL },
      { name: 'Noise, replay filter, 2 workers', node: { ...safe, workers: 2 }, parts: ALL },
      { name: 'plain, libsodium-wasm', node: { ...plain, crypto: 'libsodium-wasm' }, parts: ALL },
      { name: 'Noise, replay filter, libsodium-wasm', node: { ...safe, crypto: 'libsodium-wasm' }, parts: [0.5] },
      { name: 'plain, noble', node: { ...plain, crypto: 'noble' }, parts: [0.5] },
    ]

interface Row extends RowResult {
  readonly name: string
  /** `capacity`, a part of it such as `50 %`, or what else was done. */
  readonly load: string
}

interface Target {
  readonly what: string
  readonly value: number
  readonly bound: string
  readonly met: boolean
}

const say = (line: string) => process.stderr.write(`${line}\n`)
const floor = new Floor(await loadCryptoProvider('sodium-native'))
const rows: Row[] = []
const wanted = (name: string) => name.includes(flags.only)

async function run(name: string, load: string, options: Partial<RowOptions> & Pick<RowOptions, 'node' | 'load'>) {
  floor.sample()
  const profiler = flags.profile ? ['--cpu-prof', `--cpu-prof-dir=${flags.profile}`] : []
  const result = await measureRow({
    meanDelayMs: 0,
    packets: PACKETS,
    warmMs: WARM_MS,
    slices: SLICES,
    flags: profiler,
    ...options,
  })
  floor.sample()
  const row: Row = { name, load, ...result }
  rows.push(row)
  say(line(row))
  return row
}

await preparePackets(0, PACKETS, say)
if (wanted('delays')) await preparePackets(50, DELAYED + 10_000, say)

say(heading())
for (const { name, node, parts } of SUBJECTS.filter((subject) => wanted(subject.name))) {
  const { packetsPerSecond } = await run(name, 'capacity', { node, load: windowOf(node) })
  for (const part of parts) {
    const rate = (packetsPerSecond * part) / CONNECTIONS
    await run(name, `${part * 100} %`, { node, load: { rates: new Array<number>(CONNECTIONS).fill(rate) } })
  }
}

if (wanted('overload')) {
  const node = { ...plain, replay: true }
  const { packetsPerSecond } = await run('overload', 'capacity', { node, load: windowOf(node) })
  const flood = new Array<number>(CONNECTIONS - 1).fill((3 * packetsPerSecond - HONEST_RATE) / (CONNECTIONS - 1))
  // The prepared packets are to last for the measuring: a short warm-up.
  await run('overload', '300 %', { node, load: { rates: [HONEST_RATE, ...flood] }, warmMs: 1500 })
}

if (wanted('delays')) {
  const node = { ...plain, replay: true }
  const { packetsPerSecond } =
    find('plain', 'capacity') ?? (await run('delays', 'capacity', { node, load: windowOf(node) }))
  const rate = packetsPerSecond / 2
  await run('delays', '50 %', {
    node,
    load: { rates: new Array<number>(CONNECTIONS).fill(rate / CONNECTIONS) },
    meanDelayMs: 50,
    packets: DELAYED + 10_000,
    warmMs: 500,
    slices: Math.ceil(DELAYED / rate) + 1,
  })
}

const targets = judge()
if (flags.json)
  console.log(
    JSON.stringify({ machine: machine(), floorMicros: floor.micros, rows: rows.map(figures), targets }, null, 2),
  )
else print()

function find(name: string, load: string): Row | undefined {
  return rows.find((row) => row.name === name && row.load === load)
}

function judge(): Target[] {
  const targets: Target[] = []
  const below = (what: string, value: number | undefined, limit: number, unit: string) => {
    if (value !== undefined) targets.push({ what, value, bound: `< ${limit}${unit}`, met: value < limit })
  }
  const atLeast = (what: string, value: number | undefined, limit: number, unit: string) => {
    if (value !== undefined) targets.push({ what, value, bound: `≥ ${limit}${unit}`, met: value >= limit })
  }
  for (const [name, limit] of [
    ['plain', 1.55],
    ['Noise, replay filter', 1.8],
  ] as const) {
    for (const row of rows.filter((candidate) => candidate.name === name))
      below(`CPU, ${name}, ${row.load}`, row.cpuMicros / floor.micros, limit + 0.005, ' × floor')
    const half = find(name, '50 %')
    below(`added latency p50, ${name}, 50 %`, half?.p50Ms, 1.5, ' ms')
    below(`added latency p99, ${name}, 50 %`, half?.p99Ms, 10, ' ms')
  }
  const one = find('plain, 1 worker', 'capacity')
  const two = find('plain, 2 workers', 'capacity')
  if (one && two) atLeast('2 workers beside 1', two.packetsPerSecond / one.packetsPerSecond, 1.4, ' ×')

  const capacity = find('overload', 'capacity')
  const overload = find('overload', '300 %')
  if (capacity && overload) {
    atLeast('goodput at 3 × capacity', overload.packetsPerSecond / capacity.packetsPerSecond, 0.9, ' × capacity')
    below('waiting at 3 × capacity, honest peer, p99', overload.observed.connections[0]!.latency.p99Ms, 300, ' ms')
  }
  const delays = find('delays', '50 %')?.observed
  if (delays) {
    atLeast('least delay, observed − drawn', delays.latency.minMs, 0, ' ms')
    below('delay p50, observed − drawn', delays.latency.p50Ms, 1.5, ' ms')
    below('delay p99, observed − drawn', delays.latency.p99Ms, 10, ' ms')
    below('correlation with the drawn delay', Math.abs(delays.correlation), 0.02, '')
  }
  return targets
}

function machine(): string {
  const date = new Date().toISOString().slice(0, 10)
  const load = loadavg().map((value) => value.toFixed(1))
  return `${date}, ${availableParallelism()} × ${cpus()[0]?.model.trim()}, Node.js ${process.version}, load ${load.join(' ')}`
}

/** What a row is in JSON. */
function figures({ observed, ...row }: Row) {
  const { latency, lagP99Ms, correlation, connections } = observed
  return { ...row, timesFloor: row.cpuMicros / floor.micros, latency, lagP99Ms, correlation, connections }
}

function cells(cells: readonly string[]): string {
  return cells.map((cell, column) => (column === 0 ? cell.padEnd(46) : cell.padStart(9))).join('')
}

function heading(): string {
  return cells(['', 'packets/s', 'CPU µs', '× floor', 'p50 ms', 'p99 ms', 'lag p99', 'MB', 'gen. µs', 'others'])
}

function line(row: Row): string {
  const { name, load, packetsPerSecond, cpuMicros, p50Ms, p99Ms, residentBytes, generatorCpuMicros } = row
  const { othersShare, observed, dropped, lost } = row
  const { lagP99Ms } = observed
  const remarks = Object.entries(dropped).map(([reason, count]) => `  ${count} ${reason}`)
  if (lost !== 0) remarks.push(`  ${lost} lost`)
  return (
    cells([
      `${name}, ${load}`,
      packetsPerSecond.toFixed(0),
      cpuMicros.toFixed(1),
      (cpuMicros / floor.micros).toFixed(2),
      p50Ms.toFixed(2),
      p99Ms.toFixed(2),
      Number.isNaN(lagP99Ms) ? '–' : lagP99Ms.toFixed(2),
      (residentBytes / 2 ** 20).toFixed(0),
      generatorCpuMicros.toFixed(1),
      `${(othersShare * 100).toFixed(0)} %`,
    ]) + remarks.join('')
  )
}

function print(): void {
  console.log(`${machine()}\nfloor: two X25519 of sodium-native, ${floor.micros.toFixed(1)} µs of CPU\n\n${heading()}`)
  for (const row of rows) console.log(line(row))
  const overload = find('overload', '300 %')
  if (overload) {
    const [honest, ...flood] = overload.observed.connections
    const { p50Ms, p99Ms, maxMs } = honest!.latency
    console.log(`
overload: an honest peer of ${HONEST_RATE} packets/s beside ${flood.length} that flood
  honest peer: ${honest!.received} of ${honest!.offered} came out; p50 ${p50Ms.toFixed(1)}, p99 ${p99Ms.toFixed(1)}, longest ${maxMs.toFixed(1)} ms
  held back at the others: ${flood.reduce((sum, { heldBack }) => sum + heldBack, 0)} of ${flood.reduce((sum, { offered }) => sum + offered, 0)}
  waiting by the node's own histogram: 99 of 100 within ${overload.waitingP99Ms.toFixed(0)} ms`)
  }
  const delays = find('delays', '50 %')?.observed
  if (delays) {
    const count = delays.connections.reduce((sum, { received }) => sum + received, 0)
    const { minMs, p50Ms, p99Ms, maxMs } = delays.latency
    const lateness = [minMs, p50Ms, p99Ms, maxMs].map((value) => value.toFixed(3)).join(', ')
    console.log(`
delays: ${count} packets, drawn with a mean of 50 ms
  observed − drawn: least, p50, p99, most ${lateness} ms; correlation with the drawn delay ${delays.correlation.toFixed(4)}`)
  }
  console.log('')
  for (const { what, value, bound, met } of targets)
    console.log(cells([what, value.toFixed(3), bound.padStart(16), met ? 'ok' : 'missed']))
}
