/** One node of a virtual network: the real `Node` on a virtual computer, and what can be done to it. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { loadOrCreateNodeKeys, Node, type NodeDescription, type NodeKeys, type NodeRole } from '@mixwright/node'
import { type Logger, MemoryMetrics, MixError } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { encodeBase58 } from '@mixwright/wire'
import Database from 'libsql'
import { memoryLinks } from './memory-links.js'
import { listenForClients, type WebSocketMessage } from './memory-websocket.js'
import type { Switchboard } from './switchboard.js'
import type { VirtualDirectory } from './virtual-directory.js'
import { VirtualComputer, type World } from './world.js'

/** What all nodes of a network have in common. */
export interface VirtualNodeSurroundings {
  readonly world: World
  readonly crypto: CryptoProvider
  readonly logger: Logger
  readonly links: Switchboard<Uint8Array>
  readonly websockets: Switchboard<WebSocketMessage>
  readonly noise: 'prefer' | 'off'
  directory(): VirtualDirectory
}

const MIX_PORT = 1789
const CLIENT_PORT = 9000

export class VirtualNode {
  readonly name: string
  readonly role: NodeRole
  readonly computer: VirtualComputer
  /** Counted over all its lives. */
  readonly metrics = new MemoryMetrics()
  readonly identityKey: string
  /** Packets that were in its memory when it was killed. */
  lostWithProcess = 0
  readonly #surroundings: VirtualNodeSurroundings
  readonly #index: number
  readonly #stateDirectory: string
  readonly #keys: NodeKeys
  #lives = 0
  #node: Node | undefined
  #diskLock: InstanceType<typeof Database> | undefined

  /** `index`: its number in the directory. */
  constructor(
    name: string,
    role: NodeRole,
    index: number,
    ip: string,
    stateDirectory: string,
    surroundings: VirtualNodeSurroundings,
  ) {
    const { world, crypto } = surroundings
    this.name = name
    this.role = role
    this.computer = new VirtualComputer(world, ip)
    this.#index = index
    this.#surroundings = surroundings
    this.#stateDirectory = stateDirectory
    mkdirSync(stateDirectory, { recursive: true })
    this.#keys = loadOrCreateNodeKeys(join(stateDirectory, 'keys.json'), crypto, world.random.fork(name))
    this.identityKey = encodeBase58(this.#keys.identityKey)
  }

  get ip(): string {
    return this.computer.ip
  }

  get isRunning(): boolean {
    return this.#node !== undefined
  }

  /** The node itself; undefined when it is dead. */
  get node(): Node | undefined {
    return this.#node
  }

  /** What it tells a directory; undefined when it does not answer. */
  describe(): NodeDescription | undefined {
    return this.computer.process.isRunning ? this.#node?.description : undefined
  }

  /** Start, or start again after `kill` or `stop`, with the same keys and files. */
  async start(): Promise<void> {
    if (this.#node) throw new MixError('MIX_NODE_RUNNING', `${this.name} runs already.`, { kind: 'usage' })
    const { world, crypto, logger, links, websockets, noise, directory } = this.#surroundings
    const { computer } = this
    if (this.#lives++ > 0) computer.boot()
    const host = { ip: this.ip, process: computer.process }
    this.#node = await Node.start({
      role: this.role,
      clock: host.process.clock,
      random: world.random.fork(`${this.name} life ${this.#lives}`),
      logger: logger.child({ node: this.name }),
      metrics: this.metrics,
      crypto,
      keys: this.#keys,
      stateDirectory: this.#stateDirectory,
      network: directory().nodeSource(host, this.#index),
      announcedIps: [this.ip],
      mixListen: { host: this.ip, port: MIX_PORT },
      links: memoryLinks(links, host),
      noise,
      // A day has 86 400 seconds, in each of which the files would be written.
      replayProtection: 'memory',
      ...(this.role === 'gateway' && {
        gateway: {
          listen: { host: this.ip, port: CLIENT_PORT },
          openListener: (options) => listenForClients(websockets, host, options),
        },
      }),
    })
  }

  /** End it as on SIGTERM: what is under way may leave for so long. */
  async stop(drainMs = 0): Promise<void> {
    const node = this.#node
    if (node === undefined) return
    await node.stop({ drainMs })
    this.#node = undefined
    this.computer.process.kill()
  }

  /** End it as on SIGKILL: nothing of it runs any more, and what it had in memory is lost. */
  kill(): void {
    this.#node = undefined
    this.computer.process.kill()
  }

  /** Every write to its database fails, as on a full disk; reading goes on. */
  set diskFull(isFull: boolean) {
    if (isFull === (this.#diskLock !== undefined)) return
    if (isFull) {
      this.#diskLock = new Database(join(this.#stateDirectory, 'gateway.sqlite'))
      this.#diskLock.exec('BEGIN IMMEDIATE')
    } else {
      this.#diskLock?.exec('ROLLBACK')
      this.#diskLock?.close()
      this.#diskLock = undefined
    }
  }
}
