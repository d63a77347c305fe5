/** Whole mix nodes over real sockets: replay, routing filter, Noise, workers, overload and draining. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { MemoryMetrics, RealClock, SystemRandom, silentLogger } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import {
  buildPacket,
  type CryptoProvider,
  encodeNodeAddress,
  loadCryptoProvider,
  PACKET_SIZES,
} from '@mixwright/sphinx'
import { decodeBase58, encodeFrame, type Frame, FrameDecoder } from '@mixwright/wire'
import { createNodeKeys, type ListedPeer, Node, type NodeKeys, type NodeOptions, StaticSource } from '../src/index.js'

const LOOPBACK = '127.0.0.1'
const random = new SystemRandom()
const scratch = mkdtempSync(join(tmpdir(), 'mixwright-node-'))
let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})
after(() => rmSync(scratch, { recursive: true, force: true }))

/** The next hop after the node under test: counts the frames it gets. */
class Sink implements AsyncDisposable {
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
class Host implements AsyncDisposable {
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

  /** A frame through this node alone to `port`. */
  frame(port: number, delayMs = 0, host = LOOPBACK): Uint8Array {
    const hop = (publicKey: Uint8Array, port: number) => {
      return { address: encodeNodeAddress({ family: 4, host, port }, 32), publicKey }
    }
    const packet = buildPacket(crypto, random, {
      route: [hop(this.sphinxKey, 1), hop(crypto.x25519Base(random.bytes(32)), port)],
      delaysNanos: [BigInt(Math.round(delayMs * 1e6)), 0n],
      destination: random.bytes(32),
      packetSize: PACKET_SIZES.ack,
      message: random.bytes(21),
    })
    return encodeFrame(packet, 2)
  }

  dropped(reason: string): number {
    return this.metrics.value('mixwright_dropped_packets_total', { reason })
  }

  /** Let the event loop turn until the node has dropped that many packets for this reason. */
  async untilDropped(reason: string, count: number): Promise<void> {
    while (this.dropped(reason) < count) await new Promise((resolve) => setImmediate(resolve))
  }

