/** Clients of a virtual network that write to each other, and what must hold afterwards. */
import assert from 'node:assert/strict'
import { uniform } from '@mixwright/runtime'
import type { Conservation, VirtualNetwork, VirtualNetworkOptions } from '../src/virtual/index.js'

/** Keys rotate every four minutes; who runs a minute behind the others is a quarter of a rotation late. */
export const FAST_ROTATION = { epochMs: 60_000, validityEpochs: 4, clientRefreshMs: 20_000 } as const

/** How letters end well. */
const ENDS = ['acknowledged', 'orphaned']

/** A network for `scenario`, closed after it. */
export async function onNetwork(
  open: (options: VirtualNetworkOptions) => Promise<VirtualNetwork>,
  options: VirtualNetworkOptions,
  scenario: (network: VirtualNetwork) => Promise<void>,
): Promise<void> {
  const network = await open(options)
  try {
    await scenario(network)
  } finally {
    network.close()
  }
}

/** From now on and for so long, each client that runs writes to a random other one, on average once in `everyMs`. */
export function beginConversation(network: VirtualNetwork, ms: number, everyMs: number): void {
  const { clock } = network.world
  const random = network.world.random.fork(`conversation at ${clock.monotonic()}`)
  const end = clock.monotonic() + ms
  for (const from of network.clients) {
    const others = network.clients.filter((one) => one !== from)
    const write = () => {
      if (clock.monotonic() >= end) return
      const to = others[Math.floor(uniform(random) * others.length)]!
      const text = `${from.name} to ${to.name}, number ${from.letters.length}`
      // A letter of several packets now and then.
      if (from.isRunning) from.send(to, uniform(random) < 0.1 ? text.padEnd(5000, '.') : text)
      clock.setTimer(2 * everyMs * uniform(random), write)
    }
    clock.setTimer(everyMs * uniform(random), write)
  }
}

/** Such a conversation, to its end. */
export async function converse(network: VirtualNetwork, ms: number, everyMs: number): Promise<void> {
  beginConversation(network, ms, everyMs)
  await network.advance(ms)
}

/** Wait until every letter has its outcome and nothing is under way. */
export async function quieten(network: VirtualNetwork, limitMs = 3_600_000): Promise<Conservation> {
  await network.until(() => network.letters.every(({ outcome }) => outcome !== 'pending'), limitMs)
  // Retransmissions whose originals arrived, acks of both, and what waits behind a back-off.
  await network.advance(120_000)
  const balance = network.conservation()
  assert.equal(balance.inFlight, 0, 'something is still under way')
  return balance
}

/** Every letter was acknowledged and arrived exactly once, but for those that a breaking connection to a client ate. */
export function assertDelivered(network: VirtualNetwork, balance: Conservation): void {
  assert.ok(network.letters.length > 0)
  const wrong = network.letters.filter((letter) => !ENDS.includes(letter.outcome) || network.arrivals(letter) > 1)
  assert.deepEqual(wrong, [])
  const missing = network.letters.filter((letter) => network.arrivals(letter) === 0)
  assert.ok(
    missing.length <= balance.pushesLost,
    `${missing.length} are missing, ${balance.pushesLost} pushes were lost`,
  )
}

/** The sum of a counter over all nodes, or those of one role. */
export function counted(network: VirtualNetwork, name: string, labels?: Readonly<Record<string, string>>): number {
  return network.nodes.reduce((sum, { metrics }) => sum + metrics.value(name, labels), 0)
}

/** Rotation of the primary Sphinx key of each node that runs. */
export function rotations(network: VirtualNetwork): number[] {
  return network.nodes.map(({ metrics }) => metrics.value('mixwright_sphinx_key_rotation'))
}
