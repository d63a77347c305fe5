import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { MemoryMetrics, RealClock, VirtualClock } from '@mixwright/runtime'
import { encodeMixPacket } from '@mixwright/wire'
import { DEFAULT_GATEWAY_LIMITS } from '../src/gateway/door/gateway-limits.js'
import { SessionStatistics } from '../src/gateway/session-statistics.js'
import { GatewayClient, newIdentity } from './gateway-client.js'
import { crypto, Fixture, message, mixPacket, scratch, until } from './gateway-fixture.js'

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

describe('session statistics', () => {
  it('are those of the last full day; who stays over midnight is a user of both', () => {
    const clock = new VirtualClock(Date.UTC(2026, 2, 1, 22))
    const metrics = new MemoryMetrics()
    const connected = new Set<string>()
    const statistics = new SessionStatistics(clock, metrics, () => connected)
    const begin = (key: string) => {
      connected.add(key)
      statistics.started(key)
    }
    const end = (key: string, durationMs: number) => {
      connected.delete(key)
      statistics.finished(durationMs)
    }
    begin('a')
    begin('b')
    clock.advance(HOUR_MS)
    end('b', HOUR_MS + 1)
    begin('b')
    end('b', 1)
    assert.equal(statistics.summary().sessions_started, 0)
    assert.equal(metrics.value('nym_node_entry_client_unique_users'), 2)
    clock.advance(HOUR_MS)
    assert.deepEqual(statistics.summary(), {
      update_time: '2026-03-01',
      unique_active_users: 2,
      unique_active_users_hashes: [],
      sessions: [
        { duration_ms: HOUR_MS + 60_000, typ: 'mixnet' },
        { duration_ms: 60_000, typ: 'mixnet' },
      ],
      sessions_started: 3,
      sessions_finished: 2,
    })
    assert.equal(metrics.value('nym_node_entry_client_unique_users'), 1)
    clock.advance(3 * DAY_MS)
    const { update_time, unique_active_users, sessions_started } = statistics.summary()
    assert.deepEqual([update_time, unique_active_users, sessions_started], ['2026-03-04', 1, 0])
    assert.equal(metrics.value('nym_node_entry_client_sessions_started'), 3)
    assert.equal(metrics.value('nym_node_entry_client_sessions_finished'), 2)
  })

  it('know nothing of clients inside the node', async () => {
    const clock = new VirtualClock(new RealClock().now())
    await using fixture = await Fixture.open({ clock })
    const door = fixture.gateway.localDoor(newIdentity(crypto).publicKey, () => 0)
    await door.connect({ received() {}, closed() {} })
    const user = await fixture.connect(newIdentity(crypto))
    await user.register()
    assert.equal(fixture.metrics.value('mixwright_gateway_sessions'), 1)
    // Who stays over midnight is a user of the new day.
    clock.advance(2 * DAY_MS)
    const { unique_active_users } = fixture.gateway.sessionStatistics()
    assert.equal(unique_active_users, 1)
    assert.equal(fixture.metrics.value('nym_node_entry_client_unique_users'), 1)
  })

  it('of a gateway count each connection that came in, and no client is in a label', async () => {
    const clock = new VirtualClock(new RealClock().now())
    await using fixture = await Fixture.open({ clock })
    const identity = await fixture.registered()
    const client = await fixture.authenticated(identity)
    await until(() => fixture.metrics.value('nym_node_entry_client_sessions_finished') === 1)
    assert.equal(fixture.metrics.value('nym_node_entry_client_sessions_started'), 2)
    assert.equal(fixture.metrics.value('nym_node_entry_client_unique_users'), 1)
    await client.drop()
    await until(() => fixture.metrics.value('nym_node_entry_client_sessions_finished') === 2)
    clock.advance(DAY_MS)
    assert.equal(fixture.gateway.sessionStatistics().sessions_finished, 2)
    for (const { name, samples } of fixture.metrics.families()) {
      for (const { labels } of samples.values()) {
        for (const label of Object.keys(labels)) assert.match(label, /^(reason|result)$/, name)
      }
    }
  })
})

describe('the table of sessions', () => {
  it('has room for 10 000 clients', () => {
    assert.ok(DEFAULT_GATEWAY_LIMITS.maximumConnections >= 10_240)
  })

  it('500 idle clients: no timer each, under 60 kB of memory each, and deliveries beside them', async () => {
    const program = fileURLToPath(new URL('./gateway-idle-process.js', import.meta.url))
    const child = spawn(process.execPath, ['--expose-gc', program, join(scratch, 'idle.sqlite')], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const told = async () =>
      (await once(child, 'message'))[0] as { port: number; timers: number; residentBytes: number }
    const ask = (what: string) => {
      child.send(what)
      return told()
    }
    const { port } = await told()
    const came = async () => {
      const client = await GatewayClient.connect(port, newIdentity(crypto), crypto)
      assert.equal((await client.register()).type, 'register')
      return client
    }
    // The first ones pay for what is compiled and allocated once.
    const clients: GatewayClient[] = []
    for (let i = 0; i < 100; i++) clients.push(await came())
    const before = await ask('measure')
    for (let i = 0; i < 500; i++) clients.push(await came())
    const after = await ask('measure')
    assert.equal(after.timers, before.timers)
    const each = (after.residentBytes - before.residentBytes) / 500
    assert.ok(each < 60_000, `${each} bytes each`)
    const awake = clients[250]!
    assert.equal((await awake.ask(awake.frame(2, encodeMixPacket(mixPacket, 2)))).type, 'send')
    const ended = once(child, 'exit')
    child.send('stop')
    await ended
    await Promise.all(clients.map(({ closed }) => closed))
  })
})

describe('floods beside an honest client', () => {
  it('of garbage frames: each ends its own connection', async () => {
    await using fixture = await Fixture.open()
    const honest = await fixture.authenticated(await fixture.registered())
    const identities = await Promise.all(Array.from({ length: 20 }, () => fixture.registered()))
    for (let round = 0; round < 3; round++) {
      const bad = await Promise.all(identities.map((identity) => fixture.authenticated(identity)))
      for (const client of bad) {
        for (let i = 0; i < 50; i++) client.send(new Uint8Array(2451).fill(i))
      }
      await Promise.all(bad.map(({ closed }) => closed))
      await until(() => fixture.metrics.value('mixwright_gateway_sessions') === 1)
      assert.equal((await honest.ask(honest.frame(2, encodeMixPacket(mixPacket, 2)))).type, 'send')
    }
    assert.equal(fixture.forwarded.length, 3)
  })

  it('of packets for one that authenticated and never reads: bounded by its mailbox, all others get theirs', async () => {
    await using fixture = await Fixture.open({ mailboxLimits: { messagesPerClient: 1_000 } })
    const [deaf, honest] = [await fixture.registered(), await fixture.registered()]
    const silent = await fixture.authenticated(deaf)
    const client = await fixture.authenticated(honest)
    silent.websocket.pause()
    let accepted = 0
    let delivered = 0
    while (fixture.dropped('mailbox-full') < 100) {
      for (let i = 0; i < 100; i++) {
        delivered++
        fixture.gateway.deliver(deaf.publicKey, message(i), () => accepted++)
      }
      fixture.gateway.deliver(honest.publicKey, message(7), () => {})
      assert.equal((await client.next()).type, 'push')
    }
    // Everything is somewhere: in a socket, in the mailbox, or counted as dropped.
    silent.websocket.resume()
    await until(() => accepted + fixture.dropped('mailbox-full') === delivered)
    assert.equal((await silent.pushes(accepted)).length, accepted)
  })
})
