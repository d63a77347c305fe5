/** Choosing a gateway: by name, at random, and by latency over websockets that answer on the virtual clock. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MixError, SeededRandom, VirtualClock } from '@mixwright/runtime'
import { encodeServerResponse } from '@mixwright/wire'
import type { GatewayNode } from '../src/directory/topology.js'
import { chooseGateway } from '../src/gateway/gateway-choice.js'
import type { WebSocketLike } from '../src/gateway/gateway-socket.js'

type Manner = number | 'refused' | 'never opens' | 'never answers' | 'answers garbage' | 'answers twice and closes'

const ANSWER = encodeServerResponse({ type: 'supportedProtocol', version: 6 })

/** Opens and answers after half of, and a whole, round trip; or behaves as its manner says. */
class FakeWebSocket implements WebSocketLike {
  binaryType = 'blob'
  readonly bufferedAmount = 0
  asked = 0
  readonly #listeners = new Map<string, (event: { data: unknown }) => void>()
  constructor(
    readonly clock: VirtualClock,
    readonly manner: Manner,
    readonly open: Set<FakeWebSocket>,
  ) {
    open.add(this)
    if (manner === 'refused') clock.setTimer(1, () => this.close())
    else if (manner !== 'never opens') this.#after(1, 'open')
  }
  addEventListener(type: string, listener: (event: never) => void): void {
    this.#listeners.set(type, listener as (event: { data: unknown }) => void)
  }
  send(data: string | Uint8Array): void {
    assert.equal(data, '{"type":"supportedProtocol"}')
    if (++this.asked === 3 && this.manner === 'answers twice and closes') return this.close()
    if (this.manner === 'never answers') return
    const roundTripMs = typeof this.manner === 'number' ? this.manner : 5
    this.#after(roundTripMs, 'message', this.manner === 'answers garbage' ? '{' : ANSWER)
  }
  close(): void {
    if (this.open.delete(this)) this.#after(1, 'close')
  }
  #after(milliseconds: number, type: string, data?: string): void {
    this.clock.setTimer(milliseconds, () => this.#listeners.get(type)?.({ data }))
  }
}

const gatewaysOf = (identities: readonly string[]): GatewayNode[] =>
  identities.map((identity) => ({
    identity,
    address: new Uint8Array(32),
    publicKey: new Uint8Array(32),
    websocketUrls: [identity],
  }))

/** Behind each URL a manner. */
function setUp(manners: Record<string, Manner>, seed = 'choice') {
  const clock = new VirtualClock()
  const open = new Set<FakeWebSocket>()
  const dialled: string[] = []
  const openWebSocket = (url: string) => {
    dialled.push(url)
    return new FakeWebSocket(clock, manners[url]!, open)
  }
  return { clock, open, dialled, options: { clock, random: new SeededRandom(seed), openWebSocket } }
}

/** Let time pass until the promise settles. */
async function settled<T>(promise: Promise<T>, clock: VirtualClock): Promise<T> {
  let done = false
  const watched = promise.finally(() => {
    done = true
  })
  watched.catch(() => {})
  while (!done) {
    await new Promise((resolve) => setImmediate(resolve))
    if (!done) clock.nextEvent()
  }
  return watched
}

const hasCode = (code: string) => (error: unknown) => error instanceof MixError && error.code === code

