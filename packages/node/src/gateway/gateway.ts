/**
 * The gateway role of a node (02-gateway): clients on one side, the mix network on the other, mailboxes between.
 * Here the parts are put together.
 */
import type { Clock, Counter, Logger, Metrics, Random } from '@mixwright/runtime'
import type { ListenAddress } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import { encodeBase58, type MixPacket } from '@mixwright/wire'
import type { FinalHop } from '../mix/ingress.js'
import { droppedPackets } from '../mix/packet-metrics.js'
import { ActiveClients } from './active-clients.js'
import { ClientAddresses } from './door/client-addresses.js'
import { DEFAULT_GATEWAY_LIMITS, type GatewayLimits } from './door/gateway-limits.js'
import { type CertificateFiles, TlsCertificate } from './door/tls-certificate.js'
import { WebSocketListener, type WebSocketListenerOptions } from './door/websocket-listener.js'
import type { GatewayServices } from './gateway-services.js'
import { LocalDoor } from './local-door.js'
import { Session } from './session.js'
import { SessionStatistics, type SessionSummary } from './session-statistics.js'
import { ClientStore, keyOf } from './store/client-store.js'
import { type Durability, GatewayDatabase } from './store/gateway-database.js'
import { Mailbox, type MailboxLimits } from './store/mailbox.js'

export interface GatewayOptions {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  readonly crypto: CryptoProvider
  /** Ed25519 seed of the gateway, 32 bytes. */
  readonly identitySeed: Uint8Array
  readonly listen: ListenAddress
  /** How clients come in on `listen`: a simulation has its own way. @default websockets */
  readonly openListener?: (options: WebSocketListenerOptions) => Promise<ClientListener>
  /** A second door, for `wss`, with its certificate. */
  readonly secure?: { readonly listen: ListenAddress } & CertificateFiles
  /** SQLite file of client keys and mailboxes. */
  readonly databaseFile: string
  /** @default 'power-loss' */
  readonly durability?: Durability
  /**
   * Largest size of that file, bytes. Past it nothing more is stored, and nobody more registered, until mailboxes are
   * emptied or messages expire. @default 8589934592
   */
  readonly maximumDatabaseBytes?: number
  readonly mailboxLimits?: Partial<MailboxLimits>
  /** @default DEFAULT_GATEWAY_LIMITS */
  readonly limits?: Partial<GatewayLimits>
  /** Take the unsigned `authenticate` of older WASM clients. @default true */
  readonly acceptLegacyAuthentication?: boolean
  /** Towards the mix network; never throws. */
  forward(mixPacket: MixPacket): void
}

/** A door for clients. */
export interface ClientListener {
  readonly port: number
  close(): Promise<void>
}

interface Parts {
  readonly database: GatewayDatabase
  readonly services: GatewayServices
  readonly listener: ClientListener
  readonly certificate: TlsCertificate | undefined
  readonly secureListener: WebSocketListener | undefined
}

export class Gateway implements FinalHop {
  readonly websocketPort: number
  /** Of `wss`, if there is that door. */
  readonly secureWebsocketPort: number | undefined
  readonly #parts: Parts
  readonly #services: GatewayServices
  readonly #unregistered: Counter
  readonly #localDoors = new Map<string, LocalDoor>()

  private constructor(parts: Parts) {
    this.#parts = parts
    this.#services = parts.services
    this.websocketPort = parts.listener.port
    this.secureWebsocketPort = parts.secureListener?.port
    this.#unregistered = droppedPackets(parts.services.metrics, 'unregistered-client')
  }

