import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { concatBytes, MemoryMetrics, RealClock, SeededRandom, SystemRandom, VirtualClock } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { loadCryptoProvider, nodeAddress, PACKET_SIZES } from '@mixwright/sphinx'
import { encodeFrame, encodeNoiseFrame, frameHeader } from '@mixwright/wire'
import { tcpLinks } from '../src/link/tcp-links.js'
import { Egress } from '../src/mix/egress.js'
import { InboundStream } from '../src/mix/inbound-stream.js'
import { DEFAULT_OUTBOUND_LIMITS, OutboundConnection } from '../src/mix/outbound-connection.js'
import { NoiseInitiator } from '../src/noise/handshake.js'
import type { NoiseMode, NoisePeers } from '../src/noise/noise-policy.js'
import { NoiseStream } from '../src/noise/noise-stream.js'
import { ListedPeers, LOW_ORDER_POINTS, newKeyPair } from './noise-peers.js'

const crypto = await loadCryptoProvider()
const random = new SystemRandom()
const own = newKeyPair(crypto, random)
const theirs = newKeyPair(crypto, random)
const HOST = '127.0.0.1'

/** A peer on a real port. What it does with a connection is the test's; what it read is kept. */
class Peer {
  readonly sockets: Socket[] = []
  /** Bytes read, by connection. */
  readonly read: Uint8Array[] = []

  constructor(
    readonly server: Server,
    readonly port: number,
  ) {}

  static async open(onData: (socket: Socket, chunk: Uint8Array, connection: number) => void): Promise<Peer> {
    const server = createServer({ noDelay: true })
    const peer = new Peer(server, await listenOn(server, { host: HOST, port: 0 }))
    server.on('connection', (socket) => {
      const connection = peer.sockets.push(socket) - 1
      peer.read[connection] = new Uint8Array(0)
      socket.on('error', () => {})
      socket.on('data', (chunk) => {
        peer.read[connection] = concatBytes(peer.read[connection]!, chunk)
        onData(socket, chunk, connection)
      })
    })
    return peer
  }

  get keyed(): ListedPeers {
    return new ListedPeers({ [`${HOST} ${this.port}`]: theirs.publicKey })
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.server.close()
    await once(this.server, 'close')
  }
}

function responder(mode: NoiseMode, peers = new ListedPeers({ [`${HOST} 1`]: own.publicKey })): InboundStream {
  const { secret: noiseSecret, publicKey: noiseKey } = theirs
  return new InboundStream({ mode, peers, crypto, random, noiseSecret, noiseKey, remoteIp: HOST })
}

/** A peer that collects the packets of all its connections; `received` resolves when `count` are there. */
async function receiver(mode: NoiseMode, refuse: (connection: number) => boolean = () => false) {
  const packets: Uint8Array[] = []
  const streams: InboundStream[] = []
  let wanted = 0
  let resolve: () => void = () => {}
  const peer = await Peer.open((socket, chunk, connection) => {
    if (refuse(connection)) return socket.destroy()
    streams[connection] ??= responder(mode)
    const outcome = streams[connection].push(chunk, ({ packet }) => packets.push(Uint8Array.from(packet)))
    if (outcome !== undefined && 'error' in outcome) socket.destroy()
    else if (outcome !== undefined) socket.write(outcome.reply)
    if (packets.length >= wanted) resolve()
  })
  const received = (count: number) => {
    wanted = count
    return new Promise<void>((done) => {
      resolve = done
      if (packets.length >= count) done()
    })
  }
  return { peer, packets, received }
}

function egressTo(peer: Peer, peers: NoisePeers = peer.keyed) {
  const metrics = new MemoryMetrics()
  const noise = { mode: 'require', peers, crypto, ...own } as const
  const egress = new Egress({ clock: new RealClock(), random, metrics, noise })
  const nextHop = nodeAddress(HOST, peer.port)!
  return { egress, metrics, send: (packet: Uint8Array) => egress.send({ nextHop, rotation: 1, packet }, 0) }
}

