/**
 * A whole mixnet as one object: a directory or several authorities, mix nodes in three layers and gateways, over real TCP
 * and websockets on the loopback address, in this process. Its keys protect nobody.
 */
import type { ProfileName } from '@mixwright/client'
import type { AuthorityDirectory, Directory } from '@mixwright/directory'
import {
  type Clock,
  type Logger,
  MixError,
  RealClock,
  SeededRandom,
  SystemRandom,
  silentLogger,
} from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import { type CryptoProvider, type CryptoProviderName, loadCryptoProvider } from '@mixwright/sphinx'
import { Directories } from './directories.js'
import { clientEnvironment, dotenv } from './environment.js'
import { NetworkClient } from './network-client.js'
import { NetworkServices, type ServiceAddresses } from './network-services.js'
import { type NetworkAccess, NodeHandle, type NodePorts, type Surroundings } from './node-handle.js'
import { type SavedNetwork, StateDirectory } from './state-directory.js'

/** Layers of every Nym route. */
const LAYERS = 3
/** Most nodes of one network: a laptop's worth, and ports stay within the range. */
const MOST_NODES = 200
/** Each sends its votes to all others. */
const MOST_AUTHORITIES = 9
/** Most clients, and what they may be called. */
const MOST_CLIENTS = 200
const CLIENT_NAME = /^[a-z0-9-]{1,32}$/

export interface NetworkOptions {
  /** Mix nodes, dealt into three layers; at least 3. @default 3 */
  readonly mixes?: number
  /** @default 2 */
  readonly gateways?: number
  /**
   * Directories that agree on the network by votes; nodes and clients believe what enough of them have signed. With 1 there is
   * one plain directory. @default 1
   */
  readonly authorities?: number
  /** Of several authorities: how many must sign. @default more than two thirds */
  readonly authorityThreshold?: number
  /**
   * Names of clients to start, each with a local websocket for an app: 1 to 32 letters, digits or hyphens, all lower case.
   * @default those of the saved network, else none
   */
  readonly clients?: readonly string[]
  /** What the clients do about timing and cover. @default 'local' */
  readonly clientProfile?: ProfileName
  /**
   * First of the ports: the directory's; further authorities, the nodes and then the clients take the following ones. 0: any free port for
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
  /**
   * Length of an epoch, milliseconds; at least 15 000. Several authorities need a tenth of it for their first document.
   * @default 3600000; with several authorities 60000
   */
  readonly epochMs?: number
  /** Epochs that a Sphinx key lasts; at least 3. @default 24 */
  readonly validityEpochs?: number
  /**
   * The last gateway carries an exit, a network requester, which connects to anything that this machine reaches, itself included; and an
   * echo service runs. @default false
   */
  readonly services?: boolean
  /**
   * A SOCKS5 door to the exit on this port of 127.0.0.1, 0 for any free one or the one it had; needs `services`. Its client sends by
   * `clientProfile`. @default none
   */
  readonly socks5?: number
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
/** Authorities that are in a hurry. */
const AUTHORITIES_EPOCH_MS = 60_000
/** From the start of a new network to the first vote of its authorities, milliseconds: its nodes are up and read by then. */
const FOUNDING_MS = 1_000

export class Network implements AsyncDisposable {
  /** Base URL for clients, `…/api`; of several authorities the first one's. */
  readonly nymApiUrl: string
  /** All directories and their keys, for `connect`. */
  readonly access: NetworkAccess
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
  readonly #directories: Directories
  readonly #services: NetworkServices | undefined
  #closing: Promise<void> | undefined

  private constructor(
    directories: Directories,
    handles: readonly NodeHandle[],
    clients: readonly NetworkClient[],
    services: NetworkServices | undefined,
    state: StateDirectory,
    crypto: CryptoProvider,
  ) {
    this.#services = services
    this.#directories = directories
    this.access = directories.access
    this.nymApiUrl = this.access.directory[0]!
    this.cryptoProvider = crypto.name
    this.clients = clients
    this.#handles = handles
    this.#state = state
    this.environment = clientEnvironment(this.access.directory, handles[0]!.identityKey)
    this.envFile = state.envFile
    this.stateDirectory = state.path
    for (const handle of handles) handle.onRestart = () => directories.refresh()
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
      const { genesisMs, epochMs: durationMs } = plan
      const { validityEpochs = DEFAULT_VALIDITY_EPOCHS } = options
      const handles = plan.nodes.map(
        ({ name, role, ...ports }) => new NodeHandle(name, role, ports, state.nodeDirectory(name), surroundings),
      )
      // Nodes ask the directory at which key rotation it stands, and the directory reads the nodes: so it listens first.
      const directories = await Directories.open({
        surroundings,
        ports: plan.directoryPorts,
        schedule: { genesisMs, durationMs, validityEpochs },
        threshold: options.authorityThreshold,
        stateDirectory: (name) => state.nodeDirectory(name),
        joining: options.joining ?? [],
      })
      started.push(directories)
      started.push({ close: () => all(handles.map((handle) => handle.stop({ drainMs: 0 }))) })
      await all(handles.map((handle) => handle.start(directories.access)))
      await directories.enter(handles)
      const clients: NetworkClient[] = []
      started.push({ close: () => all(clients.map((client) => client.close())) })
      const opened = plan.clients
        .filter(({ runs }) => runs)
        .map(async ({ name, port }, index) => {
          clients[index] = await NetworkClient.open({
            name,
            port,
            access: directories.access,
            profile: options.clientProfile ?? 'local',
            storeFile: options.dataDirectory === undefined ? undefined : state.clientStoreFile(name),
            clock,
            random: surroundings.random.fork(`client ${name}`),
            logger: surroundings.logger,
          })
        })
      await all(opened)
      const services = options.services
        ? await NetworkServices.open({
            access: directories.access,
            gateway: handles.at(-1)!,
            socksPort: options.socks5 === 0 ? (saved?.socksPort ?? 0) : options.socks5,
            profile: options.clientProfile ?? 'local',
            storeFile: (name) => state.serviceStoreFile(name),
            clock,
            random: surroundings.random,
            logger: surroundings.logger,
          })
        : undefined
      if (services) started.push(services)
      // So that the exit is listed.
      if (services) await directories.refresh()
      state.save({
        ...savedForm(plan, directories, handles, clients),
        socksPort: services?.socksPort ?? saved?.socksPort,
      })
      return new Network(directories, handles, clients, services, state, crypto)
    } catch (error) {
      for (const part of started.reverse()) await part.close()
      throw error
    }
  }