  async connection(): Promise<Socket> {
    const socket = connect({ host: LOOPBACK, port: this.node.mixPort, noDelay: true })
    socket.on('error', () => {}).resume()
    await once(socket, 'connect')
    return socket
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.stop()
  }
}

for (const workers of [0, 2]) {
  describe(`a mix node with ${workers} workers`, () => {
    it('passes a packet once, whatever connection its copies come on', async () => {
      await using host = await Host.start({ workers })
      await using sink = await Sink.open()
      const frames = Array.from({ length: 50 }, () => host.frame(sink.port))
      const sockets = await Promise.all([host.connection(), host.connection(), host.connection()])
      // All copies at the same moment, and twice in one batch.
      for (const socket of sockets) socket.write(Buffer.concat([...frames, ...frames]))
      await sink.received(50)
      await host.untilDropped('replayed', 250)
      assert.equal(sink.frames.length, 50)
      assert.equal(new Set(sink.frames.map(({ packet }) => Buffer.from(packet).toString('hex'))).size, 50)
      assert.equal(host.metrics.value('nym_node_mixnet_ingress_replayed_packets_received'), 250)
      assert.equal(host.metrics.value('nym_node_mixnet_ingress_malformed_packets_received'), 0)
      for (const socket of sockets) socket.destroy()
    })

    it('knows a packet again after a restart', async () => {
      const host = await Host.start({ workers })
      await using sink = await Sink.open()
      const frames = Array.from({ length: 20 }, () => host.frame(sink.port))
      const first = await host.connection()
      first.write(Buffer.concat(frames))
      await sink.received(20)
      await host.node.stop()
      await host.start({ workers })
      const second = await host.connection()
      const fresh = host.frame(sink.port)
      second.write(Buffer.concat([...frames, fresh]))
      await sink.received(21)
      await host.untilDropped('replayed', 20)
      assert.equal(sink.frames.length, 21)
      for (const socket of [first, second]) socket.destroy()
      await host.node.stop()
    })

    it('does not remember what only looks like a packet: the tag is set after the MAC', async () => {
      await using host = await Host.start({ workers })
      await using sink = await Sink.open()
      const good = host.frame(sink.port)
      const forged = good.slice()
      forged[4 + 100]! ^= 1
      const socket = await host.connection()
      socket.write(Buffer.concat([forged, good]))
      await sink.received(1)
      assert.equal(host.dropped('header-mac'), 1)
      assert.equal(host.dropped('replayed'), 0)
      socket.destroy()
    })

    it('refuses next hops outside the topology, counted, and takes what follows', async () => {
      await using host = await Host.start({ workers })
      await using sink = await Sink.open()
      const socket = await host.connection()
      socket.write(Buffer.concat([host.frame(sink.port, 0, '127.0.0.9'), host.frame(sink.port)]))
      await sink.received(1)
      assert.equal(host.dropped('routing-filter'), 1)
      socket.destroy()
    })

    it('drains before it stops: what is delayed still leaves', async () => {
      const host = await Host.start({ workers })
      await using sink = await Sink.open()
      const socket = await host.connection()
      const taken = () => host.metrics.value('nym_node_mixnet_ingress_forward_packets_received')
      socket.write(Buffer.concat(Array.from({ length: 30 }, (_, i) => host.frame(sink.port, 300 + i))))
      while (taken() < 30) await new Promise((resolve) => setImmediate(resolve))
      await host.node.stop({ drainMs: 10_000 })
      await sink.received(30)
      assert.equal(host.dropped('shutdown'), 0)
      socket.destroy()
    })

    it('counts what it gives up when it does not drain', async () => {
      const host = await Host.start({ workers })
      await using sink = await Sink.open()
      const socket = await host.connection()
      const taken = () => host.metrics.value('nym_node_mixnet_ingress_forward_packets_received')
      socket.write(Buffer.concat(Array.from({ length: 30 }, () => host.frame(sink.port, 9_000))))
      while (taken() < 30) await new Promise((resolve) => setImmediate(resolve))
      await host.node.stop()
      assert.equal(host.dropped('shutdown'), 30)
      assert.equal(sink.frames.length, 0)
      socket.destroy()
    })

    it('keeps taking packets of others while one next hop accepts and never reads', async () => {
      await using host = await Host.start({ workers })
      await using sink = await Sink.open()
      const deaf = createServer((socket) => socket.pause())
      const deafPort = await listenOn(deaf, { host: LOOPBACK, port: 0 })
      const accepted = once(deaf, 'connection') as Promise<[Socket]>
      const socket = await host.connection()
      for (let i = 0; i < 50; i++) socket.write(Buffer.concat([host.frame(deafPort), host.frame(sink.port)]))
      await sink.received(50)
      ;(await accepted)[0].destroy()
      socket.destroy()
      deaf.close()
    })
  })
}

describe('two nodes', () => {
  for (const noise of ['prefer', 'require', 'off'] as const) {
    it(`with Noise '${noise}' pass packets on`, async () => {
      await using sink = await Sink.open()
      const plainSink: ListedPeer = { ipAddresses: ['127.0.0.1'], mixPort: sink.port }
      // The second node listens on an address of its own: a responder decides by the address that a connection comes from.
      await using second = await Host.start({ noise, mixListen: { host: LOOPBACK, port: 0 } }, [plainSink])
      const listed: ListedPeer = {
        ipAddresses: [LOOPBACK],
        mixPort: second.node.mixPort,
        ...(noise !== 'off' && { noiseKey: second.keys.noiseKey }),
      }
      await using first = await Host.start({ noise: noise === 'require' ? 'prefer' : noise }, [listed, plainSink])
      // Both learn of each other, as from a directory.
      await second.node.stop()
      await second.start(
        { noise, mixListen: { host: LOOPBACK, port: second.node.mixPort } },
        noise === 'off' ? [plainSink] : [plainSink, { ...listed, mixPort: first.node.mixPort }],
      )
      const hop = (host: Host, port: number) => ({
        address: encodeNodeAddress({ family: 4, host: LOOPBACK, port }, 32),
        publicKey: host.sphinxKey,
      })
      const packets = Array.from({ length: 40 }, () =>
        buildPacket(crypto, random, {
          route: [
            hop(first, first.node.mixPort),
            hop(second, second.node.mixPort),
            { ...hop(first, sink.port), publicKey: crypto.x25519Base(random.bytes(32)) },
          ],
          delaysNanos: [0n, 0n, 0n],
          destination: random.bytes(32),
          packetSize: PACKET_SIZES.regular,
          message: random.bytes(100),
        }),
      )
      const socket = await first.connection()
      for (const packet of packets) socket.write(encodeFrame(packet, 2))
      await sink.received(40)
      assert.equal(second.metrics.value('mixwright_corrupted_connections_total'), 0)
      socket.destroy()
    })
  }
})
