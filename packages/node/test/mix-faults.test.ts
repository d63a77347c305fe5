/** What hostile, broken and absent peers do to a mix node on real sockets, and that each packet and connection is accounted for. */
import assert from 'node:assert/strict'
import { getEventListeners, once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { concatBytes, MemoryMetrics, MixError, SystemRandom, VirtualClock } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { decodeBase58, encodeNoiseFrame } from '@mixwright/wire'
import { StaticSource } from '../src/index.js'
import { SPHINX_KEY_FILE } from '../src/keys/node-keys.js'
import { SphinxKeyFile } from '../src/keys/sphinx-key-file.js'
import { Egress } from '../src/mix/egress.js'
import { DEFAULT_OUTBOUND_LIMITS } from '../src/mix/outbound-connection.js'
import { NoiseInitiator } from '../src/noise/handshake.js'
import { NoiseStream } from '../src/noise/noise-stream.js'
import { crypto, Host, LOOPBACK, random, Sink, until } from './mix-fixture.js'
import { LOW_ORDER_POINTS, newKeyPair } from './noise-peers.js'
import { EPOCH_MS, FakeDirectory } from './rotation-fixture.js'

/** Two addresses of the loopback beside the honest one. */
const FLOODER = '127.0.0.2'
/** Frame of a first handshake message, of a third one. */
const FIRST_BYTES = 8 + 48
const THIRD_BYTES = 8 + 64
const SECOND_BYTES = 8 + 48

const corrupted = (host: Host, reason: string) =>
  host.metrics.value('mixwright_corrupted_connections_total', { reason })
const openLinks = (host: Host) => host.metrics.value('nym_node_network_active_ingress_mixnet_connections')

/** Bytes from the other side, `count` of them. */
async function read(socket: Socket, count: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for (let length = 0; length < count; ) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    chunks.push(chunk)
    length += chunk.length
  }
  return concatBytes(...chunks)
}

/** An initiator for this node, with what it says first. */
function initiator(host: Host): { stream: NoiseStream; first: Uint8Array } {
  const stream = new NoiseStream(new NoiseInitiator(crypto, random, newKeyPair(crypto, random), host.keys.noiseKey))
  const started = stream.start()
  assert.ok(started !== undefined && 'reply' in started)
  return { stream, first: started.reply }
}

/** Shake hands on `socket`; resolves with the stream and the third message, which is not yet sent. */
async function shakeHands(
  host: Host,
  socket: Socket,
): Promise<{ stream: NoiseStream; first: Uint8Array; third: Uint8Array }> {
  const { stream, first } = initiator(host)
  const answer = read(socket, SECOND_BYTES)
  socket.write(first)
  const outcome = stream.push(await answer, () => {})
  assert.ok(outcome !== undefined && 'reply' in outcome)
  return { stream, first, third: outcome.reply }
}

/** Whether an honest peer is served, with Noise. */
async function serves(host: Host): Promise<void> {
  await using sink = await Sink.open()
  const socket = await host.connection()
  const { stream, third } = await shakeHands(host, socket)
  socket.write(concatBytes(third, stream.seal([host.frame(sink.port)])))
  await sink.received(1)
  socket.destroy()
}