  /**
   * Open the database and listen. Errors: `MIX_GATEWAY_DATABASE`, `MIX_GATEWAY_CERTIFICATE`, `MIX_PORT_IN_USE`,
   * `MIX_LISTEN_FAILED`.
   */
  static async open(options: GatewayOptions): Promise<Gateway> {
    const { clock, logger, metrics, secure } = options
    const limits = { ...DEFAULT_GATEWAY_LIMITS, ...options.limits }
    const database = GatewayDatabase.open(
      options.databaseFile,
      options.durability ?? 'power-loss',
      options.maximumDatabaseBytes ?? 8 * 1024 ** 3,
    )
    const services = servicesOf(options, database)
    const opened: { close(): Promise<void> | void }[] = [database, services.mailbox]
    try {
      const addresses = new ClientAddresses(clock, metrics, limits)
      metrics.gauge(
        'nym_node_network_active_ingress_web_socket_connections',
        'Open client connections',
        {},
        () => addresses.connections,
      )
      const door: Omit<WebSocketListenerOptions, 'listen'> = {
        clock,
        logger,
        limits,
        addresses,
        throttled: metrics.counter(
          'mixwright_gateway_throttled_total',
          'Stops in reading from clients that sent more than they may',
        ),
        openSession: (socket) => new Session(socket, services),
      }
      const certificate = secure && new TlsCertificate(secure, clock, logger, metrics)
      if (certificate) opened.push(certificate)
      const openListener = options.openListener ?? WebSocketListener.open
      const listener = await openListener({ ...door, listen: options.listen })
      opened.push(listener)
      const secureListener = secure && (await WebSocketListener.open({ ...door, listen: secure.listen, certificate }))
      return new Gateway({ database, services, listener, certificate, secureListener })
    } catch (error) {
      for (const part of opened.reverse()) await part.close()
      throw error
    }
  }

  /**
   * Final hop, with the SURB-ack already cut off. `accepted` is called once the message was written to the client's socket
   * or durably stored, and never when it was dropped: only then may its ack leave. Official gateways store for anybody and
   * acknowledge even what they lost; ours drops, and counts, what is for nobody.
   */
  deliver(destination: Uint8Array, message: Uint8Array, accepted: () => void): void {
    if (this.#services.active.find(destination)?.deliver(message, accepted)) return
    try {
      if (!this.#services.clients.has(destination)) {
        this.#unregistered.increment()
        return
      }
    } catch (error) {
      this.#services.logger.error({ reason: (error as Error).message }, 'the client store cannot be read')
      droppedPackets(this.#services.metrics, 'mailbox-error').increment()
      return
    }
    this.#services.mailbox.store(destination, message, accepted)
  }

  /** The door for a client inside this process; always the same for one identity (32 bytes). See `LocalDoorOptions.unsentBytes`. */
  localDoor(identity: Uint8Array, unsentBytes: () => number): LocalDoor {
    const key = keyOf(identity)
    let door = this.#localDoors.get(key)
    if (door === undefined) {
      const services = this.#services
      const gateway = encodeBase58(services.crypto.ed25519PublicKey(services.identitySeed))
      door = new LocalDoor({ services, identity, gateway, unsentBytes })
      this.#localDoors.set(key, door)
    }
    return door
  }

  /** What `/metrics/sessions` answers. */
  sessionStatistics(): SessionSummary {
    return this.#services.statistics.summary()
  }

  /**
   * Read the certificate's files again, now rather than within a minute: the next connections see it, open ones live on.
   * False, with an error in the log, when they cannot be used; then, and without `wss`, nothing changes.
   */
  reloadCertificate(): boolean {
    return this.#parts.certificate?.reload() ?? false
  }

  /** Drop all connections, write what waits, close the database. */
  async close(): Promise<void> {
    const { listener, secureListener, certificate, database } = this.#parts
    certificate?.close()
    for (const door of this.#localDoors.values()) door.close()
    await Promise.all([listener.close(), secureListener?.close()])
    this.#services.mailbox.close()
    database.close()
  }
}

function servicesOf(options: GatewayOptions, database: GatewayDatabase): GatewayServices {
  const { clock, random, logger, metrics, crypto, identitySeed } = options
  const active = new ActiveClients()
  metrics.gauge('mixwright_gateway_sessions', 'Clients connected and authenticated', {}, () => active.size)
  return {
    clock,
    random,
    logger,
    metrics,
    crypto,
    identitySeed,
    acceptLegacyAuthentication: options.acceptLegacyAuthentication ?? true,
    clients: new ClientStore(database),
    mailbox: new Mailbox(database, clock, logger, metrics, options.mailboxLimits),
    active,
    statistics: new SessionStatistics(clock, metrics, () => active.keys()),
    forwarded: metrics.counter('mixwright_gateway_forwarded_packets_total', 'Packets taken from clients'),
    forward: (mixPacket) => options.forward(mixPacket),
    counted: (what, result) =>
      metrics.counter(`mixwright_gateway_${what}_total`, `Client ${what}`, { result }).increment(),
  }
}
