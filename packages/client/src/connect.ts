/**
 * From options to a running client: keys, network, gateway, in the order of 04-client §4.14 but side by side where they do
 * not need each other. What differs between Node.js and browsers comes in as a `Platform`.
 */
import {
  type Clock,
  type Logger,
  MixError,
  type Random,
  RealClock,
  SystemRandom,
  silentLogger,
  type Timer,
} from '@mixwright/runtime'
import { type CryptoProvider, decodeNodeAddress } from '@mixwright/sphinx'
import type { Client, ConnectOptions } from './api.js'
import { type ClientKeys, loadOrCreateClientKeys } from './client-keys.js'
import { checkOptions, resolveProfile } from './connect-options.js'
import { ConsensusReader } from './directory/consensus-reader.js'
import { DirectoryReader } from './directory/directory-reader.js'
import type { GatewayNode, Topology, TopologySource } from './directory/topology.js'
import { TopologyKeeper } from './directory/topology-keeper.js'
import { chooseGateway } from './gateway/gateway-choice.js'
import { GatewayKeeper } from './gateway/gateway-keeper.js'
import type { GatewayDoor } from './gateway/gateway-link.js'
import type { OpenWebSocket } from './gateway/gateway-socket.js'
import { decodeRegistration, encodeRegistration, type Registration } from './gateway/registration.js'
import { WebSocketDoor } from './gateway/websocket-link.js'
import { MixnetClient } from './mixnet-client.js'
import { PROFILES, type Profile } from './profile.js'
import type { ClientStore } from './store/client-store.js'
import { memoryStore } from './store/memory-store.js'

/** What the surroundings give. */
export interface Platform {
  readonly openWebSocket: OpenWebSocket
  loadCrypto(): Promise<CryptoProvider>
  /** The page came by https, which forbids plain websockets. */
  readonly preferTls: boolean
}

/** The one entry of the gateway's table. */
const REGISTRATION = 'current'

/**
 * Connect; resolves when messages can be sent. Errors: `MIX_OPTIONS`, `MIX_DIRECTORY_…`, `MIX_GATEWAY_…`, `MIX_STORE…`, or the
 * signal's reason. After an error nothing is left open, the store included.
 */
export async function connectOn(platform: Platform, options: ConnectOptions): Promise<Client> {
  const { store = memoryStore(), signal } = options
  let opening: Opening | undefined
  try {
    checkOptions(options)
    signal?.throwIfAborted()
    opening = new Opening(platform, { ...options, store })
    const client = await opening.open()
    signal?.throwIfAborted()
    const close = () => void client.close({ flushMs: 0 }).catch(() => {})
    signal?.addEventListener('abort', close, { signal: client.ending })
    return client
  } catch (error) {
    await (opening ? opening.abandon() : store.close()).catch(() => {})
    throw error
  }
}

type OpeningOptions = ConnectOptions & { readonly store: ClientStore }

class Opening {
  readonly #platform: Platform
  readonly #options: OpeningOptions
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #profile: Profile
  #topology: TopologyKeeper | undefined
  #gateway: GatewayKeeper | undefined
  #client: MixnetClient | undefined
  /** Who waits for the first link; told why there is none. */
  #onLink: ((reason: MixError | undefined) => void) | undefined
  #replacing: Timer | undefined
  #abandoned = false
  #made: { readonly crypto: CryptoProvider; readonly keys: ClientKeys } | undefined

  constructor(platform: Platform, options: OpeningOptions) {
    this.#platform = platform
    this.#options = options
    this.#clock = options.clock ?? new RealClock()
    this.#random = options.random ?? new SystemRandom()
    this.#logger = options.logger ?? silentLogger
    this.#profile = resolveProfile(options.profile)
  }