describe('Noise handshakes with a node', () => {
  it('cut off at every byte leave nothing behind', async () => {
    await using host = await Host.start()
    for (let length = 0; length <= FIRST_BYTES; length++) {
      const socket = await host.connection()
      socket.end(initiator(host).first.subarray(0, length))
      await once(socket, 'close')
    }
    for (let length = 0; length <= THIRD_BYTES; length++) {
      const socket = await host.connection()
      const { third } = await shakeHands(host, socket)
      if (length % 2 === 0) socket.end(third.subarray(0, length))
      else {
        socket.write(third.subarray(0, length))
        socket.resetAndDestroy()
      }
      await once(socket, 'close')
    }
    await until(() => openLinks(host) === 0)
    assert.equal(host.metrics.value('mixwright_corrupted_connections_total'), 0)
    await serves(host)
  })

  it('never finished are ended after 1.5 s, counted; who has spoken plain stays', async () => {
    const clock = new VirtualClock()
    await using host = await Host.start({ clock })
    const beginnings = [0, 1, 7, 8, 9, FIRST_BYTES - 1, FIRST_BYTES]
    const sockets: Socket[] = []
    for (let i = 0; i < 140; i++) {
      const socket = await host.connection()
      socket.write(initiator(host).first.subarray(0, beginnings[i % beginnings.length]))
      sockets.push(socket)
    }
    const plain = await host.connection()
    plain.write(Uint8Array.of(8))
    // Every node has read what there is: the answers to whole first messages are here.
    const answered = sockets.filter((_, i) => beginnings[i % beginnings.length] === FIRST_BYTES)
    await until(() => openLinks(host) === 141 && answered.every(({ bytesRead }) => bytesRead === SECOND_BYTES))
    clock.advance(1_499)
    assert.equal(corrupted(host, 'noise-timeout'), 0)
    const ends = sockets.map((socket) => once(socket, 'close'))
    clock.advance(1)
    await Promise.all(ends)
    assert.equal(corrupted(host, 'noise-timeout'), 140)
    await until(() => openLinks(host) === 1)
    plain.destroy()
  })

  it('replayed, whole or in parts, say nothing new and deliver nothing', async () => {
    await using host = await Host.start()
    await using sink = await Sink.open()
    const honest = await host.connection()
    const { stream, first, third } = await shakeHands(host, honest)
    const data = stream.seal([host.frame(sink.port)])
    honest.write(concatBytes(third, data))
    await sink.received(1)
    const said = concatBytes(first, third, data)
    for (let run = 1; run <= 20; run++) {
      const socket = await host.connection()
      const ended = once(socket, 'close')
      if (run % 2 === 0) socket.write(said)
      else {
        const answer = read(socket, SECOND_BYTES)
        socket.write(first)
        await answer
        socket.write(concatBytes(third, data))
      }
      await ended
      assert.equal(corrupted(host, 'noise-handshake'), run)
    }
    assert.equal(sink.frames.length, 1)
    assert.equal(host.dropped('replayed'), 0)
    // The connection that was listened to is as it was.
    honest.write(stream.seal([host.frame(sink.port)]))
    await sink.received(2)
    honest.destroy()
  })

  it('with low-order keys, illegal lengths or types end at once, each counted', async () => {
    await using host = await Host.start()
    const header = (type: number, length: number) => Uint8Array.of(1, 1, type, length >> 8, length & 255, 0, 0, 0)
    const cases: [string, Uint8Array][] = [
      ...LOW_ORDER_POINTS.map((point): [string, Uint8Array] => [
        'noise-low-order',
        encodeNoiseFrame('handshake', concatBytes(point, new Uint8Array(16))),
      ]),
      ...[0, 1, 15, 1025, 65_535].map((length): [string, Uint8Array] => ['noise-length', header(0, length)]),
      ...[16, 47].map((length): [string, Uint8Array] => [
        'noise-handshake',
        concatBytes(header(0, length), new Uint8Array(length)),
      ]),
      ['noise-type', header(1, 48)],
      ['noise-type', header(2, 48)],
      ['noise-pattern', Uint8Array.of(1, 2, 0, 0, 48, 0, 0, 0)],
    ]
    const counts = new Map<string, number>()
    for (const [reason, bytes] of cases) {
      const socket = await host.connection()
      const ended = once(socket, 'close')
      socket.write(bytes)
      await ended
      assert.equal(socket.bytesRead, 0)
      counts.set(reason, (counts.get(reason) ?? 0) + 1)
      assert.equal(corrupted(host, reason), counts.get(reason))
    }
    // After the handshake, too.
    for (const bytes of [header(0, 48), header(1, 15), concatBytes(header(1, 65_535), new Uint8Array(65_535))]) {
      const socket = await host.connection()
      const { third } = await shakeHands(host, socket)
      const ended = once(socket, 'close')
      socket.write(concatBytes(third, bytes))
      await ended
    }
    assert.equal(corrupted(host, 'noise-decrypt'), 1)
    assert.equal(corrupted(host, 'noise-length'), counts.get('noise-length')! + 1)
    assert.equal(corrupted(host, 'noise-type'), counts.get('noise-type')! + 1)
    await serves(host)
  })
})

