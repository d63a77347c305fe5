/**
 * A running node in one of its two roles: a mix node forwards, a gateway serves clients and is their final hop
 * (05-mixnode §2). Here the parts are put together; what each does is in its own file.
 */
import { type Clock, type Logger, type MemoryMetrics, MixError, type Random } from '@mixwright/runtime'
import type { ListenAddress } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import { encodeBase58, type FrameVersion, type MixPacket } from '@mixwright/wire'
import { Gateway } from './gateway/gateway.js'
import { NodeApi } from './http/node-api.js'
import { describeNode } from './http/node-description.js'
import { Egress } from './mix/egress.js'
import { Forwarder } from './mix/forwarder.js'
import { Ingress } from './mix/ingress.js'
import { MixListener } from './mix/mix-listener.js'
import { PacketPipeline } from './mix/packet-pipeline.js'
import { SphinxKeys } from './mix/sphinx-keys.js'
import type { NodeKeys } from './node-keys.js'

export type NodeRole = 'mixnode' | 'gateway'

export interface NodeOptions {
  readonly role: NodeRole
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: MemoryMetrics
  readonly crypto: CryptoProvider
  readonly keys: NodeKeys
  /** IP address under which others reach this node; its ports are those bound. */
  readonly announcedIp: string
  readonly mixListen: ListenAddress
  readonly httpListen: ListenAddress
  /** Gateways only: websocket for clients. */
  readonly clientListen?: ListenAddress
  /** Gateways only: SQLite file of client keys and mailboxes. */
  readonly databaseFile?: string
  /** Version of the frames written to other nodes; both are read. @default 8 */
  readonly frameVersion?: FrameVersion
}

export class Node {
  readonly role: NodeRole
  readonly metrics: MemoryMetrics
  /** Ed25519 identity, base58. */
  readonly identityKey: string
  readonly mixPort: number
  readonly httpPort: number
  /** Gateways only. */
  readonly clientPort: number | undefined
  readonly #parts: Parts

  private constructor(options: NodeOptions, parts: Parts) {
    this.role = options.role
    this.metrics = options.metrics
    this.identityKey = encodeBase58(options.keys.identityKey)
    this.mixPort = parts.listener.port
    this.httpPort = parts.api.port
    this.clientPort = parts.gateway?.websocketPort
    this.#parts = parts
  }

  /** Bind all ports and serve. Errors: those of binding (`MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`) and of opening the mailbox. */
  static async start(options: NodeOptions): Promise<Node> {
    const { clock, random, logger, metrics, crypto, keys, role } = options
    logger.info({ role, crypto: crypto.name }, 'node starting')
    metrics.gauge('mixwright_crypto_provider', 'The cryptography in use', { provider: crypto.name }).set(1)
    const egress = new Egress({ clock, random, metrics, frameVersion: options.frameVersion })
    const forwarder = new Forwarder(clock, metrics, egress)
    const opened: { close(): Promise<void> | void }[] = [forwarder, egress]
    try {
      const gateway = role === 'gateway' ? await openGateway(options, (packet) => forwarder.now(packet)) : undefined
      if (gateway) opened.push(gateway)
      const roles = { forwardHops: role === 'mixnode', finalHops: role === 'gateway' }
      const pipeline = new PacketPipeline(crypto, new SphinxKeys(keys.sphinx), roles)
      const ingress = new Ingress(pipeline, forwarder, metrics, gateway)
      const listener = await MixListener.open({
        clock,
        logger,
        metrics,
        listen: options.mixListen,
        onFrame: (frame, receivedAtMs) => ingress.receive(frame, receivedAtMs),
      })
      opened.push(listener)
      const api = await startApi(options, listener.port, gateway?.websocketPort)
      return new Node(options, { egress, forwarder, gateway, listener, api })
    } catch (error) {
      for (const part of opened.reverse()) await part.close()
      throw error
    }
  }

  /** Close every socket and the mailbox. What is under way is lost and counted, as when any node stops. */
  async stop(): Promise<void> {
    const { api, listener, gateway, forwarder, egress } = this.#parts
    await Promise.all([api.close(), listener.close()])
    await gateway?.close()
    forwarder.close()
    egress.close()
  }
}

interface Parts {
  readonly egress: Egress
  readonly forwarder: Forwarder
  readonly gateway: Gateway | undefined
  readonly listener: MixListener
  readonly api: NodeApi
}

/** Port that mix nodes name for a websocket they do not have: a directory asks every node for one (05-mixnode §12). */
const NOMINAL_CLIENT_PORT = 9000

function startApi(options: NodeOptions, mixPort: number, clientPort: number | undefined): Promise<NodeApi> {
  const { clock, metrics, crypto, keys, role, announcedIp } = options
  const description = describeNode(crypto, {
    role,
    identityKey: keys.identityKey,
    identitySeed: keys.identitySeed,
    sphinxKey: keys.sphinx,
    announcedIp,
    mixPort,
    websocketPort: clientPort ?? NOMINAL_CLIENT_PORT,
  })
  return NodeApi.start({ clock, metrics, listen: options.httpListen, describe: () => description })
}

function openGateway(options: NodeOptions, forward: (mixPacket: MixPacket) => void): Promise<Gateway> {
  const { clock, random, logger, metrics, crypto, keys, clientListen, databaseFile } = options
  if (clientListen === undefined || databaseFile === undefined) {
    throw new MixError('MIX_OPTIONS', 'A gateway needs a client address and a database file.', { kind: 'usage' })
  }
  const { identitySeed } = keys
  return Gateway.open({
    clock,
    random,
    logger,
    metrics,
    crypto,
    identitySeed,
    listen: clientListen,
    databaseFile,
    forward,
  })
}
