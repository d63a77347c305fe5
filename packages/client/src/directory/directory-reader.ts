/**
 * Reads the network from a nym-api compatible directory (03-directory §2, §6, §14): rewarded set, mix nodes and entry
 * gateways at once, which must be of one epoch, and the schedule of epochs. As JSON: bincode is smaller, but one node with
 * a broken field would spoil the list of all. When to read is left to `topology-keeper.ts`.
 */
import { type Clock, MixError } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  documentError,
  type Fetch,
  fetchJson,
  fromJson,
  keyRotationInfoSchema,
  type NodesMetadata,
  nodesMetadataSchema,
  parseRfc3339,
  rewardedSetSchema,
  type SkimmedNode,
  skimmedNodeSchema,
  unreachableError,
} from '@mixwright/wire'
import { readRequesters } from './listed-requester.js'
import type { ListedRequester, RotationSchedule, Topology, TopologySource } from './topology.js'
import { TopologyBuilder } from './topology-builder.js'

export interface DirectoryReaderOptions {
  /** Base URLs such as `http://127.0.0.1:17890/api`; at least one. */
  readonly baseUrls: readonly string[]
  readonly clock: Clock
  /** Tells which Sphinx keys are points of low order. */
  readonly crypto: CryptoProvider
  /** @default the platform's */
  readonly fetch?: Fetch
  /** How long one directory may take for one reading, milliseconds. @default 15000 */
  readonly deadlineMs?: number
  /** Connect to gateways over TLS where they offer it. @default false */
  readonly preferTls?: boolean
}

const DEADLINE_MS = 15_000
/** Longest document, bytes after decompression; the public network's lists have some 300 kB. */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
/** Nodes that a list may have, and pages that it may come in; more is refused, so that no reading is endless. */
const MAX_NODES = 20_000
const MAX_PAGES = 64

/** A document of the directory that is being read, by its path. */
type Get = (path: string) => Promise<unknown>

interface NodeList {
  readonly metadata: NodesMetadata
  readonly nodes: readonly SkimmedNode[]
}

export class DirectoryReader implements TopologySource {
  readonly #options: DirectoryReaderOptions
  readonly #fetch: Fetch
  readonly #baseUrls: readonly string[]
  /** Which base URL worked last; it is asked first. */
  #preferred = 0
  readonly #builder: TopologyBuilder

  /** Error: `MIX_OPTIONS` when there is no base URL, or one is no HTTP URL. */
  constructor(options: DirectoryReaderOptions) {
    this.#options = options
    // Not called as a method: browsers refuse a `fetch` whose `this` is not their window.
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
    requireBaseUrls(options.baseUrls)
    this.#baseUrls = options.baseUrls.map(cleanBaseUrl)
    const { clock, crypto, preferTls = false } = options
    this.#builder = new TopologyBuilder({ clock, crypto, preferTls })
  }

