/** A virtual network carries messages between real clients, rotates its keys, and replays exactly from its seed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { VirtualNetwork, type VirtualNetworkOptions } from '../src/virtual/index.js'
import {
  assertDelivered,
  converse,
  counted,
  FAST_ROTATION,
  onNetwork,
  quieten,
  rotations,
} from './virtual-conversation.js'

const onVirtual = (options: VirtualNetworkOptions, scenario: (network: VirtualNetwork) => Promise<void>) =>
  onNetwork(VirtualNetwork.start, options, scenario)

describe('a virtual network', () => {
  for (const noise of ['prefer', 'off'] as const) {
    it(`delivers, acknowledges and conserves every packet, Noise: ${noise}`, () =>
      onVirtual({ seed: 'first', noise, mixes: 4, gateways: 2, clients: ['ann', 'ben', 'cat'] }, async (network) => {
        await converse(network, 20_000, 500)
        // In the midst of it: everything is somewhere.
        const midst = network.conservation(3)
        assert.ok(midst.created > 100)
        const balance = await quieten(network)
        assertDelivered(network, balance)
        assert.deepEqual(balance.dropped, {})
        assert.equal(balance.lostInLinks, 0)
        assert.equal(balance.created, balance.delivered)
      }))
  }

  it('notices a packet that is counted twice, and one that is not counted', () =>
    onVirtual({ seed: 'books', clients: ['ann', 'ben'] }, async (network) => {
      await converse(network, 5000, 500)
      await quieten(network)
      const { metrics } = network.node('mix1')
      metrics.counter('mixwright_dropped_packets_total', '', { reason: 'replayed' }).increment()
      assert.throws(() => network.conservation(), { code: 'MIX_NOT_CONSERVED' })
      metrics.counter('mixwright_dropped_packets_total', '', { reason: 'replayed' }).increment(-2)
      assert.throws(() => network.conservation(), { code: 'MIX_NOT_CONSERVED' })
      metrics.counter('mixwright_dropped_packets_total', '', { reason: 'replayed' }).increment()
      network.conservation()
    }))

  it('rotates its Sphinx keys under way and loses nothing', () =>
    onVirtual({ seed: 'rotation', clients: ['ann', 'ben'], ...FAST_ROTATION }, async (network) => {
      const [before] = rotations(network)
      await converse(network, 20 * 60_000, 5_000)
      const balance = await quieten(network)
      assertDelivered(network, balance)
      assert.ok(rotations(network).every((rotation) => rotation >= before! + 5))
      assert.deepEqual(balance.dropped, {})
      assert.ok(counted(network, 'mixwright_key_rotation_steps_total', { step: 'swap' }) >= 5 * network.nodes.length)
    }))

  it('replays exactly from its seed, faults included, and differs with another', async () => {
    const run = async (seed: string): Promise<string> => {
      const network = await VirtualNetwork.start({ seed, clients: ['ann', 'ben'], ...FAST_ROTATION })
      try {
        for (const path of network.faults.links()) Object.assign(path, { jitterMs: 20, resetProbability: 0.05 })
        await converse(network, 60_000, 1000)
        await network.faults.kill('mix2')
        await converse(network, 10_000, 1000)
        await network.faults.restart('mix2')
        await converse(network, 60_000, 1000)
        const received = network.clients.map((client) => client.received.map((message) => message.text()))
        return JSON.stringify([network.conservation(3), received, network.world.clock.monotonic()])
      } finally {
        network.close()
      }
    }
    const first = await run('a seed')
    assert.equal(await run('a seed'), first)
    assert.notEqual(await run('another seed'), first)
  })
})
