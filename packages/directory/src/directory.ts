/**
 * The directory of a network: reads its nodes, publishes who they are, and advances the epochs (03-directory). Nodes join
 * by being read and verified; everything published is one immutable snapshot, swapped as a whole.
 */
import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import { type Clock, type Logger, type MemoryMetrics, MixError, type Random, type Timer } from '@mixwright/runtime'
import { type ListenAddress, listenOn } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import { checkSchedule, type EpochSchedule, epochAt } from './epoch.js'
import { dealLayers } from './layers.js'
import { type NodeEntry, type NodeReading, readNode } from './node-reader.js'
import { directoryRoutes } from './routes.js'
import { type ListedNode, Snapshot } from './snapshot.js'

export interface DirectoryOptions {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: MemoryMetrics
  readonly crypto: CryptoProvider
  readonly listen: ListenAddress
  readonly nodes: readonly NodeEntry[]
  readonly epoch: EpochSchedule
  /** Whether nodes may announce loopback addresses; for networks on one machine. @default false */
  readonly allowLocalAddresses?: boolean
  /** Between two readings of a node, milliseconds. @default 30000 */
  readonly readIntervalMs?: number
  /** Between two attempts at the start, while a node does not answer yet, milliseconds. @default 50 */
  readonly startRetryMs?: number
  /** How long an unreachable node is waited for at the start, milliseconds. @default 10000 */
  readonly startPatienceMs?: number
}

/** A node that was not believed, and why. */
export interface Refusal {
  readonly nodeId: number
  readonly host: string
  readonly httpPort: number
  readonly reason: string
}

/** Failed readings in a row after which a node leaves the lists at the next snapshot. */
const READINGS_MISSED = 3
/** Performance of a node that nobody has probed. */
const UNPROBED_PERFORMANCE = 1

interface NodeRecord {
  readonly entry: NodeEntry
  reading: NodeReading | undefined
  missed: number
  refusal: Refusal | undefined
  /** Settled once: read for the first time, or refused for good. */
  settled: boolean
}

export class Directory {
  /** Base URL for clients. */
  readonly url: string
  readonly metrics: MemoryMetrics
  readonly #options: DirectoryOptions
  readonly #server: Server
  readonly #records: readonly NodeRecord[]
  readonly #startedAt: number
  #snapshot: Snapshot | undefined
  #epochTimer: Timer | undefined
  #readTimer: Timer | undefined
  #closed = false
  readonly #firstReadings: Promise<void>

