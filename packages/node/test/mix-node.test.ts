/** Whole mix nodes over real sockets: replay, routing filter, Noise, workers, overload and draining. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { listenOn } from '@mixwright/runtime/node'
import { buildPacket, encodeNodeAddress, PACKET_SIZES } from '@mixwright/sphinx'
import { encodeFrame } from '@mixwright/wire'
import type { ListedPeer } from '../src/index.js'
import { crypto, Host, LOOPBACK, random, Sink } from './mix-fixture.js'

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
