/**
 * `npm run bench:network`: a network from `mixwright up` in a process of its own, and one official npm client on it.
 * Start, memory, stop; latency of one-packet messages beside the delays that the client itself draws (its floor); CPU of
 * the network while the client idles beside the bare curve multiplications of its hops (their floor).
 *
 *   npm run bench:network -- --quick      50 messages and 15 s instead of 500 and 60 s
 *
 * CPU and memory of the other process are read from /proc: on other systems than Linux those lines are left out.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { OfficialClient } from '@mixwright/interop'
import { RealClock, SeededRandom, sleep, uniform } from '@mixwright/runtime'
import { type CryptoProviderName, loadCryptoProvider } from '@mixwright/sphinx'
import { metricOf, type RunningNetwork, startNetwork, stopNetwork } from './network-process.js'
import { cpuOf, memoryOf } from './process-usage.js'

/** Defaults of official clients (04-client §4.15), milliseconds. */
const MIX_DELAY_MS = 15
const SENDING_DELAY_MS = 20
/** Nodes that hold a packet back. */
const MIXES = 3
const MODEL_SAMPLES = 100_000
const FLOOR_ITERATIONS = 3_000

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false } } })
const messages = flags.quick ? 50 : 500
const idleSeconds = flags.quick ? 15 : 60
const clock = new RealClock()

/** Sphinx layers opened by all nodes so far: each cost two multiplications, the last hops of a route one. */
async function layersOpened(network: RunningNetwork): Promise<{ forward: number; final: number }> {
  return {
    forward: await metricOf(network, 'nym_node_mixnet_ingress_forward_packets_received'),
    final: await metricOf(network, 'nym_node_mixnet_ingress_final_hop_packets_received'),
  }
}

/** CPU seconds of one X25519 with the network's cryptography, in this process and this run. */
async function multiplicationSeconds(name: CryptoProviderName): Promise<number> {
  const crypto = await loadCryptoProvider(name)
  const random = new SeededRandom('floor')
  const scalar = random.bytes(32)
  const point = crypto.x25519Base(random.bytes(32))
  const multiply = () => {
    for (let i = 0; i < FLOOR_ITERATIONS; i++) crypto.x25519(scalar, point)
  }
  multiply()
  const before = process.cpuUsage()
  multiply()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6 / FLOOR_ITERATIONS
}

/** What a message waits by design: a slot of the Poisson stream if there is one, then a drawn delay at each mix. Milliseconds. */
function drawnDelays({ slot }: { slot: boolean }): number[] {
  const random = new SeededRandom('drawn delays')
  const exponential = (mean: number) => -mean * Math.log(1 - uniform(random))
  return Array.from({ length: MODEL_SAMPLES }, () => {
    let wait = slot ? exponential(SENDING_DELAY_MS) : 0
    for (let mix = 0; mix < MIXES; mix++) wait += exponential(MIX_DELAY_MS)
    return wait
  })
}

