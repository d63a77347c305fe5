/** A day of a small network in virtual time: keys rotate every hour, something goes wrong in every hour, and nothing is lost. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { PROFILES } from '@mixwright/client'
import { VirtualNetwork } from '../src/virtual/index.js'
import { assertDelivered, beginConversation, counted, onNetwork, quieten, rotations } from './virtual-conversation.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const HOURS = 24

/** One of these in each hour. */
const FAULTS: readonly ((network: VirtualNetwork) => Promise<void>)[] = [
  async (network) => {
    for (const path of network.faults.links()) path.resetProbability = 0.05
    await network.advance(10 * MINUTE)
    for (const path of network.faults.links()) path.resetProbability = 0
  },
  async (network) => {
    network.faults.pause('mix1')
    await network.advance(MINUTE)
    network.faults.resume('mix1')
  },
  async (network) => {
    await network.faults.kill('mix2')
    await network.advance(MINUTE)
    await network.faults.restart('mix2')
  },
  async (network) => {
    await network.faults.kill('gateway1')
    await network.advance(MINUTE)
    await network.faults.restart('gateway1')
  },
  async (network) => {
    network.directory.away = true
    await network.advance(10 * MINUTE)
    network.directory.away = false
  },
  async (network) => {
    const heal = network.faults.partition('gateway2', 'mix3')
    await network.advance(40_000)
    heal()
  },
]

it('a day with hourly rotations loses nothing', (t) => {
  const profile = { ...PROFILES['no-cover'], name: 'soak', averageLoopCoverDelayMs: 5 * MINUTE }
  const clients = ['ann', 'ben', 'cat']
  const options = { seed: 'a day', mixes: 6, gateways: 2, clients, profile, epochMs: HOUR / 4, validityEpochs: 4 }
  return onNetwork(VirtualNetwork.start, options, async (network) => {
    const [before] = rotations(network)
    const start = network.world.clock.monotonic()
    beginConversation(network, HOURS * HOUR, 2 * MINUTE)
    for (let hour = 0; hour < HOURS; hour++) {
      await network.advance(start + (hour + 0.4) * HOUR - network.world.clock.monotonic())
      await FAULTS[hour % FAULTS.length]!(network)
      network.conservation(3)
    }
    await network.advance(start + HOURS * HOUR - network.world.clock.monotonic())
    const balance = await quieten(network)
    const { nodes, ...sums } = balance
    t.diagnostic(`${network.letters.length} messages; ${JSON.stringify(sums)}`)
    assertDelivered(network, balance)
    assert.equal(balance.pushesLost, 0)
    assert.ok(network.letters.length > 1500)
    assert.deepEqual(
      rotations(network).map((rotation) => rotation - before!),
      nodes.map(() => HOURS),
    )
    assert.ok(counted(network, 'mixwright_key_rotation_steps_total', { step: 'swap' }) >= HOURS * nodes.length)
  })
})
