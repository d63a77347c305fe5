/** Keeping a link up, on the virtual clock and with a door that does as told. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MixError, SeededRandom, VirtualClock } from '@mixwright/runtime'
import { encodeBase58, type MixPacket } from '@mixwright/wire'
import { GatewayKeeper } from '../src/gateway/gateway-keeper.js'
import type { GatewayDoor, GatewayLink, GatewayLinkEvents } from '../src/gateway/gateway-link.js'

const lost = (code: `MIX_${string}` = 'MIX_GATEWAY_CLOSED') =>
  new MixError(code, 'lost', { kind: 'network', retry: true })
const mixPacket: MixPacket = {
  nextHop: { family: 4, host: '127.0.0.1', port: 1 },
  rotation: 1,
  packet: new Uint8Array(386),
}
/** Until promises that are settled have been seen. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

class FakeLink implements GatewayLink {
  readonly sent: MixPacket[] = []
  unsentBytes = 17
  probes = 0
  closings = 0
  constructor(readonly events: GatewayLinkEvents) {}
  send(packet: MixPacket): void {
    this.sent.push(packet)
  }
  probe(): void {
    this.probes++
  }
  /** As the real one: the end is told later. */
  close(): void {
    this.closings++
  }
}

/** Every attempt waits until the test decides. */
class FakeDoor implements GatewayDoor {
  readonly gateway = encodeBase58(new Uint8Array(32).fill(3))
  readonly attempts: {
    readonly at: number
    readonly signal: AbortSignal | undefined
    readonly events: GatewayLinkEvents
    succeed(): FakeLink
    fail(reason: unknown): void
  }[] = []
  constructor(readonly clock: VirtualClock) {}
  connect(events: GatewayLinkEvents, signal?: AbortSignal): Promise<GatewayLink> {
    return new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason))
      this.attempts.push({
        at: this.clock.monotonic(),
        signal,
        events,
        succeed() {
          const link = new FakeLink(events)
          resolve(link)
          return link
        },
        fail: reject,
      })
    })
  }
  get last() {
    return this.attempts.at(-1)!
  }
}

class SleepyClock extends VirtualClock {
  sleptMs = 0
  override now(): number {
    return super.now() + this.sleptMs
  }
}

function setUp(seed = 'keeper') {
  const clock = new SleepyClock()
  const door = new FakeDoor(clock)
  const told: (string | [string, number])[] = []
  const received: Uint8Array[] = []
  const keeper = new GatewayKeeper({
    door,
    clock,
    random: new SeededRandom(seed),
    events: {
      received: (message) => received.push(message),
      up: () => told.push('up'),
      down: (reason, retryInMs) => told.push([reason.code, retryInMs]),
    },
  })
  /** The delay that was told last; it must be what happens. */
  const retryInMs = () => (told.at(-1) as [string, number])[1]
  return { clock, door, told, received, keeper, retryInMs }
}

