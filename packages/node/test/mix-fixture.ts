/** Whole mix nodes over real sockets, with what they send kept by a sink. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { MemoryMetrics, RealClock, SystemRandom, silentLogger } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import {
  buildPacket,
  type CryptoProvider,
  encodeNodeAddress,
  loadCryptoProvider,
  PACKET_SIZES,
} from '@mixwright/sphinx'
import { decodeBase58, encodeFrame, type Frame, FrameDecoder, type KeyRotation } from '@mixwright/wire'
import { createNodeKeys, type ListedPeer, Node, type NodeKeys, type NodeOptions, StaticSource } from '../src/index.js'

export const LOOPBACK = '127.0.0.1'
export const random = new SystemRandom()
export const scratch = mkdtempSync(join(tmpdir(), 'mixwright-node-'))
export let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})
after(() => rmSync(scratch, { recursive: true, force: true }))

/** The next hop after the node under test: counts the frames it gets. */
export class Sink implements AsyncDisposable {
  readonly frames: Frame[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #waiting: { count: number; resolve: () => void } | undefined

  private constructor(
    server: Server,
    readonly port: number,
  ) {
    this.#server = server
  }

  static async open(): Promise<Sink> {
    const server = createServer()
    const sink = new Sink(server, await listenOn(server, { host: LOOPBACK, port: 0 }))
    server.on('connection', (socket) => {
      const decoder = new FrameDecoder()
      sink.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('data', (chunk) => {
        decoder.push(chunk, (frame) => sink.frames.push({ ...frame, packet: frame.packet.slice() }))
        if (sink.#waiting && sink.frames.length >= sink.#waiting.count) sink.#waiting.resolve()
      })
    })
    return sink
  }

  received(count: number): Promise<void> {
    if (this.frames.length >= count) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiting = { count, resolve }
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** A node that can be stopped and started again with what it has on disk. */
export class Host implements AsyncDisposable {
  readonly keys: NodeKeys = createNodeKeys(crypto, random)
  readonly stateDirectory = mkdtempSync(join(scratch, 'mix-'))
  readonly metrics = new MemoryMetrics()
  node!: Node

  static async start(
    options: Partial<NodeOptions> = {},
    peers: ListedPeer[] = [{ ipAddresses: [LOOPBACK], mixPort: 1 }],
  ) {
    const host = new Host()
    await host.start(options, peers)
    return host
  }

  async start(
    options: Partial<NodeOptions> = {},
    peers: ListedPeer[] = [{ ipAddresses: [LOOPBACK], mixPort: 1 }],
  ): Promise<void> {
    this.node = await Node.start({
      role: 'mixnode',
      clock: new RealClock(),
      random,
      logger: silentLogger,
      metrics: this.metrics,
      crypto,
      keys: this.keys,
      stateDirectory: this.stateDirectory,
      network: new StaticSource(peers, 2),
      announcedIps: [LOOPBACK],
      mixListen: { host: LOOPBACK, port: 0 },
      ...options,
    })
  }

  get sphinxKey(): Uint8Array {
    return decodeBase58(this.node.description.hostInformation.data.keys.x25519_sphinx, 32)!
  }

  /** A frame through this node alone to `port`, made for its primary key unless another is given. */
  frame(port: number, delayMs = 0, host = LOOPBACK, rotation: KeyRotation = 2, key = this.sphinxKey): Uint8Array {
    const hop = (publicKey: Uint8Array, port: number) => {
      return { address: encodeNodeAddress({ family: 4, host, port }, 32), publicKey }
    }
    const packet = buildPacket(crypto, random, {
      route: [hop(key, 1), hop(crypto.x25519Base(random.bytes(32)), port)],
      delaysNanos: [BigInt(Math.round(delayMs * 1e6)), 0n],
      destination: random.bytes(32),
      packetSize: PACKET_SIZES.ack,
      message: random.bytes(21),
    })
    return encodeFrame(packet, rotation)
  }

  dropped(reason: string): number {
    return this.metrics.value('mixwright_dropped_packets_total', { reason })
  }

  /** Let the event loop turn until the node has dropped that many packets for this reason. */
  async untilDropped(reason: string, count: number): Promise<void> {
    while (this.dropped(reason) < count) await new Promise((resolve) => setImmediate(resolve))
  }

  async connection(localAddress = LOOPBACK): Promise<Socket> {
    const socket = connect({ host: LOOPBACK, port: this.node.mixPort, noDelay: true, localAddress })
    socket.on('error', () => {}).resume()
    await once(socket, 'connect')
    return socket
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.stop()
  }
}

/** Let the event loop turn until `condition` holds. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
