/**
 * A virtual network with exits: clients `app…` and, each with a network requester, clients `exit…`; behind them virtual
 * destinations. And what must hold when all is over.
 */
import assert from 'node:assert/strict'
import { type Client, type Exit, type ExitConnection, type ExitOptions, openExit } from '@mixwright/client'
import { MemoryMetrics, silentLogger } from '@mixwright/runtime'
import { NetworkRequester, type NetworkRequesterOptions } from '@mixwright/services'
import { VirtualNetwork, type VirtualNetworkOptions } from '../src/virtual/index.js'
import type { VirtualProcess } from '../src/virtual/virtual-process.js'
import { CountingClock } from './counting-clock.js'
import { dataOf, encodeOrder, hashOf, type Order } from './scripted-destination.js'
import { PORTS, SITE, VirtualDestinations } from './virtual-destinations.js'

const BUILD = {
  binary_name: 'mixwright',
  build_timestamp: '',
  build_version: '0.1.0',
  commit_sha: '',
  commit_timestamp: '',
  commit_branch: '',
  rustc_version: '',
  rustc_channel: '',
  cargo_profile: '',
  cargo_triple: '',
}

/** Retransmissions whose originals arrived, and acks of both. */
const QUIET_MS = 180_000

export interface VirtualExitsOptions extends VirtualNetworkOptions {
  readonly requester?: Partial<NetworkRequesterOptions>
}

/** A requester, on the client of its name. */
export interface RunningRequester {
  readonly name: string
  readonly requester: NetworkRequester
  readonly metrics: MemoryMetrics
  readonly clock: CountingClock
}

export class VirtualExits {
  readonly network: VirtualNetwork
  readonly destinations: VirtualDestinations
  readonly requesters: RunningRequester[] = []
  readonly #options: VirtualExitsOptions
  readonly #opened: { readonly process: VirtualProcess; readonly clock: CountingClock }[] = []

  private constructor(network: VirtualNetwork, options: VirtualExitsOptions) {
    this.network = network
    this.#options = options
    this.destinations = new VirtualDestinations(network.world.clock)
  }

  static async start(options: VirtualExitsOptions): Promise<VirtualExits> {
    const network = await VirtualNetwork.start(options)
    const exits = new VirtualExits(network, options)
    for (const { name } of network.clients) if (name.startsWith('exit')) await exits.serve(name)
    return exits
  }

  /** Start a requester on a client that runs. */
  async serve(name: string): Promise<RunningRequester> {
    const { client, computer } = this.network.client(name)
    const clock = new CountingClock(computer.process.clock)
    const metrics = new MemoryMetrics()
    const starting = NetworkRequester.start({
      client,
      clock,
      metrics,
      logger: silentLogger,
      policy: { kind: 'text', text: 'ExitPolicy reject *:25\nExitPolicy accept *:*' },
      buildInformation: BUILD,
      resolve: this.destinations.resolve(computer.process),
      dial: this.destinations.dial(computer.process),
      ...this.#options.requester,
    })
    const running = { name, requester: await this.network.during(starting), metrics, clock }
    this.requesters.push(running)
    return running
  }

  /** Open an exit over the client of `app`, as `over` shows it, to the requesters of these names. */
  open(app: string, names: readonly string[], options: ExitOptions = {}, over?: Client): Exit {
    const { world } = this.network
    const { client, computer } = this.network.client(app)
    const clock = new CountingClock(computer.process.clock)
    const requester = names.map((name) => this.network.client(name).address)
    const random = world.random.fork(`exit ${this.#opened.length}`)
    const exit = openExit(over ?? client, { requester, clock, random, ...options })
    this.#opened.push({ process: computer.process, clock })
    return exit
  }

