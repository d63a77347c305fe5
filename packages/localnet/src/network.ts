/**
 * A whole mixnet as one object: a directory, mix nodes in three layers and gateways, over real TCP and websockets on the
 * loopback address, in this process. Its keys protect nobody.
 */
import type { ProfileName } from '@mixwright/client'
import { Directory } from '@mixwright/directory'
import {
  type Clock,
  type Logger,
  MemoryMetrics,
  MixError,
  RealClock,
  SeededRandom,
  SystemRandom,
  silentLogger,
} from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import { type CryptoProvider, type CryptoProviderName, loadCryptoProvider } from '@mixwright/sphinx'
import { clientEnvironment, dotenv } from './environment.js'
import { NetworkClient } from './network-client.js'
import { LOOPBACK, NodeHandle, type NodePorts, type Surroundings } from './node-handle.js'
import { type SavedNetwork, StateDirectory } from './state-directory.js'

/** Layers of every Nym route. */
const LAYERS = 3
/** Most nodes of one network: a laptop's worth, and ports stay within the range. */
const MOST_NODES = 200
/** Most clients, and what they may be called. */
const MOST_CLIENTS = 200
const CLIENT_NAME = /^[a-z0-9-]{1,32}$/

export interface NetworkOptions {
  /** Mix nodes, dealt into three layers; at least 3. @default 3 */
  readonly mixes?: number
  /** @default 2 */
  readonly gateways?: number
  /**
   * Names of clients to start, each with a local websocket for an app: 1 to 32 letters, digits or hyphens, all lower case.
   * @default those of the saved network, else none
   */
  readonly clients?: readonly string[]
  /** What the clients do about timing and cover. @default 'local' */
  readonly clientProfile?: ProfileName
  /**
   * First of the ports: the directory's; the nodes and then the clients take the following ones. 0: any free port for
   * everything. @default 0
   */
  readonly port?: number
  /** The port when neither `port` nor a saved network says one. @default 0 */
  readonly fallbackPort?: number
  /** Draw every key from this text, so that a run can be repeated. Such keys are published: they protect nobody. */
  readonly seed?: string
  /** Keep keys, ports and mailboxes here and resume them. Without it, everything is temporary. */
  readonly dataDirectory?: string
  readonly logger?: Logger
  readonly clock?: Clock
  /** Force the cryptography instead of taking the fastest that loads. */
  readonly crypto?: CryptoProviderName
  /** Length of an epoch, milliseconds; at least 15 000. @default 3600000 */
  readonly epochMs?: number
  /** Epochs that a Sphinx key lasts; at least 3. @default 24 */
  readonly validityEpochs?: number
  /**
   * Nodes that run elsewhere, an official nym-node included: addresses of their HTTP APIs, `http://host:port`. Each is asked
   * until it answers; the start does not wait for them.
   */
  readonly joining?: readonly string[]
}

/** One node as users see it. */
export interface NetworkNode {
  readonly name: string
  readonly role: 'mixnode' | 'gateway'
  readonly identityKey: string
  readonly mixAddress: string
  readonly httpUrl: string
  readonly clientUrl?: string
}

/** As on the public network. */
const DEFAULT_EPOCH_MS = 3_600_000
const DEFAULT_VALIDITY_EPOCHS = 24

export class Network implements AsyncDisposable {
  /** Base URL for clients, `…/api`. */
  readonly nymApiUrl: string
  /** Variables that official Rust programs read; see also `envFile`. */
  readonly environment: Readonly<Record<string, string>>
  readonly envFile: string
  /** Where this network keeps its files. */
  readonly stateDirectory: string
  /** Name of the cryptography in use. */
  readonly cryptoProvider: CryptoProviderName
  /** The clients that run, in the order in which they were asked for. */
  readonly clients: readonly NetworkClient[]
  readonly #handles: readonly NodeHandle[]
  readonly #state: StateDirectory
  readonly #openDirectory: () => Promise<Directory>
  #directory: Directory
  #closing: Promise<void> | undefined

