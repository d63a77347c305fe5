/**
 * The TCP listener of the mix port (05-mixnode §6.1): one frame decoder per connection, frames handed on in order.
 * A stream that is no stream of frames ends its own connection and nothing else; nothing is ever written back.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Clock, Logger, Metrics } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { type Frame, FrameDecoder } from '@mixwright/wire'

export interface MixListenerOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly listen: { readonly host: string; readonly port: number }
  /** Open connections; further ones are closed at once. @default 8192 */
  readonly maximumConnections?: number
  /** `receivedAtMs` is monotonic: delays count from the moment the frame left the decoder. */
  onFrame(frame: Frame, receivedAtMs: number): void
}

export class MixListener {
  /** The port bound, also when any free one was asked for. */
  readonly port: number
  readonly #server: Server
  readonly #connections: ReadonlySet<Socket>

  private constructor(server: Server, port: number, connections: ReadonlySet<Socket>) {
    this.#server = server
    this.port = port
    this.#connections = connections
  }

  /** Bind; a `MixError` `MIX_PORT_IN_USE` or `MIX_LISTEN_FAILED` when that is impossible. */
  static async open(options: MixListenerOptions): Promise<MixListener> {
    const { clock, logger, metrics, listen } = options
    const connections = new Set<Socket>()
    metrics.gauge(
      'nym_node_network_active_ingress_mixnet_connections',
      'Open connections from other nodes',
      {},
      () => connections.size,
    )
    const server = createServer({ noDelay: true }, (socket) => {
      connections.add(socket)
      const decoder = new FrameDecoder()
      socket.on('data', (chunk) => {
        const receivedAt = clock.monotonic()
        const error = decoder.push(chunk, (frame) => options.onFrame(frame, receivedAt))
        if (error === undefined) return
        metrics
          .counter('mixwright_corrupted_connections_total', 'Connections closed for a malformed frame', {
            reason: error,
          })
          .increment()
        logger.debug({ reason: error }, 'connection corrupted')
        socket.destroy()
      })
      socket.on('error', () => {})
      socket.once('close', () => connections.delete(socket))
    })
    server.maxConnections = options.maximumConnections ?? 8192
    server.on('drop', () =>
      metrics.counter('mixwright_refused_connections_total', 'Connections refused over the limit').increment(),
    )
    const port = await listenOn(server, listen)
    return new MixListener(server, port, connections)
  }

  async close(): Promise<void> {
    for (const socket of this.#connections) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}