describe('packets sent again', () => {
  it('do not pass after a swap, nor after a restart in the overlap; later their key is gone', async () => {
    // Two clocks, so that the node asks until it knows, and the epoch waits for it meanwhile.
    const clock = new VirtualClock()
    const network = new FakeDirectory(new VirtualClock())
    network.clock.advance(2.5 * EPOCH_MS)
    const host = await Host.start({ clock, network })
    await using sink = await Sink.open()
    /** Primary, then secondary. */
    const rotations = () => {
      const { primary, secondary } = new SphinxKeyFile(join(host.stateDirectory, SPHINX_KEY_FILE), crypto).read()!
      return [primary.rotationId, secondary?.rotationId]
    }
    const nextEpoch = async (...expected: number[]) => {
      network.clock.advance(EPOCH_MS)
      while (rotations().join() !== [...expected, undefined].slice(0, 2).join()) {
        clock.advance(500)
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const send = async (...frames: Uint8Array[]) => {
      const socket = await host.connection()
      socket.write(concatBytes(...frames))
      return socket
    }
    assert.deepEqual(rotations(), [0, undefined])
    const early = Array.from({ length: 5 }, () => host.frame(sink.port, 0, LOOPBACK, 0))
    let socket = await send(...early)
    await sink.received(5)

    await nextEpoch(0, 1)
    const { pre_announced_x25519_sphinx_key: next } = host.node.description.hostInformation.data.keys
    const key = decodeBase58(next!.public_key, 32)!
    const announced = Array.from({ length: 5 }, () => host.frame(sink.port, 0, LOOPBACK, 1, key))
    socket.destroy()
    socket = await send(...announced, ...early)
    await sink.received(10)
    await host.untilDropped('replayed', 5)

    await nextEpoch(1, 0)
    socket.destroy()
    socket = await send(...early, ...announced)
    await host.untilDropped('replayed', 15)

    await host.node.stop()
    await host.start({ clock, network })
    socket.destroy()
    socket = await send(...early, ...announced)
    await host.untilDropped('replayed', 25)

    await nextEpoch(1)
    socket.destroy()
    socket = await send(...early, ...announced)
    await host.untilDropped('replayed', 30)
    await host.untilDropped('header-mac', 5)
    assert.equal(sink.frames.length, 10)
    socket.destroy()
    await host.node.stop()
  })
})

describe('a flood', () => {
  for (const workers of [0, 2]) {
    it(`of one address waits behind itself: another one's frames are served in turn, with ${workers} workers`, async (t) => {
      await using host = await Host.start({ workers })
      await using sink = await Sink.open()
      // The same packet again and again: it costs as much as another, and is counted.
      const flood = new Uint8Array(concatBytes(...Array.from({ length: 200 }, () => host.frame(sink.port))))
      const flooders = await Promise.all(Array.from({ length: 20 }, () => host.connection(FLOODER)))
      let flooding = true
      for (const socket of flooders) {
        const more = () => {
          while (flooding && socket.write(flood));
        }
        socket.on('drain', more)
        more()
      }
      const waiting = () => host.metrics.value('mixwright_ingress_queued_packets')
      // From here on every packet of the flood has been there before, and only others reach the sink.
      await sink.received(200)
      const honest = await host.connection()
      let most = 0
      for (let sent = 1; sent <= 50; sent++) {
        await until(() => waiting() > 1_500)
        const before = host.dropped('replayed')
        honest.write(host.frame(sink.port))
        await sink.received(200 + sent)
        most = Math.max(most, host.dropped('replayed') - before)
      }
      flooding = false
      t.diagnostic(`${most} packets of the flood served at most before another's, ${host.dropped('replayed')} in all`)
      // In one queue for all, 1 500 would be. How long a worker holds a batch is up to the machine.
      if (workers === 0) assert.ok(most < 300)
      for (const socket of [...flooders, honest]) socket.destroy()
    })
  }

  it('10 000 connections from one address: 256 may stay, the rest are counted, another address is served', async () => {
    await using host = await Host.start()
    const refused = () => host.metrics.value('mixwright_refused_connections_total', { reason: 'address' })
    for (let wave = 1; wave <= 10; wave++) {
      const sockets = Array.from({ length: 1000 }, () => {
        const socket = connect({ host: LOOPBACK, port: host.node.mixPort, localAddress: FLOODER })
        socket.on('error', () => {}).resume()
        return socket
      })
      await until(() => refused() === wave * 744 && openLinks(host) === 256)
      await serves(host)
      for (const socket of sockets) socket.destroy()
      await until(() => openLinks(host) === 0)
    }
    assert.equal(refused(), 7_440)
  })
})

describe('a next hop', () => {
  const frame = (fill: number) => ({ rotation: 0 as const, packet: new Uint8Array(386).fill(fill) })

  function egressOf(options: { maximumPeers?: number } = {}) {
    const clock = new VirtualClock()
    const metrics = new MemoryMetrics()
    const egress = new Egress({ clock, random: new SystemRandom(), metrics, ...options })
    const dropped = (reason: string) => metrics.value('mixwright_dropped_packets_total', { reason })
    return { clock, metrics, egress, dropped }
  }

  /** A port of the loopback where nobody listens. */
  async function deadPort(): Promise<number> {
    const server = createServer()
    const port = await listenOn(server, { host: LOOPBACK, port: 0 })
    await new Promise((resolve) => server.close(resolve))
    return port
  }

  it('that is never there costs its packets, counted, and no place among the others for longer', async () => {
    const { clock, egress, dropped } = egressOf({ maximumPeers: 2 })
    const hop = async () => ({ family: 4, host: LOOPBACK, port: await deadPort() }) as const
    for (const nextHop of [await hop(), await hop()])
      for (let i = 0; i < 3; i++) egress.send({ nextHop, ...frame(i) }, 0)
    await using sink = await Sink.open()
    const alive = { family: 4, host: LOOPBACK, port: sink.port } as const
    egress.send({ nextHop: alive, ...frame(9) }, 0)
    assert.equal(dropped('egress-too-many-peers'), 1)
    assert.equal(egress.waiting, 6)
    while (egress.waiting > 0) {
      clock.advance(100)
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(dropped('egress-late'), 6)
    assert.ok(clock.monotonic() <= DEFAULT_OUTBOUND_LIMITS.maximumWaitMs + DEFAULT_OUTBOUND_LIMITS.maximumBackoffMs)
    egress.send({ nextHop: alive, ...frame(9) }, 0)
    await sink.received(1)
    egress.close()
  })

  it('that accepts and never reads: what waits for it ends as late without new packets, and the link in the end', async () => {
    const server = createServer((socket) => socket.pause())
    const port = await listenOn(server, { host: LOOPBACK, port: 0 })
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const { clock, metrics, egress, dropped } = egressOf()
    const nextHop = { family: 4, host: LOOPBACK, port } as const
    const open = () => metrics.value('nym_node_network_active_egress_mixnet_connections')
    const queued = () => metrics.value('nym_node_process_forward_hop_packets_pending_delivery')
    let created = 0
    const send = () => {
      egress.send({ nextHop, rotation: 0, packet: new Uint8Array(33_133) }, 0)
      created++
    }
    send()
    const [socket] = await accepted
    socket.on('error', () => {})
    await until(() => open() === 1)
    // The system's buffers take some megabytes first.
    await until(() => {
      for (let i = 0; i < 20; i++) send()
      return queued() > 500
    })
    for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve))
    const left = queued()
    assert.ok(left > 0)
    clock.advance(2 * DEFAULT_OUTBOUND_LIMITS.maximumWaitMs)
    assert.equal(queued(), 0)
    assert.equal(dropped('egress-late'), left)
    clock.advance(DEFAULT_OUTBOUND_LIMITS.idleMs)
    await until(() => egress.waiting === 0)
    assert.equal(open(), 0)
    const sent = metrics.value('nym_node_mixnet_egress_forward_packets_sent')
    const reasons = ['egress-late', 'egress-connection-lost', 'egress-queue-full']
    assert.equal(
      reasons.reduce((sum, reason) => sum + dropped(reason), sent),
      created,
    )
    socket.destroy()
    egress.close()
    server.close()
  })

  it('gets nothing more after a stop: what comes late is counted', () => {
    const { egress, dropped } = egressOf()
    egress.close()
    egress.send({ nextHop: { family: 4, host: LOOPBACK, port: 1 }, ...frame(1) }, 0)
    assert.equal(dropped('shutdown'), 1)
    assert.equal(egress.waiting, 0)
  })
})

describe('starting and stopping', () => {
  const away = () => Promise.reject(new MixError('MIX_DIRECTORY_UNREACHABLE', 'away', { kind: 'network' }))

  it('waiting for a directory for a day holds one listener, and ends with the signal', async () => {
    const clock = new VirtualClock()
    const controller = new AbortController()
    let asked = 0
    const network = new StaticSource([])
    network.keyRotation = () => {
      asked++
      return away()
    }
    const starting = Host.start({ clock, network, signal: controller.signal })
    for (let retries = 0; retries < 500; retries++) {
      await until(() => asked === retries + 1 && clock.pending > 0)
      clock.advance(250)
    }
    await until(() => clock.pending > 0)
    assert.ok(getEventListeners(controller.signal, 'abort').length <= 1)
    controller.abort(new Error('enough'))
    await assert.rejects(starting, { message: 'enough' })
    assert.equal(clock.pending, 0)
  })

  it('a start that fails at its last part leaves no port, file or timer behind', async () => {
    const taken = createServer()
    const port = await listenOn(taken, { host: LOOPBACK, port: 0 })
    const clock = new VirtualClock()
    const first = await Host.start()
    const { mixPort } = first.node
    await first.node.stop()
    const mixListen = { host: LOOPBACK, port: mixPort }
    const options = { clock, mixListen, workers: 1 }
    await assert.rejects(first.start({ ...options, httpListen: { host: LOOPBACK, port } }), { code: 'MIX_PORT_IN_USE' })
    assert.equal(clock.pending, 0)
    await first.start(options)
    await first.node.stop()
    taken.close()
  })

  it('a directory that never answers holds up no stop', async () => {
    const clock = new VirtualClock()
    const network = new FakeDirectory(clock)
    const host = await Host.start({ clock, network })
    network.silent = true
    const { asked } = network
    while (network.asked === asked) clock.advance(EPOCH_MS)
    await host.node.stop()
    await host.node.stop()
  })
})
