import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { before, describe, it } from 'node:test'
import { MemoryMetrics, RealClock, SeededRandom, SystemRandom, silentLogger, VirtualClock } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { encodeFrame, type Frame, FrameDecoder, frameHeader } from '@mixwright/wire'
import { tcpLinks } from '../src/link/tcp-links.js'
import { Egress } from '../src/mix/egress.js'
import { MixListener, type MixListenerOptions } from '../src/mix/mix-listener.js'
import { DEFAULT_OUTBOUND_LIMITS, OutboundConnection } from '../src/mix/outbound-connection.js'
import { NetworkView } from '../src/network/network-view.js'

const LOOPBACK = '127.0.0.1'
const packet = (fill: number) => new Uint8Array(386).fill(fill)

/** A peer that counts frames and tells when a number of them has come. */
class FramePeer {
  readonly frames: Frame[] = []
  readonly sockets: Socket[] = []
  #waiting: { count: number; resolve: () => void }[] = []

  constructor(
    readonly server: Server,
    readonly port: number,
  ) {}

  static async open(port = 0): Promise<FramePeer> {
    const server = createServer()
    const peer = new FramePeer(server, await listenOn(server, { host: LOOPBACK, port }))
    server.on('connection', (socket) => {
      peer.sockets.push(socket)
      const decoder = new FrameDecoder()
      socket.on('error', () => {})
      socket.on('data', (chunk) => {
        decoder.push(chunk, (frame) => peer.frames.push({ ...frame, packet: frame.packet.slice() }))
        peer.#waiting = peer.#waiting.filter(({ count, resolve }) => {
          if (peer.frames.length < count) return true
          resolve()
          return false
        })
      })
    })
    return peer
  }

  received(count: number): Promise<void> {
    if (this.frames.length >= count) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ count, resolve }))
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.server.close()
    await once(this.server, 'close')
  }
}