const quantile = (sorted: readonly number[], share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

function say(what: string, value: string): void {
  console.log(`  ${what.padEnd(64)} ${value}`)
}
const ms = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`
const megabytes = (value: number | undefined) => (value === undefined ? '–' : `${Math.round(value / 1e6)} MB`)
const load = () =>
  loadavg()
    .map((value) => value.toFixed(2))
    .join(' ')

async function measure(network: RunningNetwork): Promise<void> {
  const { process: child, summary, crypto } = network
  say('start of the process to ready', ms(network.readyMs))
  say('of this, the network itself (its own account)', ms(network.ownReadyMs))
  await sleep(clock, 1_000)
  say('resident memory of the idle network', megabytes(memoryOf(child.pid, 'VmRSS')))

  const gateway = summary.nodes.find(({ role }) => role === 'gateway')!
  const clientStartedAt = clock.monotonic()
  await using client = await OfficialClient.start({
    nymApiUrl: summary.nymApiUrl,
    clientId: 'bench',
    preferredGateway: gateway.identityKey,
  })
  const { latenciesMs: firstMs } = await client.pingPong(1)
  say('official client: its constructor to the first delivered message', ms(client.connectMs + firstMs[0]!))
  say('the same from the start of its process, WASM loaded in it', ms(clock.monotonic() - clientStartedAt))

  console.log(`\n${messages} one-packet messages of the client to itself, one after the other`)
  const { latenciesMs, packetTimesMs } = await client.pingPong(messages)
  compare(latenciesMs, drawnDelays({ slot: true }), 'three drawn delays and a Poisson slot')
  say('wait for a slot as the client gives them (nominal 20 ms)', ms(meanWaitForNext(packetTimesMs)))

  console.log(`\n${idleSeconds} s with this client idle, which sends cover traffic`)
  const before = { cpu: cpuOf(child.pid), layers: await layersOpened(network) }
  await sleep(clock, idleSeconds * 1_000)
  const after = { cpu: cpuOf(child.pid), layers: await layersOpened(network) }
  const forward = after.layers.forward - before.layers.forward
  const final = after.layers.final - before.layers.final
  if (before.cpu !== undefined && after.cpu !== undefined) {
    const cpu = after.cpu - before.cpu
    const floorSeconds = (2 * forward + final) * (await multiplicationSeconds(crypto))
    say('CPU of the network', `${cpu.toFixed(2)} s (${((60 * cpu) / idleSeconds).toFixed(2)} s in 60 s)`)
    say(`Sphinx layers opened`, `${forward + final}, ${Math.round((1e6 * cpu) / (forward + final))} µs of all CPU each`)
    say('their bare multiplications (floor)', `${floorSeconds.toFixed(2)} s`)
    say('× floor', (cpu / floorSeconds).toFixed(2))
  }
  say(
    'resident memory of the network now, and at its most',
    `${megabytes(memoryOf(child.pid, 'VmRSS'))}, ${megabytes(memoryOf(child.pid, 'VmHWM'))}`,
  )
  for (const complaint of client.complaints) say('the client complained', complaint)

  console.log(`\n${messages} messages again, of a client that sends at once and no cover: the network's share alone`)
  await using direct = await OfficialClient.start({
    nymApiUrl: summary.nymApiUrl,
    clientId: 'bench-direct',
    preferredGateway: gateway.identityKey,
    clientOverride: {
      traffic: { disableMainPoissonPacketDistribution: true },
      coverTraffic: { disableLoopCoverTrafficStream: true },
    },
  })
  compare((await direct.pingPong(messages)).latenciesMs, drawnDelays({ slot: false }), 'three drawn delays')
}

/** A table of latencies, of what was drawn by design, and of their ratios. */
function compare(latenciesMs: readonly number[], drawnMs: readonly number[], drawnName: string): void {
  const columns = (values: readonly number[]) => {
    const sorted = [...values].sort((a, b) => a - b)
    return [...[0.5, 0.9, 0.99].map((share) => quantile(sorted, share)), mean(sorted)]
  }
  const [measured, drawn] = [columns(latenciesMs), columns(drawnMs)]
  console.log(row(['', 'p50', 'p90', 'p99', 'mean']))
  console.log(row(['measured, ms', ...measured.map((value) => value.toFixed(1))]))
  console.log(row([`${drawnName}, ms`, ...drawn.map((value) => value.toFixed(1))]))
  console.log(row(['× drawn', ...measured.map((value, i) => (value / drawn[i]!).toFixed(2))]))
}

/** Mean wait of somebody who comes at any moment, for the next of these times: of gaps g, E[g²] / 2 E[g]. */
function meanWaitForNext(times: readonly number[]): number {
  const gaps = times.slice(1).map((time, i) => time - times[i]!)
  return mean(gaps.map((gap) => gap * gap)) / (2 * mean(gaps))
}

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? `  ${cell}`.padEnd(46) : cell.padStart(9))).join('')
}

const directory = mkdtempSync(join(tmpdir(), 'mixwright-bench-'))
try {
  console.log(`Load of the machine before: ${load()}`)
  const network = await startNetwork(directory)
  console.log(
    `Node.js ${process.version}, ${process.platform}-${process.arch}, ${network.crypto}; 3 mix nodes, 2 gateways\n`,
  )
  try {
    await measure(network)
  } finally {
    const stopMs = await stopNetwork(network)
    console.log('')
    say('Ctrl-C to the end of the process', ms(stopMs))
  }
  console.log(`Load of the machine after: ${load()}`)
} finally {
  rmSync(directory, { recursive: true, force: true })
}
