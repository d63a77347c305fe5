/**
 * A running node in one of its two roles: a mix node forwards, a gateway serves clients and is their final hop
 * (05-mixnode §2, §11). Here the parts are put together; what each does is in its own file.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, type Logger, type MemoryMetrics, MixError, type Random, sleep } from '@mixwright/runtime'
import type { ListenAddress } from '@mixwright/runtime/node'
import { type CryptoProvider, PACKET_SIZES } from '@mixwright/sphinx'
import { encodeBase58, type FrameVersion, type MixPacket } from '@mixwright/wire'
import { Gateway, type GatewayOptions } from './gateway/gateway.js'
import type { LocalDoor } from './gateway/local-door.js'
import { NodeApi } from './http/node-api.js'
import {
  type CarriedRequester,
  describeNode,
  type NodeDescription,
  type OperatorDescription,
} from './http/node-description.js'
import { KeyRotation } from './keys/key-rotation.js'
import { type NodeKeys, SPHINX_KEY_FILE } from './keys/node-keys.js'
import { SphinxKeyFile } from './keys/sphinx-key-file.js'
import type { SphinxKeys } from './keys/sphinx-keys.js'
import type { Links } from './link/link.js'
import { sourceAddress } from './link/local-address.js'
import { tcpLinks } from './link/tcp-links.js'
import { Egress } from './mix/egress.js'
import { Forwarder } from './mix/forwarder.js'
import { Ingress } from './mix/ingress.js'
import { MixListener } from './mix/mix-listener.js'
import { StageLatency } from './mix/stage-latency.js'
import type { NetworkSource } from './network/network-source.js'
import { TopologyWatch } from './network/topology-watch.js'
import type { NoiseMode } from './noise/noise-policy.js'
import { PacketPipeline } from './peel/packet-pipeline.js'
import { PeelWorkers } from './peel/peel-workers.js'
import { InThreadPeeler, type Peeler } from './peel/peeler.js'
import { ReplayProtection } from './replay/replay-protection.js'
import { VerlocListener } from './verloc/verloc-listener.js'

export type NodeRole = 'mixnode' | 'gateway'

export interface NodeOptions {
  readonly role: NodeRole
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: MemoryMetrics
  readonly crypto: CryptoProvider
  readonly keys: NodeKeys
  /** Where Sphinx keys, replay filters and the gateway's database are kept; made if missing. */
  readonly stateDirectory: string
  readonly network: NetworkSource
  /** IP addresses under which others reach this node; its ports are those bound. The first is where peers connect. */
  readonly announcedIps: readonly string[]
  readonly hostname?: string | undefined
  /** Country, two capital letters. */
  readonly location?: string | undefined
  readonly operator?: Partial<OperatorDescription> | undefined
  readonly mixListen: ListenAddress
  /** Absent: no HTTP API, for simulations. */
  readonly httpListen?: ListenAddress | undefined
  /** Answer measurements of distance here (05-mixnode §13). @default not at all */
  readonly verlocListen?: ListenAddress | undefined
  /** Port under which others reach the mix port, if it is another than the one bound. */
  readonly announcedMixPort?: number | undefined
  readonly metricsToken?: string | undefined
  readonly exposeSystemInformation?: boolean | undefined
  /** Gateways only: where clients connect, and what bounds them. */
  readonly gateway?: NodeGatewayOptions | undefined
  /** Noise with other nodes: as they announce it, and from them whatever they speak. @default 'prefer' */
  readonly noise?: NoiseMode | undefined
  /**
   * False: a packet sent again by anybody passes again, for tests alone. `'memory'`: a restart forgets what passed before it, for
   * simulations. @default true
   */
  readonly replayProtection?: boolean | 'memory' | undefined
  /** Threads that peel; 0: none but this one. @default 0 */
  readonly workers?: number | undefined
  /** Version of the frames written to other nodes; both are read. @default 8 */
  readonly frameVersion?: FrameVersion | undefined
  /** Open links from one address. @default 256 */
  readonly maximumLinksPerAddress?: number | undefined
  /** Between two full readings of the topology, milliseconds. @default 600000 */
  readonly topologyRefreshMs?: number | undefined
  /** @default TCP */
  readonly links?: Links | undefined
  /** Gives up waiting for a directory at the start. */
  readonly signal?: AbortSignal | undefined
}

