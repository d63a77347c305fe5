/**
 * How an operator watches a service: a small HTTP server of its own. `GET /health` answers with JSON, status 200 while
 * the service works and 503 while it does not; `GET /metrics` with Prometheus text 0.0.4. No password: it belongs on an
 * address that only the operator reaches.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { MemoryMetrics } from '@mixwright/runtime'
import { type ListenAddress, listenOn, prometheusText } from '@mixwright/runtime/node'

/** Connections at once; more are closed at once. */
const MOST_CONNECTIONS = 64

/** What `GET /health` answers with. */
export interface Health {
  readonly status: 'up' | 'down'
}

export interface HealthEndpointOptions {
  readonly listen: ListenAddress
  /** Asked at each request. */
  readonly health: () => Health
  /** Asked at each scrape: may set gauges first. */
  readonly metrics: () => MemoryMetrics
}

export class HealthEndpoint {
  /** `http://host:port`. */
  readonly url: string
  readonly port: number
  readonly #server: Server

  private constructor(server: Server, host: string, port: number) {
    this.#server = server
    this.port = port
    this.url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  }

  /** Listen. Errors: `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  static async start(options: HealthEndpointOptions): Promise<HealthEndpoint> {
    const server = createServer((request, response) => {
      answer(options, request, response).catch(() => {
        if (!response.headersSent) response.writeHead(500)
        response.end()
      })
    })
    server.maxConnections = MOST_CONNECTIONS
    const port = await listenOn(server, options.listen)
    return new HealthEndpoint(server, options.listen.host, port)
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }
}

async function answer(
  { health, metrics }: HealthEndpointOptions,
  { method, url = '' }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [path] = url.split('?')
  if (path !== '/health' && path !== '/metrics') return send(response, 404)
  if (method !== 'GET' && method !== 'HEAD') return send(response, 405, { allow: 'GET, HEAD' })
  if (path === '/metrics') {
    const text = await prometheusText(metrics())
    return send(response, 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }, text)
  }
  const state = health()
  const body = `${JSON.stringify(state)}\n`
  send(response, state.status === 'up' ? 200 : 503, { 'content-type': 'application/json' }, body)
}

function send(response: ServerResponse, status: number, headers: Record<string, string> = {}, body = ''): void {
  response.writeHead(status, headers).end(body)
}