  private constructor(
    directory: Directory,
    openDirectory: () => Promise<Directory>,
    handles: readonly NodeHandle[],
    clients: readonly NetworkClient[],
    state: StateDirectory,
    crypto: CryptoProvider,
  ) {
    this.#directory = directory
    this.#openDirectory = openDirectory
    this.nymApiUrl = directory.url
    this.cryptoProvider = crypto.name
    this.clients = clients
    this.#handles = handles
    this.#state = state
    this.environment = clientEnvironment(directory.url, handles[0]!.identityKey)
    this.envFile = state.envFile
    this.stateDirectory = state.path
    for (const handle of handles) handle.onRestart = () => this.#directory.refresh()
    writeFileAtomically(this.envFile, dotenv(this.environment), 0o644)
  }

  /**
   * Start everything; resolves once a client can be routed through it. Errors: `MIX_OPTIONS` (bad counts, or others than
   * those saved), `MIX_PORT_IN_USE`, `MIX_DATA_…`, `MIX_KEY_FILE`. After an error nothing is left running.
   */
  static async start(options: NetworkOptions = {}): Promise<Network> {
    const clock = options.clock ?? new RealClock()
    const crypto = await loadCryptoProvider(options.crypto)
    const state =
      options.dataDirectory === undefined
        ? StateDirectory.temporary()
        : await StateDirectory.open(options.dataDirectory)
    const started: { close(): Promise<void> }[] = [state]
    try {
      const saved = state.load()
      const plan = saved ? resumed(saved, options) : planned(options, clock.now())
      const surroundings: Surroundings = {
        clock,
        random: options.seed === undefined ? new SystemRandom() : new SeededRandom(options.seed),
        logger: options.logger ?? silentLogger,
        crypto,
      }
      const handles = plan.nodes.map(
        ({ name, role, ...ports }) => new NodeHandle(name, role, ports, state.nodeDirectory(name), surroundings),
      )
      // Nodes ask the directory at which key rotation it stands, and the directory reads the nodes: so it listens first.
      const openDirectory = (port: number) => openEmptyDirectory(port, plan.genesisMs, surroundings, options)
      const directory = await openDirectory(plan.directoryPort)
      started.push(directory)
      started.push({ close: () => all(handles.map((handle) => handle.stop())) })
      await all(handles.map((handle) => handle.start(directory.url)))
      await enter(directory, handles, options.joining ?? [])
      const clients: NetworkClient[] = []
      started.push({ close: () => all(clients.map((client) => client.close())) })
      const opened = plan.clients
        .filter(({ runs }) => runs)
        .map(async ({ name, port }, index) => {
          clients[index] = await NetworkClient.open({
            name,
            port,
            nymApiUrl: directory.url,
            profile: options.clientProfile ?? 'local',
            storeFile: options.dataDirectory === undefined ? undefined : state.clientStoreFile(name),
            clock,
            random: surroundings.random.fork(`client ${name}`),
            logger: surroundings.logger,
          })
        })
      await all(opened)
      state.save(savedForm(plan, directory, handles, clients))
      const reopen = async () => {
        const again = await openDirectory(portOf(directory))
        await enter(again, handles, options.joining ?? [])
        return again
      }
      return new Network(directory, reopen, handles, clients, state, crypto)
    } catch (error) {
      for (const part of started.reverse()) await part.close()
      throw error
    }
  }

  /** The one that runs, or ran last; stopped by its `close()`. */
  get directory(): Directory {
    return this.#directory
  }

  /** After `directory.close()`: start it again, at the same address. Errors: `MIX_PORT_IN_USE` when it still runs, `MIX_NOT_ROUTABLE`. */
  async restartDirectory(): Promise<void> {
    this.#directory = await this.#openDirectory()
  }

