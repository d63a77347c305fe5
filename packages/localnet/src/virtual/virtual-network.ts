/**
 * A whole mixnet in one process on a virtual clock: real nodes, real clients, real documents of a directory, over links in
 * memory that can be slow, cut, reset; nodes can stand still, die, run out of disk and be wrong about the time. Everything
 * follows from one seed. Its keys protect nobody.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PROFILES, type Profile } from '@mixwright/client'
import { type Logger, MixError, silentLogger } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { type Conservation, conservation, nodeBalance, notConserved, waitingIn } from './conservation.js'
import type { WebSocketMessage } from './memory-websocket.js'
import type { Path } from './path.js'
import { Switchboard } from './switchboard.js'
import { packetsInMessage, packetsInWrite, Traffic } from './traffic.js'
import { type Letter, VirtualClient } from './virtual-client.js'
import { VirtualDirectory } from './virtual-directory.js'
import { VirtualNode } from './virtual-node.js'
import type { VirtualProcess } from './virtual-process.js'
import { World } from './world.js'

export interface VirtualNetworkOptions {
  readonly seed: string
  /** Mix nodes, dealt into three layers. @default 3 */
  readonly mixes?: number
  /** @default 1 */
  readonly gateways?: number
  /** Names of clients; they are spread over the gateways in turn. */
  readonly clients?: readonly string[]
  /** @default 'no-cover' */
  readonly profile?: Profile
  /** Between two computers, one way, milliseconds. @default 5 */
  readonly latencyMs?: number
  /** @default 3600000 */
  readonly epochMs?: number
  /** Epochs of one Sphinx key. @default 24 */
  readonly validityEpochs?: number
  /** Noise between nodes. @default 'prefer' */
  readonly noise?: 'prefer' | 'off'
  /** Mean time between two readings of the directory by a client, milliseconds. @default 300000 */
  readonly clientRefreshMs?: number
  readonly logger?: Logger
}

const DIRECTORY_IP = '10.0.0.1'
/** Epochs that are over when the network starts: the first is like any other. */
const EPOCHS_BEFORE = 1000

export class VirtualNetwork {
  readonly world: World
  readonly directory: VirtualDirectory
  readonly nodes: readonly VirtualNode[]
  readonly clients: readonly VirtualClient[]
  readonly #links: Traffic<Uint8Array>
  readonly #websockets: Traffic<WebSocketMessage>
  readonly #directoryPath: string

