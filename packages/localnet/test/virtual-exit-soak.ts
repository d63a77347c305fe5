/**
 * Hours of mixed traffic through exits and to an echo service on a virtual network, while something goes wrong beneath every twenty
 * minutes. In the end every request has ended, and nothing is left of any.
 */
import assert from 'node:assert/strict'
import type { Client } from '@mixwright/client'
import { silentLogger } from '@mixwright/runtime'
import { startEcho } from '@mixwright/services'
import type { VirtualNetwork } from '../src/virtual/index.js'
import { CountingClock } from './counting-clock.js'
import { MixedTraffic } from './mixed-traffic.js'
import { PORTS, SITE } from './virtual-destinations.js'
import { onVirtualExits } from './virtual-exit.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** The pool of a tag has a thousand reply blocks; each of the network's two keys may have its own. */
const MOST_REPLY_BLOCKS = 2000

export interface VirtualExitSoakOptions {
  readonly seed: string
  readonly hours: number
  /** Between two requests of an app, mean. */
  readonly everyMs: number
}

/** `app1` and the echo service are clients of the first gateway, `app2` and the exit of the second. */
const CLIENTS = ['app1', 'app2', 'echo', 'exit']

/** One of these every twenty minutes. */
const FAULTS: readonly ((network: VirtualNetwork) => Promise<void>)[] = [
  async (network) => {
    for (const path of network.faults.links()) path.resetProbability = 0.05
    await network.advance(5 * MINUTE)
    for (const path of network.faults.links()) path.resetProbability = 0
  },
  async (network) => {
    await network.faults.kill('mix2')
    await network.advance(MINUTE)
    await network.faults.restart('mix2')
  },
  async (network) => {
    await network.faults.kill('gateway2')
    await network.advance(MINUTE)
    await network.faults.restart('gateway2')
  },
  async (network) => {
    network.faults.pause('exit')
    await network.advance(20_000)
    network.faults.resume('exit')
  },
  async (network) => {
    network.faults.link('app1', 'gateway1').reset()
    network.faults.link('exit', 'gateway2').reset()
  },
  async (network) => {
    network.directory.away = true
    await network.advance(5 * MINUTE)
    network.directory.away = false
  },
]

/** Play it; `say` gets the figures. */
export async function soakVirtualExit(
  { seed, hours, everyMs }: VirtualExitSoakOptions,
  say: (line: string) => void,
): Promise<void> {
  // Keys rotate every hour.
  const options = { seed, mixes: 6, gateways: 2, clients: CLIENTS, epochMs: HOUR / 4, validityEpochs: 4 }
  await onVirtualExits(options, async (exits) => {
    const { network } = exits
    const { clock, random } = network.world
    const echo = network.client('echo').client
    const echoClock = new CountingClock(clock)
    const stopEcho = echoMessages(echo)
    const service = await startEcho({ client: echo, clock: echoClock, logger: silentLogger })
    const interceptors = new Map<Client, () => number>()
    const apps = ['app1', 'app2'].map((name, index) => {
      const { client, count } = countingInterceptors(network.client(name).client)
      interceptors.set(client, count)
      return { client, exit: exits.open(name, ['exit'], { anonymous: index === 0 }, client) }
    })
    const trafficClock = new CountingClock(clock)
    const traffic = new MixedTraffic({
      clock: trafficClock,
      random: random.fork('traffic'),
      apps,
      echo: echo.address,
      targets: {
        open: { host: SITE, port: PORTS.open },
        refused: { host: SITE, port: PORTS.refused },
        unknown: { host: 'nowhere.example', port: PORTS.open },
        forbidden: { host: SITE, port: 25 },
      },
    })
    const start = clock.monotonic()
    traffic.begin(hours * HOUR, everyMs)
    let mostBlocks = 0
    for (let fault = 0; fault < 3 * hours; fault++) {
      await network.advance(start + (fault + 0.4) * (HOUR / 3) - clock.monotonic())
      await FAULTS[fault % FAULTS.length]!(network)
      network.conservation(3)
      for (const { client } of network.clients) {
        for (const { surbs } of client.status().replies.values()) mostBlocks = Math.max(mostBlocks, surbs)
      }
    }
    await network.advance(start + hours * HOUR - clock.monotonic())
    // Thirty minutes of silence end a stream, and nothing lives longer than that.
    await network
      .until(() => traffic.running === 0, HOUR)
      .catch((error) => {
        throw new Error(`requests do not end: ${traffic.describe()}`, { cause: error })
      })
    await exits.quieten()
    const tags = network.clients.map(({ name, client }) => `${name} ${client.status().replies.size}`)
    const { nodes: _, ...balance } = network.conservation()
    say(`${traffic.begun} requests, ${(traffic.bytes / 1e6).toFixed(1)} MB; ${JSON.stringify(traffic.counts)}`)
    say(`${JSON.stringify(balance)}`)
    say(`at most ${mostBlocks} reply blocks of one sender; tags known: ${tags.join(', ')}`)
    for (const line of exits.figures()) say(line)

    assert.deepEqual(traffic.wrong, [])
    assert.equal(traffic.running, 0)
    assert.equal(trafficClock.pending, 0, 'timers of requests are left')
    assert.ok(mostBlocks > 0 && mostBlocks <= MOST_REPLY_BLOCKS, `${mostBlocks} reply blocks`)
    for (const kind of ['download', 'upload', 'echo', 'message'] as const)
      assert.ok(traffic.count(kind, 'done') > 0, `no ${kind} was done`)
    assert.ok(traffic.count('refused', 'MIX_EXIT_CONNECTION_REFUSED') > 0)
    assert.ok(traffic.count('unknown', 'MIX_EXIT_UNKNOWN_HOST') > 0)
    assert.ok(traffic.count('forbidden', 'MIX_EXIT_POLICY_REFUSED') > 0)
    assert.ok(traffic.count('silent', 'given up') > 0)
    assert.ok(traffic.count('reset', 'MIX_EXIT_RESET') > 0)
    assert.equal(service.health().streams?.open, 0)
    assert.equal(service.health().messages.running, 0)
    assert.equal(echoClock.pending, 0, 'timers of the echo service are left')
    traffic.stop()
    stopEcho()
    for (const { client, exit } of apps) {
      assert.equal(interceptors.get(client)!(), 1, 'interceptors are left besides that of the exit')
      await network.during(exit.close())
      assert.equal(interceptors.get(client)!(), 0, 'interceptors are left')
    }
    await network.during(service.close({ graceMs: 0, flushMs: 0 }))
    for (const { requester, clock } of exits.requesters) {
      await network.during(requester.close())
      assert.equal(clock.pending, 0, 'timers of a requester are left')
    }
  })
}

/** A virtual client takes its own messages, so that the service gets none: they are answered here. Frames of streams go before. */
function echoMessages(client: Client): () => void {
  return client.intercept((message) => {
    if (message.senderTag === undefined) return false
    message.reply(message.data)
    return true
  })
}

/** A client that knows how many interceptors are in it. */
function countingInterceptors(client: Client): { readonly client: Client; readonly count: () => number } {
  let count = 0
  const intercept: Client['intercept'] = (take) => {
    const stop = client.intercept(take)
    let isIn = true
    count++
    return () => {
      if (isIn) count--
      isIn = false
      stop()
    }
  }
  const counting = new Proxy(client, {
    get(target, key) {
      if (key === 'intercept') return intercept
      const value = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  return { client: counting, count: () => count }
}
