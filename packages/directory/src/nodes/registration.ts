/**
 * Nodes that register themselves (03-directory §18): who may, how often, and the proof, which is the node's signed host information
 * and that it answers under one of the addresses in it. A typed refusal says why not.
 */
import { timingSafeEqual } from 'node:crypto'
import { type Clock, fromHex, MixError } from '@mixwright/runtime'
import { type CryptoProvider, nodeAddress } from '@mixwright/sphinx'
import { parseHostInformation, textHash, verifyHostInformation } from '@mixwright/wire'
import { z } from 'zod'
import { isLocal } from './node-reader.js'
import type { NodeRecord, NodeRegistry } from './node-registry.js'

/** Who may register. */
export type RegistrationPolicy =
  | { readonly kind: 'open' }
  /** These identities, base58. */
  | { readonly kind: 'allow-list'; readonly identities: readonly string[] }
  /** Whoever shows one of these. */
  | { readonly kind: 'token'; readonly tokens: readonly string[] }

export interface RegistrationRefusal {
  readonly status: 400 | 401 | 403 | 422 | 429 | 503
  readonly kind: 'malformed' | 'signature' | 'policy' | 'address' | 'rate' | 'busy' | 'full' | 'unreadable'
  readonly reason: string
}

export interface RegistrationOptions {
  readonly clock: Clock
  readonly crypto: CryptoProvider
  readonly registry: NodeRegistry
  readonly policy: RegistrationPolicy
  readonly allowLocalAddresses: boolean
}

/** Between two attempts of one identity, milliseconds. */
const INTERVAL_MS = 60_000
/** Identities whose last attempt is remembered; beyond, registrations wait. */
const MOST_ATTEMPTS = 20_000
/** Registrations whose node is being read. */
const MOST_AT_ONCE = 256

const bodySchema = z.object({
  host: z.string().max(64),
  http_port: z.int().min(1).max(65_535),
  host_information: z.unknown(),
  token: z.string().max(256).optional(),
})

export class Registrations {
  readonly #options: RegistrationOptions
  readonly #isAllowed: (identity: string, token: string | undefined) => boolean
  /** Last attempts by identity, the oldest first. */
  readonly #attempts = new Map<string, number>()
  #running = 0

  constructor(options: RegistrationOptions) {
    this.#options = options
    this.#isAllowed = checkOf(options.policy)
  }

  /** The number of the node, or why it gets none. */
  async serve(body: unknown): Promise<{ readonly nodeId: number } | RegistrationRefusal> {
    const { crypto, allowLocalAddresses, registry } = this.#options
    const parsed = parse(body)
    if (parsed === undefined) return refused(400, 'malformed', 'this is no registration')
    const { signed, host, httpPort, token } = parsed
    const identity = signed.data.keys.ed25519_identity
    if (!verifyHostInformation(crypto, signed))
      return refused(401, 'signature', 'the signature of the host information is invalid')
    if (!this.#isAllowed(identity, token)) return refused(403, 'policy', 'this directory does not take the node')
    // Nobody can make us ask anybody but the signer.
    if (!signed.data.ip_address.includes(host)) return refused(400, 'address', 'the host is no address of the node')
    if (!allowLocalAddresses && isLocal(host)) return refused(400, 'address', 'nobody else can reach the host')
    const early = this.#tooEarly(identity)
    if (early !== undefined) return early
    if (this.#running >= MOST_AT_ONCE) return refused(503, 'busy', 'too many nodes register at the moment')
    this.#running++
    try {
      return await this.#enter({ host, httpPort, identityKey: identity })
    } catch (error) {
      if (!(error instanceof MixError) || error.code !== 'MIX_DIRECTORY_FULL') throw error
      return refused(503, 'full', `this directory knows ${registry.records.size} nodes and takes no more`)
    } finally {
      this.#running--
    }
  }

  /** Read the node where it says that it is; only then is anything about it changed. */
  async #enter(entry: {
    readonly host: string
    readonly httpPort: number
    readonly identityKey: string
  }): Promise<{ readonly nodeId: number } | RegistrationRefusal> {
    const { registry } = this.#options
    const known = registry.ofIdentity(entry.identityKey)
    if (known) {
      const moves = known.registered && (known.entry.host !== entry.host || known.entry.httpPort !== entry.httpPort)
      const failure = moves ? await registry.relocate(known, entry) : await readAgain(registry, known)
      return failure === undefined
        ? { nodeId: known.nodeId! }
        : refused(422, 'unreadable', `the node cannot be read: ${failure}`)
    }
    const record = registry.add(entry, true)
    await registry.readFirst(record, 0)
    if (record.reading !== undefined) return { nodeId: record.nodeId! }
    const reason = record.refusal?.reason ?? 'it does not answer'
    registry.forget(record)
    return refused(422, 'unreadable', `the node cannot be read: ${reason}`)
  }

  #tooEarly(identity: string): RegistrationRefusal | undefined {
    const now = this.#options.clock.monotonic()
    for (const [tried, at] of this.#attempts) {
      if (now - at < INTERVAL_MS) break
      this.#attempts.delete(tried)
    }
    if (this.#attempts.has(identity)) return refused(429, 'rate', 'the node has registered within the last minute')
    if (this.#attempts.size >= MOST_ATTEMPTS) return refused(503, 'busy', 'too many nodes register at the moment')
    this.#attempts.set(identity, now)
    return undefined
  }
}

/** Why it failed, if it did. */
async function readAgain(registry: NodeRegistry, record: NodeRecord): Promise<string | undefined> {
  await registry.read(record)
  if (record.reading !== undefined && record.missed === 0) return undefined
  return record.refusal?.reason ?? 'it does not answer'
}

function parse(body: unknown) {
  try {
    const { host, http_port, host_information, token } = bodySchema.parse(body)
    const canonical = nodeAddress(host, http_port)
    if (canonical === undefined) return undefined
    return { signed: parseHostInformation(host_information), host: canonical.host, httpPort: http_port, token }
  } catch {
    return undefined
  }
}

function checkOf(policy: RegistrationPolicy): (identity: string, token: string | undefined) => boolean {
  switch (policy.kind) {
    case 'open':
      return () => true
    case 'allow-list': {
      const identities = new Set(policy.identities)
      return (identity) => identities.has(identity)
    }
    case 'token': {
      const hashes = policy.tokens.map(hashOf)
      return (_identity, token) => {
        const shown = hashOf(token ?? '')
        // All of them are compared, whatever the first says.
        return hashes.map((hash) => timingSafeEqual(hash, shown)).some(Boolean) && token !== undefined
      }
    }
  }
}

function hashOf(token: string): Uint8Array {
  return fromHex(textHash(token))
}

function refused(
  status: RegistrationRefusal['status'],
  kind: RegistrationRefusal['kind'],
  reason: string,
): RegistrationRefusal {
  return { status, kind, reason }
}
