/**
 * Keeps the node's view of the network fresh, and is its routing filter (05-mixnode §8.3): the view is replaced as a whole
 * every ten minutes; addresses that it does not know are asked after soon, a hundred at a time, and remembered as refused
 * until then. Ours asks within seconds, where official nodes take five minutes: a newcomer is reachable the sooner.
 * A list that is no network, as a directory that begins anew may show it, takes nobody away for an hour.
 */
import { type Clock, type Logger, type Metrics, type Random, type Timer, uniform } from '@mixwright/runtime'
import type { NodeAddress } from '@mixwright/sphinx'
import { canonicalIp } from '../link/ip-address.js'
import type { NoisePeers } from '../noise/noise-policy.js'
import { logFailure, type NetworkSource, type NetworkTopology } from './network-source.js'
import { type ListedPeer, NetworkView } from './network-view.js'

export interface TopologyWatchOptions {
  readonly source: NetworkSource
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  /** Between two full refreshes, milliseconds. @default 600000 */
  readonly refreshMs?: number
  /** After a failure, or while the network is not routable yet, milliseconds; doubles with each, up to 30 seconds. @default 500 */
  readonly retryMs?: number
}

const LONGEST_RETRY_MS = 30_000
/** How long the last whole network is believed beside a list that is none, milliseconds: an official epoch. */
const KEEP_NETWORK_MS = 3_600_000
/** From the first packet for an unknown address to the question about it, and between two such questions, milliseconds. */
const ASK_UNKNOWN_MS = 5_000
/** Addresses of one question. */
const ASK_AT_ONCE = 100
/** Unknown addresses remembered; further ones are refused without being asked after. */
const MOST_UNKNOWN = 1_000

export class TopologyWatch implements NoisePeers {
  readonly #options: TopologyWatchOptions
  #view = new NetworkView([])
  /** Asked after since the last full refresh, and known to the directory. */
  #lateKnown = new Set<string>()
  /** Not in the view: still to be asked after (true), or refused until the next full refresh (false). */
  #unknown = new Map<string, boolean>()
  #routable = false
  /** The last list that was a whole network, and when it came, monotonic. */
  #whole: { readonly peers: readonly ListedPeer[]; readonly atMs: number } | undefined
  /** Readings in a row that failed or showed no whole network. */
  #failures = 0
  #refreshing: Promise<void> | undefined
  #timer: Timer | undefined
  #askTimer: Timer | undefined
  #closed = false

  constructor(options: TopologyWatchOptions) {
    this.#options = options
    const { metrics } = options
    metrics.gauge('mixwright_known_addresses', 'Addresses that may be next hops', {}, () => this.#view.size)
    metrics.gauge('mixwright_network_routable', 'Whether the directory lists a whole network', {}, () =>
      this.#routable ? 1 : 0,
    )
  }

  get routable(): boolean {
    return this.#routable
  }

  /** Whether `ip` may be a next hop. A refused address is asked after, unless it was already. */
  allows(ip: string): boolean {
    if (this.#view.knows(ip)) return true
    const canonical = canonicalIp(ip)
    if (this.#lateKnown.has(canonical)) return true
    if (!this.#unknown.has(canonical) && this.#unknown.size < MOST_UNKNOWN) {
      this.#unknown.set(canonical, true)
      this.#askTimer ??= this.#options.clock.setTimer(ASK_UNKNOWN_MS, () => void this.#askAfterUnknown(), {
        background: true,
      })
    }
    return false
  }

  noiseKeyOf(address: NodeAddress): Uint8Array | undefined {
    return this.#view.noiseKeyOf(address)
  }

  speaksNoise(ip: string): boolean {
    return this.#view.speaksNoise(ip)
  }

  /** Read everything now, and from then on again and again. When that fails the view stays as it is; never rejects. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #refresh(): Promise<void> {
    this.#timer?.cancel()
    const { source, logger, metrics, clock, random, refreshMs = 600_000, retryMs = 500 } = this.#options
    let ok = false
    try {
      const topology = await source.topology()
      const { peers, routable } = topology
      this.#view = new NetworkView(this.#believed(topology))
      this.#lateKnown = new Set()
      this.#unknown = new Map()
      if (routable !== this.#routable) logger.info({ nodes: peers.length, routable }, 'the network changed')
      this.#routable = routable
      ok = true
    } catch (error) {
      logFailure(logger, error, 'the topology could not be read')
    }
    metrics
      .counter('mixwright_topology_readings_total', 'Readings of the topology', { result: ok ? 'ok' : 'failed' })
      .increment()
    if (this.#closed) return
    // Spread, so that the nodes of a network do not all ask in the same second.
    if (ok && this.#routable) this.#failures = 0
    else this.#failures++
    const again = Math.min(retryMs * 2 ** (this.#failures - 1), LONGEST_RETRY_MS)
    const wait = (this.#failures === 0 ? refreshMs : again) * (0.9 + 0.1 * uniform(random))
    this.#timer = clock.setTimer(wait, () => void this.refresh(), { background: true })
  }

  /** The peers of a whole network; else those listed, beside those of the last whole one of whom nothing new is said. */
  #believed({ peers, routable }: NetworkTopology): readonly ListedPeer[] {
    const nowMs = this.#options.clock.monotonic()
    if (routable) this.#whole = { peers, atMs: nowMs }
    if (routable || this.#whole === undefined || nowMs - this.#whole.atMs > KEEP_NETWORK_MS) return peers
    const listed = new NetworkView(peers)
    return [...peers, ...this.#whole.peers.filter(({ ipAddresses }) => !ipAddresses.some((ip) => listed.knows(ip)))]
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#askTimer?.cancel()
  }

  async #askAfterUnknown(): Promise<void> {
    const { source, clock, logger } = this.#options
    const asked = [...this.#unknown]
      .filter(([, pending]) => pending)
      .map(([ip]) => ip)
      .slice(0, ASK_AT_ONCE)
    for (const ip of asked) this.#unknown.set(ip, false)
    try {
      const known = asked.length > 0 ? await source.known(asked) : new Set<string>()
      // Noise keys come with the whole list only.
      if (known.size > 0) await this.refresh()
      for (const ip of known) this.#lateKnown.add(ip)
    } catch (error) {
      logFailure(logger, error, 'addresses could not be asked after')
      for (const ip of asked) this.#unknown.delete(ip)
    }
    this.#askTimer = undefined
    if (this.#closed || ![...this.#unknown.values()].includes(true)) return
    this.#askTimer = clock.setTimer(ASK_UNKNOWN_MS, () => void this.#askAfterUnknown(), { background: true })
  }
}
