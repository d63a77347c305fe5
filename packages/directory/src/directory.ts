/**
 * The directory of a network: reads its nodes, publishes who they are, and advances the epochs (03-directory). Nodes join
 * by being read and verified; everything published is one immutable snapshot, swapped as a whole. This file holds the parts
 * together and says when what is done.
 */
import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import { type LogFields, type MemoryMetrics, MixError, sleep, type Timer } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { FULL_SCORE, type VotedNode } from '@mixwright/wire'
import { type Alarm, DirectoryMetrics } from './directory-metrics.js'
import type { DirectoryOptions } from './directory-options.js'
import { type DirectoryParts, directoryParts } from './directory-parts.js'
import type { StoredState } from './directory-state.js'
import { type EarlierDocument, nextPublication } from './document/publication.js'
import type { ListedNode, Snapshot } from './document/snapshot.js'
import { type EpochSchedule, epochAt, keyRotationInfo } from './epoch.js'
import { EpochClock } from './epoch-clock.js'
import { descriptorOf } from './nodes/node-descriptor.js'
import type { NodeEntry } from './nodes/node-reader.js'
import type { NodeRecord, Refusal } from './nodes/node-registry.js'
import { RefreshRequests } from './nodes/refresh-request.js'
import { Registrations } from './nodes/registration.js'
import { Prober } from './probing/prober.js'
import { metricsRoutes } from './routes/metrics-routes.js'
import { nodeRoutes } from './routes/node-routes.js'
import { probeRoutes } from './routes/probe-routes.js'
import { RequestBodies } from './routes/request-body.js'
import { directoryRoutes } from './routes/routes.js'

export type { DirectoryOptions } from './directory-options.js'

/** Failed readings in a row after which a node has performance 0. */
const READINGS_MISSED = 2
/** A reading of all nodes takes its share of the time, however many there are: milliseconds for each. */
const READ_PACE_MS = 60
/** So is publishing, in networks of more than so many nodes. */
const PACED_NODES = 200
const PUBLISH_PACE_MS = 0.25
/** How long a question waits for the first lists, milliseconds: nodes end when they get none, and give up after 5 seconds. */
const HOLD_MS = 4_000
const MOST_HELD = 1_000
const MOST_CONNECTIONS = 4_096
/** For the head of a request, and for all of it, milliseconds. */
const HEAD_MS = 10_000
const REQUEST_MS = 30_000

export class Directory {
  /** Base URL for clients. */
  readonly url: string
  readonly metrics: MemoryMetrics
  /** Ed25519 public key, base58; with a state directory the same at every start. */
  readonly identityKey: string
  /** As it is in force, genesis included. */
  readonly schedule: EpochSchedule
  readonly #options: DirectoryOptions
  readonly #parts: DirectoryParts
  readonly #server: Server
  readonly #epochs: EpochClock
  readonly #alarms: DirectoryMetrics
  readonly #prober: Prober | undefined
  readonly #startedAt: number
  readonly #firstReadings: Promise<void>
  readonly #closing = new AbortController()
  #snapshot: Snapshot | undefined
  /** Whether the network as it was last read can be routed. */
  #routable = false
  #earlier: EarlierDocument | undefined
  /** The first readings are done. */
  #open = false
  #soon: Promise<void> | undefined
  #publishedAt = Number.NEGATIVE_INFINITY
  #readTimer: Timer | undefined
  #readAllAt = 0
  #held = 0
  readonly #holding = new AbortController()

