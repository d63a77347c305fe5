/**
 * The directory of a virtual network: real documents (`Snapshot` and the routes of `@mixwright/directory`) about nodes that it
 * reads without HTTP. Questions and answers travel like everything else, so the directory can be slow, cut off or away.
 */
import { DirectoryReader } from '@mixwright/client/platform'
import {
  dealLayers,
  directoryRoutes,
  type EpochSchedule,
  epochAt,
  type ListedNode,
  type NodeReading,
  Snapshot,
} from '@mixwright/directory'
import type { ListedPeer, NetworkSource, NodeDescription } from '@mixwright/node'
import { MemoryMetrics, MixError, type Random } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { decodeBase58, parseRfc3339 } from '@mixwright/wire'
import type { Host } from './switchboard.js'
import type { World } from './world.js'

/** A node that the directory reads. */
export interface DirectoryEntry {
  readonly nodeId: number
  readonly ip: string
  /** What it says about itself; undefined when it does not answer. */
  describe(): NodeDescription | undefined
}

export interface VirtualDirectoryOptions {
  readonly world: World
  readonly ip: string
  readonly crypto: CryptoProvider
  readonly schedule: EpochSchedule
  readonly entries: readonly DirectoryEntry[]
}

/** Between two readings of all nodes, milliseconds. */
const READ_INTERVAL_MS = 30_000
/** Failed readings in a row after which a node leaves the lists. */
const READINGS_MISSED = 3
/** How long nodes wait for an answer, milliseconds. */
const ANSWER_MS = 10_000
const BASE_URL = 'http://directory.invalid/api'

interface Listing {
  reading: NodeReading | undefined
  missed: number
}

export class VirtualDirectory {
  #isUp = true
  readonly #options: VirtualDirectoryOptions
  readonly #random: Random
  readonly #listings: readonly Listing[]
  readonly #routes
  #snapshot: Snapshot | undefined

