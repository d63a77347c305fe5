/**
 * One node of a local network: what is needed to start it, and to start it again as the same node after a stop,
 * with the same keys, ports, mailboxes and counters.
 */
import { join } from 'node:path'
import {
  directoryNetwork,
  LOCAL_GATEWAY_LIMITS,
  loadOrCreateNodeKeys,
  Node,
  type NodeKeys,
  type NodeRole,
} from '@mixwright/node'
import { type Clock, type Logger, MemoryMetrics, MixError, type Random } from '@mixwright/runtime'
import { ExitKeeper, type ExitKeeperOptions } from '@mixwright/services'
import type { CryptoProvider } from '@mixwright/sphinx'
import { encodeBase58 } from '@mixwright/wire'

/** What every node of a network is handed. */
export interface Surroundings {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly crypto: CryptoProvider
}

/** Where the network is asked about, and whose signatures make an answer believed: part of what `connect` takes. */
export interface NetworkAccess {
  /** Base URLs, `…/api`. */
  readonly directory: readonly string[]
  /** Base58 keys, where there are several directories. */
  readonly authorities?: readonly string[]
  readonly authorityThreshold?: number
}

/** Ports of one node; 0 takes any free one at the first start. */
export interface NodePorts {
  readonly mixPort: number
  readonly httpPort: number
  /** Gateways only. */
  readonly clientPort?: number
}

/** Of the exit that a gateway carries, its client's among them. */
export type HandledExitOptions = Omit<ExitKeeperOptions, 'node' | 'metrics' | 'policy' | 'allowLocalIps'>

/** Everything listens on, and announces, this address only. */
export const LOOPBACK = '127.0.0.1'

export class NodeHandle {
  readonly name: string
  readonly role: NodeRole
  readonly identityKey: string
  readonly metrics = new MemoryMetrics()
  readonly #surroundings: Surroundings
  readonly #directory: string
  readonly #keys: NodeKeys
  #ports: NodePorts
  #node: Node | undefined
  #starts = 0
  #access: NetworkAccess | undefined
  #exitOptions: HandledExitOptions | undefined
  #exit: ExitKeeper | undefined
  /** Called when the node serves again after a stop, so that a directory need not find out by itself. */
  onRestart: (() => Promise<void>) | undefined

  constructor(name: string, role: NodeRole, ports: NodePorts, directory: string, surroundings: Surroundings) {
    this.name = name
    this.role = role
    this.#ports = ports
    this.#directory = directory
    this.#surroundings = surroundings
    const { crypto, random } = surroundings
    this.#keys = loadOrCreateNodeKeys(join(directory, 'keys.json'), crypto, random.fork(name))
    this.identityKey = encodeBase58(this.#keys.identityKey)
  }

  get running(): boolean {
    return this.#node !== undefined
  }

  /** The ports in use, or last used. */
  get ports(): NodePorts {
    return this.#ports
  }

  /** `ip:port` for other nodes. */
  get mixAddress(): string {
    return `${LOOPBACK}:${this.#ports.mixPort}`
  }

  get httpUrl(): string {
    return `http://${LOOPBACK}:${this.#ports.httpPort}`
  }

  /** Websocket address for clients; gateways only. */
  get clientUrl(): string | undefined {
    return this.#ports.clientPort === undefined ? undefined : `ws://${LOOPBACK}:${this.#ports.clientPort}`
  }

  /**
   * Start, or start again. Where the directories are must be said the first time only. Error: `MIX_NODE_RUNNING` when it
   * runs already.
   */
  async start(access: NetworkAccess | undefined = this.#access): Promise<void> {
    if (this.#node) throw new MixError('MIX_NODE_RUNNING', `${this.name} runs already.`, { kind: 'usage' })
    if (access === undefined) throw new MixError('MIX_OPTIONS', `${this.name} needs a directory.`, { kind: 'usage' })
    this.#access = access
    const { clock, random, crypto } = this.#surroundings
    const logger = this.#surroundings.logger.child({ node: this.name })
    const { mixPort, httpPort, clientPort } = this.#ports
    const { identitySeed, identityKey } = this.#keys
    const listen = (port: number) => ({ host: LOOPBACK, port })
    const node = await Node.start({
      role: this.role,
      clock,
      random: random.fork(`${this.name} running ${this.#starts++}`),
      logger,
      metrics: this.metrics,
      crypto,
      keys: this.#keys,
      stateDirectory: this.#directory,
      network: directoryNetwork({
        directories: access.directory,
        authorities: access.authorities,
        threshold: access.authorityThreshold,
        clock,
        crypto,
        logger,
        identitySeed,
        identityKey,
      }),
      announcedIps: [LOOPBACK],
      mixListen: listen(mixPort),
      httpListen: listen(httpPort),
      // All nodes, and all clients, share this one address.
      maximumLinksPerAddress: Number.POSITIVE_INFINITY,
      ...(this.role === 'gateway' && { gateway: { listen: listen(clientPort ?? 0), limits: LOCAL_GATEWAY_LIMITS } }),
    })
    this.#node = node
    await this.onRestart?.()
    if (this.#exitOptions) {
      // When it cannot serve yet, it goes on trying.
      await this.#carryExit(node, this.#exitOptions).started.catch(() => {})
      await this.onRestart?.()
    }
    this.#ports = {
      mixPort: node.mixPort,
      httpPort: node.httpPort,
      ...(node.clientPort !== undefined && { clientPort: node.clientPort }),
    }
  }

  /** Read the directory's lists now. */
  async refreshTopology(): Promise<void> {
    await this.#node?.refreshTopology()
    // The reading may have been under way since before there were lists.
    if (this.#node?.routable === false) await this.#node.refreshTopology()
  }

  /**
   * Gateways: carry a network requester, which reaches this machine too, now and after each start to come. Returns its address, which
   * stays. Error: `MIX_OPTIONS` when it does not run; those of `ExitNode.start` and of the store.
   */
  async openExit(options: HandledExitOptions): Promise<string> {
    const node = this.#node
    if (node === undefined) throw new MixError('MIX_OPTIONS', `${this.name} does not run.`, { kind: 'usage' })
    const exit = this.#carryExit(node, options)
    try {
      await exit.started
    } catch (error) {
      await this.closeExit()
      throw error
    }
    return exit.exit!.address
  }

  /** It is carried no more. */
  async closeExit(): Promise<void> {
    this.#exitOptions = undefined
    await this.#exit?.close()
  }

  #carryExit(node: Node, options: HandledExitOptions): ExitKeeper {
    const { metrics } = this
    this.#exitOptions = options
    this.#exit = new ExitKeeper({ ...options, node, metrics, policy: { kind: 'open' }, allowLocalIps: true })
    return this.#exit
  }

  /**
   * Stop: what is under way may still leave for `drainMs`, and the mailbox is flushed. Does nothing when it is stopped.
   * @default drainMs 1000
   */
  async stop({ drainMs = 1000 }: { readonly drainMs?: number } = {}): Promise<void> {
    const node = this.#node
    this.#node = undefined
    await this.#exit?.close()
    await node?.stop({ drainMs })
  }
}