  /** Errors: `MIX_DIRECTORY_UNREACHABLE`, `MIX_DIRECTORY_DOCUMENT`, `MIX_DIRECTORY_UNUSABLE`; the signal's reason. */
  read(signal?: AbortSignal): Promise<Topology> {
    return this.#ask(signal, async (get, baseUrl) => {
      // An epoch may turn between two answers; then the second attempt finds them of one epoch.
      return (await this.#readOnce(get, baseUrl)) ?? (await this.#readOnce(get, baseUrl)) ?? disagreeing(baseUrl)
    })
  }

  /** Errors: `MIX_DIRECTORY_UNREACHABLE`, `MIX_DIRECTORY_DOCUMENT`; the signal's reason. */
  readSchedule(signal?: AbortSignal): Promise<RotationSchedule> {
    return this.#ask(signal, async (get, baseUrl) => {
      const info = fromJson(keyRotationInfoSchema, await get('/v1/epoch/key-rotation-info'))
      const { validity_epochs, initial_epoch_id } = info.key_rotation_state
      const epochMs = info.epoch_duration.secs * 1000 + info.epoch_duration.nanos / 1_000_000
      if (validity_epochs === 0 || epochMs === 0) throw documentError(baseUrl, 'epochs or key rotations last no time')
      return {
        validityEpochs: validity_epochs,
        initialEpochId: initial_epoch_id,
        epochMs,
        knownEpochId: info.current_absolute_epoch_id,
        // The schema has checked that it is a time.
        knownEpochStartMs: parseRfc3339(info.current_epoch_start)!,
      }
    })
  }

  /**
   * The network requesters that nodes carry, by their self-descriptions (03-directory §7); malformed ones are left out. Errors:
   * `MIX_DIRECTORY_UNREACHABLE`, `MIX_DIRECTORY_DOCUMENT`; the signal's reason.
   */
  readRequesters(signal?: AbortSignal): Promise<readonly ListedRequester[]> {
    return this.#ask(signal, (get, baseUrl) => readRequesters(get, baseUrl))
  }

  /** Do `work` with the first directory that can; the one that worked last is asked first. */
  async #ask<T>(signal: AbortSignal | undefined, work: (get: Get, baseUrl: string) => Promise<T>): Promise<T> {
    const failures: MixError[] = []
    const first = this.#preferred
    for (let i = 0; i < this.#baseUrls.length; i++) {
      const index = (first + i) % this.#baseUrls.length
      signal?.throwIfAborted()
      try {
        const result = await this.#askOne(this.#baseUrls[index]!, signal, work)
        this.#preferred = index
        return result
      } catch (error) {
        signal?.throwIfAborted()
        if (!(error instanceof MixError)) throw error
        failures.push(error)
      }
    }
    throw failures.length === 1 ? failures[0] : allFailed(failures)
  }

  async #askOne<T>(
    baseUrl: string,
    signal: AbortSignal | undefined,
    work: (get: Get, baseUrl: string) => Promise<T>,
  ): Promise<T> {
    const { clock, deadlineMs = DEADLINE_MS } = this.#options
    const controller = new AbortController()
    const onAbort = () => controller.abort(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    const timer = clock.setTimer(deadlineMs, () =>
      controller.abort(unreachableError(baseUrl, `it takes longer than ${deadlineMs / 1000} seconds`)),
    )
    try {
      return await work(
        (path) => fetchJson(this.#fetch, baseUrl + path, MAX_DOCUMENT_BYTES, controller.signal),
        baseUrl,
      )
    } catch (error) {
      if (!(error instanceof MixError) || error.code !== 'MIX_DOCUMENT') throw error
      const { path, expected } = error.data
      throw documentError(baseUrl, `${path || 'it'} should be ${expected}`, error)
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
      // Where one of several requests failed, the others are of no use any more.
      controller.abort()
    }
  }

  /** Undefined when the answers are not of one epoch. */
  async #readOnce(get: Get, baseUrl: string): Promise<Topology | undefined> {
    const [rewarded, mixnodes, gateways] = await Promise.all([
      get('/v1/nym-nodes/rewarded-set').then((body) => fromJson(rewardedSetSchema, body)),
      readList(get, baseUrl, '/v2/unstable/nym-nodes/skimmed/mixnodes/active'),
      readList(get, baseUrl, '/v2/unstable/nym-nodes/skimmed/entry-gateways'),
    ])
    if (mixnodes === undefined || gateways === undefined || !agree(mixnodes.metadata, gateways.metadata))
      return undefined
    const { absolute_epoch_id: epochId, rotation_id: rotationId } = mixnodes.metadata
    if (rewarded.epoch_id !== epochId) return undefined

    return this.#builder.build(
      { rewarded, mixnodes: mixnodes.nodes, gateways: gateways.nodes, epochId, rotationId },
      baseUrl,
    )
  }
}