  /** Let time pass until all connections are forgotten everywhere; then nothing may be left of them. */
  async quieten(limitMs = 400_000): Promise<void> {
    const { network, destinations, requesters } = this
    const alive = requesters.filter(({ name, requester }) => this.#lives(name, requester))
    const isQuiet = () => alive.every(({ requester }) => requester.connections === 0) && destinations.connections === 0
    await network.until(isQuiet, limitMs)
    await network.advance(QUIET_MS)
    for (const { requester, clock } of alive) {
      assert.equal(requester.connections, 0)
      assert.deepEqual([requester.uploadBytes, requester.downloadBytes], [0, 0])
      assert.equal(clock.pending, 1, 'timers of a requester are left besides its tick')
    }
    // An exit ticks while it has connections, and sets no other timer that outlives them.
    for (const { process, clock } of this.#opened)
      if (!process.isDead) assert.equal(clock.pending, 0, 'timers of an exit are left')
    for (const { client } of network.clients.filter((one) => one.isRunning)) {
      const { queue, unacknowledgedPackets } = client.status()
      assert.deepEqual([queue.messages, queue.packets, unacknowledgedPackets], [0, 0, 0])
    }
    assert.equal(network.conservation().inFlight, 0)
  }

  /** What the requesters have counted, one line each. */
  figures(): string[] {
    return this.requesters.map(({ name, metrics }) => {
      const counts: string[] = []
      for (const { name: counter, samples } of metrics.families())
        for (const { labels, cell } of samples.values())
          if (counter.endsWith('_total') && 'value' in cell)
            counts.push(
              `${counter.slice('mixwright_requester_'.length, -'_total'.length)} ${Object.values(labels)} ${cell.value}`,
            )
      return `${name}: ${counts.join(', ')}`
    })
  }

  /** A killed client's requester is not among the living, nor is one whose client was started again. */
  #lives(name: string, requester: NetworkRequester): boolean {
    if (!this.network.client(name).isRunning) return false
    return this.requesters.findLast((one) => one.name === name)?.requester === requester
  }

  close(): void {
    this.network.close()
  }
}

/** Such a network for `scenario`, closed after it. */
export async function onVirtualExits(
  options: VirtualExitsOptions,
  scenario: (exits: VirtualExits) => Promise<void>,
): Promise<void> {
  const exits = await VirtualExits.start(options)
  try {
    await scenario(exits)
  } finally {
    exits.close()
  }
}

/** Connect and give the order. */
export async function order(exit: Exit, what: Order, signal?: AbortSignal): Promise<ExitConnection> {
  const connection = await exit.connect({ host: SITE, port: PORTS.open }, { ...(signal && { signal }) })
  const writer = connection.writable.getWriter()
  await writer.write(encodeOrder(what))
  writer.releaseLock()
  return connection
}

/** Everything that comes; with `seen`, how much there is so far. */
export async function readAll(
  { readable }: Pick<ExitConnection, 'readable'>,
  seen: (bytes: number) => void = () => {},
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of readable) {
    chunks.push(chunk)
    bytes += chunk.length
    seen(bytes)
  }
  return Buffer.concat(chunks)
}

/** Get so many bytes, to the end of the connection in both directions. Error: those of the connection, or wrong bytes. */
export async function download(exit: Exit, bytes: number, seed: number, seen?: (bytes: number) => void): Promise<void> {
  const connection = await order(exit, { kind: 'source', bytes, seed })
  const [data] = await Promise.all([readAll(connection, seen), connection.writable.close()])
  assert.equal(hashOf(data), hashOf(dataOf(seed, bytes)))
  await connection.closed
}

/** Bring so many bytes, to the end in both directions. */
export async function upload(exit: Exit, bytes: number, seed: number): Promise<void> {
  const connection = await order(exit, { kind: 'sink' })
  const data = dataOf(seed, bytes)
  const write = async () => {
    const writer = connection.writable.getWriter()
    for (let at = 0; at < data.length; at += 40_000) await writer.write(data.subarray(at, at + 40_000))
    await writer.close()
  }
  const [hash] = await Promise.all([readAll(connection), write()])
  assert.equal(Buffer.from(hash).toString('hex'), hashOf(data))
  await connection.closed
}
