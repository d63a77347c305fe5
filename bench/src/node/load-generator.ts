/**
 * The process of the load generator and sink. Argument: `GeneratorOptions` as JSON. It does what its parent asks for, one
 * message after the other (`GeneratorOrder`), and answers each. A paced load never waits for the node: what is due is handed to
 * the socket, whatever became of the packets before, and each packet's time begins there.
 */
import { loadCryptoProvider } from '@mixwright/sphinx'
import { openSink, Sender } from './links.js'
import { type MeanDelayMs, PacketPool } from './packet-pool.js'
import { correlation, quantile } from './statistics.js'

export interface GeneratorOptions {
  readonly mixPort: number
  readonly noise: boolean
  readonly meanDelayMs: MeanDelayMs
  readonly packets: number
  readonly connections: number
  /** Whether packets may be sent again once all were: only to a node without replay protection. */
  readonly again: boolean
}

/** Either so many packets under way at any time, or so many a second on each connection. */
export type Load = { readonly window: number } | { readonly rates: readonly number[] }

export type GeneratorOrder =
  /** Begin with a load, in place of the one before. */
  | { readonly load: Load }
  /** Stop sending. */
  | 'pause'
  /** Forget what was observed, and observe anew. */
  | 'mark'
  /** A slice of what is observed begins here and ends at the next cut. */
  | 'cut'
  /** Tell all that was observed since the mark. Takes long enough to be seen in the figures: at the end only. */
  | 'tell'

/** The answer to every order. */
export interface Progress {
  /** Of this process since its start, microseconds. */
  readonly cpuMicros: number
  /** Packets since its start. */
  readonly sent: number
  readonly received: number
  /** All packets were sent, and none may be sent again. */
  readonly exhausted: boolean
  /** The answer to `tell`. */
  readonly observed?: Observed
}

export interface Observed {
  readonly connections: readonly ObservedConnection[]
  /** Of all connections. */
  readonly latency: Latency
  /** The same of each slice. */
  readonly slices: readonly Latency[]
  /** From when a packet was due until it was handed to the socket, milliseconds: the generator's own doing. */
  readonly lagP99Ms: number
  /** Of the drawn delay and the added latency; 0 without delays. */
  readonly correlation: number
}

export interface ObservedConnection {
  readonly offered: number
  /** Offered, but the queue of the peer was full. */
  readonly heldBack: number
  readonly received: number
  readonly latency: Latency
}

/** From the write of a packet until the sink read it, less the delay drawn for it; milliseconds. */
export interface Latency {
  readonly minMs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

/** When a packet that did not come out makes room for another in the window: the node has dropped it. */
const GIVEN_UP_MS = 1000
const GIVE_UP_LOOK_MS = 100

class Connection {
  readonly sender: Sender
  /** Packets a second, and how many of them were offered since. */
  rate = 0
  since = 0
  due = 0
  /** For a window: packets to be written once the sink has read. */
  refill = 0
  offered = 0
  heldBack = 0
  added: number[] = []
  delays: number[] = []
  lags: number[] = []
  /** Where in `added` slices begin and end. */
  cuts: number[] = []

  constructor(sender: Sender) {
    this.sender = sender
  }

  forget(): void {
    this.offered = this.heldBack = 0
    this.cuts = []
    this.added = []
    this.delays = []
    this.lags = []
  }
}

class Generator {
  readonly #pool: PacketPool
  readonly #again: boolean
  readonly #connections: readonly Connection[]
  /** By packet; NaN once it came out. */
  readonly #sentAt: Float64Array
  readonly #sentOn: Uint8Array
  #load: Load | undefined
  #next = 0
  #sent = 0
  #received = 0
  /** Given up. */
  #lost = 0
  /** The first packet that is neither received nor given up, or the next one. */
  #oldest = 0
  /** Of the read that is going on. */
  #readAt = 0

  constructor(pool: PacketPool, again: boolean, senders: readonly Sender[]) {
    this.#pool = pool
    this.#again = again
    this.#connections = senders.map((sender) => new Connection(sender))
    this.#sentAt = new Float64Array(pool.size)
    this.#sentOn = new Uint8Array(pool.size)
  }

