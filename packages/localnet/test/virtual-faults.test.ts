/**
 * Faults of links and nodes, one at a time, while keys rotate every four minutes: what goes wrong, which counters must move,
 * and that afterwards every message was acknowledged and arrived exactly once, and every packet is accounted for.
 */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { type Conservation, VirtualNetwork } from '../src/virtual/index.js'
import {
  assertDelivered,
  beginConversation,
  converse,
  counted,
  FAST_ROTATION,
  onNetwork,
  quieten,
  rotations,
} from './virtual-conversation.js'

const MINUTE = 60_000

interface Scenario {
  readonly mixes?: number
  /** What goes wrong, and is mended again. */
  disturb(network: VirtualNetwork): Promise<void>
  /** Which counters must have moved, and which must not. */
  check(balance: Conservation, network: VirtualNetwork): void
}

/** A minute without fault, the fault, and three minutes in which the last traces of it end. */
async function play(t: TestContext, { mixes = 6, disturb, check }: Scenario): Promise<void> {
  const options = { seed: t.name, mixes, gateways: 2, clients: ['ann', 'ben', 'cat'], ...FAST_ROTATION }
  await onNetwork(VirtualNetwork.start, options, async (network) => {
    const [before] = rotations(network)
    await converse(network, MINUTE, 2000)
    await disturb(network)
    await converse(network, 3 * MINUTE, 4000)
    const balance = await quieten(network)
    const { nodes, ...sums } = balance
    t.diagnostic(`${network.letters.length} messages; ${JSON.stringify(sums)}; ${retransmissions(network)} sent again`)
    assertDelivered(network, balance)
    assert.ok(
      rotations(network).every((rotation) => rotation > before!),
      'a node has not rotated its key',
    )
    check(balance, network)
  })
}

function retransmissions(network: VirtualNetwork): number {
  return network.clients.reduce((sum, { client }) => sum + client.status().counters.retransmissions, 0)
}

describe('faults of links', () => {
  it('5 % of all writes between nodes reset their connection: packets are lost in links, and sent again', (t) =>
    play(t, {
      async disturb(network) {
        for (const path of network.faults.links()) path.resetProbability = 0.05
        await converse(network, 5 * MINUTE, 2000)
        for (const path of network.faults.links()) path.resetProbability = 0
      },
      check(balance, network) {
        assert.ok(balance.lostInLinks > 50)
        assert.ok(retransmissions(network) > 25)
        assert.deepEqual(balance.dropped, {})
      },
    }))

  it('a link takes two seconds and more and carries 5 kB/s: nothing is lost, much is sent again for want of acks', (t) =>
    play(t, {
      async disturb(network) {
        const slow = ['mix1', 'mix2', 'mix3'].map((mix) => network.faults.link('gateway1', mix))
        for (const path of slow) Object.assign(path, { latencyMs: 2000, jitterMs: 1000, bytesPerSecond: 5000 })
        await converse(network, 5 * MINUTE, 4000)
        for (const path of slow)
          Object.assign(path, { latencyMs: 5, jitterMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY })
      },
      check(balance, network) {
        assert.ok(retransmissions(network) > 0)
        assert.equal(balance.lostInLinks, 0)
      },
    }))

  // For longer, and the directory no longer lists it: then messages for its clients fail, as they should.
  it('a gateway is cut off from everybody for fifty seconds: what was under way waits for the healing', (t) =>
    play(t, {
      async disturb(network) {
        const heal = network.faults.partition('gateway1')
        await converse(network, 50_000, 4000)
        heal()
      },
      check(_balance, network) {
        assert.ok(retransmissions(network) > 0)
        assert.ok(network.client('ann').client.status().gateway.losses > 0)
      },
    }))

  it('the connection of a client to its gateway breaks again and again: only what was pushed into it may be lost', (t) =>
    play(t, {
      async disturb(network) {
        const path = network.faults.link('ann', 'gateway1')
        path.resetProbability = 0.02
        await converse(network, 5 * MINUTE, 2000)
        path.resetProbability = 0
      },
      check(balance, network) {
        assert.ok(network.client('ann').client.status().gateway.losses > 3)
        assert.ok(balance.pushesLost > 0)
      },
    }))
})

