/**
 * One row of the benchmark: a fresh node and a fresh generator, warmed up at full speed, then measured in slices of a second.
 * The row's figures are medians over that half of the slices in which other programs took least of the machine.
 */
import { cpus } from 'node:os'
import { RealClock, sleep } from '@mixwright/runtime'
import type { GeneratorOptions, GeneratorOrder, Load, Observed, Progress } from './load-generator.js'
import type { NodeReady, NodeReport, NodeUnderTestOptions } from './node-under-test.js'
import type { MeanDelayMs } from './packet-pool.js'
import { Part } from './part.js'
import { median } from './statistics.js'

/** As the first line of the `mixwright` command has it. */
const NODE_FLAGS = ['--max-semi-space-size=4']

export interface RowOptions {
  readonly node: NodeUnderTestOptions
  readonly load: Load
  readonly meanDelayMs: MeanDelayMs
  /** Prepared packets that the row may use. */
  readonly packets: number
  readonly warmMs: number
  /** Fewer if the packets run out. */
  readonly slices: number
  /** Flags of Node.js for the node under test: a profiler's. */
  readonly flags?: readonly string[] | undefined
}

export interface RowResult {
  readonly packetsPerSecond: number
  /** Of the whole node process, per forwarded packet. */
  readonly cpuMicros: number
  /** From the write of a packet until the sink read it, less the delay drawn for it, milliseconds. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly residentBytes: number
  /** Of generator and sink, per packet, for comparison. */
  readonly generatorCpuMicros: number
  /** The whole time measured. */
  readonly observed: Observed
  /** Drops of the node while measured, by reason. */
  readonly dropped: Readonly<Record<string, number>>
  /** Upper end of the bucket that 99 of 100 packets of the node's own histogram of waiting stay in, milliseconds. */
  readonly waitingP99Ms: number
  /** Part of the machine that was taken by neither node nor generator, 0 to 1. */
  readonly othersShare: number
  /** Sent, and at the end neither received nor counted as dropped. Not 0 is a fault. */
  readonly lost: number
}

/** Packets under way when it is about the most that the node can do: with noble fewer, or they would wait until they are dropped. */
export const windowOf = ({ crypto }: NodeUnderTestOptions): Load => ({ window: crypto === 'noble' ? 64 : 256 })
/** Connections to the node, as from so many peers. */
export const CONNECTIONS = 4
/** From a change of load until it is measured. */
const SETTLE_MS = 500
const SLICE_MS = 1000
/** For the last packet to come out; looked after this often. */
const DRAIN_MS = 5000
const DRAIN_LOOK_MS = 100

const clock = new RealClock()

export async function measureRow(options: RowOptions): Promise<RowResult> {
  const { node: nodeOptions, meanDelayMs, packets } = options
  const { part: node, ready } = await Part.start<NodeReady, 'report', NodeReport>('./node-under-test.js', nodeOptions, [
    ...NODE_FLAGS,
    ...(options.flags ?? []),
  ])
  try {
    const generatorOptions: GeneratorOptions = {
      mixPort: ready.mixPort,
      noise: nodeOptions.noise,
      meanDelayMs,
      packets,
      connections: CONNECTIONS,
      again: !nodeOptions.replay,
    }
    const { part: generator } = await Part.start<object, GeneratorOrder, Progress>(
      './load-generator.js',
      generatorOptions,
    )
    try {
      return await measure(options, node, generator)
    } finally {
      await generator.stop()
    }
  } finally {
    await node.stop()
  }
}

