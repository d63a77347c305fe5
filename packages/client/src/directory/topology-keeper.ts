/**
 * Keeps the client's picture of the network fresh (04-client §4.14, 03-directory §6.3): reads it every five minutes, at the
 * turn of an epoch and after a sleep of the machine, tries again after failures, and forgets it only when the Sphinx keys in
 * it can be good no more. How it is read is left to a `TopologySource`.
 */
import { type Clock, MixError, type Random, type Timer, uniform } from '@mixwright/runtime'
import { epochStartMs, expectedEpoch, isEpochStuck, keysGoodUntilMs } from './rotation-schedule.js'
import type { ListedRequester, RotationSchedule, Topology, TopologySource } from './topology.js'

/** What a keeper tells, after its first reading. Nothing is told after `close`. */
export interface TopologyKeeperEvents {
  /** The network was read. */
  refreshed(topology: Topology): void
  /** Called after `refreshed` when the keys are of another rotation than before. */
  rotated(topology: Topology): void
  /** The network could not be read; it is tried again. `current` stays for as long as it is good. */
  failed(reason: MixError): void
}

export interface TopologyKeeperOptions {
  readonly source: TopologySource
  readonly clock: Clock
  readonly random: Random
  readonly events: TopologyKeeperEvents
  /** Mean time between two readings, milliseconds. @default 300000 */
  readonly refreshMs?: number
}

const REFRESH_MS = 300_000
/** Wait after the first failure, milliseconds; doubled by each further one up to `refreshMs`. Nothing is read more often by itself. */
const SHORTEST_RETRY_MS = 1_000
/** Two readings that somebody asked for are no closer, milliseconds. */
const ASKED_INTERVAL_MS = 10_000
/** Readings are spread by this part of their interval to either side, so that clients do not come all at once. */
const JITTER = 0.1
/** Readings for a new epoch are spread over this long after its start, milliseconds, or over a tenth of a short epoch. */
const TURN_SPREAD_MS = 10_000
/** How often the time of day is looked at, milliseconds: after a sleep of the machine a timer would come too late. */
const LOOK_MS = 5_000

export class TopologyKeeper {
  readonly #options: TopologyKeeperOptions
  readonly #abort = new AbortController()
  #schedule: RotationSchedule
  #topology: Topology
  /** Until when the keys of `#topology` are good, time of day. */
  #goodUntilMs: number
  #reason: MixError | undefined
  /** Since the last success. */
  #failures = 0
  #reading: Promise<void> | undefined
  #timer: Timer | undefined
  /** When the last reading ended, and when the next is due, by the clock that never jumps. */
  #endedAt: number
  #dueAt = 0
  /** The same by the time of day, which goes on while the machine sleeps. */
  #dueAtTimeOfDay = 0

  private constructor(options: TopologyKeeperOptions, schedule: RotationSchedule, topology: Topology) {
    this.#options = options
    this.#schedule = schedule
    this.#topology = topology
    this.#goodUntilMs = keysGoodUntilMs(schedule, topology)
    this.#endedAt = options.clock.monotonic()
    this.#scheduleNext()
  }

  /** Read schedule and network, and keep them fresh from then on. Rejects as the source does; then nothing goes on. */
  static async open(options: TopologyKeeperOptions, signal?: AbortSignal): Promise<TopologyKeeper> {
    const { source } = options
    const [schedule, topology] = await Promise.all([source.readSchedule(signal), source.read(signal)])
    return new TopologyKeeper(options, schedule, topology)
  }

  /** The network; undefined once its keys cannot be good any more: nothing can be sent then, until `refreshed`. */
  get current(): Topology | undefined {
    return this.#options.clock.now() < this.#goodUntilMs ? this.#topology : undefined
  }

  /** The network as last read, however old. */
  get lastRead(): Topology {
    return this.#topology
  }

  get schedule(): RotationSchedule {
    return this.#schedule
  }

  /** Why the last reading failed; undefined when it did not. */
  get reason(): MixError | undefined {
    return this.#reason
  }