export type NodeGatewayOptions = Omit<
  GatewayOptions,
  'clock' | 'random' | 'logger' | 'metrics' | 'crypto' | 'identitySeed' | 'databaseFile' | 'forward'
> & {
  /** SQLite file of client keys and mailboxes. @default `gateway.sqlite` in the state directory */
  readonly databaseFile?: string
}

/** Between two questions for the key rotation, while a node without keys waits for a directory, milliseconds. */
const DIRECTORY_RETRY_MS = 250
/** How often a draining node looks whether it is empty, milliseconds. */
const DRAIN_LOOK_MS = 5
/** Port that mix nodes name for a websocket they do not have: a directory asks every node for one (05-mixnode §12). */
const NOMINAL_CLIENT_PORT = 9000

export class Node {
  readonly role: NodeRole
  readonly metrics: MemoryMetrics
  /** Ed25519 identity, base58. */
  readonly identityKey: string
  readonly mixPort: number
  /** 0 without an HTTP API. */
  readonly httpPort: number
  /** Gateways only. */
  readonly clientPort: number | undefined
  /** Gateways with TLS only. */
  readonly secureClientPort: number | undefined
  readonly #clock: Clock
  readonly #parts: Parts
  readonly #describe: () => NodeDescription
  readonly #carried: Carried
  readonly #announce: () => void

  private constructor(
    options: NodeOptions,
    parts: Parts,
    api: NodeApi | undefined,
    describe: () => NodeDescription,
    carried: Carried,
    announce: () => void,
  ) {
    this.role = options.role
    this.metrics = options.metrics
    this.identityKey = encodeBase58(options.keys.identityKey)
    this.mixPort = parts.listener.port
    this.httpPort = api?.port ?? 0
    this.clientPort = parts.gateway?.websocketPort
    this.secureClientPort = parts.gateway?.secureWebsocketPort
    this.#clock = options.clock
    this.#parts = { ...parts, api }
    this.#describe = describe
    this.#carried = carried
    this.#announce = announce
  }