  /** All nodes, mix nodes first. */
  get nodes(): readonly NetworkNode[] {
    return this.#handles.map(({ name, role, identityKey, mixAddress, httpUrl, clientUrl }) => ({
      name,
      role,
      identityKey,
      mixAddress,
      httpUrl,
      ...(clientUrl !== undefined && { clientUrl }),
    }))
  }

  /** Mix node number `index`, from 0. */
  mix(index: number): NodeHandle {
    return this.#numbered('mixnode', index)
  }

  /** Gateway number `index`, from 0. */
  gateway(index: number): NodeHandle {
    return this.#numbered('gateway', index)
  }

  /** The client of this name. Error: `MIX_OPTIONS` when there is none. */
  client(name: string): NetworkClient {
    const client = this.clients.find((candidate) => candidate.name === name)
    if (client === undefined) throw new MixError('MIX_OPTIONS', `There is no client ${name}.`, { kind: 'usage' })
    return client
  }

  /** Stop everything and remove what is temporary. May be called more than once. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await all(this.clients.map((client) => client.close()))
      await Promise.all([this.#directory.close(), ...this.#handles.map((handle) => handle.stop())])
      await this.#state.close()
    })()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #numbered(role: 'mixnode' | 'gateway', index: number): NodeHandle {
    const handle = this.#handles.filter((candidate) => candidate.role === role)[index]
    if (handle === undefined)
      throw new MixError('MIX_OPTIONS', `There is no ${role} number ${index}.`, { kind: 'usage' })
    return handle
  }
}

interface Plan {
  readonly genesisMs: number
  readonly directoryPort: number
  readonly nodes: readonly ({ readonly name: string; readonly role: 'mixnode' | 'gateway' } & NodePorts)[]
  readonly clients: readonly PlannedClient[]
}

interface PlannedClient {
  readonly name: string
  /** 0 takes any free one. */
  readonly port: number
  /** False: one of the saved network that was not asked for this time; its port is kept for it. */
  readonly runs: boolean
}

/** Wait for all, also when one fails, so that nothing is left half done; then throw the first failure. */
async function all(promises: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) if (result.status === 'rejected') throw result.reason
}

/** A new network: names, and ports counted up from the first (or all 0). */
function planned(options: NetworkOptions, nowMs: number): Plan {
  const { mixes = 3, gateways = 2, fallbackPort = 0, port = fallbackPort } = options
  checkCount('mixes', mixes, LAYERS)
  checkCount('gateways', gateways, 1)
  const names = clientNames(options) ?? []
  const largestPort = 65_535 - 3 * (mixes + gateways) - names.length
  if (!Number.isInteger(port) || port < 0 || port > largestPort) {
    throw new MixError('MIX_OPTIONS', `The port must be 0 or between 1 and ${largestPort}.`, { kind: 'usage' })
  }
  let next = port
  const take = () => (port === 0 ? 0 : ++next)
  const mixNodes = Array.from({ length: mixes }, (_, i) => {
    return { name: `mix${i + 1}`, role: 'mixnode' as const, mixPort: take(), httpPort: take() }
  })
  const gatewayNodes = Array.from({ length: gateways }, (_, i) => {
    return { name: `gateway${i + 1}`, role: 'gateway' as const, mixPort: take(), httpPort: take(), clientPort: take() }
  })
  const clients = names.map((name) => ({ name, port: take(), runs: true }))
  return { genesisMs: nowMs, directoryPort: port, nodes: [...mixNodes, ...gatewayNodes], clients }
}

/** Checked. */
function clientNames({ clients }: NetworkOptions): readonly string[] | undefined {
  if (clients === undefined) return undefined
  const wrong = clients.find((name, index) => !CLIENT_NAME.test(name) || clients.indexOf(name) !== index)
  if (wrong === undefined && clients.length <= MOST_CLIENTS) return clients
  const message =
    wrong === undefined
      ? `A network has at most ${MOST_CLIENTS} clients.`
      : `A client cannot be called ${JSON.stringify(wrong)}: names are different, and of 1 to 32 of a-z, 0-9 and -.`
  throw new MixError('MIX_OPTIONS', message, { kind: 'usage', data: { name: wrong } })
}

/**
 * A saved network comes back as it was; options that say otherwise are an error, not a silent change. Only clients may be
 * added (on any free port) and left out.
 */