describe('choosing a gateway', () => {
  const { options } = setUp({})
  const withoutDoor = { ...gatewaysOf(['no-door'])[0]!, websocketUrls: [] }

  it('takes the one that is named, and no other', async () => {
    const gateways = [...gatewaysOf(['a', 'b', 'c']), withoutDoor]
    assert.equal((await chooseGateway('b', gateways, options)).identity, 'b')
    for (const name of ['d', '', 'no-door', 'x'.repeat(1000)]) {
      await assert.rejects(chooseGateway(name, gateways, options), hasCode('MIX_GATEWAY_UNKNOWN'))
    }
  })

  it('says when there is none', async () => {
    for (const choice of ['random', 'latency', 'a']) {
      await assert.rejects(chooseGateway(choice, [], options), hasCode('MIX_NO_GATEWAY'))
      await assert.rejects(chooseGateway(choice, [withoutDoor], options), hasCode('MIX_NO_GATEWAY'))
    }
  })

  it('takes any at random, each as often, but none that takes no clients', async () => {
    const counts = new Map<string, number>()
    const gateways = [...gatewaysOf(['a', 'b', 'c']), withoutDoor]
    for (let run = 0; run < 3000; run++) {
      const { identity } = await chooseGateway('random', gateways, options)
      counts.set(identity, (counts.get(identity) ?? 0) + 1)
    }
    assert.deepEqual([...counts.keys()].sort(), ['a', 'b', 'c'])
    for (const count of counts.values()) assert.ok(Math.abs(count - 1000) < 150, `${count}`)
  })
})

describe('choosing by latency', () => {
  it('draws with weight 1/latency', async () => {
    const counts = { near: 0, far: 0 }
    for (let run = 0; run < 400; run++) {
      const { clock, open, options } = setUp({ near: 10, far: 40 }, `run ${run}`)
      const chosen = await settled(chooseGateway('latency', gatewaysOf(['near', 'far']), options), clock)
      counts[chosen.identity as 'near' | 'far']++
      assert.equal(open.size, 0)
      assert.equal(clock.monotonic() < 200, true)
    }
    // 4 : 1, that is 320 of 400 with a standard deviation of 8.
    assert.ok(Math.abs(counts.near - 320) < 40, `${counts.near}`)
  })

  it('passes over gateways that do not answer as they should, without waiting long', async () => {
    const manners: Record<string, Manner> = {
      refused: 'refused',
      hanging: 'never opens',
      mute: 'never answers',
      garbage: 'answers garbage',
      leaving: 'answers twice and closes',
      slow: 1_001,
      good: 999,
    }
    const { clock, open, options } = setUp(manners)
    const chosen = await settled(chooseGateway('latency', gatewaysOf(Object.keys(manners)), options), clock)
    assert.equal(chosen.identity, 'good')
    assert.ok(clock.monotonic() < 3_100, `${clock.monotonic()}`)
    assert.equal(open.size, 0)
    delete manners.good
    await assert.rejects(
      settled(chooseGateway('latency', gatewaysOf(Object.keys(manners)), options), clock),
      hasCode('MIX_NO_GATEWAY'),
    )
    while (clock.nextEvent());
    assert.equal(open.size, 0)
  })

  it('asks a gateway at its next address when the first is dead', async () => {
    const { clock, dialled, options } = setUp({ dead: 'never opens', alive: 5 })
    const gateway = { ...gatewaysOf(['g'])[0]!, websocketUrls: ['dead', 'alive'] }
    assert.equal(await settled(chooseGateway('latency', [gateway], options), clock), gateway)
    assert.deepEqual(dialled, ['dead', 'alive'])
  })

  it('measures twenty at most, drawn anew each time', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `gateway ${index}`)
    const manners = Object.fromEntries(names.map((name) => [name, 0]))
    const one = setUp(manners, 'one')
    const other = setUp(manners, 'other')
    for (const { clock, options } of [one, other]) {
      await settled(chooseGateway('latency', gatewaysOf(names), options), clock)
    }
    assert.equal(new Set(one.dialled).size, 20)
    assert.notDeepEqual(one.dialled, other.dialled)
  })

  it('ends at once when it is no longer wanted', async () => {
    const { clock, open, options } = setUp({ hanging: 'never opens' })
    const controller = new AbortController()
    const chosen = chooseGateway('latency', gatewaysOf(['hanging']), { ...options, signal: controller.signal })
    chosen.catch(() => {})
    await new Promise((resolve) => setImmediate(resolve))
    const reason = new Error('no longer wanted')
    controller.abort(reason)
    await assert.rejects(chosen, reason)
    assert.equal(open.size, 0)
    while (clock.nextEvent());
  })
})