  private constructor(options: DirectoryOptions, parts: DirectoryParts, server: Server, port: number) {
    const { clock, random, crypto, metrics, logger, nodes, listen, probing, startPatienceMs = 10_000 } = options
    const { identity, registry, state, scores } = parts
    this.#options = options
    this.#parts = parts
    this.#server = server
    this.metrics = metrics
    this.identityKey = identity.key
    this.schedule = identity.schedule
    this.#startedAt = clock.monotonic()
    this.#earlier = state?.content?.document ?? undefined
    this.url = `http://${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${port}/api`
    this.#epochs = new EpochClock({
      clock,
      schedule: identity.schedule,
      onEpoch: (epoch, setBack) => {
        if (setBack) this.#raise('clock-set-back', { epoch: epoch.id })
        this.#publish()
      },
      onCollect: () => void this.refresh(),
    })
    this.#alarms = new DirectoryMetrics(metrics, {
      clock,
      registry,
      epoch: () => this.#epochs.epoch,
      snapshot: () => this.#snapshot,
      routable: () => this.#routable,
    })
    if (state?.setAside !== undefined) this.#raise('state-damaged', { setAside: state.setAside })
    if (probing)
      this.#prober = new Prober({
        ...probing,
        clock,
        random,
        logger,
        metrics,
        crypto,
        scores,
        snapshot: () => this.#snapshot,
        onRound: () => void this.published(),
      })
    const registered = [...registry.records]
    const given = nodes.map((entry) => registry.add(entry))
    const patience = new AbortController()
    const registeredAreRead = Promise.race([
      Promise.all(registered.map((record) => registry.readFirst(record, 0))),
      // There may be thousands that are away.
      sleep(clock, startPatienceMs, patience.signal).catch(() => {}),
    ]).finally(() => patience.abort())
    const givenAreRead = given.map((record) => registry.readFirst(record, startPatienceMs))
    this.#firstReadings = Promise.all([registeredAreRead, ...givenAreRead]).then(() => {
      if (this.#closing.signal.aborted) return
      logger.info({ nodes: registry.records.size, key: this.identityKey }, 'the directory is open')
      this.#open = true
      this.#readAllAt = clock.monotonic()
      this.#publish()
      this.#epochs.start()
      this.#scheduleReadings()
      this.#prober?.start()
    })
  }

  /**
   * Listen, and begin to read the nodes. Errors: `MIX_OPTIONS`, `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`; of the state directory
   * `MIX_KEY_FILE`, `MIX_DIRECTORY_STATE`, `MIX_FILE_WRITE`.
   */
  static async start(options: DirectoryOptions): Promise<Directory> {
    const { clock, crypto, metrics, logger, registration, probing, allowLocalAddresses = false } = options
    const parts = directoryParts(options)
    const { identity, registry, scores } = parts
    let directory: Directory | undefined
    const published = () => directory?.published() ?? Promise.resolve()
    const snapshot = () => directory?.snapshot
    const nodes = nodeRoutes({
      metrics,
      bodies: new RequestBodies(clock),
      refreshRequests: new RefreshRequests({ clock, crypto, registry, published }),
      registrations:
        registration && new Registrations({ clock, crypto, registry, policy: registration, allowLocalAddresses }),
      snapshot,
      published,
    })
    const routes = directoryRoutes({
      metrics,
      snapshot,
      url: () => options.publicUrl ?? directory?.url ?? '',
      uptimeSeconds: () => directory?.uptimeSeconds ?? 0,
      rotationInfo: () => keyRotationInfo(identity.schedule, epochAt(identity.schedule, clock.now())),
      whenSnapshot: async () => directory?.whenSnapshot(),
      more: [
        nodes,
        ...(probing ? [probeRoutes(scores, clock)] : []),
        ...(options.metricsToken === undefined ? [] : [metricsRoutes(metrics, options.metricsToken)]),
        ...(options.routes ?? []),
      ],
    })
    const server = createAdaptorServer({
      fetch: routes.fetch,
      serverOptions: { headersTimeout: HEAD_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: HEAD_MS },
    }) as Server
    server.maxConnections = MOST_CONNECTIONS
    const port = await listenOn(server, options.listen)
    logger.debug({ port }, 'the directory listens')
    try {
      directory = new Directory(options, parts, server, port)
    } catch (error) {
      server.close()
      throw error
    }
    return directory
  }

  /** What is published now; undefined until the first readings are done. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  get uptimeSeconds(): number {
    return Math.floor((this.#options.clock.monotonic() - this.#startedAt) / 1000)
  }

  /** Nodes that are not listed, each with its reason; without those that are still asked for the first time. */
  get refusals(): readonly Refusal[] {
    return this.#parts.registry.refusals
  }

  /** What this directory knows of nodes now, with their scores, as authorities vote on it. */
  get view(): readonly VotedNode[] {
    return [...this.#parts.registry.records].flatMap((record) =>
      record.reading === undefined
        ? []
        : [{ score: Math.round(this.#performance(record) * FULL_SCORE), descriptor: descriptorOf(record.reading) }],
    )
  }

  /**
   * Add a node. Resolves when it was first read or refused for what it said, and the lists tell; one that does not answer is asked
   * again for `patienceMs`, by default until it does or the directory closes. Never rejects.
   */
  async join(entry: NodeEntry, { patienceMs }: { readonly patienceMs?: number } = {}): Promise<void> {
    const { registry } = this.#parts
    await registry.readFirst(registry.add(entry), patienceMs)
    await this.#firstReadings
    await this.published()
  }

  /** Resolves when what was read until now is published. */
  published(): Promise<void> {
    const { clock } = this.#options
    this.#soon ??= new Promise<void>((resolve) => {
      const publish = () => {
        this.#soon = undefined
        this.#publish()
        resolve()
      }
      const nodes = this.#snapshot?.nodes.length ?? 0
      const due = this.#publishedAt + (nodes > PACED_NODES ? nodes * PUBLISH_PACE_MS : 0)
      const wait = due - clock.monotonic()
      if (wait > 0) void sleep(clock, wait, this.#closing.signal).then(publish, publish)
      else setImmediate(publish)
    })
    return this.#soon
  }

  /** Resolves when `nodes` were read for the first time, or patience with them has ended. */
  whenRead(): Promise<void> {
    return this.#firstReadings
  }

  /**
   * Resolves once every node that was given or has joined is listed and a client can be routed. Error: `MIX_NOT_ROUTABLE`,
   * naming each refused node and its reason.
   */
  async whenRoutable(): Promise<void> {
    await this.#firstReadings
    const refusals = [...this.#parts.registry.records].flatMap(({ refusal, registered, waiting }) =>
      registered || waiting ? [] : (refusal ?? []),
    )
    if (refusals.length === 0 && this.#snapshot?.routable) return
    const reasons = refusals.map(({ host, httpPort, reason }) => `${host}:${httpPort}: ${reason}`)
    const message = `The network cannot be routed. ${reasons.join('; ') || 'A layer is empty, or there is no gateway.'}`
    throw new MixError('MIX_NOT_ROUTABLE', message, { kind: 'network', data: { refusals } })
  }

  /** Resolves when there are lists, or after some seconds without. */
  async whenSnapshot(): Promise<void> {
    if (this.#snapshot !== undefined || this.#held >= MOST_HELD) return
    this.#held++
    await sleep(this.#options.clock, HOLD_MS, this.#holding.signal).catch(() => {})
    this.#held--
  }

  /** Read all nodes now and publish what changed. */
  async refresh(): Promise<void> {
    this.#readAllAt = this.#options.clock.monotonic()
    await this.#parts.registry.readAll()
    this.#publish()
  }

  /** Probe all nodes now, where probing is on, and publish what comes of it. */
  async probe(): Promise<void> {
    await this.#prober?.probe()
    await this.published()
  }

  /** Publish this from now on; for one of several authorities, whose documents are made together. */
  present(snapshot: Snapshot): void {
    this.#snapshot = snapshot
    this.#routable = snapshot.routable
    this.#holding.abort()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#holding.abort()
    this.#epochs.close()
    this.#readTimer?.cancel()
    this.#parts.registry.close()
    await this.#prober?.close()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
    this.#save()
  }

  #performance({ missed, identityKey }: NodeRecord): number {
    if (missed >= READINGS_MISSED || identityKey === undefined) return 0
    return Math.round(this.#parts.scores.scoreOf(identityKey) * 100) / 100
  }

  #publish(): void {
    if (!this.#open || this.#closing.signal.aborted) return
    const { clock, presentsOnly = false } = this.#options
    this.#publishedAt = clock.monotonic()
    if (presentsOnly) return this.#save()
    const listed = [...this.#parts.registry.records].flatMap((record): ListedNode[] => {
      const { nodeId, reading, earlierKeys } = record
      if (reading === undefined || nodeId === undefined) return []
      return [{ nodeId, reading, performance: this.#performance(record), earlierKeys }]
    })
    const { snapshot, routable } = nextPublication({
      schedule: this.schedule,
      epoch: this.#epochs.epoch,
      listed: listed.sort((a, b) => a.nodeId - b.nodeId),
      earlier: this.#earlier,
      last: this.#snapshot,
      nowMs: clock.now(),
    })
    if (!routable && this.#routable) this.#raise('not-routable', { refusals: this.refusals.length })
    this.#routable = routable
    this.#earlier = { epochId: snapshot.epoch.id, hash: snapshot.hash, layers: snapshot.layers }
    // Numbers are on the disk before anybody sees them.
    this.#save()
    this.#snapshot = snapshot
    this.#holding.abort()
  }

  #save(): void {
    const { state, ids, registry, scores } = this.#parts
    if (state === undefined || !this.#open) return
    const registrations = [...registry.records].flatMap(({ registered, identityKey, entry: { host, httpPort } }) =>
      registered && identityKey !== undefined ? [{ identityKey, host, httpPort }] : [],
    )
    const document = this.#earlier && { ...this.#earlier, layers: this.#earlier.layers.map((layer) => [...layer]) }
    const content: StoredState = {
      version: 1,
      nextNodeId: ids.next,
      ids: ids.entries(),
      registrations,
      document: document ?? null,
      probes: scores.entries(),
    }
    try {
      state.save(content)
    } catch (error) {
      this.#raise('state-not-saved', { reason: String(error) })
    }
  }

  #raise(alarm: Alarm, facts: LogFields): void {
    this.#alarms.alarm(alarm)
    this.#options.logger.error({ alarm, ...facts }, ALARM_TEXTS[alarm])
  }

  /** All nodes at their interval; in between those that are away or have no key of the rotation. */
  #scheduleReadings(): void {
    const { clock, readIntervalMs = 30_000 } = this.#options
    const { registry } = this.#parts
    const base = Math.min(readIntervalMs, this.schedule.durationMs / 2)
    const interval = Math.min(base, this.schedule.durationMs / 4)
    this.#readTimer = clock.setTimer(
      interval,
      async () => {
        const allDue = this.#readAllAt + Math.max(base, registry.records.size * READ_PACE_MS)
        if (clock.monotonic() >= allDue) await this.refresh()
        else {
          const late = registry.lateNodes(this.#epochs.epoch.rotationId)
          await registry.readAll(late)
          if (late.length > 0) this.#publish()
        }
        if (!this.#closing.signal.aborted) this.#scheduleReadings()
      },
      { background: true },
    )
  }
}

const ALARM_TEXTS: Readonly<Record<Alarm, string>> = {
  'not-routable': 'the network is not routable; keeping the last good lists',
  'clock-set-back': 'the clock was set back by more than an epoch; epochs follow it',
  'state-damaged': 'the state file is damaged; it was set aside, and the directory begins without',
  'state-not-saved': 'the state cannot be saved',
}