  private constructor(options: VirtualNetworkOptions, crypto: CryptoProvider) {
    const {
      seed,
      mixes = 3,
      gateways = 1,
      clients = [],
      latencyMs = 5,
      logger = silentLogger,
      noise = 'prefer',
    } = options
    const { profile = PROFILES['no-cover'], epochMs = 3_600_000, validityEpochs = 24, clientRefreshMs } = options
    const world = new World(seed, latencyMs)
    this.world = world
    this.#links = new Traffic(packetsInWrite)
    this.#websockets = new Traffic(packetsInMessage)
    const board = <T>(traffic: Traffic<T>) =>
      new Switchboard<T>({
        clock: world.clock,
        path: (one, other) => world.path(one, other),
        observe: (from, to) => traffic.observe(from, to),
      })
    const websockets = board(this.#websockets)
    this.#directoryPath = mkdtempSync(join(tmpdir(), 'mixwright-virtual-'))
    const surroundings = {
      world,
      crypto,
      logger,
      links: board(this.#links),
      websockets,
      noise,
      directory: () => this.directory,
    }
    const node = (role: 'mixnode' | 'gateway', name: string, index: number) =>
      new VirtualNode(name, role, index, `10.0.1.${index + 1}`, join(this.#directoryPath, name), surroundings)
    this.nodes = [
      ...Array.from({ length: mixes }, (_, i) => node('mixnode', `mix${i + 1}`, i)),
      ...Array.from({ length: gateways }, (_, i) => node('gateway', `gateway${i + 1}`, mixes + i)),
    ]
    this.directory = new VirtualDirectory({
      world,
      ip: DIRECTORY_IP,
      crypto,
      schedule: { genesisMs: world.clock.now() - EPOCHS_BEFORE * epochMs, durationMs: epochMs, validityEpochs },
      entries: this.nodes.map((one, index) => ({ nodeId: index + 1, ip: one.ip, describe: () => one.describe() })),
    })
    const doors = this.nodes.filter(({ role }) => role === 'gateway')
    this.clients = clients.map(
      (name, index) =>
        new VirtualClient({
          name,
          ip: `10.0.2.${index + 1}`,
          world,
          crypto,
          logger,
          websockets,
          directory: this.directory,
          gateway: doors[index % doors.length]!.identityKey,
          profile,
          refreshMs: clientRefreshMs,
        }),
    )
  }

  /** Start nodes and clients; resolves when all clients are connected. */
  static async start(options: VirtualNetworkOptions): Promise<VirtualNetwork> {
    const network = new VirtualNetwork(options, await loadCryptoProvider())
    try {
      await network.during(Promise.all(network.nodes.map((node) => node.start())))
      network.directory.refresh()
      // They learn of each other at their next reading of the topology.
      await network.until(() => network.nodes.every(({ node }) => node?.routable))
      await network.during(Promise.all(network.clients.map((client) => client.start())))
      return network
    } catch (error) {
      network.close()
      throw error
    }
  }

  /** Let so much time pass, milliseconds. */
  advance(ms: number): Promise<void> {
    return this.world.advance(ms)
  }

  until(condition: () => boolean, limitMs?: number): Promise<void> {
    return this.world.until(condition, limitMs)
  }

  during<T>(work: Promise<T>, limitMs?: number): Promise<T> {
    return this.world.during(work, limitMs)
  }

  node(name: string): VirtualNode {
    return named(this.nodes, name)
  }

  client(name: string): VirtualClient {
    return named(this.clients, name)
  }

  /** What can go wrong. Names are those of nodes and clients, and `directory`. */
  readonly faults = {
    /** The way between two computers: its latency, jitter, rate and resets; `cut`, `heal`, `reset`. */
    link: (one: string, other: string): Path => this.world.path(this.#ip(one), this.#ip(other)),
    /** Every way between nodes. */
    links: (): Path[] =>
      this.nodes.flatMap((one, i) => this.nodes.slice(i + 1).map((other) => this.world.path(one.ip, other.ip))),
    /** Nothing comes through between the named ones and all others until `heal`, which is returned. */
    partition: (...names: string[]): (() => void) => {
      const inside = names.map((name) => this.#ip(name))
      const all = [DIRECTORY_IP, ...this.nodes.map(({ ip }) => ip), ...this.clients.map(({ ip }) => ip)]
      const outside = all.filter((ip) => !inside.includes(ip))
      const paths = inside.flatMap((one) => outside.map((other) => this.world.path(one, other)))
      for (const path of paths) path.cut()
      return () => {
        for (const path of paths) path.heal()
      }
    },
    pause: (name: string): void => this.#process(name).pause(),
    resume: (name: string): void => this.#process(name).resume(),
    /** It accepts connections, and never reads. */
    deafen: (name: string, isDeaf = true): void => {
      this.#process(name).deaf = isDeaf
    },
    /** At once and without a word. */
    kill: async (name: string): Promise<void> => {
      const node = this.nodes.find((one) => one.name === name)
      if (node === undefined) return this.client(name).kill()
      node.kill()
      // What was already begun in this turn of the event loop ends; nothing of it leaves.
      await this.world.settled()
      const balance = nodeBalance(node, this.#links, (ip) => this.#isNode(ip))
      if (balance.missing < waitingIn(node))
        throw notConserved('a killed node had more waiting than is missing', [balance])
      node.lostWithProcess += balance.missing
    },
    restart: async (name: string): Promise<void> => {
      const node = this.nodes.find((one) => one.name === name)
      await this.during(node ? node.start() : this.client(name).start())
    },
    /** Its time of day runs so far ahead of the true one, milliseconds. */
    skewClock: (name: string, ms: number): void => {
      this.#named(name).computer.skewMs = ms
    },
    fullDisk: (name: string, isFull = true): void => {
      this.node(name).diskFull = isFull
    },
  }

  /**
   * Where all packets are, checked; see `conservation.ts`. Error: `MIX_NOT_CONSERVED`. `unsettled`: at most so many messages
   * may be on their way to a disk or a socket, per gateway.
   */
  conservation(unsettled = 0): Conservation {
    return conservation(this.nodes, this.#links, this.#websockets, unsettled)
  }

  /** All that clients sent. */
  get letters(): readonly Letter[] {
    return this.clients.flatMap(({ letters }) => letters)
  }

  /** How often a letter has arrived. */
  arrivals({ to, text }: Letter): number {
    return this.client(to).received.filter((message) => message.text() === text).length
  }

  /** Remove its files. Its nodes and clients stop with the clock. */
  close(): void {
    for (const node of this.nodes) node.diskFull = false
    for (const one of [...this.clients, ...this.nodes]) one.computer.process.kill()
    rmSync(this.#directoryPath, { recursive: true, force: true })
  }

  #named(name: string): VirtualNode | VirtualClient {
    return named([...this.nodes, ...this.clients], name)
  }

  #process(name: string): VirtualProcess {
    return this.#named(name).computer.process
  }

  #ip(name: string): string {
    return name === 'directory' ? DIRECTORY_IP : this.#named(name).ip
  }

  #isNode(ip: string): boolean {
    return this.nodes.some((node) => node.ip === ip)
  }
}

function named<T extends { readonly name: string }>(all: readonly T[], name: string): T {
  const found = all.find((one) => one.name === name)
  if (found === undefined) throw new MixError('MIX_OPTIONS', `There is no ${name}.`, { kind: 'usage' })
  return found
}
