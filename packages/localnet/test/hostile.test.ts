import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { SeededRandom } from '@mixwright/runtime'
import {
  buildPacket,
  type CryptoProvider,
  encodeNodeAddress,
  loadCryptoProvider,
  PACKET_SIZES,
} from '@mixwright/sphinx'
import {
  decodeBase58,
  encodeFrame,
  encodeSurbAck,
  fromJson,
  type SkimmedNode,
  skimmedNodesSchema,
} from '@mixwright/wire'
import { Network } from '../src/index.js'

/** Hostile traffic against a running network, with honest packets going through beside it. */

const HEADER_BYTES = 348
const LOOPBACK = '127.0.0.1'

describe('a network under hostile traffic', () => {
  const random = new SeededRandom('hostile')
  let net: Network
  let crypto: CryptoProvider
  let route: { address: Uint8Array; publicKey: Uint8Array; node: SkimmedNode }[]

  before(async () => {
    net = await Network.start()
    crypto = await loadCryptoProvider()
    const response = await fetch(`${net.nymApiUrl}/v2/unstable/nym-nodes/skimmed`)
    const { nodes } = fromJson(skimmedNodesSchema, await response.json())
    const layer = (node: SkimmedNode) => (typeof node.role === 'object' ? node.role.Mixnode.layer : 4)
    route = [1, 2, 3, 4].map((wanted) => {
      const node = nodes.data.find((candidate) => layer(candidate) === wanted)!
      const address = encodeNodeAddress({ family: 4, host: LOOPBACK, port: node.mix_port }, 32)
      return { address, publicKey: decodeBase58(node.x25519_sphinx_pubkey, 32)!, node }
    })
  })
  after(() => net.close())

  const handles = () => [0, 1, 2].map((i) => net.mix(i)).concat([0, 1].map((i) => net.gateway(i)))
  const handleOf = (node: SkimmedNode) =>
    handles().find(({ identityKey }) => identityKey === node.ed25519_identity_pubkey)!
  const dropped = (node: SkimmedNode, reason: string) =>
    handleOf(node).metrics.value('mixwright_dropped_packets_total', { reason })
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve))
  }

  /** A packet over the whole route to a client that nobody knows: it ends, counted, at the gateway. */
  function packet(hops = route): Uint8Array {
    const ack = encodeSurbAck({ firstHop: { family: 4, host: LOOPBACK, port: 9 }, packet: new Uint8Array(386) })
    return buildPacket(crypto, random, {
      route: hops,
      delaysNanos: hops.map(() => 1_000_000n),
      destination: new Uint8Array(32).fill(1),
      packetSize: PACKET_SIZES.regular,
      message: ack,
    })
  }

  async function dial(node: SkimmedNode): Promise<Socket> {
    const socket = connect({ host: LOOPBACK, port: node.mix_port })
    socket.on('error', () => {})
    socket.resume()
    await once(socket, 'connect')
    return socket
  }

  /** An honest packet goes the whole way. */
  async function stillWorks(): Promise<void> {
    const gateway = route[3]!.node
    const before = dropped(gateway, 'unregistered-client')
    const socket = await dial(route[0]!.node)
    socket.write(encodeFrame(packet(), 0))
    await until(() => dropped(gateway, 'unregistered-client') === before + 1)
    socket.destroy()
  }

  it('a flipped bit in every byte of the header is a counted drop, by reason, and nothing else', async () => {
    const { node } = route[0]!
    const before = dropped(node, 'header-mac')
    const good = packet()
    const socket = await dial(node)
    for (let at = 0; at < HEADER_BYTES; at++) {
      const changed = good.slice()
      changed[at]! ^= 1
      socket.write(encodeFrame(changed, 0, at % 2 === 0 ? 8 : 7))
    }
    await until(() => dropped(node, 'header-mac') === before + HEADER_BYTES)
    socket.destroy()
    await stillWorks()
  })

  it('all-zero and low-order public keys are a counted drop', async () => {
    const { node } = route[0]!
    const before = dropped(node, 'low-order-point')
    const lowOrder = [new Uint8Array(32), Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0))]
    const socket = await dial(node)
    for (const alpha of lowOrder) {
      const changed = packet()
      changed.set(alpha)
      socket.write(encodeFrame(changed, 0))
    }
    await until(() => dropped(node, 'low-order-point') === before + lowOrder.length)
    socket.destroy()
  })

  it('packets against the role of a node are a counted drop', async () => {
    const [mix, , , gateway] = route
    const final = dropped(mix!.node, 'final-hop-disabled')
    const toMix = await dial(mix!.node)
    toMix.write(encodeFrame(packet([mix!]), 0))
    await until(() => dropped(mix!.node, 'final-hop-disabled') === final + 1)
    const forward = dropped(gateway!.node, 'forward-hop-disabled')
    const toGateway = await dial(gateway!.node)
    toGateway.write(encodeFrame(packet([gateway!, mix!]), 0))
    await until(() => dropped(gateway!.node, 'forward-hop-disabled') === forward + 1)
    toMix.destroy()
    toGateway.destroy()
  })

  it('a changed payload travels on and is found out at the end', async () => {
    const gateway = route[3]!.node
    const before = dropped(gateway, 'payload')
    const changed = packet()
    changed[changed.length - 1]! ^= 1
    const socket = await dial(route[0]!.node)
    socket.write(encodeFrame(changed, 0))
    await until(() => dropped(gateway, 'payload') === before + 1)
    socket.destroy()
  })

  it('frames of unknown version, size or type, and noise, end their own connection', async () => {
    for (const bytes of [
      [6, 2, 0],
      [9, 2, 0],
      [8, 6, 0, 0],
      [8, 2, 2, 0],
      [8, 2, 0, 3],
      [7, 0, 0],
      [...random.bytes(4096)].fill(0, 0, 1),
    ]) {
      const socket = await dial(route[0]!.node)
      const ended = new Promise((resolve) => socket.once('close', resolve))
      socket.write(Uint8Array.from(bytes))
      await ended
    }
    await stillWorks()
  })

  it('an unfinished frame and 500 idle connections harm nobody', async () => {
    const { node } = route[0]!
    const slow = await dial(node)
    slow.write(Uint8Array.of(8, 3, 0, 0, 1))
    const idle = await Promise.all(Array.from({ length: 500 }, () => dial(node)))
    await stillWorks()
    for (const socket of [slow, ...idle]) socket.destroy()
  })

  it('packets for a next hop that is not there are kept within bounds', async () => {
    const { node } = route[0]!
    const nowhere = { ...route[1]!, address: encodeNodeAddress({ family: 4, host: LOOPBACK, port: 1 }, 32) }
    const socket = await dial(node)
    const before = dropped(node, 'egress-queue-full')
    for (let i = 0; i < 2100; i++) socket.write(encodeFrame(packet([route[0]!, nowhere]), 0))
    await until(() => dropped(node, 'egress-queue-full') === before + 100)
    socket.destroy()
    await stillWorks()
  })
})