  constructor(options: VirtualDirectoryOptions) {
    this.#options = options
    this.#random = options.world.random.fork('directory')
    this.#listings = options.entries.map(() => ({ reading: undefined, missed: 0 }))
    this.#routes = directoryRoutes({
      metrics: new MemoryMetrics(),
      snapshot: () => this.#snapshot,
      url: () => BASE_URL,
      uptimeSeconds: () => 0,
    })
    this.refresh()
    this.#turnEpochs()
    this.#readRegularly()
  }

  /** While it is away it answers nobody and reads nobody; it comes back as after a restart, by reading all nodes. */
  set away(isAway: boolean) {
    this.#isUp = !isAway
    if (this.#isUp) this.refresh()
  }

  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  /** The network as the client on `host` reads it, over `fetch`. */
  clientSource(host: Host): DirectoryReader {
    const { world, crypto } = this.#options
    return new DirectoryReader({
      baseUrls: [BASE_URL],
      clock: host.process.clock,
      crypto,
      fetch: async (input, init) => {
        const answer = this.#ask(host, async () => {
          const response = await this.#routes.fetch(new Request(String(input)))
          return new Response(await response.arrayBuffer(), { status: response.status })
        })
        return await world.withSignal(answer, init?.signal)
      },
    })
  }

  /** The network as the node on `host` asks for it; node number `index` of the entries. */
  nodeSource(host: Host, index: number): NetworkSource {
    const ask = <T>(answer: (snapshot: Snapshot) => T): Promise<T> =>
      new Promise((resolve, reject) => {
        const timer = host.process.clock.setTimer(ANSWER_MS, () => reject(unreachable('it does not answer')))
        const answered = this.#ask(host, async () => {
          if (this.#snapshot === undefined) throw unreachable('it has no lists yet')
          return answer(this.#snapshot)
        })
        answered.then(resolve, reject).finally(() => timer.cancel())
      })
    return {
      keyRotation: () =>
        ask(({ epoch, interval }) => ({
          validityEpochs: this.#options.schedule.validityEpochs,
          initialEpochId: 0,
          epochMs: this.#options.schedule.durationMs,
          epochId: epoch.id,
          epochStartMs: parseRfc3339(interval.current_epoch_start)!,
        })),
      topology: () => ask((snapshot) => ({ peers: this.#peers(snapshot), routable: snapshot.routable })),
      known: (ips) =>
        ask((snapshot) => {
          const known = new Set(snapshot.nodes.flatMap(({ ip_addresses }) => ip_addresses))
          return new Set(ips.filter((ip) => known.has(ip)))
        }),
      announce: () =>
        this.#ask(host, async () => {
          this.#read(index)
          this.#publish()
        }),
    }
  }

  /** Read all nodes now. */
  refresh(): void {
    for (const index of this.#options.entries.keys()) this.#read(index)
    this.#publish()
  }

  #peers(snapshot: Snapshot): ListedPeer[] {
    return snapshot.nodes.map(({ node_id, ip_addresses, mix_port }) => {
      const index = this.#options.entries.findIndex(({ nodeId }) => nodeId === node_id)
      const noise = this.#listings[index]?.reading?.hostInformation.keys.x25519_versioned_noise
      const noiseKey = noise ? decodeBase58(noise.x25519_pubkey, 32) : undefined
      return { ipAddresses: ip_addresses, mixPort: mix_port, ...(noiseKey && { noiseKey }) }
    })
  }

  #read(index: number): void {
    const { world, ip, entries } = this.#options
    const entry = entries[index]!
    const listing = this.#listings[index]!
    const description = world.path(ip, entry.ip).isCut ? undefined : entry.describe()
    if (description === undefined) {
      if (++listing.missed >= READINGS_MISSED) listing.reading = undefined
      return
    }
    listing.missed = 0
    const { networkRequester, hostInformation } = description
    listing.reading = {
      ...description,
      hostInformation: hostInformation.data,
      networkRequester: networkRequester ? { address: networkRequester.address, uses_exit_policy: true } : null,
      readAtMs: world.clock.now(),
    }
  }

  #publish(): void {
    const { world, schedule, entries } = this.#options
    const now = world.clock.now()
    const epoch = epochAt(schedule, now)
    const listed = this.#listings.flatMap(({ reading }, index): ListedNode[] =>
      reading === undefined ? [] : [{ nodeId: entries[index]!.nodeId, reading, performance: 1 }],
    )
    const mixes = listed.filter(({ reading }) => reading.roles.mixnode_enabled).map(({ nodeId }) => nodeId)
    const layers = dealLayers(mixes, this.#snapshot?.layers ?? [], this.#random)
    const next = new Snapshot(schedule, epoch, listed, layers, now)
    // What cannot be routed helps nobody: the last good lists stay, with the present epoch.
    if (next.routable || this.#snapshot === undefined) this.#snapshot = next
    else this.#snapshot = this.#snapshot.inEpoch(epoch)
  }

  #turnEpochs(): void {
    const { clock } = this.#options.world
    const { endMs } = epochAt(this.#options.schedule, clock.now())
    clock.setTimer(endMs - clock.now(), () => {
      this.#publish()
      this.#turnEpochs()
    })
  }

  #readRegularly(): void {
    this.#options.world.clock.setTimer(READ_INTERVAL_MS, () => {
      if (this.#isUp) this.refresh()
      this.#readRegularly()
    })
  }

  /** A question from `host` and its answer, each of which takes its time. Never settles while the way is cut. */
  #ask<T>(host: Host, answer: () => Promise<T>): Promise<T> {
    const { world, ip } = this.#options
    const path = world.path(host.ip, ip)
    const { process } = host
    return new Promise((resolve, reject) => {
      path.travel(async () => {
        try {
          if (!this.#isUp) throw unreachable('nobody is there')
          const result = await world.outside(answer())
          path.travel(() => process.run(() => resolve(result)))
        } catch (error) {
          path.travel(() => process.run(() => reject(error)))
        }
      })
    })
  }
}

function unreachable(reason: string): MixError {
  const message = `The directory cannot be reached: ${reason}.`
  return new MixError('MIX_DIRECTORY_UNREACHABLE', message, { kind: 'network', retry: true })
}