async function measure(
  { node: nodeOptions, load, warmMs, slices }: RowOptions,
  node: Part<'report', NodeReport>,
  generator: Part<GeneratorOrder, Progress>,
): Promise<RowResult> {
  await generator.ask({ load: windowOf(nodeOptions) })
  await sleep(clock, warmMs)
  await generator.ask({ load })
  await sleep(clock, SETTLE_MS)
  await generator.ask('mark')
  const first = await snapshot(node, generator)
  const taken: Slice[] = []
  let before = first
  do {
    await sleep(clock, SLICE_MS)
    const now = await snapshot(node, generator)
    taken.push(slice(before, now))
    before = now
  } while (taken.length < slices && !before.generator.exhausted)
  // The packets ran out within the last one.
  if (before.generator.exhausted && taken.length > 1) taken.pop()
  const { observed } = await generator.ask('tell')
  await generator.ask('pause')
  const lost = await drain(node, generator)
  const quiet = taken
    .map((figures, index) => ({ ...figures, ...observed!.slices[index]! }))
    .sort((a, b) => a.othersShare - b.othersShare)
    .slice(0, Math.ceil(taken.length / 2))
  return {
    packetsPerSecond: median(quiet.map(({ rate }) => rate)),
    cpuMicros: median(quiet.map(({ cpuMicros }) => cpuMicros)),
    p50Ms: median(quiet.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(quiet.map(({ p99Ms }) => p99Ms)),
    residentBytes: before.node.residentBytes,
    generatorCpuMicros: median(quiet.map(({ generatorCpuMicros }) => generatorCpuMicros)),
    observed: observed!,
    dropped: Object.fromEntries(
      Object.entries(before.node.dropped)
        .map(([reason, count]) => [reason, count - (first.node.dropped[reason] ?? 0)] as const)
        .filter(([, count]) => count > 0),
    ),
    waitingP99Ms: waitingP99Ms(first.node, before.node),
    othersShare: median(quiet.map(({ othersShare }) => othersShare)),
    lost,
  }
}

/** Everything that counts, at one moment. */
interface Snapshot {
  readonly ms: number
  readonly node: NodeReport
  readonly generator: Progress
  /** CPU time that all programs of the machine have taken since it started, milliseconds. */
  readonly machineMs: number
}

interface Slice {
  /** Packets a second. */
  readonly rate: number
  readonly cpuMicros: number
  readonly generatorCpuMicros: number
  readonly othersShare: number
}

async function snapshot(
  node: Part<'report', NodeReport>,
  generator: Part<GeneratorOrder, Progress>,
): Promise<Snapshot> {
  const [nodeReport, progress] = await Promise.all([node.ask('report'), generator.ask('cut')])
  const machineMs = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)
  return { ms: clock.monotonic(), node: nodeReport, generator: progress, machineMs }
}

function slice(before: Snapshot, now: Snapshot): Slice {
  const forwarded = now.node.forwarded - before.node.forwarded
  const nodeMicros = now.node.cpuMicros - before.node.cpuMicros
  const generatorMicros = now.generator.cpuMicros - before.generator.cpuMicros
  const wallMs = now.ms - before.ms
  const machineMs = now.machineMs - before.machineMs
  return {
    rate: (forwarded * 1000) / wallMs,
    cpuMicros: nodeMicros / forwarded,
    generatorCpuMicros: generatorMicros / forwarded,
    othersShare: Math.max(0, machineMs - (nodeMicros + generatorMicros) / 1000) / (wallMs * cpus().length),
  }
}

/** Wait for what is under way; how many packets never came. */
async function drain(node: Part<'report', NodeReport>, generator: Part<GeneratorOrder, Progress>): Promise<number> {
  for (let waitedMs = 0; ; waitedMs += DRAIN_LOOK_MS) {
    const { sent, received } = await generator.ask('mark')
    const { dropped } = await node.ask('report')
    const lost = sent - received - Object.values(dropped).reduce((sum, count) => sum + count, 0)
    if (lost === 0 || waitedMs >= DRAIN_MS) return lost
    await sleep(clock, DRAIN_LOOK_MS)
  }
}

function waitingP99Ms(first: NodeReport, last: NodeReport): number {
  const { bounds, counts } = last.waiting
  const during = counts.map((count, bucket) => count - (first.waiting.counts[bucket] ?? 0))
  const total = during.reduce((sum, count) => sum + count, 0)
  let below = 0
  const bucket = during.findIndex((count) => {
    below += count
    return below >= 0.99 * total
  })
  return (bounds[bucket] ?? Number.POSITIVE_INFINITY) * 1000
}
