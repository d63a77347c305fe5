/**
 * The nodes that a directory knows and what it last read from each (03-directory §8, §18). A node is believed by what it
 * signed; its identity is pinned at the first reading; a node that registers itself may not take the IP address and mix port of
 * another. What is published of all this is `publication.ts`'s.
 */
import { type Clock, type Logger, MixError, sleep } from '@mixwright/runtime'
import { mixPortOf } from '../document/snapshot.js'
import { keyOfRotation, keysOf, type TaggedKey } from './node-descriptor.js'
import type { NodeIds } from './node-ids.js'
import { type NodeEntry, refusal, type SignedNodeReading } from './node-reader.js'

/** A node that is not listed, and why. */
export interface Refusal {
  /** Absent while the directory does not know who it is. */
  readonly nodeId?: number
  readonly host: string
  readonly httpPort: number
  readonly reason: string
}

export interface NodeRecord {
  /** Where it is read. Changes when a registered node moves. */
  entry: NodeEntry
  /** Who it must be: given, or shown at the first reading. */
  identityKey: string | undefined
  nodeId: number | undefined
  reading: SignedNodeReading | undefined
  /** Keys that it showed earlier and does not any more, the newest first. */
  earlierKeys: readonly TaggedKey[]
  /** Failed readings since the last good one. */
  missed: number
  refusal: Refusal | undefined
  /** Asked for the first time, and asked again until it answers: not yet a refusal. */
  waiting: boolean
  /** By itself: forgotten when it stays away. */
  registered: boolean
  /** When it was last read, or added, Unix milliseconds. */
  heardAtMs: number
}

export interface NodeRegistryOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly ids: NodeIds
  /** Nodes known at one time; past it nobody may register. */
  readonly maximumNodes: number
  /** First pause before a node that does not answer is asked again, milliseconds; it grows to a second. */
  readonly retryMs: number
  read(entry: NodeEntry): Promise<SignedNodeReading>
}

/** Failed readings in a row after which a node leaves the lists. */
const READINGS_MISSED = 3
/** A registered node that stays away so long is forgotten, its number is not. Milliseconds. */
const FORGET_MS = 24 * 3_600_000
/** Readings at the same time (03-directory §8.1). */
const READINGS_AT_ONCE = 50
const LONGEST_RETRY_MS = 1_000
const KEPT_KEYS = 2

export class NodeRegistry {
  readonly #options: NodeRegistryOptions
  readonly #records = new Set<NodeRecord>()
  readonly #byIdentity = new Map<string, NodeRecord>()
  /** By host and port of the HTTP API. */
  readonly #byPlace = new Map<string, NodeRecord>()
  /** Who holds an IP address and mix port, by `ip port`. */
  readonly #byAddress = new Map<string, NodeRecord>()
  readonly #inFlight = new Map<NodeRecord, Promise<boolean>>()
  readonly #queue: (() => void)[] = []
  readonly #closing = new AbortController()
  #reading = 0

  constructor(options: NodeRegistryOptions) {
    this.#options = options
  }

  get records(): ReadonlySet<NodeRecord> {
    return this.#records
  }