describe('the egress', () => {
  it('delivers in order over one connection, with the rotation in v8 and without in v7', async () => {
    for (const frameVersion of [8, 7] as const) {
      const peer = await FramePeer.open()
      const metrics = new MemoryMetrics()
      const egress = new Egress({ clock: new RealClock(), random: new SystemRandom(), metrics, frameVersion })
      const nextHop = { family: 4, host: LOOPBACK, port: peer.port } as const
      for (let i = 0; i < 100; i++) egress.send({ nextHop, rotation: 1, packet: packet(i) }, 0)
      await peer.received(100)
      assert.equal(peer.sockets.length, 1)
      assert.deepEqual(
        peer.frames.map(({ packet, rotation }) => [packet[0], rotation]),
        Array.from({ length: 100 }, (_, i) => [i, frameVersion === 8 ? 1 : 0]),
      )
      egress.close()
      await peer.close()
    }
  })

  it('keeps what waits while a peer is away, backs off, and delivers when it is back', async () => {
    const gone = await FramePeer.open()
    await gone.close()
    const clock = new VirtualClock()
    const dropped: string[] = []
    const address = { family: 4, host: LOOPBACK, port: gone.port } as const
    const connection = new OutboundConnection(
      (events) => tcpLinks.connect(address, events),
      clock,
      new SeededRandom('back-off'),
      DEFAULT_OUTBOUND_LIMITS,
      {
        written() {},
        sent() {},
        dropped: (reason) => dropped.push(reason),
        idle() {},
      },
    )
    for (let i = 0; i < 3; i++) connection.send(frameHeader(packet(i), 0), packet(i))
    // Three refusals in a row, each followed by a longer wait on the virtual clock.
    for (let attempt = 0; attempt < 3; attempt++) {
      await until(() => connection.backingOff)
      const before = clock.monotonic()
      clock.nextEvent()
      const wait = clock.monotonic() - before
      const limit = DEFAULT_OUTBOUND_LIMITS.initialBackoffMs * 2 ** attempt
      assert.ok(wait >= limit / 2 && wait <= limit, `wait ${attempt} was ${wait} ms`)
    }
    await until(() => connection.backingOff)
    const back = await FramePeer.open(gone.port)
    clock.nextEvent()
    await back.received(3)
    assert.deepEqual(
      back.frames.map(({ packet }) => packet[0]),
      [0, 1, 2],
    )
    assert.deepEqual(dropped, [])
    connection.close()
    await back.close()
  })

  it('drops what waited so long that its sender has given it up, counted, and sends the rest', async () => {
    const gone = await FramePeer.open()
    await gone.close()
    const clock = new VirtualClock()
    let late = 0
    const address = { family: 4, host: LOOPBACK, port: gone.port } as const
    const connection = new OutboundConnection(
      (events) => tcpLinks.connect(address, events),
      clock,
      new SeededRandom('late'),
      DEFAULT_OUTBOUND_LIMITS,
      {
        written() {},
        sent() {},
        dropped(reason, frames) {
          if (reason === 'egress-late') late += frames
        },
        idle() {},
      },
    )
    for (let i = 0; i < 3; i++) connection.send(frameHeader(packet(i), 0), packet(i))
    await until(() => connection.backingOff)
    clock.advance(DEFAULT_OUTBOUND_LIMITS.maximumWaitMs + 1)
    await until(() => connection.backingOff)
    const back = await FramePeer.open(gone.port)
    for (let i = 3; i < 5; i++) connection.send(frameHeader(packet(i), 0), packet(i))
    clock.nextEvent()
    await back.received(2)
    assert.deepEqual(
      back.frames.map(({ packet }) => packet[0]),
      [3, 4],
    )
    assert.equal(late, 3)
    connection.close()
    await back.close()
  })

  it('drops the oldest, counted, when a peer stays away', () => {
    let dropped = 0
    const address = { family: 4, host: LOOPBACK, port: 1 } as const
    const limits = { ...DEFAULT_OUTBOUND_LIMITS, queueFrames: 10 }
    const connection = new OutboundConnection(
      (events) => tcpLinks.connect(address, events),
      new VirtualClock(),
      new SystemRandom(),
      limits,
      {
        written() {},
        sent() {},
        dropped(reason, frames) {
          if (reason === 'egress-queue-full') dropped += frames
        },
        idle() {},
      },
    )
    for (let i = 0; i < 25; i++) connection.send(frameHeader(packet(i), 0), packet(i))
    assert.equal(dropped, 15)
    assert.equal(connection.queued, 10)
    connection.close()
  })

  it('stays bounded in front of a peer that never reads', async () => {
    const server = createServer((socket) => socket.pause())
    const port = await listenOn(server, { host: LOOPBACK, port: 0 })
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const metrics = new MemoryMetrics()
    const limits = { queueFrames: 50 }
    const egress = new Egress({ clock: new RealClock(), random: new SystemRandom(), metrics, limits })
    const nextHop = { family: 4, host: LOOPBACK, port } as const
    const large = new Uint8Array(33133)
    const drops = () => metrics.value('mixwright_dropped_packets_total', { reason: 'egress-queue-full' })
    egress.send({ nextHop, rotation: 0, packet: large }, 0)
    const [socket] = await accepted
    // The operating system's buffers take some megabytes; then the queue fills, then the oldest go.
    await until(() => {
      for (let i = 0; i < 20; i++) egress.send({ nextHop, rotation: 0, packet: large }, 0)
      return drops() >= 100
    })
    assert.ok(metrics.value('nym_node_process_forward_hop_packets_pending_delivery') <= 50)
    socket.destroy()
    egress.close()
    server.close()
  })

  it('is behind only when no peer keeps up: one that is slow, or away, holds up nobody', async () => {
    const server = createServer((socket) => socket.pause())
    const slowPort = await listenOn(server, { host: LOOPBACK, port: 0 })
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const quick = await FramePeer.open()
    const gone = await FramePeer.open()
    await gone.close()
    const egress = new Egress({ clock: new RealClock(), random: new SystemRandom(), metrics: new MemoryMetrics() })
    const large = new Uint8Array(33133)
    const send = (port: number, packet: Uint8Array) =>
      egress.send({ nextHop: { family: 4, host: LOOPBACK, port }, rotation: 0, packet }, 0)
    assert.equal(egress.backlog, 0)
    for (let i = 0; i < 100; i++) send(gone.port, packet(0))
    assert.deepEqual([egress.waiting, egress.backlog], [100, 0])
    send(slowPort, large)
    const [socket] = await accepted
    await until(() => {
      for (let i = 0; i < 20; i++) send(slowPort, large)
      return egress.backlog > 500
    })
    send(quick.port, packet(0))
    await quick.received(1)
    await until(() => egress.backlog === 0)
    assert.ok(egress.waiting > 500)
    socket.destroy()
    egress.close()
    server.close()
    await quick.close()
  })

  it('refuses further peers past its limit, counted', () => {
    const metrics = new MemoryMetrics()
    const egress = new Egress({ clock: new VirtualClock(), random: new SystemRandom(), metrics, maximumPeers: 2 })
    for (let port = 1; port <= 5; port++) {
      egress.send({ nextHop: { family: 4, host: LOOPBACK, port }, rotation: 0, packet: packet(0) }, 0)
    }
    assert.equal(metrics.value('mixwright_dropped_packets_total', { reason: 'egress-too-many-peers' }), 3)
    egress.close()
  })
})

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

