/**
 * Mixed traffic of several apps at random times from a seed: downloads, uploads, echoes by stream, messages with answers, and
 * connections that come to nothing: refused, unknown, forbidden, broken off, silent. Every request ends with the right data or
 * with a typed error; what it ended with is counted.
 */
import assert from 'node:assert/strict'
import type { ByteStream, Client, Exit, ExitConnection, ExitTarget } from '@mixwright/client'
import { type Clock, MixError, type Random, toHex, uniform } from '@mixwright/runtime'
import { dataOf, encodeOrder, hashOf, type Order } from './scripted-destination.js'

export interface MixedTrafficOptions {
  readonly clock: Clock
  readonly random: Random
  readonly apps: readonly MixedApp[]
  /**
   * A destination that breaks off may look as if it had ended: on real sockets libuv takes a reset that comes together with data for
   * the end. @default false
   */
  readonly resetMayLookLikeEnd?: boolean
  /** Address of an echo service, by messages and by streams. */
  readonly echo: string
  readonly targets: {
    /** Follows orders. */
    readonly open: ExitTarget
    readonly refused: ExitTarget
    readonly unknown: ExitTarget
    readonly forbidden?: ExitTarget
  }
}

export interface MixedApp {
  /** Whose messages are answers to ours. */
  readonly client: Client
  readonly exit: Exit
}

/** From 1 kB to 500 kB, small ones more often: each factor is as likely. */
const SMALLEST_BYTES = 1000
const LARGEST_BYTES = 500_000
const LARGEST_MESSAGE_BYTES = 20_000
/** When the app gives up what is silent. */
const PATIENCE_MS = 20_000
/** After so long the app takes a message for lost. */
const ANSWER_MS = 120_000
const WRITE_BYTES = 40_000
/** First bytes of a message, and how it is known again. */
const TOKEN_BYTES = 16
/** With it begins no frame of a stream. */
const NO_FRAME = 0xff

/** Weights. */
const KINDS = [
  ['download', 6],
  ['upload', 3],
  ['echo', 2],
  ['message', 3],
  ['refused', 1],
  ['unknown', 1],
  ['forbidden', 1],
  ['silent', 1],
  ['reset', 1],
] as const

export type MixedKind = (typeof KINDS)[number][0]

/** The app's patience is at its end. */
class GivenUp extends Error {}

export class MixedTraffic {
  readonly #options: MixedTrafficOptions
  readonly #random: Random
  readonly #counts = new Map<string, number>()
  /** Answers that are waited for, by their token. */
  readonly #answers = new Map<string, (data: Uint8Array) => void>()
  readonly #stops: (() => void)[]
  /** By number. */
  readonly #running = new Map<number, { readonly kind: MixedKind; readonly sinceMs: number }>()
  #begun = 0
  #bytes = 0
  /** What was neither the right data nor a typed error. */
  readonly wrong: unknown[] = []

  constructor(options: MixedTrafficOptions) {
    this.#options = options
    this.#random = options.random
    const take = ({ data }: { readonly data: Uint8Array }) => {
      const token = toHex(data.subarray(0, TOKEN_BYTES))
      const answer = this.#answers.get(token)
      answer?.(data)
      return answer !== undefined
    }
    this.#stops = options.apps.map(({ client }) => client.intercept(take))
  }

