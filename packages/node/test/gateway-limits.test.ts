import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { MemoryMetrics, RealClock, VirtualClock } from '@mixwright/runtime'
import { encodeMixPacket } from '@mixwright/wire'
import { ClientAddresses } from '../src/gateway/door/client-addresses.js'
import { DEFAULT_GATEWAY_LIMITS, LOCAL_GATEWAY_LIMITS } from '../src/gateway/door/gateway-limits.js'
import { TokenBucket } from '../src/gateway/door/token-bucket.js'
import { addressOf } from '../src/link/ip-address.js'
import { type GatewayClient, newIdentity } from './gateway-client.js'
import { crypto, Fixture, LOOPBACK, message, mixPacket, turn, until } from './gateway-fixture.js'

/** Another address of the loopback than that of clients that say nothing. */
const ELSEWHERE = { localAddress: '127.0.0.2' }
const refused = (fixture: Fixture, reason: string) =>
  fixture.metrics.value('mixwright_gateway_refused_total', { reason })
const packet = (client: GatewayClient) => client.frame(2, encodeMixPacket(mixPacket, 2))

describe('a token bucket', () => {
  it('gives its burst, then its rate, and says how long to wait', () => {
    const clock = new VirtualClock()
    const bucket = new TokenBucket(clock, 10, 3)
    assert.deepEqual([bucket.take(), bucket.take(), bucket.take(), bucket.take(), bucket.take()], [0, 0, 0, 100, 200])
    clock.advance(200)
    assert.equal(bucket.take(), 100)
    assert.equal(bucket.tryTake(), false)
    clock.advance(200)
    assert.equal(bucket.tryTake(), true)
    assert.equal(bucket.tryTake(), false)
    clock.advance(60_000)
    assert.ok(bucket.full)
    assert.deepEqual([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [0, 0, 0, 100])
  })

  it('never waits without a limit', () => {
    const clock = new VirtualClock()
    for (const bucket of [
      new TokenBucket(clock, 1, Number.POSITIVE_INFINITY),
      new TokenBucket(clock, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY),
    ]) {
      for (let i = 0; i < 1000; i++) {
        assert.equal(bucket.take(), 0)
        if (i === 500) clock.advance(1)
      }
      assert.ok(bucket.tryTake() && bucket.full)
    }
  })
})

describe('the table of addresses', () => {
  const table = (limits: Partial<typeof DEFAULT_GATEWAY_LIMITS>, clock = new VirtualClock()) =>
    new ClientAddresses(clock, new MemoryMetrics(), { ...DEFAULT_GATEWAY_LIMITS, ...limits })

  it('takes IPv4 addresses one by one and IPv6 by 64 bits, however they are spelled', () => {
    assert.equal(addressOf('192.0.2.1'), '192.0.2.1')
    assert.equal(addressOf('::ffff:192.0.2.1'), '192.0.2.1')
    assert.equal(addressOf('::FFFF:192.0.2.1'), '192.0.2.1')
    const network = addressOf('2001:db8:1:2:3:4:5:6')
    for (const same of ['2001:db8:1:2::', '2001:db8:1:2::9', '2001:DB8:1:2:ffff::1'])
      assert.equal(addressOf(same), network)
    for (const other of ['2001:db8:1:3::', '2001:db8::1', '::1', 'fe80::1%eth0'])
      assert.notEqual(addressOf(other), network)
    assert.equal(addressOf('fe80::1%eth0'), addressOf('fe80::2'))
  })

  it('keeps what an address did only until it would be forgiven', () => {
    const clock = new VirtualClock()
    const addresses = table({ attemptsPerAddressBurst: 2, attemptsPerAddressPerSecond: 1 }, clock)
    const visit = (ip: string) => {
      const address = addresses.enter(ip)!
      const may = address.mayAttempt()
      address.leave()
      return may
    }
    assert.deepEqual([visit('192.0.2.1'), visit('192.0.2.1'), visit('192.0.2.1')], [true, true, false])
    clock.advance(1_000)
    assert.deepEqual([visit('192.0.2.1'), visit('192.0.2.1')], [true, false])
    for (let i = 0; i < 100; i++) visit(`198.51.100.${i}`)
    assert.equal(addresses.size, 101)
    clock.advance(10_000)
    for (let i = 0; i < 34; i++) visit(`203.0.113.${i}`)
    assert.ok(addresses.size <= 35, `${addresses.size} are still there`)
  })

  it('is bounded: the first that left are forgotten, never one that is connected', () => {
    const addresses = table({ rememberedAddresses: 10, connectionsPerAddress: 1 })
    const staying = addresses.enter('192.0.2.1')!
    for (let i = 0; i < 1000; i++) {
      const address = addresses.enter(`2001:db8:0:${i.toString(16)}::1`)!
      address.mayAttempt()
      address.leave()
    }
    assert.equal(addresses.size, 11)
    assert.equal(addresses.enter('192.0.2.1'), undefined)
    staying.leave()
    assert.ok(addresses.enter('192.0.2.1'))
    assert.equal(addresses.connections, 1)
  })

  it('limits nobody in a local network', () => {
    const addresses = table(LOCAL_GATEWAY_LIMITS)
    const one = addresses.enter(LOOPBACK)!
    for (let i = 0; i < 10_000; i++) assert.ok(one.mayAttempt() && one.mayRegister())
    for (let i = 1; i < 10_240; i++) assert.ok(addresses.enter(LOOPBACK))
    assert.equal(addresses.enter(LOOPBACK), undefined)
  })
})

describe('a client that sends more than it may', () => {
  it('is read more slowly, loses nothing, counts as alive, and holds nobody else up', async () => {
    const clock = new VirtualClock(new RealClock().now())
    await using fixture = await Fixture.open({ clock, limits: { messageBurst: 20, messagesPerSecond: 10 } })
    const identity = await fixture.registered()
    const [fast, other] = [
      await fixture.authenticated(identity),
      await fixture.authenticated(await fixture.registered()),
    ]
    // Its authentication was the first of its messages.
    for (let i = 1; i <= 20; i++) assert.equal((await fast.ask(packet(fast))).type, 'send')
    assert.equal(fixture.metrics.value('mixwright_gateway_throttled_total'), 1)

    for (let i = 0; i < 5; i++) fast.send(packet(fast))
    const others = async () => {
      for (let i = 0; i < 3; i++)
        assert.equal((await other.ask({ type: 'supportedProtocol' })).type, 'supportedProtocol')
    }
    await others()
    clock.advance(99)
    await others()
    assert.equal(fixture.forwarded.length, 20)
    // It does not hear a ping now; that must not let a second connection push it out.
    const second = await fixture.connect(identity)
    assert.equal((await second.ask(second.authentication())).type, 'error')

    clock.advance(1)
    for (let i = 0; i < 5; i++) assert.equal((await fast.next()).type, 'send')
    assert.equal(fixture.forwarded.length, 25)
    assert.equal(fixture.metrics.value('mixwright_gateway_throttled_total'), 2)
    // While it is not read it is still written to.
    fixture.gateway.deliver(identity.publicKey, message(1), () => {})
    assert.equal((await fast.next()).type, 'push')
  })

  it('may end its connection meanwhile', async () => {
    const clock = new VirtualClock(new RealClock().now())
    await using fixture = await Fixture.open({ clock, limits: { messageBurst: 2, messagesPerSecond: 1 } })
    const client = await fixture.authenticated(await fixture.registered())
    for (let i = 0; i < 10; i++) client.send(packet(client))
    await until(() => fixture.metrics.value('mixwright_gateway_throttled_total') === 1)
    await client.drop()
    while (fixture.metrics.value('mixwright_gateway_sessions') > 0) {
      clock.advance(1_000)
      await turn()
    }
    assert.equal((await (await fixture.connect(newIdentity(crypto))).register()).type, 'register')
  })

  it('cannot get around it with pings', async () => {
    const clock = new VirtualClock(new RealClock().now())
    await using fixture = await Fixture.open({ clock, limits: { messageBurst: 10, messagesPerSecond: 1 } })
    const client = await fixture.authenticated(await fixture.registered())
    for (let i = 0; i < 100; i++) client.websocket.ping()
    await until(() => fixture.metrics.value('mixwright_gateway_throttled_total') === 1)
  })
})

describe('many from one address', () => {
  it('200 connections where 50 may be: the rest are dropped, another address comes in, and so does a successor', async () => {
    await using fixture = await Fixture.open({ limits: { connectionsPerAddress: 50 } })
    const dropped: Socket[] = []
    const sockets = await Promise.all(
      Array.from({ length: 200 }, async () => {
        const socket = connect({ host: LOOPBACK, port: fixture.gateway.websocketPort })
        socket.on('error', () => {})
        socket.resume()
        socket.once('close', () => dropped.push(socket))
        await once(socket, 'connect')
        return socket
      }),
    )
    await until(() => dropped.length === 150)
    assert.equal(refused(fixture, 'connections-of-address'), 150)
    const honest = await fixture.authenticated(await fixture.registered(ELSEWHERE), ELSEWHERE)
    assert.equal((await honest.ask(packet(honest))).type, 'send')

    const kept = sockets.filter((socket) => !dropped.includes(socket))
    assert.equal(kept.length, 50)
    for (const socket of kept) socket.destroy()
    await until(() => fixture.metrics.value('nym_node_network_active_ingress_web_socket_connections') === 1)
    assert.equal((await (await fixture.connect(newIdentity(crypto))).register()).type, 'register')
  })

  it('a flood of registrations: refused by name past the limit, until an hour later; another address registers', async () => {
    const clock = new VirtualClock(new RealClock().now())
    await using fixture = await Fixture.open({ clock, limits: { registrationsPerAddressPerHour: 30 } })
    let registered = 0
    let refusals = 0
    for (let i = 0; i < 40; i++) {
      const client = await fixture.connect(newIdentity(crypto))
      const answer = await client.register()
      if (answer.type === 'register') registered++
      if (answer.type === 'handshakeError') refusals++
      await client.drop()
    }
    assert.deepEqual([registered, refusals], [30, 10])
    assert.equal(refused(fixture, 'registrations-of-address'), 10)
    await fixture.registered(ELSEWHERE)
    clock.advance(3_600_000)
    await fixture.registered()
  })

  it('a flood of attempts to authenticate: connections end past the limit, those inside stay, another address comes in', async () => {
    const clock = new VirtualClock(new RealClock().now())
    const limits = { attemptsPerAddressBurst: 100, attemptsPerAddressPerSecond: 1 }
    await using fixture = await Fixture.open({ clock, limits })
    const inside = await fixture.authenticated(await fixture.registered())
    const stranger = newIdentity(crypto)
    stranger.sharedKey = new Uint8Array(32)
    const flood = await Promise.all(Array.from({ length: 10 }, () => fixture.connect(stranger)))
    const request = flood[0]!.authentication()
    const open = () => flood.filter(({ websocket }) => websocket.readyState === websocket.OPEN)
    while (open().length > 0) {
      for (const client of open()) client.send(request)
      await turn()
    }
    assert.ok(refused(fixture, 'attempts-of-address') >= 1)
    assert.ok(fixture.metrics.value('mixwright_gateway_authentications_total', { result: 'refused' }) <= 100)
    assert.equal((await inside.ask(packet(inside))).type, 'send')
    await fixture.authenticated(await fixture.registered(ELSEWHERE), ELSEWHERE)
    clock.advance(10_000)
    await fixture.authenticated(await fixture.registered())
  })
})