  async open(): Promise<MixnetClient> {
    const { store } = this.#options
    const crypto = await this.#platform.loadCrypto()
    const [keys, registration, topology] = await Promise.all([
      loadOrCreateClientKeys(store, crypto, this.#random),
      this.#storedRegistration(),
      this.#openTopology(crypto),
    ])
    if (this.#profile.name === PROFILES.local.name) requireLoopback(topology.lastRead)
    const client = new MixnetClient({
      clock: this.#clock,
      random: this.#random,
      logger: this.#logger,
      crypto,
      store,
      keys,
      profile: this.#profile,
      constantLoops: this.#options.constantLoops ?? false,
      keptReplySurbs: this.#options.keptReplySurbs ?? 5,
    })
    this.#made = { crypto, keys }
    const { door: given } = this.#options
    const own = typeof given === 'function' ? given(keys.identityKey) : given
    if (own && !topology.lastRead.gateways.has(own.gateway)) throw notListed(own.gateway)
    const door = own ?? (await this.#door(crypto, keys.identitySeed, registration, topology.lastRead))
    const gateway = this.#keep(door)
    this.#gateway = gateway
    this.#client = client
    await client.start(topology, gateway)
    await this.#firstLink(gateway)
    return client
  }

  /** Resolves when the gateway has let us in; rejects when the first attempt fails. */
  #firstLink(gateway: GatewayKeeper): Promise<void> {
    const { signal } = this.#options
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void) => {
        this.#onLink = undefined
        signal?.removeEventListener('abort', onAbort)
        finish()
      }
      const onAbort = () => settle(() => reject(signal?.reason))
      if (signal?.aborted) return reject(signal.reason)
      signal?.addEventListener('abort', onAbort)
      this.#onLink = (reason) => settle(() => (reason ? reject(reason) : resolve()))
      gateway.resume()
    })
  }

  async abandon(): Promise<void> {
    this.#abandoned = true
    if (this.#client) return this.#client.close({ flushMs: 0 })
    this.#gateway?.close()
    this.#topology?.close()
    await this.#options.store.close()
  }

  async #storedRegistration(): Promise<Registration | undefined> {
    const bytes = (await this.#options.store.load('gateway')).get(REGISTRATION)
    return bytes && decodeRegistration(bytes)
  }

  async #openTopology(crypto: CryptoProvider): Promise<TopologyKeeper> {
    const { directory, signal } = this.#options
    const source = isSource(directory)
      ? directory
      : this.#reader(typeof directory === 'string' ? [directory] : directory, crypto)
    const keeper = await TopologyKeeper.open(
      {
        source,
        clock: this.#clock,
        random: this.#random,
        events: {
          refreshed: () => this.#client?.topologyChanged(),
          rotated: () => this.#client?.rotated(),
          failed: (reason) => this.#client?.topologyFailed(reason),
        },
        ...(this.#options.refreshMs !== undefined && { refreshMs: this.#options.refreshMs }),
      },
      signal,
    )
    this.#topology = keeper
    // Something that was done beside it has failed.
    if (this.#abandoned) keeper.close()
    return keeper
  }

  #reader(baseUrls: readonly string[], crypto: CryptoProvider): TopologySource {
    const { authorities, authorityThreshold: threshold } = this.#options
    const options = { baseUrls, clock: this.#clock, crypto, preferTls: this.#platform.preferTls }
    if (authorities === undefined) return new DirectoryReader(options)
    return new ConsensusReader({ ...options, authorities, threshold, logger: this.#logger })
  }

  async #door(
    crypto: CryptoProvider,
    identitySeed: Uint8Array,
    registration: Registration | undefined,
    topology: Topology,
  ): Promise<GatewayDoor> {
    const { gateway: wish = 'random', signal } = this.#options
    const named = wish !== 'random' && wish !== 'latency'
    if (registration && named && wish !== registration.gateway) throw otherGateway(registration.gateway, wish)
    const gateway = registration
      ? listed(topology, registration.gateway)
      : await chooseGateway(wish, topology.gateways.values(), {
          clock: this.#clock,
          random: this.#random,
          openWebSocket: this.#platform.openWebSocket,
          signal,
        })
    return this.#doorOf(gateway, crypto, identitySeed, registration)
  }

  #doorOf(
    gateway: GatewayNode,
    crypto: CryptoProvider,
    identitySeed: Uint8Array,
    registration: Registration | undefined,
  ): GatewayDoor {
    const { store } = this.#options
    return new WebSocketDoor({
      clock: this.#clock,
      random: this.#random,
      crypto,
      openWebSocket: this.#platform.openWebSocket,
      identitySeed,
      gateway: gateway.identity,
      // A gateway that moves is found where the network says it is now.
      urls: () => this.#topology?.lastRead.gateways.get(gateway.identity)?.websocketUrls ?? gateway.websocketUrls,
      registration,
      onRegistered: (made) => {
        store
          .write([{ table: 'gateway', key: REGISTRATION, value: encodeRegistration(made) }])
          .catch((error) => this.#logger.error({ reason: String(error) }, 'the registration could not be stored'))
      },
    })
  }

  #keep(door: GatewayDoor): GatewayKeeper {
    return new GatewayKeeper({
      door,
      clock: this.#clock,
      random: this.#random,
      events: {
        received: (message) => this.#client?.received(message),
        up: () => {
          this.#logger.info({ gateway: door.gateway }, 'connected to the gateway')
          this.#replacing?.cancel()
          this.#replacing = undefined
          this.#client?.linkChanged('up')
          this.#onLink?.(undefined)
        },
        down: (reason, retryInMs) => {
          const { code, message } = reason
          this.#logger.warn({ gateway: door.gateway, code, reason: message, retryInMs }, 'no link to the gateway')
          this.#client?.linkChanged('down', reason)
          if (this.#onLink) this.#onLink(reason)
          else this.#replaceLater()
        },
      },
    })
  }

  /** Asked for by `replaceGatewayAfterMs` alone: the address changes with the gateway. */
  #replaceLater(): void {
    const { replaceGatewayAfterMs } = this.#options
    if (replaceGatewayAfterMs === undefined || this.#replacing !== undefined) return
    const replace = () => {
      this.#replacing = undefined
      this.#replace().catch((error) => this.#logger.warn({ reason: String(error) }, 'no other gateway was found'))
    }
    this.#replacing = this.#clock.setTimer(replaceGatewayAfterMs, replace, { background: true })
  }

  async #replace(): Promise<void> {
    const old = this.#gateway
    if (old === undefined || !isLost(old)) return
    await this.#topology?.refreshNow()
    const gateways = [...(this.#topology?.lastRead.gateways.values() ?? [])]
    const others = gateways.filter(({ identity }) => identity !== old.identity)
    const gateway = await chooseGateway('random', others, {
      clock: this.#clock,
      random: this.#random,
      openWebSocket: this.#platform.openWebSocket,
    })
    if (!isLost(old)) return
    await old.close()
    if (this.#client?.ending.aborted) return
    const { crypto, keys } = this.#made!
    this.#gateway = this.#keep(this.#doorOf(gateway, crypto, keys.identitySeed, undefined))
    this.#client?.moveTo(this.#gateway)
    this.#client?.linkChanged('replaced')
    this.#gateway.resume()
  }
}

function isSource(directory: ConnectOptions['directory']): directory is TopologySource {
  return typeof directory === 'object' && !Array.isArray(directory)
}

/** Out of reach, and not because the client or the app has hung up. */
function isLost({ state }: GatewayKeeper): boolean {
  return state === 'down' || state === 'connecting'
}

function listed(topology: Topology, identity: string): GatewayNode {
  const gateway = topology.gateways.get(identity)
  if (gateway !== undefined) return gateway
  // It may be back soon; its address is not known until then.
  return { identity, websocketUrls: [], address: new Uint8Array(32), publicKey: new Uint8Array(32) }
}

/** Acks and answers come home by it. */
function notListed(gateway: string): MixError {
  const message = `The network does not list the gateway ${gateway} yet, or no more.`
  return new MixError('MIX_NO_GATEWAY', message, { kind: 'network', retry: true, data: { gateway } })
}

function otherGateway(registered: string, wish: string): MixError {
  const message = `This client is registered with the gateway ${registered}, which is a part of its address. For another gateway, take another store.`
  return new MixError('MIX_GATEWAY_REGISTERED', message, { kind: 'usage', data: { registered, wish } })
}

/** The profile `local` protects nobody: it must not be seen by anybody. */
function requireLoopback({ layers, gateways }: Topology): void {
  for (const { address } of [...layers.flat(), ...gateways.values()]) {
    const host = decodeNodeAddress(address)?.address.host
    if (host === '::1' || host?.startsWith('127.')) continue
    const message =
      'The profile local protects nobody and is for networks on the loopback address only. Choose another one.'
    throw new MixError('MIX_PROFILE_LOCAL', message, { kind: 'usage', data: { host } })
  }
}