  /** The one that runs, or ran last; stopped by its `close()`. Of several authorities that of the first. */
  get directory(): Directory {
    return this.#directories.first
  }

  /** In the order of `access`; none where one directory decides. Each is stopped by its `close()`. */
  get authorities(): readonly AuthorityDirectory[] {
    return this.#directories.authorities
  }

  /**
   * After `directory.close()`, or `close()` of authority number `index`: start it again, at the same address. Errors:
   * `MIX_PORT_IN_USE` when it still runs, `MIX_NOT_ROUTABLE`.
   */
  async restartDirectory(index = 0): Promise<void> {
    await this.#directories.restart(index, this.#handles)
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

  /** Addresses of the services that run, undefined without. */
  get services(): ServiceAddresses | undefined {
    return this.#services?.addresses
  }

  /** The SOCKS5 door, `socks5h://127.0.0.1:port`, where there is one. */
  get socks5Url(): string | undefined {
    return this.#services?.socksUrl
  }

  /** Stop everything and remove what is temporary. May be called more than once. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await all([...this.clients.map((client) => client.close()), this.#services?.close() ?? Promise.resolve()])
      await Promise.all([this.#directories.close(), ...this.#handles.map((handle) => handle.stop({ drainMs: 0 }))])
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
  readonly epochMs: number
  /** One, or one for each authority. */
  readonly directoryPorts: readonly number[]
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
  const { authorities = 1, mixes = 3, gateways = 2, fallbackPort = 0, port = fallbackPort } = options
  checkCount('authorities', authorities, 1, MOST_AUTHORITIES)
  checkCount('mixes', mixes, LAYERS)
  checkCount('gateways', gateways, 1)
  const names = clientNames(options) ?? []
  const largestPort = 65_536 - authorities - 3 * (mixes + gateways) - names.length
  if (!Number.isInteger(port) || port < 0 || port > largestPort) {
    throw new MixError('MIX_OPTIONS', `The port must be 0 or between 1 and ${largestPort}.`, { kind: 'usage' })
  }
  let next = port
  const take = () => (port === 0 ? 0 : ++next)
  const directoryPorts = [port, ...Array.from({ length: authorities - 1 }, take)]
  const mixNodes = Array.from({ length: mixes }, (_, i) => {
    return { name: `mix${i + 1}`, role: 'mixnode' as const, mixPort: take(), httpPort: take() }
  })
  const gatewayNodes = Array.from({ length: gateways }, (_, i) => {
    return { name: `gateway${i + 1}`, role: 'gateway' as const, mixPort: take(), httpPort: take(), clientPort: take() }
  })
  const clients = names.map((name) => ({ name, port: take(), runs: true }))
  const epochMs = epochOf(options, authorities)
  // Of several authorities the first vote is in the second tenth of an epoch; it is soon.
  const genesisMs = authorities === 1 ? nowMs : Math.floor(nowMs) + FOUNDING_MS - Math.ceil(epochMs / 10)
  return { genesisMs, epochMs, directoryPorts, nodes: [...mixNodes, ...gatewayNodes], clients }
}

function epochOf({ epochMs }: NetworkOptions, authorities: number): number {
  return epochMs ?? (authorities === 1 ? DEFAULT_EPOCH_MS : AUTHORITIES_EPOCH_MS)
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
  const directoryPorts = [saved.directoryPort, ...saved.authorityPorts]
  for (const [name, wanted, have] of [
    ['authorities', options.authorities, directoryPorts.length],
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
  const { genesisMs, nodes } = saved
  const clients = [...running, ...resting.map((client) => ({ ...client, runs: false }))]
  return { genesisMs, epochMs: epochOf(options, directoryPorts.length), directoryPorts, nodes, clients }
}

function checkCount(name: string, value: number, least: number, most = MOST_NODES): void {
  if (Number.isInteger(value) && value >= least && value <= most) return
  throw new MixError('MIX_OPTIONS', `The number of ${name} must be between ${least} and ${most}.`, {
    kind: 'usage',
  })
}

function savedForm(
  { genesisMs, clients: planned }: Plan,
  { ports }: Directories,
  handles: readonly NodeHandle[],
  clients: readonly NetworkClient[],
): SavedNetwork {
  const running = clients.map(({ name, websocketPort }) => ({ name, port: websocketPort }))
  const resting = planned.filter(({ runs }) => !runs).map(({ name, port }) => ({ name, port }))
  return {
    version: 1,
    genesisMs,
    directoryPort: ports[0]!,
    authorityPorts: ports.slice(1),
    nodes: handles.map(({ name, role, ports }) => ({ name, role, ...ports })),
    clients: [...running, ...resting],
  }
}
