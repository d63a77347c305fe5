/**
 * Where clients come from: how many connections each address has, and how much it tried before authenticating. The table
 * is bounded; addresses are in no metric and no log line (05-mixnode §14: they are linkable).
 */
import type { Clock, Counter, Metrics } from '@mixwright/runtime'
import { addressOf } from '../../link/ip-address.js'
import type { GatewayLimits } from './gateway-limits.js'
import { TokenBucket } from './token-bucket.js'

const SECONDS_PER_HOUR = 3_600
/** Old entries looked at whenever one is added: so the table shrinks faster than it grows. */
const LOOKED_AT = 4

/** One address, as its connections see it. */
export interface ClientAddress {
  /** A message came on a connection that has not authenticated; false when there were too many of them. */
  mayAttempt(): boolean
  /** A registration begins; false when there were too many of them. */
  mayRegister(): boolean
  /** The connection is gone. */
  leave(): void
}

interface Entry {
  connections: number
  readonly attempts: TokenBucket
  readonly registrations: TokenBucket
}

export class ClientAddresses {
  readonly #clock: Clock
  readonly #limits: GatewayLimits
  readonly #tooMany: Counter
  readonly #tooManyHere: Counter
  readonly #refusedAttempts: Counter
  readonly #refusedRegistrations: Counter
  readonly #connected = new Map<string, Entry>()
  /** Without a connection, in the order in which they left. */
  readonly #remembered = new Map<string, Entry>()
  #connections = 0

  constructor(clock: Clock, metrics: Metrics, limits: GatewayLimits) {
    this.#clock = clock
    this.#limits = limits
    const refused = (reason: string) =>
      metrics.counter('mixwright_gateway_refused_total', 'What clients were refused for being too much', { reason })
    this.#tooMany = refused('connections')
    this.#tooManyHere = refused('connections-of-address')
    this.#refusedAttempts = refused('attempts-of-address')
    this.#refusedRegistrations = refused('registrations-of-address')
  }

  /** Open connections. */
  get connections(): number {
    return this.#connections
  }

  /** Addresses in the table. */
  get size(): number {
    return this.#connected.size + this.#remembered.size
  }

  /** A connection comes from `ip`; undefined when it is one too many. */
  enter(ip: string): ClientAddress | undefined {
    if (this.#connections >= this.#limits.maximumConnections) {
      this.#tooMany.increment()
      return undefined
    }
    const key = addressOf(ip)
    const entry = this.#connected.get(key) ?? this.#remembered.get(key) ?? this.#create()
    if (entry.connections >= this.#limits.connectionsPerAddress) {
      this.#tooManyHere.increment()
      return undefined
    }
    if (entry.connections === 0) {
      this.#remembered.delete(key)
      this.#connected.set(key, entry)
    }
    this.#connections++
    entry.connections++
    return {
      mayAttempt: () => entry.attempts.tryTake() || counted(this.#refusedAttempts),
      mayRegister: () => entry.registrations.tryTake() || counted(this.#refusedRegistrations),
      leave: () => {
        this.#connections--
        if (--entry.connections > 0) return
        this.#connected.delete(key)
        this.#remember(key, entry)
      },
    }
  }

  #create(): Entry {
    const limits = this.#limits
    const perHour = limits.registrationsPerAddressPerHour
    return {
      connections: 0,
      attempts: new TokenBucket(this.#clock, limits.attemptsPerAddressPerSecond, limits.attemptsPerAddressBurst),
      registrations: new TokenBucket(this.#clock, perHour / SECONDS_PER_HOUR, perHour),
    }
  }

  /** Until its buckets are full again; the oldest go when there are too many. */
  #remember(key: string, entry: Entry): void {
    this.#remembered.set(key, entry)
    let looks = LOOKED_AT
    for (const [old, { attempts, registrations }] of this.#remembered) {
      const crowded = this.#remembered.size > this.#limits.rememberedAddresses
      if (!crowded && (looks-- <= 0 || !(attempts.full && registrations.full))) return
      this.#remembered.delete(old)
    }
  }
}

function counted(refusals: Counter): false {
  refusals.increment()
  return false
}
