/**
 * A node asks to be read again, at its start above all (03-directory §5.3): who may, how often, and in which order that is
 * checked. Answered only after the node was read, so that the lists it asks for next show it.
 */
import type { Clock } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { decodeBase58, fromJson, nodeRefreshSchema, nodeRefreshText } from '@mixwright/wire'
import type { NodeRegistry } from './node-registry.js'

/** How old a request may be, seconds. */
const LONGEST_AGE_SECONDS = 30
/** Between two readings that a node asks for, milliseconds. */
const INTERVAL_MS = 60_000
/** Between two looks at nodes that are expected and have not said who they are, milliseconds. */
const LOOK_MS = 1_000

export interface RefreshOptions {
  readonly clock: Clock
  readonly crypto: CryptoProvider
  readonly registry: NodeRegistry
  /** Resolves when what was read now is published. */
  published(): Promise<void>
}

export interface RefreshRefusal {
  readonly status: 400 | 401 | 404 | 422 | 429
  readonly reason: string
}

export class RefreshRequests {
  readonly #options: RefreshOptions
  /** When nodes were last read because they asked, by identity; those of the last minute. */
  readonly #servedAt = new Map<string, number>()
  #look: Promise<void> | undefined
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(options: RefreshOptions) {
    this.#options = options
  }

  /** Undefined: read, and published. */
  async serve(body: unknown): Promise<RefreshRefusal | undefined> {
    const { clock, crypto, registry, published } = this.#options
    const request = parse(body)
    if (request === undefined) return { status: 400, reason: 'this is no request to be read again' }
    const { node_identity: identity, request_timestamp: timestamp, signature } = request
    const identityKey = decodeBase58(identity, 32)!
    // It may be one that is given by its address alone, and waits for us as we wait for it.
    if (registry.ofIdentity(identity) === undefined) await this.#lookForStrangers()
    const record = registry.ofIdentity(identity)
    if (record === undefined) return { status: 404, reason: 'this directory does not know the node' }
    if (!crypto.ed25519Verify(Uint8Array.from(signature), nodeRefreshText(identityKey, timestamp), identityKey))
      return { status: 401, reason: 'the signature is not that of the node' }
    const age = clock.now() / 1000 - timestamp
    // The timestamp is in whole seconds.
    if (age > LONGEST_AGE_SECONDS || age < 0) return { status: 400, reason: 'the request is not of now' }
    const now = clock.monotonic()
    for (const [served, at] of this.#servedAt) {
      if (now - at < INTERVAL_MS) break
      this.#servedAt.delete(served)
    }
    if (this.#servedAt.has(identity)) return { status: 429, reason: 'the node was read within the last minute' }
    this.#servedAt.set(identity, now)
    await registry.read(record)
    if (record.reading === undefined || record.missed > 0) {
      const { reason = 'it does not answer' } = record.refusal ?? {}
      return { status: 422, reason: `the node cannot be read: ${reason}` }
    }
    await published()
    return undefined
  }

  async #lookForStrangers(): Promise<void> {
    const { clock, registry } = this.#options
    const { unidentified } = registry
    if (unidentified.length === 0) return
    if (this.#look === undefined && clock.monotonic() - this.#lookedAt >= LOOK_MS) {
      this.#lookedAt = clock.monotonic()
      this.#look = registry.readAll(unidentified).finally(() => {
        this.#look = undefined
      })
    }
    await this.#look
  }
}

function parse(body: unknown) {
  try {
    const request = fromJson(nodeRefreshSchema, body)
    return request.signature.length === 64 ? request : undefined
  } catch {
    return undefined
  }
}
