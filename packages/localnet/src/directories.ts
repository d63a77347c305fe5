/**
 * The directory of a local network, or several that are authorities and agree on one document (03-directory §18): opened, told
 * of the nodes, and opened again at the same address. Nodes and clients are told of all of them, with their keys.
 */
import { createServer } from 'node:net'
import {
  type AuthorityAddress,
  AuthorityDirectory,
  Directory,
  type EpochSchedule,
  loadOrCreateIdentity,
  nodeEntryOf,
} from '@mixwright/directory'
import { MemoryMetrics, MixError, sleep } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { LOOPBACK, type NetworkAccess, type NodeHandle, type Surroundings } from './node-handle.js'

export interface DirectoriesOptions {
  readonly surroundings: Surroundings
  /** One for each; 0 takes any free one. */
  readonly ports: readonly number[]
  readonly schedule: EpochSchedule
  /** Of several: signatures that make a document valid. @default more than two thirds */
  readonly threshold: number | undefined
  /** Where the authority of this name keeps its key. */
  readonly stateDirectory: (name: string) => string
  /** Nodes that run elsewhere, by the addresses of their HTTP APIs. */
  readonly joining: readonly string[]
}

/** Epochs until several authorities must have agreed on a document with all nodes. */
const PATIENCE_EPOCHS = 2

export class Directories {
  readonly access: NetworkAccess
  readonly #options: DirectoriesOptions
  readonly #addresses: readonly AuthorityAddress[]
  readonly #running: (Directory | AuthorityDirectory)[] = []

  private constructor(options: DirectoriesOptions, addresses: readonly AuthorityAddress[], access: NetworkAccess) {
    this.#options = options
    this.#addresses = addresses
    this.access = access
  }

  /** All listen then; none has read a node. Errors: `MIX_OPTIONS`, and those of `Directory.start` and `AuthorityDirectory.start`. */
  static async open(options: DirectoriesOptions): Promise<Directories> {
    if (options.ports.length === 1) {
      if (options.threshold !== undefined) throw noThreshold()
      const directory = await openOne(options, options.ports[0]!)
      const alone = new Directories(options, [], { directory: [directory.url] })
      alone.#running.push(directory)
      return alone
    }
    const { surroundings, schedule, stateDirectory, threshold } = options
    const { crypto, clock, random } = surroundings
    // Each must know the addresses of all beforehand.
    const addresses = (await fixed(options.ports)).map((port, index) => {
      const name = nameOf(index)
      const { key } = loadOrCreateIdentity(stateDirectory(name), crypto, random.fork(name), clock.now(), schedule)
      return { key, url: `http://${LOOPBACK}:${port}/api` }
    })
    const directories = new Directories(options, addresses, {
      directory: addresses.map(({ url }) => url),
      authorities: addresses.map(({ key }) => key),
      ...(threshold !== undefined && { authorityThreshold: threshold }),
    })
    try {
      for (const index of addresses.keys()) directories.#running.push(await directories.#openAuthority(index))
      return directories
    } catch (error) {
      await directories.close()
      throw error
    }
  }

  /** Of one directory, or of each authority. */
  get ports(): readonly number[] {
    return this.access.directory.map((url) => Number(new URL(url).port))
  }

  /** The one, or that of the first authority; running, or the last that ran. */
  get first(): Directory {
    return directoryOf(this.#running[0]!)
  }

  /** Empty where one directory decides. */
  get authorities(): readonly AuthorityDirectory[] {
    return this.#running.filter((running) => running instanceof AuthorityDirectory)
  }

  /**
   * Make the directories read all nodes, and then the nodes their lists, so that none refuses a packet for want of news.
   * Error: `MIX_NOT_ROUTABLE`.
   */
  async enter(handles: readonly NodeHandle[]): Promise<void> {
    await Promise.all(this.#running.map((running) => this.#introduce(running, handles)))
    await Promise.all(handles.map((handle) => handle.refreshTopology()))
  }

  /** Open number `index` again, after its `close()`. Errors: `MIX_PORT_IN_USE` when it still runs, `MIX_NOT_ROUTABLE`. */
  async restart(index: number, handles: readonly NodeHandle[]): Promise<void> {
    const port = this.ports[index]
    if (port === undefined) throw new MixError('MIX_OPTIONS', `There is no directory ${index}.`, { kind: 'usage' })
    const again = await (this.#addresses.length === 0 ? openOne(this.#options, port) : this.#openAuthority(index))
    this.#running[index] = again
    await this.#introduce(again, handles)
    await Promise.all(handles.map((handle) => handle.refreshTopology()))
  }

  /** Read all nodes now. */
  async refresh(): Promise<void> {
    await Promise.all(this.#running.map((running) => directoryOf(running).refresh()))
  }

  async close(): Promise<void> {
    await Promise.all(this.#running.map((running) => running.close()))
  }

  #openAuthority(index: number): Promise<AuthorityDirectory> {
    const { stateDirectory, threshold } = this.#options
    const name = nameOf(index)
    return AuthorityDirectory.start({
      ...common(this.#options, name, this.ports[index]!),
      stateDirectory: stateDirectory(name),
      authorities: this.#addresses,
      threshold,
    })
  }

  async #introduce(running: Directory | AuthorityDirectory, handles: readonly NodeHandle[]): Promise<void> {
    const { surroundings, schedule, joining } = this.#options
    const directory = directoryOf(running)
    for (const url of joining) void directory.join(nodeEntryOf(url, 'joining'))
    const present = handles.filter((handle) => handle.running)
    await Promise.all(
      present.map(({ ports, identityKey }) =>
        directory.join({ host: LOOPBACK, httpPort: ports.httpPort, identityKey }),
      ),
    )
    if (running instanceof AuthorityDirectory) {
      const patience = new AbortController()
      const listed = running.whenListed(present.map(({ identityKey }) => identityKey)).then(() => patience.abort())
      const patienceMs = PATIENCE_EPOCHS * schedule.durationMs
      await Promise.race([listed, sleep(surroundings.clock, patienceMs, patience.signal).catch(() => {})])
    }
    await running.whenRoutable()
  }
}

function openOne(options: DirectoriesOptions, port: number): Promise<Directory> {
  return Directory.start(common(options, 'directory', port))
}

function common({ surroundings, schedule }: DirectoriesOptions, name: string, port: number) {
  const { clock, random, logger, crypto } = surroundings
  return {
    clock,
    random: random.fork(name),
    logger: logger.child({ node: name }),
    metrics: new MemoryMetrics(),
    crypto,
    listen: { host: LOOPBACK, port },
    nodes: [],
    epoch: schedule,
    allowLocalAddresses: true,
  }
}

function nameOf(index: number): string {
  return `authority${index + 1}`
}

function directoryOf(running: Directory | AuthorityDirectory): Directory {
  return running instanceof AuthorityDirectory ? running.directory : running
}

/** The same ports, with a free one in place of each 0. */
async function fixed(ports: readonly number[]): Promise<number[]> {
  const held = ports.map(() => createServer())
  // All at once, so that they are different ones.
  const found = await Promise.all(
    held.map((server, index) => (ports[index] === 0 ? listenOn(server, { host: LOOPBACK, port: 0 }) : ports[index]!)),
  )
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))))
  return found
}

function noThreshold(): MixError {
  const message = 'A threshold is for several authorities; one directory decides alone.'
  return new MixError('MIX_OPTIONS', message, { kind: 'usage', data: { option: 'authorityThreshold' } })
}