  /**
   * Read the network now, as when a gateway is unknown that may have come lately. Resolves when that is done, failed or
   * not; at once, and without reading, when the last reading ended less than ten seconds ago.
   */
  refreshNow(): Promise<void> {
    const { clock } = this.#options
    const tooSoon = this.#reading === undefined && clock.monotonic() - this.#endedAt < ASKED_INTERVAL_MS
    return tooSoon || this.#abort.signal.aborted ? Promise.resolve() : this.#refresh()
  }

  /** Network requesters, read now; none where the source knows of none. Rejects as the source does. */
  async readRequesters(signal?: AbortSignal): Promise<readonly ListedRequester[]> {
    return (await this.#options.source.readRequesters?.(signal)) ?? []
  }

  /** Stop; idempotent. A reading under way is cut off. */
  close(): void {
    this.#timer?.cancel()
    this.#abort.abort()
  }

  /** Read, or join the reading under way. Never rejects. */
  #refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
      this.#endedAt = this.#options.clock.monotonic()
      if (!this.#abort.signal.aborted) this.#scheduleNext()
    })
    return this.#reading
  }

  async #read(): Promise<void> {
    const { source, events } = this.#options
    const { signal } = this.#abort
    this.#timer?.cancel()
    const before = this.#topology
    try {
      const topology = await source.read(signal)
      // An epoch that the schedule did not foresee: the network was restarted or its epochs are late.
      const schedule = isEpochStuck(this.#schedule, topology) ? await source.readSchedule(signal) : this.#schedule
      if (signal.aborted) return
      this.#topology = topology
      this.#schedule = schedule
      this.#goodUntilMs = keysGoodUntilMs(schedule, topology)
      this.#reason = undefined
      this.#failures = 0
    } catch (error) {
      if (signal.aborted) return
      this.#reason = error instanceof MixError ? error : sourceFailed(error)
      this.#failures++
      events.failed(this.#reason)
      return
    }
    events.refreshed(this.#topology)
    if (this.#topology.rotationId !== before.rotationId && !signal.aborted) events.rotated(this.#topology)
  }

  #scheduleNext(): void {
    const { clock } = this.#options
    const delayMs = this.#failures > 0 ? this.#retryDelay() : this.#refreshDelay()
    this.#dueAt = clock.monotonic() + delayMs
    this.#dueAtTimeOfDay = clock.now() + delayMs
    this.#look()
  }

  /** Read if it is time by either clock, else look again later. */
  #look(): void {
    const { clock } = this.#options
    const remaining = Math.min(this.#dueAt - clock.monotonic(), this.#dueAtTimeOfDay - clock.now())
    if (remaining <= 0) void this.#refresh()
    else this.#timer = clock.setTimer(Math.min(remaining, LOOK_MS), () => this.#look(), { background: true })
  }

  #retryDelay(): number {
    const { refreshMs = REFRESH_MS } = this.#options
    return this.#jittered(Math.min(SHORTEST_RETRY_MS * 2 ** (this.#failures - 1), refreshMs))
  }

  /** Five minutes, or just after the start of the next epoch: layers change with each, keys with some. */
  #refreshDelay(): number {
    const { clock, random, refreshMs = REFRESH_MS } = this.#options
    const now = clock.now()
    const spread = Math.min(TURN_SPREAD_MS, this.#schedule.epochMs / 10)
    const nextEpoch = epochStartMs(this.#schedule, expectedEpoch(this.#schedule, now) + 1) - now
    const afterTurn = nextEpoch + spread * uniform(random)
    return Math.max(SHORTEST_RETRY_MS, Math.min(this.#jittered(refreshMs), afterTurn))
  }

  #jittered(meanMs: number): number {
    return meanMs * (1 - JITTER + 2 * JITTER * uniform(this.#options.random))
  }
}

function sourceFailed(cause: unknown): MixError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  const message = `The network cannot be read: ${reason}.`
  return new MixError('MIX_DIRECTORY_UNREACHABLE', message, { kind: 'network', retry: true, data: { reason }, cause })
}