describe('faults of nodes', () => {
  it('a mix stands still for longer than its key lives: what waited for it is too late, and sent again', (t) =>
    play(t, {
      async disturb(network) {
        network.faults.pause('mix1')
        await converse(network, 9 * MINUTE, 4000)
        network.faults.resume('mix1')
      },
      check(_balance, network) {
        assert.ok(retransmissions(network) > 0)
      },
    }))

  it('a mix is killed with packets in its memory, and comes back a minute later: those are lost, others wait for it', (t) =>
    play(t, {
      async disturb(network) {
        beginConversation(network, MINUTE, 1000)
        const { metrics } = network.node('mix1')
        await network.until(() => metrics.value('nym_node_process_forward_hop_packets_being_delayed') > 0)
        await network.faults.kill('mix1')
        await network.advance(MINUTE)
        await network.faults.restart('mix1')
      },
      check(balance, network) {
        assert.ok(balance.lostWithProcesses > 0)
        assert.ok(retransmissions(network) > 0)
      },
    }))

  it('a gateway is killed, and comes back a minute later with its mailboxes: its clients find it again', (t) =>
    play(t, {
      async disturb(network) {
        await network.faults.kill('gateway1')
        await converse(network, MINUTE, 4000)
        await network.faults.restart('gateway1')
      },
      check(_balance, network) {
        assert.ok(network.client('ann').client.status().gateway.losses > 0)
      },
    }))

  it('the clocks of two mixes are an hour wrong: nobody notices', (t) =>
    play(t, {
      async disturb(network) {
        network.faults.skewClock('mix1', 60 * MINUTE)
        network.faults.skewClock('mix2', -60 * MINUTE)
        await converse(network, 9 * MINUTE, 4000)
      },
      check(balance) {
        assert.deepEqual(balance.dropped, {})
      },
    }))

  for (const name of ['ann', 'gateway1'])
    it(`the clock of ${name} is an hour wrong: connections live on, new ones are refused until it is set right`, (t) =>
      play(t, {
        async disturb(network) {
          network.faults.skewClock(name, 60 * MINUTE)
          await converse(network, 9 * MINUTE, 4000)
          assert.equal(counted(network, 'mixwright_gateway_authentications_total', { result: 'refused' }), 0)
          network.faults.link('ann', 'gateway1').reset()
          await converse(network, MINUTE, 4000)
          network.faults.skewClock(name, 0)
        },
        check(balance, network) {
          assert.ok(counted(network, 'mixwright_gateway_authentications_total', { result: 'refused' }) > 0)
          assert.deepEqual(balance.dropped, {})
        },
      }))

  it('the disk of a gateway is full while a client is away: its messages are dropped, counted, and sent again', (t) =>
    play(t, {
      async disturb(network) {
        await network.faults.kill('ann')
        network.faults.fullDisk('gateway1')
        await converse(network, MINUTE, 4000)
        network.faults.fullDisk('gateway1', false)
        await network.faults.restart('ann')
      },
      check(balance) {
        assert.ok((balance.dropped['mailbox-error'] ?? 0) > 5)
      },
    }))

  it('a mix accepts and never reads for three minutes', (t) =>
    play(t, {
      async disturb(network) {
        network.faults.deafen('mix1')
        await converse(network, 3 * MINUTE, 2000)
        network.faults.deafen('mix1', false)
      },
      check(_balance, network) {
        assert.ok(retransmissions(network) > 0)
      },
    }))

  it('the directory is away while keys rotate: nodes rotate by the clock, clients wait for it', (t) =>
    play(t, {
      async disturb(network) {
        network.directory.away = true
        await converse(network, 5 * MINUTE, 4000)
        network.directory.away = false
      },
      check(_balance, network) {
        assert.ok(counted(network, 'mixwright_key_rotation_steps_total', { step: 'swap' }) > 0)
      },
    }))
})