function resumed(saved: SavedNetwork, options: NetworkOptions): Plan {
  const count = (role: string) => saved.nodes.filter((node) => node.role === role).length
  for (const [name, wanted, have] of [
    ['mixes', options.mixes, count('mixnode')],
    ['gateways', options.gateways, count('gateway')],
  ] as const) {
    if (wanted !== undefined && wanted !== have) {
      const message = `The data directory holds a network with ${have} ${name}, not ${wanted}. Leave the option out, or take an empty directory.`
      throw new MixError('MIX_OPTIONS', message, { kind: 'usage', data: { name, wanted, have } })
    }
  }
  if (options.port && options.port !== saved.directoryPort) {
    const message = `The data directory holds a network on port ${saved.directoryPort}, not ${options.port}. Leave the option out, or take an empty directory.`
    throw new MixError('MIX_OPTIONS', message, { kind: 'usage', data: { name: 'port' } })
  }
  const names = clientNames(options) ?? saved.clients.map(({ name }) => name)
  const running = names.map((name) => {
    return { name, port: saved.clients.find((client) => client.name === name)?.port ?? 0, runs: true }
  })
  const resting = saved.clients.filter(({ name }) => !names.includes(name))
  return { ...saved, clients: [...running, ...resting.map((client) => ({ ...client, runs: false }))] }
}

function checkCount(name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least && value <= MOST_NODES) return
  throw new MixError('MIX_OPTIONS', `The number of ${name} must be between ${least} and ${MOST_NODES}.`, {
    kind: 'usage',
  })
}

function portOf({ url }: Directory): number {
  return Number(new URL(url).port)
}

function openEmptyDirectory(
  port: number,
  genesisMs: number,
  { clock, random, logger, crypto }: Surroundings,
  { epochMs = DEFAULT_EPOCH_MS, validityEpochs = DEFAULT_VALIDITY_EPOCHS }: NetworkOptions,
): Promise<Directory> {
  return Directory.start({
    clock,
    random: random.fork('directory'),
    logger: logger.child({ node: 'directory' }),
    metrics: new MemoryMetrics(),
    crypto,
    listen: { host: LOOPBACK, port },
    nodes: [],
    epoch: { genesisMs, durationMs: epochMs, validityEpochs },
    allowLocalAddresses: true,
  })
}

/** Make the directory read all nodes, and then the nodes its lists, so that none refuses a packet for want of news. */
async function enter(directory: Directory, handles: readonly NodeHandle[], joining: readonly string[]): Promise<void> {
  for (const url of joining) void directory.join(entryOf(url))
  await all(
    handles
      .filter(({ running }) => running)
      .map(({ ports, identityKey }) => directory.join({ host: LOOPBACK, httpPort: ports.httpPort, identityKey })),
  )
  await directory.whenRoutable()
  await all(handles.map((handle) => handle.refreshTopology()))
}

/** Error: `MIX_OPTIONS`. */
function entryOf(url: string): { host: string; httpPort: number } {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol === 'http:' && parsed.pathname === '/')
    return { host: parsed.hostname, httpPort: Number(parsed.port || 80) }
  const message = `${JSON.stringify(url)} is not the address of a node's HTTP API, such as http://127.0.0.1:8080.`
  throw new MixError('MIX_OPTIONS', message, { kind: 'usage', data: { url } })
}

function savedForm(
  { genesisMs, clients: planned }: Plan,
  directory: Directory,
  handles: readonly NodeHandle[],
  clients: readonly NetworkClient[],
): SavedNetwork {
  const running = clients.map(({ name, websocketPort }) => ({ name, port: websocketPort }))
  const resting = planned.filter(({ runs }) => !runs).map(({ name, port }) => ({ name, port }))
  return {
    version: 1,
    genesisMs,
    directoryPort: portOf(directory),
    nodes: handles.map(({ name, role, ports }) => ({ name, role, ...ports })),
    clients: [...running, ...resting],
  }
}