  /** From now on and for so long each app begins a request once in `everyMs` on average. */
  begin(forMs: number, everyMs: number): void {
    const { clock, apps } = this.#options
    const end = clock.monotonic() + forMs
    for (const app of apps) {
      const next = () => {
        if (clock.monotonic() >= end) return
        void this.#request(app)
        clock.setTimer(2 * everyMs * uniform(this.#random), next)
      }
      clock.setTimer(everyMs * uniform(this.#random), next)
    }
  }

  /** Requests that have not ended. */
  get running(): number {
    return this.#running.size
  }

  /** What runs, and for how long. */
  describe(): string {
    const nowMs = this.#options.clock.monotonic()
    const all = [...this.#running.values()].map(({ kind, sinceMs }) => `${kind} for ${Math.round(nowMs - sinceMs)} ms`)
    return all.join(', ')
  }

  get begun(): number {
    return this.#begun
  }

  /** Bytes that came or were brought, and were right. */
  get bytes(): number {
    return this.#bytes
  }

  /** By `kind: outcome`, where an outcome is `done`, `given up`, or the code of an error. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].sort())
  }

  /** Requests of a kind that ended so. */
  count(kind: MixedKind, outcome: string): number {
    return this.#counts.get(`${kind}: ${outcome}`) ?? 0
  }

  /** Take no more answers. */
  stop(): void {
    for (const stop of this.#stops) stop()
  }

  async #request(app: MixedApp): Promise<void> {
    const number = this.#begun++
    const kind = this.#kind()
    this.#running.set(number, { kind, sinceMs: this.#options.clock.monotonic() })
    const outcome = await this.#outcomeOf(this.#play(kind, app, number))
    this.#running.delete(number)
    const key = `${kind}: ${outcome}`
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  async #outcomeOf(work: Promise<number>): Promise<string> {
    try {
      this.#bytes += await work
      return 'done'
    } catch (error) {
      if (error instanceof MixError) return error.code
      if (error instanceof GivenUp) return 'given up'
      this.wrong.push(error)
      return 'wrong'
    }
  }

  /** Resolves to the number of bytes carried. */
  #play(kind: MixedKind, app: MixedApp, seed: number): Promise<number> {
    const { open, refused, unknown, forbidden } = this.#options.targets
    const bytes = this.#size(LARGEST_BYTES)
    switch (kind) {
      case 'download':
        return this.#download(app, { kind: 'source', bytes, seed })
      case 'reset':
        return this.#brokenOff(app, { kind: 'reset', bytes, seed })
      case 'upload':
        return this.#upload(app, bytes, seed)
      case 'echo':
        return this.#echo(app, bytes, seed)
      case 'message':
        return this.#message(app, seed)
      case 'silent':
        return this.#silent(app, open)
      case 'refused':
        return this.#nothing(app, refused)
      case 'unknown':
        return this.#nothing(app, unknown)
      case 'forbidden':
        return this.#nothing(app, forbidden ?? unknown)
    }
  }

  async #download(app: MixedApp, order: Required<Order>): Promise<number> {
    const connection = await this.#ordered(app, order)
    const [data] = await Promise.all([readAll(connection), connection.writable.close()])
    assert.equal(hashOf(data), hashOf(dataOf(order.seed, order.bytes)))
    await connection.closed
    return data.length
  }

  async #brokenOff(app: MixedApp, order: Required<Order>): Promise<number> {
    if (!this.#options.resetMayLookLikeEnd) return this.#download(app, order)
    const connection = await this.#ordered(app, order)
    const [data] = await Promise.all([readAll(connection), connection.writable.close()])
    assert.equal(hashOf(data), hashOf(dataOf(order.seed, order.bytes).subarray(0, data.length)))
    return data.length
  }

  async #upload(app: MixedApp, bytes: number, seed: number): Promise<number> {
    const connection = await this.#ordered(app, { kind: 'sink' })
    const data = dataOf(seed, bytes)
    const [hash] = await Promise.all([readAll(connection), writeAll(connection, data)])
    assert.equal(toHex(hash), hashOf(data))
    await connection.closed
    return bytes
  }

  async #echo({ client }: MixedApp, bytes: number, seed: number): Promise<number> {
    const stream = client.openStream(this.#options.echo)
    const data = dataOf(seed, bytes)
    const [back] = await Promise.all([readAll(stream), writeAll(stream, data)])
    assert.equal(hashOf(back), hashOf(data))
    await stream.closed
    return bytes
  }

  async #message({ client }: MixedApp, seed: number): Promise<number> {
    const data = dataOf(seed, this.#size(LARGEST_MESSAGE_BYTES))
    data.set(this.#random.bytes(TOKEN_BYTES))
    data[0] = NO_FRAME
    const token = toHex(data.subarray(0, TOKEN_BYTES))
    const answered = new Promise<Uint8Array>((resolve) => this.#answers.set(token, resolve))
    const patience = this.#patience(ANSWER_MS)
    try {
      const { acknowledged } = client.send(this.#options.echo, data, { replySurbs: 20 })
      await Promise.race([acknowledged, patience.ended])
      const answer = await Promise.race([answered, patience.ended])
      assert.equal(hashOf(answer), hashOf(data))
      return data.length
    } finally {
      patience.cancel()
      this.#answers.delete(token)
    }
  }

  async #silent(app: MixedApp, target: ExitTarget): Promise<number> {
    const patience = this.#patience(PATIENCE_MS)
    const giving = new AbortController()
    patience.ended.catch((reason) => giving.abort(reason))
    try {
      const connection = await app.exit.connect(target, { signal: giving.signal })
      await Promise.all([readAll(connection), writeAll(connection, encodeOrder({ kind: 'silent' }))])
      throw new Error('a silent destination ended the connection')
    } finally {
      patience.cancel()
    }
  }

  async #nothing({ exit }: MixedApp, target: ExitTarget): Promise<number> {
    const connection = await exit.connect(target)
    connection.abort()
    throw new Error(`${target.host}:${target.port} was reached`)
  }

  async #ordered({ exit }: MixedApp, order: Order): Promise<ExitConnection> {
    const connection = await exit.connect(this.#options.targets.open)
    const writer = connection.writable.getWriter()
    await writer.write(encodeOrder(order))
    writer.releaseLock()
    return connection
  }

  #patience(ms: number): { readonly ended: Promise<never>; cancel(): void } {
    let give!: (reason: GivenUp) => void
    const ended = new Promise<never>((_, reject) => {
      give = reject
    })
    ended.catch(() => {})
    const timer = this.#options.clock.setTimer(ms, () => give(new GivenUp()))
    return { ended, cancel: () => timer.cancel() }
  }

  #kind(): MixedKind {
    const all = KINDS.reduce((sum, [, weight]) => sum + weight, 0)
    let at = uniform(this.#random) * all
    for (const [kind, weight] of KINDS) {
      at -= weight
      if (at < 0) return kind
    }
    return 'download'
  }

  #size(largest: number): number {
    return Math.round(SMALLEST_BYTES * (largest / SMALLEST_BYTES) ** uniform(this.#random))
  }
}

async function readAll({ readable }: Pick<ByteStream, 'readable'>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of readable) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function writeAll({ writable }: Pick<ByteStream, 'writable'>, data: Uint8Array): Promise<void> {
  const writer = writable.getWriter()
  for (let at = 0; at < data.length; at += WRITE_BYTES) await writer.write(data.subarray(at, at + WRITE_BYTES))
  await writer.close()
}