function openListener(options: Pick<MixListenerOptions, 'metrics' | 'arrived' | 'maximumLinksPerAddress'>, port = 0) {
  const secret = new Uint8Array(32).fill(1)
  return MixListener.open({
    links: tcpLinks,
    clock: new RealClock(),
    random: new SystemRandom(),
    logger: silentLogger,
    crypto,
    listen: { host: LOOPBACK, port },
    noise: { mode: 'off', peers: new NetworkView([]), secret, publicKey: crypto.x25519Base(secret) },
    maximumLinksPerAddress: 1000,
    ...options,
  })
}

describe('the mix listener', () => {
  it('closes a corrupted connection, and only that one', async () => {
    const metrics = new MemoryMetrics()
    let arrived: (() => void) | undefined
    const listener = await openListener({ metrics, arrived: () => arrived?.() })
    const honest = connect({ host: LOOPBACK, port: listener.port })
    const hostile = connect({ host: LOOPBACK, port: listener.port })
    await Promise.all([once(honest, 'connect'), once(hostile, 'connect')])
    hostile.on('error', () => {})
    hostile.resume()
    const ended = once(hostile, 'close')
    hostile.write(Uint8Array.of(9, 9, 9, 9))
    await ended
    assert.equal(metrics.value('mixwright_corrupted_connections_total', { reason: 'frame-version-new' }), 1)
    const received = new Promise<void>((resolve) => {
      arrived = resolve
    })
    honest.write(encodeFrame(packet(1), 0))
    await received
    honest.destroy()
    await listener.close()
  })

  it('carries 500 idle connections beside a working one', async () => {
    const metrics = new MemoryMetrics()
    let arrived: (() => void) | undefined
    const listener = await openListener({ metrics, arrived: () => arrived?.() })
    const idle = await Promise.all(
      Array.from({ length: 500 }, async () => {
        const socket = connect({ host: LOOPBACK, port: listener.port })
        socket.on('error', () => {})
        await once(socket, 'connect')
        return socket
      }),
    )
    const received = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const worker = connect({ host: LOOPBACK, port: listener.port })
    worker.write(encodeFrame(packet(1), 0))
    await received
    for (const socket of [...idle, worker]) socket.destroy()
    await listener.close()
  })

  it('refuses what one address opens past its limit, counted, and no other address', async () => {
    const metrics = new MemoryMetrics()
    const listener = await openListener({ metrics, arrived() {}, maximumLinksPerAddress: 50 })
    const refused = () => metrics.value('mixwright_refused_connections_total', { reason: 'address' })
    const sockets = await Promise.all(
      Array.from({ length: 200 }, async () => {
        const socket = connect({ host: LOOPBACK, port: listener.port })
        socket.on('error', () => {}).resume()
        await once(socket, 'connect')
        return socket
      }),
    )
    await until(() => refused() === 150)
    const other = connect({ host: LOOPBACK, port: listener.port, localAddress: '127.0.0.2' })
    await once(other, 'connect')
    await until(() => metrics.value('nym_node_network_active_ingress_mixnet_connections') === 51)
    // Places become free again.
    for (const socket of sockets) socket.destroy()
    await until(() => metrics.value('nym_node_network_active_ingress_mixnet_connections') === 1)
    const next = connect({ host: LOOPBACK, port: listener.port })
    await until(() => metrics.value('nym_node_network_active_ingress_mixnet_connections') === 2)
    for (const socket of [other, next]) socket.destroy()
    await listener.close()
  })

  it('says which port is in use', async () => {
    const peer = await FramePeer.open()
    const opening = openListener({ metrics: new MemoryMetrics(), arrived() {} }, peer.port)
    await assert.rejects(opening, { code: 'MIX_PORT_IN_USE', kind: 'local' })
    await peer.close()
  })
})

/** Let the event loop turn until `condition` holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
