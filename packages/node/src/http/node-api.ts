/**
 * The HTTP API of a node (05-mixnode §12): how a directory, and an operator, read what it is and how it does. GET only,
 * under `/api/v1`; JSON, or bincode where its official type has one.
 */
import { createAdaptorServer } from '@hono/node-server'
import type { Clock, MemoryMetrics } from '@mixwright/runtime'
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
import type { NodeDescription } from './node-description.js'

export interface NodeApiOptions {
  readonly clock: Clock
  readonly metrics: MemoryMetrics
  readonly listen: ListenAddress
  /** Asked at each request: keys and ports may change. */
  describe(): NodeDescription
  /** Token that `/metrics/prometheus` asks for. @default none: open, for networks of one's own */
  readonly metricsToken?: string
}

export class NodeApi {
  readonly port: number
  readonly #server: ReturnType<typeof createAdaptorServer>

  private constructor(server: ReturnType<typeof createAdaptorServer>, port: number) {
    this.#server = server
    this.port = port
  }

  /** Serve. Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  static async start(options: NodeApiOptions): Promise<NodeApi> {
    const server = createAdaptorServer({ fetch: nodeRoutes(options).fetch })
    const port = await listenOn(server as import('node:http').Server, options.listen)
    return new NodeApi(server, port)
  }

  async close(): Promise<void> {
    const server = this.#server as import('node:http').Server
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeAllConnections()
    await closed
  }
}

/** The routes alone, for any server. */
export function nodeRoutes({ clock, metrics, describe, metricsToken }: NodeApiOptions): Hono {
  const startedAt = clock.monotonic()
  const app = new Hono()
  const api = new Hono()

  const get = (path: string, body: () => unknown, schema?: Schema<never>) =>
    api.get(path, (context) => answer(context, body(), schema))
  get('/health', () => ({ status: 'up', uptime: Math.floor((clock.monotonic() - startedAt) / 1000) }))
  get('/load', () => ({ total: 'unknown', machine: 'unknown', network: 'unknown' }))
  get('/host-information', () => describe().hostInformation, signedHostInformationSchema as Schema<never>)
  get('/build-information', () => describe().buildInformation, buildInformationSchema as Schema<never>)
  get('/roles', () => describe().roles)
  get('/description', () => ({ moniker: 'mixwright', website: '', security_contact: '', details: '' }))
  get('/auxiliary-details', () => describe().auxiliaryDetails, auxiliaryDetailsSchema as Schema<never>)
  get('/mixnode', () => ({}))
  const interfaces = () => ({ wireguard: null, mixnet_websockets: describe().websockets })
  get('/gateway', () => ({ enforces_zk_nyms: false, client_interfaces: interfaces() }))
  get('/gateway/client-interfaces', interfaces)
  get('/gateway/client-interfaces/mixnet-websockets', () => describe().websockets, websocketsSchema as Schema<never>)
  get('/metrics/packets-stats', () => packetStatistics(metrics))
  for (const absent of [
    '/gateway/client-interfaces/wireguard',
    '/network-requester',
    '/network-requester/exit-policy',
    '/ip-packet-router',
    '/authenticator',
    '/lewes-protocol',
  ]) {
    api.get(absent, (context) => context.body(null, 501))
  }
  api.get('/system-info', (context) => context.json({ message: 'system information is not shown' }, 403))
  api.get('/metrics/prometheus', async (context) => {
    if (metricsToken !== undefined && context.req.header('authorization') !== `Bearer ${metricsToken}`) {
      return context.text('the metrics need an access token', 401)
    }
    return context.body(await prometheusText(metrics), 200, {
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    })
  })
  app.route('/api/v1', api)
  app.notFound((context) => context.body(null, context.req.method === 'GET' ? 404 : 405))
  app.onError((_error, context) => context.body(null, 500))
  return app
}

function answer(context: Context, body: unknown, schema: Schema<never> | undefined): Response {
  const output = context.req.query('output') ?? 'json'
  if (output === 'json') return context.json(body as object)
  if (output !== 'bincode') return context.text(`unknown output format ${JSON.stringify(output.slice(0, 32))}`, 400)
  if (schema === undefined) return context.text('this answer has no bincode form', 400)
  return context.body(Uint8Array.from(toBincode(schema, body as never)), 200, { 'content-type': 'application/bincode' })
}

/** The official counters, made right: replayed packets are no malformed ones. */
function packetStatistics(metrics: MemoryMetrics): unknown {
  const ingress = (name: string) => metrics.value(`nym_node_mixnet_ingress_${name}`)
  const dropped = (reason: string) => metrics.value('mixwright_dropped_packets_total', { reason })
  return {
    ingress_mixing: {
      forward_hop_packets_received: ingress('forward_packets_received'),
      final_hop_packets_received: ingress('final_hop_packets_received'),
      malformed_packets_received: ingress('malformed_packets_received'),
      replayed_packets_received: ingress('replayed_packets_received'),
      excessive_delay_packets: ingress('excessive_delay_packets_received'),
      forward_hop_packets_dropped: dropped('forward-hop-disabled'),
      final_hop_packets_dropped: dropped('final-hop-disabled'),
    },
    egress_mixing: {
      forward_hop_packets_sent: metrics.value('nym_node_mixnet_egress_forward_packets_sent'),
      forward_hop_packets_dropped: dropped('egress-queue-full') + dropped('egress-connection-lost'),
      ack_packets_sent: metrics.value('nym_node_mixnet_egress_ack_sent'),
    },
  }
}