  obey(order: GeneratorOrder): Progress {
    if (order === 'mark') for (const connection of this.#connections) connection.forget()
    else if (order === 'cut') for (const { cuts, added } of this.#connections) cuts.push(added.length)
    else if (order === 'pause') this.#load = undefined
    else if (order !== 'tell') this.#begin(order.load)
    const { user, system } = process.cpuUsage()
    return {
      cpuMicros: user + system,
      sent: this.#sent,
      received: this.#received,
      exhausted: this.#exhausted,
      ...(order === 'tell' && { observed: this.#observed() }),
    }
  }

  packet(packet: Uint8Array): void {
    if (this.#readAt === 0) this.#readAt = performance.now()
    const index = this.#pool.indexOf(packet)
    if (index === undefined) throw new Error('the node sent a packet that is none of ours')
    this.#received++
    const connection = this.#connections[this.#sentOn[index]!]!
    const delayMs = this.#pool.delayMs(index)
    connection.added.push(this.#readAt - this.#sentAt[index]! - delayMs)
    connection.delays.push(delayMs)
    connection.refill++
    this.#sentAt[index] = Number.NaN
  }

  read(): void {
    this.#readAt = 0
    if (this.#load !== undefined && 'window' in this.#load) this.#refill()
  }

  #refill(): void {
    for (const connection of this.#connections) {
      const count = connection.refill
      connection.refill = 0
      if (count > 0) this.#write(connection, count)
    }
  }

  #giveUp(load: Load): void {
    if (this.#load !== load) return
    const before = performance.now() - GIVEN_UP_MS
    while (this.#oldest !== this.#next) {
      const sentAt = this.#sentAt[this.#oldest]!
      if (sentAt > before) break
      if (!Number.isNaN(sentAt)) {
        this.#lost++
        this.#connections[this.#sentOn[this.#oldest]!]!.refill++
      }
      this.#oldest = (this.#oldest + 1) % this.#pool.size
    }
    this.#refill()
    setTimeout(() => this.#giveUp(load), GIVE_UP_LOOK_MS)
  }

  #begin(load: Load): void {
    this.#load = load
    const now = performance.now()
    this.#connections.forEach((connection, index) => {
      connection.refill = 0
      connection.rate = 'rates' in load ? (load.rates[index] ?? 0) : 0
      connection.since = now
      connection.due = 0
    })
    if ('rates' in load) return this.#tick(load)
    const underWay = this.#sent - this.#received - this.#lost
    const share = Math.ceil(Math.max(0, load.window - underWay) / this.#connections.length)
    for (const connection of this.#connections) this.#write(connection, share)
    this.#giveUp(load)
  }

  /** Each millisecond, or as soon after it as the system wakes us: everything that has become due. */
  #tick(load: Load): void {
    // Without packets left nothing more is offered.
    if (this.#load !== load || this.#exhausted) return
    for (const connection of this.#connections) {
      const { since, rate, sender } = connection
      const now = performance.now()
      const due = Math.floor(((now - since) / 1000) * rate)
      const count = due - connection.due
      if (count <= 0) continue
      for (let n = connection.due + 1; n <= due; n++) connection.lags.push(now - since - (n / rate) * 1000)
      connection.due = due
      const room = Math.max(0, sender.room)
      connection.heldBack += Math.max(0, count - room)
      this.#write(connection, Math.min(count, room))
      connection.offered += count
    }
    setTimeout(() => this.#tick(load), 1)
  }

  #write(connection: Connection, count: number): void {
    const frames: Uint8Array[] = []
    const now = performance.now()
    const on = this.#connections.indexOf(connection)
    for (let n = 0; n < count; n++) {
      if (this.#exhausted) break
      const index = this.#next
      this.#next = (index + 1) % this.#pool.size
      this.#sentAt[index] = now
      this.#sentOn[index] = on
      this.#sent++
      frames.push(this.#pool.frame(index))
    }
    if (frames.length > 0) connection.sender.write(frames)
  }

  get #exhausted(): boolean {
    return !this.#again && this.#sent === this.#pool.size
  }

  #observed(): Observed {
    const connections = this.#connections
    const all = connections.flatMap(({ added }) => added)
    const delays = connections.flatMap((connection) => connection.delays)
    const lags = Float64Array.from(connections.flatMap((connection) => connection.lags)).sort()
    const slices = connections[0]!.cuts
      .slice(1)
      .map((_, slice) => latencyOf(connections.flatMap(({ added, cuts }) => added.slice(cuts[slice], cuts[slice + 1]))))
    return {
      connections: connections.map(({ offered, heldBack, added }) => {
        return { offered, heldBack, received: added.length, latency: latencyOf(added) }
      }),
      latency: latencyOf(all),
      slices,
      lagP99Ms: quantile(lags, 0.99),
      correlation: delays.some((delay) => delay > 0) ? correlation(delays, all) : 0,
    }
  }
}

function latencyOf(added: readonly number[]): Latency {
  const sorted = Float64Array.from(added).sort()
  return {
    minMs: quantile(sorted, 0),
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    maxMs: quantile(sorted, 1),
  }
}

async function main(): Promise<void> {
  const options = JSON.parse(process.argv[2]!) as GeneratorOptions
  const { mixPort, noise, meanDelayMs, packets, connections, again } = options
  const crypto = await loadCryptoProvider()
  const pool = PacketPool.load(meanDelayMs, packets)
  let generator: Generator | undefined
  await openSink(crypto, noise, {
    packet: (packet) => generator!.packet(packet),
    read: () => generator?.read(),
  })
  const senders: Sender[] = []
  for (let n = 0; n < connections; n++) senders.push(await Sender.open(crypto, mixPort, noise))
  const obedient = new Generator(pool, again, senders)
  generator = obedient
  process.on('message', (order: GeneratorOrder) => process.send!(obedient.obey(order)))
  process.once('disconnect', () => process.exit())
  process.send!({})
}

await main()
