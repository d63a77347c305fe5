/**
 * The HTTP API of a node (05-mixnode §12): how a directory, and an operator, read what it is and how it does. GET only,
 * under `/api/v1`, without trailing slashes; JSON, or bincode where its official type has one, or YAML.
 */
import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import { type Clock, equalBytes, type MemoryMetrics, utf8 } from '@mixwright/runtime'
import { type ListenAddress, listenOn, prometheusText } from '@mixwright/runtime/node'
import {
  auxiliaryDetailsSchema,
  buildInformationSchema,
  type Schema,
  signedHostInformationSchema,
  toBincode,
  websocketsSchema,
} from '@mixwright/wire'
import { type Context, Hono } from 'hono'
import type { SessionSummary } from '../gateway/session-statistics.js'
import type { CarriedRequester, NodeDescription } from './node-description.js'
import { machineLoad, type NodeLoad } from './node-load.js'
import { PacketStatistics } from './packet-statistics.js'
import { processMetrics } from './process-metrics.js'
import { type SystemInformation, systemInformation } from './system-information.js'

export interface NodeApiOptions {
  readonly clock: Clock
  readonly metrics: MemoryMetrics
  readonly listen: ListenAddress
  /** Asked at each request: keys and ports may change. */
  describe(): NodeDescription
  /** Gateways only. */
  sessions?(): SessionSummary
  /** Token that `/metrics/prometheus` asks for. @default none: open, for networks of one's own */
  readonly metricsToken?: string | undefined
  /** Show processor, memory and kernel to anybody. @default false */
  readonly exposeSystemInformation?: boolean | undefined
}

export class NodeApi {
  readonly port: number
  readonly #server: Server
  readonly #statistics: PacketStatistics

  private constructor(server: Server, port: number, statistics: PacketStatistics) {
    this.#server = server
    this.port = port
    this.#statistics = statistics
  }