  /**
   * Bind all ports and serve. A node without Sphinx keys waits for a directory first, which says for which rotation to make
   * one. Errors: those of binding (`MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`), of its files (`MIX_KEY_FILE`, `MIX_FILE_WRITE`,
   * `MIX_GATEWAY_DATABASE`), `MIX_OPTIONS`, and the signal's reason.
   */
  static async start(options: NodeOptions): Promise<Node> {
    const { clock, random, logger, metrics, crypto, keys, role, stateDirectory, network, links = tcpLinks } = options
    logger.info({ role, crypto: crypto.name, workers: options.workers ?? 0 }, 'node starting')
    metrics.gauge('mixwright_crypto_provider', 'The cryptography in use', { provider: crypto.name }).set(1)
    makeDirectory(stateDirectory)
    const opened: Closable[] = []
    const open = <Part extends Closable>(part: Part): Part => {
      opened.push(part)
      return part
    }
    try {
      const file = new SphinxKeyFile(join(stateDirectory, SPHINX_KEY_FILE), crypto)
      const sphinxKeys = file.read() ?? file.create(random, await currentRotation(options))
      const replay =
        options.replayProtection === false
          ? undefined
          : open(
              await ReplayProtection.open({
                directory: options.replayProtection === 'memory' ? undefined : stateDirectory,
                clock,
                random: random.fork('replay'),
                crypto,
                logger,
                metrics,
              }),
            )
      await replay?.keepOnly(rotationsOf(sphinxKeys))
      for (const rotationId of rotationsOf(sphinxKeys)) await replay?.protect(rotationId)

      const topology = open(
        new TopologyWatch({
          source: network,
          clock,
          random: random.fork('topology'),
          logger,
          metrics,
          ...(options.topologyRefreshMs !== undefined && { refreshMs: options.topologyRefreshMs }),
        }),
      )
      const noise = {
        mode: options.noise ?? 'prefer',
        peers: topology,
        crypto,
        secret: keys.noiseSecret,
        publicKey: keys.noiseKey,
      }
      const latency = new StageLatency(metrics)
      const egress = open(
        new Egress({
          links,
          sourceAddress: sourceAddress(options.announcedIps),
          clock,
          random: random.fork('egress'),
          metrics,
          noise,
          frameVersion: options.frameVersion ?? 8,
        }),
      )
      const forwarder = open(new Forwarder({ clock, metrics, latency, egress, allows: (ip) => topology.allows(ip) }))
      const gateway =
        role === 'gateway' ? open(await openGateway(options, (packet) => forwarder.now(packet))) : undefined
      const peeler = open(await openPeeler(options, sphinxKeys))
      const listener = open(
        await MixListener.open({
          links,
          clock,
          random: random.fork('listener'),
          logger,
          metrics,
          crypto,
          listen: options.mixListen,
          noise,
          ...(options.maximumLinksPerAddress !== undefined && {
            maximumLinksPerAddress: options.maximumLinksPerAddress,
          }),
          arrived: () => ingress.arrived(),
        }),
      )
      const ingress = open(
        new Ingress({
          clock,
          metrics,
          latency,
          peeler,
          forwarder,
          replay,
          finalHop: gateway,
          take: (count, nowMs) => listener.take(count, nowMs),
        }),
      )
      const announce = () => {
        network.announce().catch((error: Error) => logger.debug({ reason: error.message }, 'no directory was told'))
      }
      const rotation = open(
        new KeyRotation(
          {
            source: network,
            file,
            clock,
            random: random.fork('rotation'),
            crypto,
            logger,
            metrics,
            prepare: async (rotationId) => replay?.protect(rotationId),
            changed: async (changed) => {
              peeler.setKeys(changed)
              announce()
              await replay?.keepOnly(rotationsOf(changed))
            },
          },
          sphinxKeys,
        ),
      )
      const verloc =
        options.verlocListen &&
        open(
          await VerlocListener.open({
            clock,
            metrics,
            crypto,
            links,
            listen: options.verlocListen,
            identitySeed: keys.identitySeed,
          }),
        )
      await Promise.all([topology.refresh(), rotation.turn()])

      const parts = { egress, forwarder, gateway, peeler, listener, ingress, rotation, topology, replay, verloc }
      const carried: Carried = { networkRequester: undefined }
      const describe = () => description(options, parts, carried)
      const api =
        options.httpListen &&
        open(
          await NodeApi.start({
            clock,
            metrics,
            listen: options.httpListen,
            describe,
            ...(gateway && { sessions: () => gateway.sessionStatistics() }),
            metricsToken: options.metricsToken,
            exposeSystemInformation: options.exposeSystemInformation,
          }),
        )
      announce()
      return new Node(options, parts, api, describe, carried, announce)
    } catch (error) {
      // The error that counts is the first one.
      for (const part of opened.reverse()) await Promise.resolve(part.close()).catch(() => {})
      throw error
    }
  }

  /** What the node says about itself now. */
  get description(): NodeDescription {
    return this.#describe()
  }

  /**
   * Gateways: the door for a client inside this process with this Ed25519 identity (32 bytes), as `connect` of `@mixwright/client`
   * takes it. While that client is not connected, what comes for it is stored. Error: `MIX_OPTIONS` for a mix node.
   */
  localDoor(identity: Uint8Array): LocalDoor {
    const { gateway, egress } = this.#parts
    if (gateway === undefined) throw new MixError('MIX_OPTIONS', 'A mix node has no clients.', { kind: 'usage' })
    return gateway.localDoor(identity, () => egress.backlog * PACKET_SIZES.regular.packetBytes)
  }

  /** Tell directories that this node carries a network requester now, or none any more. */
  carry(networkRequester: CarriedRequester | undefined): void {
    this.#carried.networkRequester = networkRequester
    this.#announce()
  }

  /** Read the directory's lists now; when that fails, what is known stays. */
  refreshTopology(): Promise<void> {
    return this.#parts.topology.refresh()
  }

  /** Whether the directory lists a whole network. */
  get routable(): boolean {
    return this.#parts.topology.routable
  }

  /** Gateways with TLS: read the certificate again; open connections keep the old one. */
  async reloadCertificate(): Promise<void> {
    await this.#parts.gateway?.reloadCertificate()
  }

  /**
   * Take nothing more in, let what is under way leave for at most `drainMs`, then close everything. Clients are
   * disconnected, their messages kept. What is left after that time is lost and counted, as when any node stops.
   */
  async stop({ drainMs = 0 }: { readonly drainMs?: number } = {}): Promise<void> {
    const { api, listener, gateway, ingress, peeler, forwarder, egress, rotation, topology, replay, verloc } =
      this.#parts
    const deadline = this.#clock.monotonic() + drainMs
    await Promise.all([api?.close(), verloc?.close(), listener.close(), rotation.close()])
    topology.close()
    await this.#until(() => listener.queued === 0 && ingress.underWay === 0, deadline)
    await gateway?.close()
    await this.#until(() => forwarder.delayed === 0 && egress.waiting === 0, deadline)
    ingress.close()
    await peeler.close()
    listener.giveUp()
    forwarder.close()
    egress.close()
    await replay?.close()
  }