  private constructor(options: DirectoryOptions, server: Server, port: number, records: readonly NodeRecord[]) {
    this.#options = options
    this.#server = server
    this.#records = records
    this.metrics = options.metrics
    this.#startedAt = options.clock.monotonic()
    const { host } = options.listen
    this.url = `http://${host.includes(':') ? `[${host}]` : host}:${port}/api`
    this.#firstReadings = Promise.all(records.map((record) => this.#readFirst(record))).then(() => {
      if (this.#closed) return
      this.#publish()
      this.#scheduleEpoch()
      this.#scheduleReadings()
    })
  }

  /** Listen, and begin to read the nodes. Errors: `MIX_OPTIONS`, `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  static async start(options: DirectoryOptions): Promise<Directory> {
    checkSchedule(options.epoch)
    let directory: Directory | undefined
    const routes = directoryRoutes({
      metrics: options.metrics,
      snapshot: () => directory?.snapshot,
      url: () => directory?.url ?? '',
      uptimeSeconds: () => directory?.uptimeSeconds ?? 0,
    })
    const server = createAdaptorServer({ fetch: routes.fetch }) as Server
    const port = await listenOn(server, options.listen)
    const records = options.nodes.map((entry): NodeRecord => {
      return { entry, reading: undefined, missed: 0, refusal: undefined, settled: false }
    })
    directory = new Directory(options, server, port, records)
    return directory
  }

  /** What is published now; undefined until the first readings are done. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  get uptimeSeconds(): number {
    return Math.floor((this.#options.clock.monotonic() - this.#startedAt) / 1000)
  }

  /** Nodes that are not listed, each with its reason. */
  get refusals(): readonly Refusal[] {
    return this.#records.flatMap(({ refusal }) => refusal ?? [])
  }

  /**
   * Resolves once every given node is listed and a client can be routed. Error: `MIX_NOT_ROUTABLE`, naming each refused
   * node and its reason.
   */
  async whenRoutable(): Promise<void> {
    await this.#firstReadings
    const { refusals } = this
    if (refusals.length === 0 && this.#snapshot?.routable) return
    const reasons = refusals.map(({ host, httpPort, reason }) => `${host}:${httpPort}: ${reason}`)
    const message = `The network cannot be routed. ${reasons.join('; ') || 'A layer is empty, or there is no gateway.'}`
    throw new MixError('MIX_NOT_ROUTABLE', message, { kind: 'network', data: { refusals } })
  }

  /** Read all nodes now and publish what changed. */
  async refresh(): Promise<void> {
    await Promise.all(this.#records.map((record) => this.#readAgain(record)))
    if (!this.#closed) this.#publish()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#epochTimer?.cancel()
    this.#readTimer?.cancel()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  /** Until it answers, or is refused for what it said, or patience ends. */
  async #readFirst(record: NodeRecord): Promise<void> {
    const { clock, startRetryMs = 50, startPatienceMs = 10_000 } = this.#options
    const deadline = clock.monotonic() + startPatienceMs
    while (!this.#closed) {
      const retry = await this.#read(record)
      if (!retry || clock.monotonic() >= deadline) return
      await new Promise<void>((resolve) => clock.setTimer(startRetryMs, resolve))
    }
  }

  /** Returns whether another attempt may help. */
  async #read(record: NodeRecord): Promise<boolean> {
    const { clock, crypto, logger, allowLocalAddresses = false } = this.#options
    const { nodeId, host, httpPort } = record.entry
    try {
      record.reading = await readNode(record.entry, { clock, crypto, allowLocalAddresses })
      record.refusal = undefined
      record.missed = 0
      return false
    } catch (error) {
      if (!(error instanceof MixError)) throw error
      const reason = String(error.data.reason)
      record.missed++
      // A node that lies is out at once; one that is away may come back with its listing unharmed.
      if (!error.retry || record.missed >= READINGS_MISSED || record.reading === undefined) {
        record.reading = undefined
        record.refusal = { nodeId, host, httpPort, reason }
      }
      logger.debug({ host, httpPort, reason }, 'node refused')
      return error.retry
    }
  }

  async #readAgain(record: NodeRecord): Promise<void> {
    const before = record.refusal
    await this.#read(record)
    const { refusal } = record
    if (refusal !== undefined && before === undefined)
      this.#options.logger.warn({ ...refusal }, 'node left the directory')
  }

  #publish(): void {
    const { clock, epoch: schedule, random, logger } = this.#options
    const epoch = epochAt(schedule, clock.now())
    const listed = this.#records.flatMap(({ entry, reading }): ListedNode[] =>
      reading === undefined ? [] : [{ nodeId: entry.nodeId, reading, performance: UNPROBED_PERFORMANCE }],
    )
    const mixnodes = listed.filter(({ reading }) => reading.roles.mixnode_enabled).map(({ nodeId }) => nodeId)
    const layers = dealLayers(mixnodes, this.#snapshot?.layers ?? [], random)
    const next = new Snapshot(schedule, epoch, listed, layers, clock.now())
    // What cannot be routed helps nobody: the last good lists stay, with the present epoch.
    if (!next.routable && this.#snapshot?.routable) {
      logger.error({ refusals: this.refusals.length }, 'the network is not routable; keeping the last good lists')
      this.#snapshot = this.#snapshot.inEpoch(epoch)
      return
    }
    this.#snapshot = next
  }

  #scheduleEpoch(): void {
    const { clock, epoch: schedule } = this.#options
    const { endMs } = epochAt(schedule, clock.now())
    this.#epochTimer = clock.setTimer(
      endMs - clock.now(),
      () => {
        this.#publish()
        this.#scheduleEpoch()
      },
      { background: true },
    )
  }

  #scheduleReadings(): void {
    const { clock, readIntervalMs = 30_000 } = this.#options
    this.#readTimer = clock.setTimer(
      readIntervalMs,
      () => {
        void this.refresh().then(() => {
          if (!this.#closed) this.#scheduleReadings()
        })
      },
      { background: true },
    )
  }
}