  /** Serve. Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  static async start(options: NodeApiOptions): Promise<NodeApi> {
    const { clock, metrics, exposeSystemInformation = false } = options
    const statistics = new PacketStatistics(clock, metrics)
    processMetrics(metrics)
    const startedAt = clock.monotonic()
    const routes = nodeRoutes({
      metrics,
      statistics,
      describe: () => options.describe(),
      sessions: () => options.sessions?.() ?? noSessions(clock),
      uptimeSeconds: () => Math.floor((clock.monotonic() - startedAt) / 1000),
      load: machineLoad(clock),
      metricsToken: options.metricsToken,
      ...(exposeSystemInformation && { systemInformation }),
    })
    try {
      const server = createAdaptorServer({ fetch: routes.fetch }) as Server
      return new NodeApi(server, await listenOn(server, options.listen), statistics)
    } catch (error) {
      statistics.close()
      throw error
    }
  }

  async close(): Promise<void> {
    this.#statistics.close()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }
}

/** All that the answers are made of. */
export interface NodeReadings {
  readonly metrics: MemoryMetrics
  readonly statistics: PacketStatistics
  readonly metricsToken?: string | undefined
  describe(): NodeDescription
  sessions(): SessionSummary
  uptimeSeconds(): number
  load(): NodeLoad
  /** Absent: `/system-info` is refused. */
  systemInformation?(): SystemInformation
}

/** Services that we are not; official nodes answer so when they are switched off. */
const ABSENT = [
  '/gateway/client-interfaces/wireguard',
  '/ip-packet-router',
  '/authenticator',
  '/lewes-protocol',
  '/network/upgrade-mode-status',
  '/bridges/client-params',
]

/** Older addresses, and what they stand for. */
const MOVED = {
  '/hardware': 'system-info',
  '/description': 'description',
  '/stats': 'metrics/mixing',
  '/verloc': 'metrics/verloc',
  '/metrics': 'metrics/prometheus',
}

/** The routes alone, for any server. */
export function nodeRoutes(node: NodeReadings): Hono {
  const { metrics, statistics, describe, metricsToken, systemInformation } = node
  const app = new Hono()
  const api = new Hono()
  const handle = (router: Hono, path: string, handler: (context: Context) => Response | Promise<Response>) => {
    router.get(path, handler)
    router.all(path, (context) => context.body(null, 405, { allow: 'GET, HEAD' }))
  }
  const get = <T>(path: string, body: () => T, schema?: Schema<T>) =>
    handle(api, path, (context) => answer(context, body(), schema))

  get('/health', () => ({ status: 'up', uptime: node.uptimeSeconds() }))
  get('/load', () => node.load())
  get('/host-information', () => describe().hostInformation, signedHostInformationSchema)
  get('/build-information', () => describe().buildInformation, buildInformationSchema)
  get('/roles', () => describe().roles)
  get('/description', () => describe().operator)
  get('/auxiliary-details', () => describe().auxiliaryDetails, auxiliaryDetailsSchema)
  get('/mixnode', () => ({}))
  const interfaces = () => ({ wireguard: null, mixnet_websockets: describe().websockets })
  get('/gateway', () => ({ enforces_zk_nyms: false, client_interfaces: interfaces() }))
  get('/gateway/client-interfaces', interfaces)
  get('/gateway/client-interfaces/mixnet-websockets', () => describe().websockets, websocketsSchema)
  get('/metrics/packets-stats', () => statistics.packets())
  get('/metrics/mixing', () => statistics.mixing())
  get('/metrics/sessions', () => node.sessions())
  get('/metrics/wireguard-stats', () => ({ bytes_tx: 0, bytes_rx: 0 }))
  // We answer measurements of others and make none.
  get('/metrics/verloc', () => ({ previous: 'unavailable', current: 'unavailable' }))
  const ofRequester = (path: string, body: (requester: CarriedRequester) => object) =>
    handle(api, path, (context) => {
      const { networkRequester } = describe()
      return networkRequester ? answer(context, body(networkRequester), undefined) : context.body(null, 501)
    })
  ofRequester('/network-requester', ({ address }) => {
    const [encoded_identity_key, encoded_x25519_key] = address.split(/[.@]/)
    return { encoded_identity_key, encoded_x25519_key, address }
  })
  ofRequester('/network-requester/exit-policy', (requester) => {
    const { upstream, lastUpdated, policy } = requester.exitPolicy()
    return { enabled: true, upstream_source: upstream, last_updated: lastUpdated, policy }
  })
  for (const path of ABSENT) handle(api, path, (context) => context.body(null, 501))
  if (systemInformation) get('/system-info', systemInformation)
  else handle(api, '/system-info', (context) => context.json({ message: 'system information is not shown' }, 403))
  handle(api, '/metrics/prometheus', async (context) => {
    if (metricsToken !== undefined && !bears(context, metricsToken))
      return context.text('the metrics need an access token', 401)
    return context.body(await prometheusText(metrics), 200, {
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    })
  })

  app.route('/api/v1', api)
  handle(app, '/', (context) => context.text('A node of a mixnet. What it says about itself is under /api/v1.\n'))
  for (const [path, target] of Object.entries(MOVED))
    handle(app, path, (context) => context.redirect(`/api/v1/${target}`, 303))
  app.notFound((context) => context.body(null, 404))
  app.onError((_error, context) => context.body(null, 500))
  return app
}

function answer<T>(context: Context, body: T, schema: Schema<T> | undefined): Response {
  const output = context.req.query('output') ?? 'json'
  if (output === 'json') return context.json(body as object)
  // Every JSON text is a YAML document.
  if (output === 'yaml') return context.body(JSON.stringify(body), 200, { 'content-type': 'application/yaml' })
  if (output !== 'bincode') return context.text(`unknown output format ${JSON.stringify(output.slice(0, 32))}`, 400)
  if (schema === undefined) return context.text('this answer has no bincode form', 400)
  return context.body(Uint8Array.from(toBincode(schema, body)), 200, { 'content-type': 'application/bincode' })
}

/** A mix node has no clients. */
function noSessions(clock: Clock): SessionSummary {
  return {
    update_time: new Date(clock.now()).toISOString().slice(0, 10),
    unique_active_users: 0,
    unique_active_users_hashes: [],
    sessions: [],
    sessions_started: 0,
    sessions_finished: 0,
  }
}

/** Whether the request bears the token; compared in constant time. */
function bears(context: Context, token: string): boolean {
  return equalBytes(utf8(context.req.header('authorization') ?? ''), utf8(`Bearer ${token}`))
}