  async #until(condition: () => boolean, deadlineMs: number): Promise<void> {
    while (!condition() && this.#clock.monotonic() < deadlineMs) {
      await new Promise<void>((resolve) => this.#clock.setTimer(DRAIN_LOOK_MS, resolve))
    }
  }
}

/** What the node carries besides its role. */
interface Carried {
  networkRequester: CarriedRequester | undefined
}

interface Closable {
  close(): unknown
}

interface Parts {
  readonly egress: Egress
  readonly forwarder: Forwarder
  readonly gateway: Gateway | undefined
  readonly peeler: Peeler
  readonly listener: MixListener
  readonly ingress: Ingress
  readonly rotation: KeyRotation
  readonly topology: TopologyWatch
  readonly replay: ReplayProtection | undefined
  readonly verloc: VerlocListener | undefined
  readonly api?: NodeApi | undefined
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (cause) {
    const { message } = cause as Error
    throw new MixError('MIX_FILE_WRITE', `Cannot make the directory ${path}: ${message}`, {
      kind: 'local',
      data: { path },
      cause,
    })
  }
}

function rotationsOf({ primary, secondary }: SphinxKeys): number[] {
  return secondary ? [primary.rotationId, secondary.rotationId] : [primary.rotationId]
}

/** The directory's present rotation; asked until it answers. */
async function currentRotation({ network, clock, logger, signal }: NodeOptions): Promise<number> {
  for (let failures = 0; ; failures++) {
    signal?.throwIfAborted()
    try {
      const { epochId, initialEpochId, validityEpochs } = await network.keyRotation()
      return Math.floor(Math.max(0, epochId - initialEpochId) / validityEpochs)
    } catch (error) {
      if (!(error instanceof MixError)) throw error
      const say = failures % 40 === 20 ? 'warn' : 'debug'
      logger[say]({ reason: error.message }, 'waiting for a directory')
    }
    await sleep(clock, DIRECTORY_RETRY_MS, signal)
  }
}

async function openPeeler(options: NodeOptions, keys: SphinxKeys): Promise<Peeler> {
  const { role, clock, crypto, logger, metrics, workers = 0 } = options
  const roles = { forwardHops: role === 'mixnode', finalHops: role === 'gateway' }
  if (workers === 0) return new InThreadPeeler(new PacketPipeline(crypto, keys, roles))
  return await PeelWorkers.start({ count: workers, crypto: crypto.name, roles, keys, clock, logger, metrics })
}

function openGateway(options: NodeOptions, forward: (mixPacket: MixPacket) => void): Promise<Gateway> {
  const { clock, random, logger, metrics, crypto, keys, gateway, stateDirectory } = options
  if (gateway === undefined)
    throw new MixError('MIX_OPTIONS', 'A gateway needs an address for its clients.', { kind: 'usage' })
  return Gateway.open({
    databaseFile: join(stateDirectory, 'gateway.sqlite'),
    ...gateway,
    clock,
    random: random.fork('gateway'),
    logger,
    metrics,
    crypto,
    identitySeed: keys.identitySeed,
    forward,
  })
}

function description(
  options: NodeOptions,
  { listener, gateway, rotation, verloc }: Parts,
  { networkRequester }: Carried,
): NodeDescription {
  const { crypto, keys, role, noise = 'prefer' } = options
  return describeNode(crypto, {
    role,
    identityKey: keys.identityKey,
    identitySeed: keys.identitySeed,
    sphinxKey: rotation.keys.primary,
    secondaryKey: rotation.keys.secondary,
    noiseKey: noise === 'off' ? undefined : keys.noiseKey,
    announcedIps: options.announcedIps,
    hostname: options.hostname,
    location: options.location,
    mixPort: options.announcedMixPort ?? listener.port,
    verlocPort: verloc?.port,
    websocketPort: gateway?.websocketPort ?? NOMINAL_CLIENT_PORT,
    secureWebsocketPort: gateway?.secureWebsocketPort,
    operator: options.operator,
    networkRequester,
  })
}