/** An outbound connection on a clock that stands still, with three frames in its queue. */
function waiting(peer: Peer, responderKey = theirs.publicKey) {
  const clock = new VirtualClock()
  const dropped: string[] = []
  const address = nodeAddress(HOST, peer.port)!
  const events = { written() {}, sent() {}, dropped: (reason: string) => dropped.push(reason), idle() {} }
  const startNoise = () => new NoiseStream(new NoiseInitiator(crypto, random, own, responderKey))
  const seeded = new SeededRandom('back-off')
  const connection = new OutboundConnection(
    (events) => tcpLinks.connect(address, events),
    clock,
    seeded,
    // Longer than all attempts of a test together.
    { ...DEFAULT_OUTBOUND_LIMITS, maximumWaitMs: 3_600_000 },
    events,
    startNoise,
  )
  const packets = [1, 2, 3].map((fill) => new Uint8Array(386).fill(fill))
  for (const packet of packets) connection.send(frameHeader(packet, 0), packet)
  return { clock, connection, dropped, packets }
}

/** Let the event loop turn until `condition` holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

/** Whether all that came on a connection is one first handshake message, or the beginning of one. */
function onlyAFirstMessage(bytes: Uint8Array): boolean {
  const header = Uint8Array.of(1, 1, 0, 0, 48, 0, 0, 0)
  return bytes.length <= 56 && bytes.subarray(0, 8).every((byte, i) => byte === header[i])
}

