/** Clients inside a gateway: what they send and get, what waits for them, and who must not take their place. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { MixError } from '@mixwright/runtime'
import { encodeBase58 } from '@mixwright/wire'
import type { LocalDoor, LocalLink } from '../src/gateway/local-door.js'
import { type Identity, newIdentity } from './gateway-client.js'
import { crypto, Fixture, message, mixPacket, numberOf, until } from './gateway-fixture.js'

/** A client inside the node, as far as its gateway sees it. */
class Embedded {
  readonly received: number[] = []
  readonly reasons: MixError[] = []
  link!: LocalLink

  static async connect(door: LocalDoor): Promise<Embedded> {
    const client = new Embedded()
    client.link = await door.connect({
      received: (bytes) => client.received.push(numberOf(bytes)),
      closed: (reason) => client.reasons.push(reason),
    })
    return client
  }

  async close(): Promise<void> {
    this.link.close()
    await until(() => this.reasons.length > 0)
  }
}

const doorOf = ({ gateway }: Fixture, { publicKey }: Identity, unsentBytes = () => 0) =>
  gateway.localDoor(publicKey, unsentBytes)
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

/** Messages come from the mix network. Returns those that were accepted so far. */
function arrive({ gateway }: Fixture, { publicKey }: Identity, from: number, to: number): number[] {
  const accepted: number[] = []
  for (let i = from; i < to; i++) gateway.deliver(publicKey, message(i), () => accepted.push(i))
  return accepted
}

describe('a client inside the gateway', () => {
  it('sends like one with a websocket, and gets what is for it alone, acknowledged at once', async () => {
    await using fixture = await Fixture.open()
    const [one, other] = [newIdentity(crypto), newIdentity(crypto)]
    let unsent = 0
    const first = await Embedded.connect(doorOf(fixture, one, () => unsent))
    const second = await Embedded.connect(doorOf(fixture, other))
    first.link.send(mixPacket)
    assert.deepEqual(fixture.forwarded, [mixPacket])
    assert.equal(fixture.metrics.value('mixwright_gateway_forwarded_packets_total'), 1)
    assert.deepEqual(arrive(fixture, one, 0, 2), [0, 1])
    assert.deepEqual(arrive(fixture, other, 2, 3), [2])
    assert.deepEqual([first.received, second.received], [[0, 1], [2]])
    assert.equal(fixture.metrics.value('mixwright_gateway_pushed_messages_total'), 3)
    unsent = 7
    assert.equal(first.link.unsentBytes, 7)
  })

  it('finds what came before its start and while it was away, however much, and loses nothing', async () => {
    await using fixture = await Fixture.open()
    const identity = newIdentity(crypto)
    const door = doorOf(fixture, identity)
    const early = arrive(fixture, identity, 0, 250)
    const first = await Embedded.connect(door)
    arrive(fixture, identity, 250, 260)
    await until(() => first.received.length === 260)
    await until(() => fixture.metrics.value('mixwright_gateway_drained_messages_total') === 250)
    assert.equal(early.length, 250)
    await first.close()
    assert.deepEqual(
      first.reasons.map(({ code }) => code),
      ['MIX_GATEWAY_CLOSED'],
    )
    const meanwhile = arrive(fixture, identity, 260, 265)
    await until(() => meanwhile.length === 5)
    first.link.send(mixPacket)
    assert.deepEqual(fixture.forwarded, [])
    const second = await Embedded.connect(door)
    // Not committed yet when the client comes back, or just after.
    await second.close()
    arrive(fixture, identity, 265, 268)
    const third = await Embedded.connect(door)
    await until(() => second.received.length + third.received.length === 8)
    const all = [...first.received, ...second.received, ...third.received]
    assert.deepEqual(
      all.sort((a, b) => a - b),
      numbers(0, 268),
    )
  })

  it('has a mailbox also after a restart of the node, before it is there again', async () => {
    const before = await Fixture.open()
    const identity = newIdentity(crypto)
    doorOf(before, identity)
    const stored = arrive(before, identity, 0, 3)
    await before[Symbol.asyncDispose]()
    assert.deepEqual(stored, [0, 1, 2])

    await using fixture = await Fixture.open({}, before.databaseFile)
    const again = arrive(fixture, identity, 3, 5)
    await until(() => again.length === 2)
    const client = await Embedded.connect(doorOf(fixture, identity))
    await until(() => client.received.length === 5)
    assert.deepEqual(client.received, numbers(0, 5))
    assert.equal(fixture.dropped('unregistered-client'), 0)
  })

  it('is connected once, by one door, and told when the gateway stops', async () => {
    const fixture = await Fixture.open()
    const identity = newIdentity(crypto)
    const door = doorOf(fixture, identity)
    assert.equal(doorOf(fixture, identity), door)
    assert.equal(door.gateway, encodeBase58(crypto.ed25519PublicKey(new Uint8Array(32).fill(9))))
    const client = await Embedded.connect(door)
    await assert.rejects(Embedded.connect(door), { code: 'MIX_OPTIONS' })
    await assert.rejects(door.connect({ received() {}, closed() {} }, AbortSignal.abort(new Error('stop'))), /stop/)
    await fixture[Symbol.asyncDispose]()
    assert.deepEqual(
      client.reasons.map(({ code, retry }) => [code, retry]),
      [['MIX_GATEWAY_CLOSED', true]],
    )
  })
})

describe('somebody else with the identity of a client inside the gateway', () => {
  const refusal = { type: 'error', message: 'There is already an open connection to this client' }

  it('can neither register nor authenticate, whether that client is connected or not', async () => {
    await using fixture = await Fixture.open()
    const identity = await fixture.registered()
    const door = doorOf(fixture, identity)
    for (const connected of [false, true]) {
      const client = connected ? await Embedded.connect(door) : undefined
      const impostor = await fixture.connect(identity)
      assert.deepEqual(await impostor.register(), refusal)
      assert.deepEqual(await impostor.ask(impostor.authentication()), refusal)
      await impostor.drop()
      arrive(fixture, identity, 1, 2)
      if (client) assert.deepEqual(client.received.at(-1), 1)
    }
  })

  it('is thrown out when it was there before, or came in by a handshake begun before', async () => {
    await using fixture = await Fixture.open()
    const identity = await fixture.registered()
    const earlier = await fixture.authenticated(identity)
    const door = doorOf(fixture, identity)
    await earlier.closed
    const client = await Embedded.connect(door)
    await client.close()

    const next = newIdentity(crypto)
    const quick = await fixture.connect(next)
    let late!: LocalDoor
    const material = (data: Uint8Array) => {
      late = doorOf(fixture, next)
      return data
    }
    assert.equal((await quick.register(3, { material })).type, 'register')
    const rightful = await Embedded.connect(late)
    await quick.closed
    assert.deepEqual(arrive(fixture, next, 5, 6), [5])
    assert.deepEqual(rightful.received, [5])
  })
})