describe('the keeper of a gateway link', () => {
  it('connects when told, and passes packets and messages', async () => {
    const { door, told, received, keeper } = setUp()
    assert.deepEqual([keeper.state, keeper.send(mixPacket), door.attempts.length], ['paused', false, 0])
    assert.deepEqual([keeper.identity, keeper.identityKey], [door.gateway, new Uint8Array(32).fill(3)])
    keeper.resume()
    assert.deepEqual([keeper.state, keeper.send(mixPacket), keeper.unsentBytes], ['connecting', false, 0])
    door.last.events.received(Uint8Array.of(1))
    const link = door.last.succeed()
    await turn()
    assert.deepEqual([keeper.state, keeper.send(mixPacket), keeper.unsentBytes, told], ['up', true, 17, ['up']])
    link.events.received(Uint8Array.of(2))
    assert.deepEqual(link.sent, [mixPacket])
    assert.deepEqual(received, [Uint8Array.of(1), Uint8Array.of(2)])
  })

  it('tries again at intervals that double up to 30 s, half of each at random', async () => {
    const { clock, door, told, keeper, retryInMs } = setUp()
    keeper.resume()
    for (const latest of [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]) {
      const { attempts } = door
      const before = attempts.length
      door.last.fail(lost('MIX_GATEWAY_UNREACHABLE'))
      await turn()
      assert.equal(keeper.state, 'down')
      assert.equal(keeper.reason?.code, 'MIX_GATEWAY_UNREACHABLE')
      assert.ok(retryInMs() >= latest / 2 && retryInMs() < latest, `${retryInMs()} for ${latest}`)
      clock.advance(retryInMs() - 1)
      assert.equal(attempts.length, before)
      clock.advance(1.001)
      assert.equal(attempts.length, before + 1)
      assert.equal(keeper.state, 'connecting')
    }
    assert.equal(keeper.losses, 0)
    assert.equal(told.length, 9)
    const others = setUp('another')
    others.keeper.resume()
    others.door.last.fail(lost())
    await turn()
    assert.notEqual(others.retryInMs(), (told[0] as [string, number])[1])
  })

  it('begins with short intervals again when the link was up for a minute, and only then', async () => {
    const { clock, door, keeper, retryInMs } = setUp()
    keeper.resume()
    const upFor = async (milliseconds: number) => {
      const link = door.last.succeed()
      await turn()
      clock.advance(milliseconds)
      link.events.closed(lost())
      const delay = retryInMs()
      clock.advance(delay + 1)
      return delay
    }
    assert.ok((await upFor(59_999)) < 500)
    assert.ok((await upFor(59_999)) >= 500)
    assert.ok((await upFor(59_999)) >= 1_000)
    assert.ok((await upFor(60_000)) < 500)
    assert.equal(keeper.losses, 4)
  })

  it('survives a link that ends before anybody saw it come up', async () => {
    const { clock, door, told, keeper, retryInMs } = setUp()
    keeper.resume()
    const link = door.last.succeed()
    link.events.closed(lost())
    await turn()
    assert.equal(keeper.state, 'down')
    assert.equal(told.length, 1)
    clock.advance(retryInMs() + 1)
    assert.equal(door.attempts.length, 2)
  })

  it('tries at once when woken', async () => {
    const { clock, door, keeper } = setUp()
    keeper.resume()
    for (let failure = 0; failure < 8; failure++) {
      door.last.fail(lost())
      await turn()
      keeper.wake()
      assert.equal(door.attempts.length, failure + 2)
      assert.equal(door.last.at, 0)
    }
    keeper.wake()
    assert.equal(door.attempts.length, 9, 'one at a time')
    const link = door.last.succeed()
    await turn()
    keeper.wake()
    assert.deepEqual([link.probes, door.attempts.length], [1, 9])
    clock.advance(60_000)
    assert.equal(door.attempts.length, 9, 'no timer of the failures is left')
  })

  it('notices within a second that the machine has slept', async () => {
    const { clock, door, keeper } = setUp()
    keeper.resume()
    const link = door.last.succeed()
    await turn()
    clock.advance(10_000)
    assert.equal(link.probes, 0)
    clock.sleptMs += 3_600_000
    clock.advance(1_000)
    assert.equal(link.probes, 1)
    clock.sleptMs -= 3_600_000
    clock.advance(20_000)
    assert.equal(link.probes, 1, 'a clock that is set back is no sleep')
    link.events.closed(lost('MIX_GATEWAY_SILENT'))
    for (let failure = 0; failure < 8; failure++) {
      clock.advance(30_000)
      door.last.fail(lost())
      await turn()
    }
    const before = door.attempts.length
    clock.sleptMs += 3_600_000
    clock.advance(1_000)
    assert.equal(door.attempts.length, before + 1)
  })

  it('stays away while paused, and hears out what the gateway was about to say', async () => {
    const { clock, door, told, received, keeper } = setUp()
    keeper.resume()
    const link = door.last.succeed()
    await turn()
    keeper.pause()
    keeper.pause()
    assert.deepEqual([keeper.state, link.closings, keeper.send(mixPacket)], ['paused', 1, false])
    link.events.received(Uint8Array.of(9))
    assert.equal(received.length, 1)
    keeper.resume()
    assert.equal(door.attempts.length, 1, 'one link at a time')
    link.events.closed(lost('MIX_GATEWAY_LEFT'))
    await turn()
    assert.equal(door.attempts.length, 2)
    keeper.pause()
    assert.equal(door.last.signal?.aborted, true)
    await turn()
    clock.advance(3_600_000)
    keeper.wake()
    assert.deepEqual([door.attempts.length, keeper.state, keeper.losses, told], [2, 'paused', 0, ['up']])
    keeper.resume()
    door.last.fail(lost())
    await turn()
    keeper.pause()
    clock.advance(3_600_000)
    assert.deepEqual([door.attempts.length, keeper.state], [3, 'paused'])
  })

  it('hangs up on a link that comes up after it was paused', async () => {
    const { door, told, keeper } = setUp()
    keeper.resume()
    const link = door.last.succeed()
    keeper.pause()
    await turn()
    assert.deepEqual([link.closings, keeper.state, told], [1, 'paused', []])
    link.events.closed(lost('MIX_GATEWAY_LEFT'))
    await keeper.close()
  })

  it('closes from every state, when the link is gone, and leaves no timer', async () => {
    const up = setUp()
    up.keeper.resume()
    const link = up.door.last.succeed()
    await turn()
    let gone = false
    const closed = up.keeper.close().then(() => (gone = true))
    await turn()
    assert.deepEqual([gone, link.closings, up.keeper.state], [false, 1, 'closed'])
    link.events.closed(lost('MIX_GATEWAY_LEFT'))
    await closed
    assert.equal(up.clock.pending, 0)
    up.keeper.resume()
    up.keeper.wake()
    assert.equal(up.door.attempts.length, 1)

    const connecting = setUp()
    connecting.keeper.resume()
    await connecting.keeper.close()
    assert.equal(connecting.clock.pending, 0)

    const waiting = setUp()
    waiting.keeper.resume()
    waiting.door.last.fail(lost())
    await turn()
    await waiting.keeper.close()
    assert.equal(waiting.clock.pending, 0)

    const fresh = setUp()
    await fresh.keeper.close()
    await fresh.keeper.close()
    assert.equal(fresh.keeper.state, 'closed')
  })
})