describe('the egress with Noise', () => {
  for (const mode of ['require', 'prefer'] as const) {
    it(`delivers 1000 frames of all sizes, in order, to a peer that has it at ${mode}`, async () => {
      const { peer, packets, received } = await receiver(mode)
      const { egress, metrics, send } = egressTo(peer)
      const seeded = new SeededRandom('sizes')
      const sizes = Object.values(PACKET_SIZES).map(({ packetBytes }) => packetBytes)
      const sent: Uint8Array[] = []
      for (let i = 0; i < 1000; i++) {
        const packet = random.bytes(sizes[seeded.bytes(1)[0]! % sizes.length]!)
        sent.push(packet)
        send(packet)
        if (i % 50 === 49) await received(i - 20)
      }
      await received(1000)
      assert.equal(packets.length, 1000)
      for (const [i, packet] of packets.entries()) assert.ok(Buffer.compare(packet, sent[i]!) === 0, `packet ${i}`)
      assert.equal(peer.sockets.length, 1)
      await until(() => metrics.value('nym_node_mixnet_egress_forward_packets_sent') === 1000)
      // Many frames in one Noise frame: less than the 24 bytes that each of them would cost alone.
      const frames = sent.reduce((sum, { length }) => sum + 4 + length, 0)
      const overhead = peer.read[0]!.length - frames - 56 - 72
      assert.equal(overhead % 24, 0)
      assert.ok(overhead / 24 < 900, `${overhead / 24} Noise frames`)
      egress.close()
      await peer.close()
    })
  }

  it('speaks plain to a peer without a key', async () => {
    const { peer, packets, received } = await receiver('off')
    const { egress, send } = egressTo(peer, new ListedPeers())
    send(new Uint8Array(386).fill(5))
    await received(1)
    assert.equal(packets[0]![0], 5)
    assert.equal(peer.read[0]![0], 8)
    egress.close()
    await peer.close()
  })

  it('keeps what waits when a peer hangs up in the handshake, and delivers it at the next attempt', async () => {
    const { peer, packets, received } = await receiver('require', (connection) => connection < 2)
    const { clock, connection, dropped, packets: sent } = waiting(peer)
    for (let attempt = 0; attempt < 2; attempt++) {
      await until(() => connection.backingOff)
      assert.equal(connection.queued, 3)
      const before = clock.monotonic()
      clock.nextEvent()
      const limit = DEFAULT_OUTBOUND_LIMITS.initialBackoffMs * 2 ** attempt
      const wait = clock.monotonic() - before
      assert.ok(wait >= limit / 2 && wait <= limit, `wait ${attempt} was ${wait} ms`)
    }
    await received(3)
    assert.deepEqual(packets, sent)
    assert.deepEqual(dropped, [])
    assert.ok(onlyAFirstMessage(peer.read[0]!) && onlyAFirstMessage(peer.read[1]!))
    connection.close()
    await peer.close()
  })

  it('gives up a handshake that is never finished, after 1.5 s', async () => {
    for (const answer of [new Uint8Array(0), encodeNoiseFrame('handshake', new Uint8Array(48)).subarray(0, 55)]) {
      const peer = await Peer.open((socket) => socket.write(answer))
      const { clock, connection, dropped } = waiting(peer)
      await until(() => peer.read[0]?.length === 56)
      clock.advance(1499)
      await until(() => peer.sockets[0]!.bytesWritten === answer.length)
      assert.ok(!connection.backingOff && !connection.connected)
      clock.advance(1)
      await until(() => connection.backingOff)
      assert.equal(connection.queued, 3)
      assert.deepEqual(dropped, [])
      connection.close()
      await peer.close()
    }
  })

  it('never sends plain text to a peer with a key, whatever it answers', async () => {
    const answers = [
      encodeFrame(new Uint8Array(386), 0),
      encodeNoiseFrame('handshake', new Uint8Array(48).fill(9)),
      encodeNoiseFrame('handshake', new Uint8Array(16)),
      encodeNoiseFrame('data', new Uint8Array(48)),
      Uint8Array.of(1, 2, 0, 0, 48, 0, 0, 0),
      Uint8Array.of(2, 1, 0, 0, 48, 0, 0, 0),
      Uint8Array.of(1, 1, 0, 0, 0, 0, 0, 0),
      Uint8Array.of(1, 1, 0, 0xff, 0xff, 0, 0, 0),
      ...LOW_ORDER_POINTS.map((point) => encodeNoiseFrame('handshake', concatBytes(point, new Uint8Array(16)))),
    ]
    const peer = await Peer.open((socket, _chunk, connection) => socket.write(answers[connection]!))
    const { clock, connection, dropped } = waiting(peer)
    for (let attempt = 0; attempt < answers.length; attempt++) {
      await until(() => connection.backingOff)
      assert.equal(connection.queued, 3, `answer ${attempt}`)
      assert.equal(peer.sockets.length, attempt + 1)
      assert.ok(onlyAFirstMessage(peer.read[attempt]!))
      if (attempt + 1 < answers.length) clock.nextEvent()
    }
    assert.deepEqual(dropped, [])
    connection.close()
    await peer.close()
  })

  it('says nothing to a peer whose key is a low-order point', async () => {
    const peer = await Peer.open(() => {})
    const { connection } = waiting(peer, LOW_ORDER_POINTS[0])
    await until(() => connection.backingOff && peer.sockets.length === 1)
    assert.equal(connection.queued, 3)
    assert.equal(peer.read[0]!.length, 0)
    connection.close()
    await peer.close()
  })

  it('takes no notice of what a peer says after the handshake', async () => {
    const { peer, packets, received } = await receiver('prefer')
    const { egress, send } = egressTo(peer)
    // Each round trip gives the bytes of the one before time to arrive.
    for (let round = 1; round <= 50; round++) {
      send(new Uint8Array(386).fill(round))
      await received(round)
      peer.sockets[0]!.write(random.bytes(1000))
    }
    assert.deepEqual(
      packets.map(([first]) => first),
      Array.from({ length: 50 }, (_, i) => i + 1),
    )
    assert.equal(peer.sockets.length, 1)
    egress.close()
    await peer.close()
  })

  it('asks for the key anew at each connection', async () => {
    const { peer, received } = await receiver('prefer')
    let view = new ListedPeers()
    const { egress, send } = egressTo(peer, {
      noiseKeyOf: (address) => view.noiseKeyOf(address),
      speaksNoise: (ip) => view.speaksNoise(ip),
    })
    send(new Uint8Array(386))
    await received(1)
    assert.equal(peer.read[0]![0], 8)
    view = peer.keyed
    peer.sockets[0]!.destroy()
    await until(() => {
      send(new Uint8Array(386))
      return peer.read.length === 2 && peer.read[1]!.length > 0
    })
    assert.equal(peer.read[1]![0], 1)
    egress.close()
    await peer.close()
  })
})
