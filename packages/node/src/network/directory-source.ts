/**
 * The network as a nym-api compatible directory tells it to nodes (03-directory §2, §10; 05-mixnode §8.3, §11): key rotation,
 * the list of nodes, addresses asked after, and the request to be read again. Directories are asked in turn, first the one
 * that answered last.
 */
import { type Clock, MixError } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  decodeBase58,
  documentError,
  encodeBase58,
  type Fetch,
  fetchJson,
  fromJson,
  keyRotationInfoSchema,
  nodeRefreshText,
  type Paginated,
  parseRfc3339,
  type RewardedSet,
  rewardedSetSchema,
  semiSkimmedNodesSchema,
  unreachableError,
  type ValueOf,
} from '@mixwright/wire'
import type { NetworkSource, NetworkTopology, RotationInfo } from './network-source.js'
import type { ListedPeer } from './network-view.js'

export interface DirectorySourceOptions {
  /** Base URLs such as `http://127.0.0.1:17890/api`; at least one. */
  readonly directories: readonly string[]
  readonly clock: Clock
  readonly crypto: CryptoProvider
  /** Ed25519 seed and public key of this node, 32 bytes each. */
  readonly identitySeed: Uint8Array
  readonly identityKey: Uint8Array
  /** @default the platform's */
  readonly fetch?: Fetch
}

/** One question to one directory, milliseconds (03-directory §1); a directory answers an announcement after it has read us. */
const DEADLINE_MS = 10_000
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
/** Nodes that a list may have, and pages that it may come in; more is refused, so that no reading is endless. */
const MAX_NODES = 20_000
const MAX_PAGES = 64

type SemiSkimmedNode = ValueOf<typeof semiSkimmedNodesSchema>['nodes'] extends Paginated<infer Node> ? Node : never
type Ask = (path: string, body?: unknown) => Promise<unknown>

export class DirectorySource implements NetworkSource {
  readonly #options: DirectorySourceOptions
  readonly #fetch: Fetch
  readonly #bases: readonly string[]
  #preferred = 0

  /** Error: `MIX_OPTIONS` without a directory, or with something that is no HTTP URL. */
  constructor(options: DirectorySourceOptions) {
    this.#options = options
    this.#fetch = options.fetch ?? globalThis.fetch
    this.#bases = options.directories.map(baseOf)
    if (this.#bases.length === 0)
      throw new MixError('MIX_OPTIONS', 'A node needs the URL of at least one directory.', { kind: 'usage' })
  }

  keyRotation(): Promise<RotationInfo> {
    return this.#inTurn(async (ask, base) => {
      const info = fromJson(keyRotationInfoSchema, await ask('/v1/epoch/key-rotation-info'))
      const { validity_epochs: validityEpochs, initial_epoch_id: initialEpochId } = info.key_rotation_state
      const epochMs = info.epoch_duration.secs * 1000 + info.epoch_duration.nanos / 1e6
      if (validityEpochs === 0 || epochMs === 0) throw documentError(base, 'epochs or key rotations last no time')
      const epochStartMs = parseRfc3339(info.current_epoch_start)!
      return { validityEpochs, initialEpochId, epochMs, epochId: info.current_absolute_epoch_id, epochStartMs }
    })
  }

  topology(): Promise<NetworkTopology> {
    return this.#inTurn(async (ask, base) => {
      const [rewarded, nodes] = await Promise.all([
        ask('/v1/nym-nodes/rewarded-set').then((body) => fromJson(rewardedSetSchema, body)),
        readAllPages(ask, base),
      ])
      const ids = new Set(nodes.map(({ basic }) => basic.node_id))
      return { peers: nodes.map(peerOf), routable: isRoutable(rewarded, ids) }
    })
  }

  known(ips: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#inTurn(async (ask, base) => {
      const answer = (await ask('/v1/unstable/nym-nodes/by-addresses', { addresses: ips })) as {
        existence?: Record<string, unknown>
      } | null
      const existence = answer?.existence
      if (typeof existence !== 'object' || existence === null) throw documentError(base, 'it names no addresses')
      return new Set(ips.filter((ip) => Object.hasOwn(existence, ip) && typeof existence[ip] === 'number'))
    })
  }

  /** Every directory is asked; one that takes it is enough. */
  async announce(): Promise<void> {
    const { clock, crypto, identitySeed, identityKey } = this.#options
    const timestamp = Math.floor(clock.now() / 1000)
    const signature = crypto.ed25519Sign(nodeRefreshText(identityKey, timestamp), identitySeed)
    const body = {
      node_identity: encodeBase58(identityKey),
      request_timestamp: timestamp,
      signature: [...signature],
    }
    await Promise.any(this.#bases.map((base) => this.#ask(base, (ask) => ask('/v1/nym-nodes/refresh-described', body))))
  }

  /** Do `work` with the first directory that can. The error is the first directory's. */
  async #inTurn<T>(work: (ask: Ask, base: string) => Promise<T>): Promise<T> {
    const first = this.#preferred
    let failure: unknown
    for (let i = 0; i < this.#bases.length; i++) {
      const index = (first + i) % this.#bases.length
      try {
        const result = await this.#ask(this.#bases[index]!, work)
        this.#preferred = index
        return result
      } catch (error) {
        failure ??= error
      }
    }
    throw failure
  }

  async #ask<T>(base: string, work: (ask: Ask, base: string) => Promise<T>): Promise<T> {
    const controller = new AbortController()
    const timer = this.#options.clock.setTimer(
      DEADLINE_MS,
      () => controller.abort(unreachableError(base, `it takes longer than ${DEADLINE_MS / 1000} seconds`)),
      { background: true },
    )
    try {
      return await work(
        (path, body) => fetchJson(this.#fetch, base + path, MAX_DOCUMENT_BYTES, controller.signal, body),
        base,
      )
    } finally {
      timer.cancel()
      controller.abort()
    }
  }
}

async function readAllPages(ask: Ask, base: string): Promise<SemiSkimmedNode[]> {
  const nodes: SemiSkimmedNode[] = []
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = await ask(`/v2/unstable/nym-nodes/semi-skimmed?page=${page}`)
    const { data, pagination } = fromJson(semiSkimmedNodesSchema, answer).nodes
    if (nodes.length + data.length > MAX_NODES) throw documentError(base, `it lists more than ${MAX_NODES} nodes`)
    nodes.push(...data)
    if (data.length === 0 || nodes.length >= pagination.total) return nodes
  }
  throw documentError(base, `its list has more than ${MAX_PAGES} pages`)
}

function peerOf({ basic, x25519_noise_versioned_key: noise }: SemiSkimmedNode): ListedPeer {
  const noiseKey = noise ? decodeBase58(noise.x25519_pubkey, 32) : undefined
  return { ipAddresses: basic.ip_addresses, mixPort: basic.mix_port, ...(noiseKey && { noiseKey }) }
}

function isRoutable({ layer1, layer2, layer3, entry_gateways }: RewardedSet, listed: ReadonlySet<number>): boolean {
  return [layer1, layer2, layer3, entry_gateways].every((ids) => ids.some((id) => listed.has(id)))
}

/** Without a slash at its end. */
function baseOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol === 'http:' || parsed?.protocol === 'https:') return url.replace(/\/+$/, '')
  throw new MixError('MIX_OPTIONS', `${JSON.stringify(url)} is no URL of a directory.`, { kind: 'usage' })
}