/** A list with all of its pages, without the nodes that are malformed. Undefined when the pages are not of one epoch. */
async function readList(get: Get, baseUrl: string, path: string): Promise<NodeList | undefined> {
  const first = parsePage(baseUrl, await get(`${path}?page=0`))
  const nodes = [...first.nodes]
  let listed = first.listed
  for (let page = 1; listed < first.total; page++) {
    const next = page < MAX_PAGES ? parsePage(baseUrl, await get(`${path}?page=${page}`)) : undefined
    if (next === undefined || next.listed === 0)
      throw documentError(baseUrl, `${path} claims ${first.total} nodes, and ${listed} came in ${page} pages`)
    if (!agree(first.metadata, next.metadata)) return undefined
    nodes.push(...next.nodes)
    listed += next.listed
  }
  return { metadata: first.metadata, nodes }
}

interface Page extends NodeList {
  /** Nodes of all pages, as the directory claims. */
  readonly total: number
  /** Nodes of this page, malformed ones included. */
  readonly listed: number
}

function parsePage(baseUrl: string, body: unknown): Page {
  const page = body as { metadata?: unknown; nodes?: { pagination?: { total?: unknown }; data?: unknown } } | null
  const total = page?.nodes?.pagination?.total
  const data = page?.nodes?.data
  if (typeof total !== 'number' || !Array.isArray(data)) throw documentError(baseUrl, 'a list of nodes is no such list')
  if (total > MAX_NODES || data.length > MAX_NODES)
    throw documentError(baseUrl, `a list has more than ${MAX_NODES} nodes`)
  const metadata = fromJson(nodesMetadataSchema, page?.metadata)
  return { metadata, total, listed: data.length, nodes: data.flatMap(parseNode) }
}

/** One node, or none. */
function parseNode(value: unknown): SkimmedNode[] {
  try {
    return [fromJson(skimmedNodeSchema, value)]
  } catch (error) {
    if (error instanceof MixError) return []
    throw error
  }
}

/** Whether two answers are of the same state of the network; when they were made does not matter. */
function agree(a: NodesMetadata, b: NodesMetadata): boolean {
  return (
    a.absolute_epoch_id === b.absolute_epoch_id &&
    a.rotation_id === b.rotation_id &&
    // A checked document has its fields in one order.
    JSON.stringify(a.status) === JSON.stringify(b.status)
  )
}

/** Error: `MIX_OPTIONS` when there is none. */
export function requireBaseUrls(baseUrls: readonly string[]): void {
  if (baseUrls.length === 0) throw badBaseUrl('')
}

/** Without the slash at its end: paths are appended. Error: `MIX_OPTIONS`. */
export function cleanBaseUrl(text: string): string {
  if (!URL.canParse(text)) throw badBaseUrl(text)
  const { protocol, host, pathname, username, password } = new URL(text)
  if (!/^https?:$/.test(protocol) || username !== '' || password !== '') throw badBaseUrl(text)
  return `${protocol}//${host}${pathname.replace(/\/+$/, '')}`
}

function badBaseUrl(url: string): MixError {
  const message = `A directory is given by an HTTP URL without user name, such as http://127.0.0.1:17890/api, not by "${url}".`
  return new MixError('MIX_OPTIONS', message, { kind: 'usage', data: { url } })
}

function disagreeing(url: string): never {
  const reason = 'its lists are not of one epoch, twice in a row'
  const message = `The directory at ${url} contradicts itself: ${reason}.`
  throw new MixError('MIX_DIRECTORY_DOCUMENT', message, { kind: 'peer', retry: true, data: { url, reason } })
}

/** One error for all: its code is that of the directory that said most, one that answered before one that did not. */
function allFailed(failures: readonly MixError[]): MixError {
  const { code, kind, data } = failures.find(({ code }) => code !== 'MIX_DIRECTORY_UNREACHABLE') ?? failures[0]!
  const message = failures.map((failure) => failure.message).join(' ')
  return new MixError(code as `MIX_${string}`, message, {
    kind,
    retry: failures.some(({ retry }) => retry),
    data: { ...data, failures: failures.map((failure) => failure.message) },
  })
}