  /** Not those that are still asked for the first time. */
  get refusals(): readonly Refusal[] {
    return [...this.#records].flatMap(({ refusal, waiting }) => (waiting ? [] : (refusal ?? [])))
  }

  get isFull(): boolean {
    return this.#records.size >= this.#options.maximumNodes
  }

  ofIdentity(identityKey: string): NodeRecord | undefined {
    return this.#byIdentity.get(identityKey)
  }

  /**
   * A node to be read from now on; the one already known by this identity or place. Error: `MIX_DIRECTORY_FULL`, for nodes that
   * register: those that the operator gives always find room, however many strangers came before them.
   */
  add(entry: NodeEntry, registered = false): NodeRecord {
    const { identityKey } = entry
    const known = (identityKey !== undefined && this.#byIdentity.get(identityKey)) || this.#byPlace.get(placeOf(entry))
    if (known && (identityKey === undefined || known.identityKey === undefined || known.identityKey === identityKey)) {
      this.move(known, { ...known.entry, ...entry })
      known.registered &&= registered
      return known
    }
    if (registered && this.isFull) {
      const message = `The directory knows ${this.#records.size} nodes and takes no more.`
      throw new MixError('MIX_DIRECTORY_FULL', message, { kind: 'local', data: { nodes: this.#records.size } })
    }
    const record: NodeRecord = {
      entry,
      identityKey,
      // Numbers follow the order in which nodes are given, where it is known who they are.
      nodeId: identityKey === undefined || registered ? undefined : this.#options.ids.of(identityKey, entry.nodeId),
      reading: undefined,
      earlierKeys: [],
      missed: 0,
      refusal: undefined,
      waiting: true,
      registered,
      heardAtMs: this.#options.clock.now(),
    }
    this.#records.add(record)
    this.#byPlace.set(placeOf(entry), record)
    if (identityKey !== undefined) this.#byIdentity.set(identityKey, record)
    return record
  }

  /** Read a node elsewhere from now on. */
  move(record: NodeRecord, entry: NodeEntry): void {
    this.#leavePlace(record)
    record.entry = entry
    this.#byPlace.set(placeOf(entry), record)
  }

  /** Ask until it answers or is refused for what it said; at most for `patienceMs`. */
  async readFirst(record: NodeRecord, patienceMs = Number.POSITIVE_INFINITY): Promise<void> {
    const { clock, retryMs } = this.#options
    const deadline = clock.monotonic() + patienceMs
    let pause = retryMs
    while (this.#records.has(record) && !this.#closing.signal.aborted) {
      const retry = await this.read(record)
      if (!retry || clock.monotonic() >= deadline) break
      await sleep(clock, pause, this.#closing.signal).catch(() => {})
      pause = Math.min(pause * 1.5, Math.max(retryMs, LONGEST_RETRY_MS))
    }
    record.waiting = false
  }

  /** Read a node once; a reading under way is waited for instead. Returns whether another attempt may help. */
  read(record: NodeRecord): Promise<boolean> {
    let reading = this.#inFlight.get(record)
    if (reading === undefined) {
      reading = this.#inTurn(() => this.#readNow(record)).finally(() => this.#inFlight.delete(record))
      this.#inFlight.set(record, reading)
    }
    return reading
  }

  /** Read a node in another place, and from now on there if that goes well. Otherwise nothing changes: why, is returned. */
  async relocate(record: NodeRecord, entry: NodeEntry): Promise<string | undefined> {
    try {
      this.#accept(record, await this.#inTurn(() => this.#options.read(entry)))
      this.move(record, entry)
      return undefined
    } catch (error) {
      return failureOf(error).reason
    }
  }

  /** Read those of `records` once, and forget registered nodes that stay away. */
  async readAll(records: Iterable<NodeRecord> = [...this.#records]): Promise<void> {
    await Promise.all([...records].map((record) => this.read(record)))
    const { clock } = this.#options
    for (const record of this.#records)
      if (record.registered && record.reading === undefined && clock.now() - record.heardAtMs > FORGET_MS)
        this.forget(record)
  }

  /** Nodes that were named by their place alone and have not answered yet. */
  get unidentified(): readonly NodeRecord[] {
    return [...this.#records].filter(({ identityKey }) => identityKey === undefined)
  }

  /** Nodes whose key is not that of the rotation, and nodes that missed their last reading. */
  lateNodes(rotationId: number): readonly NodeRecord[] {
    return [...this.#records].filter(
      ({ reading, missed, waiting }) =>
        !waiting && (reading === undefined || missed > 0 || keyOfRotation(reading, rotationId) === undefined),
    )
  }

  forget(record: NodeRecord): void {
    this.#unlist(record)
    this.#leavePlace(record)
    this.#records.delete(record)
    if (record.identityKey !== undefined && this.#byIdentity.get(record.identityKey) === record)
      this.#byIdentity.delete(record.identityKey)
  }

  close(): void {
    this.#closing.abort()
    for (const start of this.#queue.splice(0)) start()
  }

  /** With a bounded number of readings at the same time. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#reading >= READINGS_AT_ONCE) await new Promise<void>((resolve) => this.#queue.push(resolve))
    this.#reading++
    try {
      return await work()
    } finally {
      this.#reading--
      this.#queue.shift()?.()
    }
  }

  async #readNow(record: NodeRecord): Promise<boolean> {
    const { logger, read } = this.#options
    if (this.#closing.signal.aborted) return false
    const { entry, identityKey } = record
    const { host, httpPort } = entry
    try {
      const reading = await read(identityKey === undefined ? entry : { ...entry, identityKey })
      this.#accept(record, reading)
      return false
    } catch (error) {
      const { reason, retry } = failureOf(error)
      record.missed++
      // A node that lies is out at once; one that is away may come back with its listing unharmed.
      if (!retry || record.missed >= READINGS_MISSED || record.reading === undefined) {
        if (record.reading !== undefined) logger.warn({ host, httpPort, reason }, 'node left the directory')
        this.#unlist(record)
        record.refusal = { ...(record.nodeId !== undefined && { nodeId: record.nodeId }), host, httpPort, reason }
      }
      logger.debug({ host, httpPort, reason }, 'node refused')
      return retry
    }
  }

  /** Error: `MIX_NODE_REFUSED` when another node is in its place. */
  #accept(record: NodeRecord, reading: SignedNodeReading): void {
    const { ids, clock } = this.#options
    const identityKey = reading.hostInformation.keys.ed25519_identity
    const twin = this.#byIdentity.get(identityKey)
    if (twin !== undefined && twin !== record) {
      const { host, httpPort } = twin.entry
      throw refusal(record.entry, `it is the node that is known at ${host}:${httpPort} already`)
    }
    const addresses = addressesOf(reading)
    const holder = addresses.map((address) => this.#byAddress.get(address)).find((other) => other && other !== record)
    // What the operator has given stands.
    if (holder !== undefined && record.registered)
      throw refusal(record.entry, `its address and mix port are those of node ${holder.nodeId}`)
    record.earlierKeys = earlierKeys(record, reading)
    this.#unlist(record)
    for (const address of addresses) this.#byAddress.set(address, record)
    record.identityKey = identityKey
    this.#byIdentity.set(identityKey, record)
    record.nodeId = ids.of(identityKey, record.entry.nodeId)
    record.reading = reading
    record.heardAtMs = clock.now()
    record.missed = 0
    record.refusal = undefined
    record.waiting = false
  }

  #leavePlace(record: NodeRecord): void {
    const place = placeOf(record.entry)
    if (this.#byPlace.get(place) === record) this.#byPlace.delete(place)
  }

  #unlist(record: NodeRecord): void {
    if (record.reading === undefined) return
    for (const address of addressesOf(record.reading))
      if (this.#byAddress.get(address) === record) this.#byAddress.delete(address)
    record.reading = undefined
  }
}

/** Whatever a node says, it harms its own reading only. */
function failureOf(error: unknown): { readonly reason: string; readonly retry: boolean } {
  if (!(error instanceof MixError)) return { reason: `its answers cannot be read: ${String(error)}`, retry: false }
  return { reason: String(error.data.reason ?? error.message), retry: error.retry }
}

function placeOf({ host, httpPort }: NodeEntry): string {
  return `${host} ${httpPort}`
}

function addressesOf(reading: SignedNodeReading): string[] {
  return reading.hostInformation.ip_address.map((ip) => `${ip} ${mixPortOf(reading)}`)
}

/** What the node showed before and does not show any more, beside what was earlier already. */
function earlierKeys({ reading: before, earlierKeys }: NodeRecord, now: SignedNodeReading): readonly TaggedKey[] {
  if (before === undefined) return []
  const shown = new Set(keysOf(now).map(({ rotation_id }) => rotation_id))
  const gone = [...keysOf(before), ...earlierKeys].filter(({ rotation_id }) => !shown.has(rotation_id))
  return gone
    .filter(({ rotation_id }, i) => gone.findIndex((key) => key.rotation_id === rotation_id) === i)
    .slice(0, KEPT_KEYS)
}
