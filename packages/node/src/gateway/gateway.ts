/**
 * The gateway role of a node (02-gateway): clients on one side, the mix network on the other, mailboxes between.
 * Here the parts are put together.
 */
import type { Clock, Counter, Logger, Metrics, Random } from '@mixwright/runtime'
import type { ListenAddress } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import type { MixPacket } from '@mixwright/wire'
import type { FinalHop } from '../mix/ingress.js'
import { droppedPackets } from '../mix/packet-metrics.js'
import { ActiveClients } from './active-clients.js'
import { ClientStore } from './client-store.js'
import { type Durability, openGatewayDatabase, type SqlDatabase } from './gateway-database.js'
import type { GatewayServices } from './gateway-services.js'
import { Mailbox, type MailboxLimits } from './mailbox.js'
import { Session } from './session.js'
import { WebSocketListener } from './websocket-listener.js'

export interface GatewayOptions {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  readonly crypto: CryptoProvider
  /** Ed25519 seed of the gateway, 32 bytes. */
  readonly identitySeed: Uint8Array
  readonly listen: ListenAddress
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
  /** Open client connections. @default 8192 */
  readonly maximumConnections?: number
  /** Take the unsigned `authenticate` of older WASM clients. @default true */
  readonly acceptLegacyAuthentication?: boolean
  /** Towards the mix network; never throws. */
  forward(mixPacket: MixPacket): void
}

export class Gateway implements FinalHop {
  readonly websocketPort: number
  readonly #database: SqlDatabase
  readonly #services: GatewayServices
  readonly #listener: WebSocketListener
  readonly #unregistered: Counter

  private constructor(database: SqlDatabase, services: GatewayServices, listener: WebSocketListener) {
    this.#database = database
    this.#services = services
    this.#listener = listener
    this.websocketPort = listener.port
    this.#unregistered = droppedPackets(services.metrics, 'unregistered-client')
  }

  /** Open the database and listen. Errors: `MIX_GATEWAY_DATABASE`, `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  static async open(options: GatewayOptions): Promise<Gateway> {
    const { clock, random, logger, metrics, crypto, identitySeed } = options
    const database = openGatewayDatabase(
      options.databaseFile,
      options.durability ?? 'power-loss',
      options.maximumDatabaseBytes ?? 8 * 1024 ** 3,
    )
    const mailbox = new Mailbox(database, clock, logger, metrics, options.mailboxLimits)
    try {
      const active = new ActiveClients()
      metrics.gauge('mixwright_gateway_sessions', 'Clients connected and authenticated', {}, () => active.size)
      const services: GatewayServices = {
        clock,
        random,
        logger,
        metrics,
        crypto,
        identitySeed,
        acceptLegacyAuthentication: options.acceptLegacyAuthentication ?? true,
        clients: new ClientStore(database),
        mailbox,
        active,
        forwarded: metrics.counter('mixwright_gateway_forwarded_packets_total', 'Packets taken from clients'),
        forward: (mixPacket) => options.forward(mixPacket),
        counted: (what, result) =>
          metrics.counter(`mixwright_gateway_${what}_total`, `Client ${what}`, { result }).increment(),
      }
      const listener = await WebSocketListener.open({
        clock,
        logger,
        metrics,
        listen: options.listen,
        maximumConnections: options.maximumConnections ?? 8192,
        openSession: (socket) => new Session(socket, services),
      })
      return new Gateway(database, services, listener)
    } catch (error) {
      mailbox.close()
      database.close()
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

  /** Drop all connections, write what waits, close the database. */
  async close(): Promise<void> {
    await this.#listener.close()
    this.#services.mailbox.close()
    this.#database.close()
  }
}
