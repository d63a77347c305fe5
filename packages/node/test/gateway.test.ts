import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type Clock, RealClock, VirtualClock } from '@mixwright/runtime'
import { encodeClientRequest, encodeMixPacket } from '@mixwright/wire'
import type { Gateway } from '../src/gateway/gateway.js'
import { type GatewayClient, newIdentity } from './gateway-client.js'
import { crypto, Fixture, LOOPBACK, message, mixPacket, numberOf, scratch, turn, until } from './gateway-fixture.js'

describe('the first start of a client', () => {
  it('registers on one connection and authenticates on another, 0 ms apart', async () => {
    await using fixture = await Fixture.open()
    const identity = newIdentity(crypto)
    const first = await fixture.connect(identity)
    assert.deepEqual(await first.ask({ type: 'supportedProtocol' }), { type: 'supportedProtocol', version: 6 })
    assert.deepEqual(await first.register(3), { type: 'register', protocolVersion: 5 })
    first.websocket.close()
    const second = await fixture.connect(identity)
    assert.deepEqual(await second.ask({ type: 'supportedProtocol' }), { type: 'supportedProtocol', version: 6 })
    assert.deepEqual(await second.ask(second.authentication(4)), {
      type: 'authenticate',
      protocolVersion: 5,
      bandwidthRemaining: 68_719_476_736,
    })
    assert.deepEqual(await second.ask({ type: 'claimFreeTestnetBandwidth' }), {
      type: 'bandwidth',
      availableTotal: 68_719_476_736,
    })
    for (const version of [1, 2] as const) {
      const frame = second.frame(version, encodeMixPacket(mixPacket, version))
      assert.deepEqual(await second.ask(frame), { type: 'send', remainingBandwidth: 68_719_476_736 })
    }
    assert.deepEqual(fixture.forwarded, [{ ...mixPacket, rotation: 0 }, mixPacket])
  })

  it('goes on over the same connection, where a library does', async () => {
    await using fixture = await Fixture.open()
    const client = await fixture.connect(newIdentity(crypto))
    assert.deepEqual(await client.register(6), { type: 'register', protocolVersion: 6 })
    assert.deepEqual(await client.ask({ type: 'supportedProtocol' }), { type: 'supportedProtocol', version: 6 })
    assert.equal((await client.ask({ type: 'claimFreeTestnetBandwidth' })).type, 'bandwidth')
  })

  it('is preceded by a latency probe: pings are answered before authentication, and do no harm', async () => {
    await using fixture = await Fixture.open()
    const client = await fixture.connect(newIdentity(crypto))
    for (let i = 0; i < 3; i++) {
      client.websocket.ping(Buffer.from([1, 2, 3]))
      const [payload] = (await once(client.websocket, 'pong')) as [Buffer]
      assert.deepEqual([...payload], [1, 2, 3])
    }
    assert.deepEqual(client.received, [])
    assert.equal((await client.register()).type, 'register')
  })
})

describe('registration gone wrong', () => {
  const flip = (at: number) => (data: Uint8Array) => {
    const changed = data.slice()
    changed[at]! ^= 1
    return changed
  }
  const cases: [string, Parameters<GatewayClient['register']>[1]][] = [
    ['the signature sealed with one bit off', { material: flip(0) }],
    ['its tag one bit off', { material: flip(79) }],
    ['its nonce one bit off', { material: flip(80) }],
    ['another identity than the one that signs', { init: flip(3) }],
    ['an all-zero ephemeral key', { init: (data) => data.slice().fill(0, 32, 64) }],
    ['a low-order ephemeral key', { init: (data) => data.slice().fill(0, 32, 64).fill(1, 32, 33) }],
    ['no salt', { init: (data) => data.subarray(0, 64) }],
    ['too short a material', { material: (data) => data.subarray(1) }],
  ]
  for (const [name, tamper] of cases) {
    it(`${name}: handshakeError, and the same connection may try again`, async () => {
      await using fixture = await Fixture.open()
      const client = await fixture.connect(newIdentity(crypto))
      assert.equal((await client.register(3, tamper)).type, 'handshakeError')
      assert.equal((await client.register()).type, 'register')
    })
  }
})

describe('authentication', () => {
  it('refuses what is not right, keeps the connection, and lets the honest one in', async () => {
    await using fixture = await Fixture.open()
    const identity = await fixture.registered()
    const client = await fixture.connect(identity)
    const good = client.authentication()
    const flipped = (bytes: Uint8Array) => Uint8Array.from(bytes, (byte, i) => (i === 0 ? byte ^ 1 : byte))
    const wrong = [
      { ...good, requestSignature: flipped(good.requestSignature) },
      { ...good, addressCiphertext: flipped(good.addressCiphertext) },
      { ...good, nonce: flipped(good.nonce) },
      { ...good, nonce: good.nonce.subarray(1) },
      { ...good, protocolVersion: 3 },
      { ...good, requestUnixTimestamp: good.requestUnixTimestamp + 1 },
      client.authentication(4, good.requestUnixTimestamp - 121),
      client.authentication(4, good.requestUnixTimestamp + 125),
      { ...good, clientIdentity: newIdentity(crypto).publicKey },
    ]
    for (const request of wrong) assert.equal((await client.ask(request)).type, 'error')
    assert.equal(fixture.metrics.value('mixwright_gateway_authentications_total', { result: 'refused' }), wrong.length)
    assert.equal((await client.ask(good)).type, 'authenticate')
  })

  it('refuses a stranger and a repetition, takes a second one within the same second', async () => {
    await using fixture = await Fixture.open()
    const stranger = newIdentity(crypto)
    stranger.sharedKey = new Uint8Array(32)
    const unknown = await fixture.connect(stranger)
    assert.deepEqual(await unknown.ask(unknown.authentication()), {
      type: 'error',
      message: 'the client is not registered',
    })

    const identity = await fixture.registered()
    const first = await fixture.connect(identity)
    const request = first.authentication()
    assert.equal((await first.ask(request)).type, 'authenticate')
    await first.drop()
    const second = await fixture.connect(identity)
    assert.equal((await second.ask(request)).type, 'error')
    assert.equal((await second.ask(second.authentication(4, request.requestUnixTimestamp - 1))).type, 'error')
    assert.equal((await second.ask(second.authentication(4, request.requestUnixTimestamp))).type, 'authenticate')
  })

  it('answers each generation of clients with its version', async () => {
    await using fixture = await Fixture.open()
    for (const [proposed, answered] of [
      [4, 5],
      [5, 5],
      [6, 6],
      [9, 6],
    ]) {
      const client = await fixture.connect(await fixture.registered())
      const answer = await client.ask(client.authentication(proposed))
      assert.equal(answer.type === 'authenticate' && answer.protocolVersion, answered)
    }
  })

  it('one session per client: a live one stays, a dead one gives way', async () => {
    await using fixture = await Fixture.open()
    const identity = await fixture.registered()
    const first = await fixture.authenticated(identity)
    const second = await fixture.connect(identity)
    assert.deepEqual(await second.ask(second.authentication()), {
      type: 'error',
      message: 'There is already an open connection to this client',
    })
    // A client that hangs answers no ping.
    first.websocket.pause()
    assert.equal((await second.ask(second.authentication())).type, 'authenticate')
    first.websocket.resume()
    await first.closed
    // The old session's goodbye must not take out the new one.
    fixture.gateway.deliver(identity.publicKey, message(7), () => {})
    assert.equal(numberOf((await second.pushes(1))[0]!), 7)
  })
})

describe('the mailbox', () => {
  it('delivers 250 messages in order, after the answer, and deletes them', async () => {
    await using fixture = await Fixture.open()
    const identity = await fixture.registered()
    let accepted = 0
    for (let i = 0; i < 250; i++) fixture.gateway.deliver(identity.publicKey, message(i), () => accepted++)
    await until(() => accepted === 250)
    const client = await fixture.connect(identity)
    assert.equal((await client.ask(client.authentication())).type, 'authenticate')
    // Live messages come while the stored ones are still under way: they must not overtake.
    for (let i = 250; i < 300; i++) fixture.gateway.deliver(identity.publicKey, message(i), () => accepted++)
    assert.deepEqual(
      (await client.pushes(300)).map(numberOf),
      Array.from({ length: 300 }, (_, i) => i),
    )
    await until(() => accepted === 300)
    await client.drop()
    const again = await fixture.authenticated(identity)
    fixture.gateway.deliver(identity.publicKey, message(999), () => {})
    assert.equal(numberOf((await again.pushes(1))[0]!), 999)
  })

  it('keeps keys and messages over a restart', async () => {
    const first = await Fixture.open()
    const identity = await first.registered()
    first.gateway.deliver(identity.publicKey, message(1), () => {})
    await first.gateway.close()
    await using second = await Fixture.open({}, first.databaseFile)
    const client = await second.authenticated(identity)
    assert.equal(numberOf((await client.pushes(1))[0]!), 1)
  })

  it('holds stored messages back on the connection of a registration', async () => {
    await using fixture = await Fixture.open()
    const identity = await fixture.registered()
    fixture.gateway.deliver(identity.publicKey, message(1), () => {})
    const again = await fixture.connect(identity)
    assert.equal((await again.register()).type, 'register')
    assert.equal((await again.ask({ type: 'supportedProtocol' })).type, 'supportedProtocol')
    await again.drop()
    const client = await fixture.authenticated(identity)
    assert.equal(numberOf((await client.pushes(1))[0]!), 1)
  })

  it('drops, counts and never acknowledges what is for nobody', async () => {
    await using fixture = await Fixture.open()
    let accepted = false
    fixture.gateway.deliver(new Uint8Array(32).fill(1), message(1), () => {
      accepted = true
    })
    assert.equal(fixture.metrics.value('mixwright_dropped_packets_total', { reason: 'unregistered-client' }), 1)
    await fixture.gateway.close()
    assert.equal(accepted, false)
    fixture.gateway = { close: async () => {} } as Gateway
  })

  it('is bounded per client, and by age', async () => {
    const clock = new VirtualClock(new RealClock().now())
    await using fixture = await Fixture.open({ clock, mailboxLimits: { messagesPerClient: 10 } })
    const identity = await fixture.registered()
    let accepted = 0
    for (let i = 0; i < 25; i++) fixture.gateway.deliver(identity.publicKey, message(i), () => accepted++)
    clock.advance(10)
    assert.equal(accepted, 10)
    assert.equal(fixture.metrics.value('mixwright_dropped_packets_total', { reason: 'mailbox-full' }), 15)
    clock.advance(25 * 3_600_000)
    assert.equal(fixture.metrics.value('mixwright_mailbox_expired_total'), 10)
    fixture.gateway.deliver(identity.publicKey, message(1), () => accepted++)
    clock.advance(10)
    assert.equal(accepted, 11)
  })

  it('a client that never reads costs a bounded amount of memory, and gets everything once it does', async () => {
    await using fixture = await Fixture.open()
    const identity = await fixture.registered()
    const client = await fixture.authenticated(identity)
    client.websocket.pause()
    const total = 8000
    let accepted = 0
    for (let i = 0; i < total; i++) {
      fixture.gateway.deliver(identity.publicKey, message(i), () => accepted++)
      if (i % 100 === 0) await turn()
    }
    const stored = fixture.metrics.value('nym_node_mixnet_egress_stored_on_disk_final_hop_packets')
    assert.ok(stored > 0, 'nothing went the way of the mailbox')
    client.websocket.resume()
    const got = (await client.pushes(total)).map(numberOf)
    assert.deepEqual(
      got,
      Array.from({ length: total }, (_, i) => i),
    )
    await until(() => accepted === total)
  })

  it('full: nothing more is acknowledged, the gateway lives on, and stores again once there is room', async () => {
    await using fixture = await Fixture.open({ maximumDatabaseBytes: 256 * 1024, mailboxLimits: { commitMessages: 8 } })
    const identity = await fixture.registered()
    const full = () => fixture.metrics.value('mixwright_dropped_packets_total', { reason: 'mailbox-error' })
    const accepted: number[] = []
    let sent = 0
    while (full() === 0) {
      const number = sent++
      fixture.gateway.deliver(identity.publicKey, message(number), () => accepted.push(number))
      await turn()
    }
    await until(() => accepted.length + full() === sent)
    assert.ok(accepted.length > 0)
    const client = await fixture.authenticated(identity)
    assert.deepEqual((await client.pushes(accepted.length)).map(numberOf), accepted)
    await client.drop()
    await until(() => fixture.metrics.value('mixwright_gateway_sessions') === 0)
    let again = false
    fixture.gateway.deliver(identity.publicKey, message(1), () => {
      again = true
    })
    await until(() => again)
  })

  it('locked by another program: nothing is acknowledged, and it goes on when the lock is gone', async () => {
    await using fixture = await Fixture.open()
    const identity = await fixture.registered()
    const { default: Database } = await import('libsql')
    const other = new Database(fixture.databaseFile)
    other.exec('BEGIN EXCLUSIVE')
    let accepted = 0
    for (let i = 0; i < 5; i++) fixture.gateway.deliver(identity.publicKey, message(i), () => accepted++)
    await until(() => fixture.metrics.value('mixwright_dropped_packets_total', { reason: 'mailbox-error' }) === 5)
    assert.equal(accepted, 0)
    other.exec('COMMIT')
    other.close()
    fixture.gateway.deliver(identity.publicKey, message(5), () => accepted++)
    await until(() => accepted === 1)
  })
})

describe('hostile and broken clients', () => {
  it('before authentication: an error each, the connection stays, then patience ends', async () => {
    await using fixture = await Fixture.open()
    const client = await fixture.connect(newIdentity(crypto))
    const wrong: (string | Uint8Array)[] = [
      'no JSON',
      '{}',
      '{"type":"claimFreeTestnetBandwidth"}',
      '{"type":"somethingElse"}',
      '{"type":"handshakePayload","protocol_version":null,"data":[1]}',
      '{"type":"handshakePayload","protocol_version":3,"data":[256]}',
      new Uint8Array(0),
      Uint8Array.of(1),
      new Uint8Array(2451),
    ]
    for (const text of wrong) assert.equal((await client.ask(text)).type, 'error')
    assert.equal((await client.register()).type, 'register')

    const stubborn = await fixture.connect(newIdentity(crypto))
    for (let i = 0; i < 100; i++) stubborn.send('{}')
    await stubborn.closed
  })

  const afterwards: [string, (client: GatewayClient) => Uint8Array][] = [
    ['a frame of 1 byte', () => Uint8Array.of(1)],
    ['a frame of 13 bytes', () => new Uint8Array(13).fill(1)],
    ['a plain frame', () => new Uint8Array(2451).fill(1, 0, 1)],
    [
      'a tag one bit off',
      (client) => {
        const frame = client.frame(1, encodeMixPacket(mixPacket, 1))
        frame[frame.length - 1]! ^= 1
        return frame
      },
    ],
    ['an unknown kind', (client) => client.frame(9, encodeMixPacket(mixPacket, 1))],
    ['no mix packet', (client) => client.frame(1, new Uint8Array(5))],
    ['a mix packet of a wrong size', (client) => client.frame(2, encodeMixPacket(mixPacket, 2).subarray(1))],
  ]
  for (const [name, make] of afterwards) {
    it(`after authentication, ${name}: an error, then the end of this connection only`, async () => {
      await using fixture = await Fixture.open()
      const [bad, good] = [
        await fixture.authenticated(await fixture.registered()),
        await fixture.authenticated(await fixture.registered()),
      ]
      assert.equal((await bad.ask(make(bad))).type, 'error')
      await bad.closed
      assert.equal((await good.ask(good.frame(2, encodeMixPacket(mixPacket, 2)))).type, 'send')
      assert.equal(fixture.forwarded.length, 1)
    })
  }

  it('after authentication, wrong texts: an error, and the session goes on', async () => {
    await using fixture = await Fixture.open()
    const client = await fixture.authenticated(await fixture.registered())
    for (const text of [
      'no JSON',
      '{"type":"authenticate"}',
      encodeHandshake(),
      '{"type":"bandwidthCredential","enc_credential":[],"iv":[]}',
    ]) {
      assert.equal((await client.ask(text)).type, 'error')
    }
    assert.equal((await client.ask({ type: 'claimFreeTestnetBandwidth' })).type, 'bandwidth')
  })

  it('a message of 16 MB ends its connection before it is read', async () => {
    await using fixture = await Fixture.open()
    const client = await fixture.connect(newIdentity(crypto))
    client.websocket.send(new Uint8Array(16 * 1024 * 1024), () => {})
    await client.closed
    assert.equal((await (await fixture.connect(newIdentity(crypto))).register()).type, 'register')
  })

  it('slow ones are cut off on time: before the upgrade, while fresh, and within a handshake', async () => {
    const clock: Clock & VirtualClock = new VirtualClock()
    await using fixture = await Fixture.open({ clock })
    const raw = connect({ host: LOOPBACK, port: fixture.gateway.websocketPort })
    raw.on('error', () => {})
    await once(raw, 'connect')
    await until(() => fixture.metrics.value('nym_node_network_active_ingress_web_socket_connections') === 1)
    const cut = new Promise((resolve) => raw.once('close', resolve))
    raw.write('GET / HT')
    raw.resume()
    clock.advance(1_501)
    await cut

    const fresh = await fixture.connect(newIdentity(crypto))
    await until(() => fixture.metrics.value('nym_node_network_active_ingress_web_socket_connections') === 1)
    clock.advance(9_999)
    assert.equal((await fresh.ask({ type: 'supportedProtocol' })).type, 'supportedProtocol')
    clock.advance(10_001)
    await fresh.closed

    const half = await fixture.connect(newIdentity(crypto))
    const payload = new Uint8Array(80)
    payload.set(newIdentity(crypto).publicKey)
    payload.set(crypto.x25519Base(new Uint8Array(32).fill(4)), 32)
    assert.equal(
      (await half.ask({ type: 'handshakePayload', protocol_version: 3, data: payload })).type,
      'handshakePayload',
    )
    clock.advance(5_001)
    assert.equal((await half.next()).type, 'handshakeError')
    await half.closed
  })

  it('one that asks and asks but never reads is dropped, beside an honest one', async () => {
    const limits = { messageBurst: Number.POSITIVE_INFINITY, unreadBytes: 262_144 }
    await using fixture = await Fixture.open({ limits })
    const [bad, good] = [
      await fixture.authenticated(await fixture.registered()),
      await fixture.authenticated(await fixture.registered()),
    ]
    bad.websocket.pause()
    const question = encodeClientRequest({ type: 'supportedProtocol' })
    while (fixture.metrics.value('mixwright_gateway_sessions') === 2) {
      // Only as fast as the gateway takes them: what must grow is its queue of answers, not this client's of questions.
      if (bad.websocket.bufferedAmount < 65_536) for (let i = 0; i < 500; i++) bad.websocket.send(question)
      await turn()
    }
    assert.equal((await good.ask({ type: 'supportedProtocol' })).type, 'supportedProtocol')
  })

  it('500 idle connections stand beside an honest client', async () => {
    await using fixture = await Fixture.open({ limits: { connectionsPerAddress: 510 } })
    const idle: Socket[] = await Promise.all(
      Array.from({ length: 500 }, async () => {
        const socket = connect({ host: LOOPBACK, port: fixture.gateway.websocketPort })
        socket.on('error', () => {})
        await once(socket, 'connect')
        return socket
      }),
    )
    const client = await fixture.authenticated(await fixture.registered())
    assert.equal((await client.ask(client.frame(2, encodeMixPacket(mixPacket, 2)))).type, 'send')
    for (const socket of idle) socket.destroy()
  })

  it('connections over the limit are dropped', async () => {
    await using fixture = await Fixture.open({ limits: { maximumConnections: 2 } })
    const kept = [await fixture.connect(newIdentity(crypto)), await fixture.connect(newIdentity(crypto))]
    const refused = connect({ host: LOOPBACK, port: fixture.gateway.websocketPort })
    refused.on('error', () => {})
    refused.resume()
    await new Promise((resolve) => refused.once('close', resolve))
    assert.equal((await kept[0]!.register()).type, 'register')
  })
})

describe('the rest of the protocol', () => {
  it('forgets a client that asks for it', async () => {
    await using fixture = await Fixture.open()
    const identity = await fixture.registered()
    const client = await fixture.authenticated(identity)
    const { seal, open } = await import('@mixwright/wire')
    const nonce = new Uint8Array(12).fill(5)
    const plaintext = new TextEncoder().encode('{"ForgetMe":{"client":true,"stats":false}}')
    const answer = await client.ask({
      type: 'encryptedRequest',
      ciphertext: seal(identity.sharedKey!, nonce, plaintext),
      nonce,
    })
    assert.equal(answer.type, 'encryptedResponse')
    if (answer.type !== 'encryptedResponse') return
    assert.equal(
      new TextDecoder().decode(open(identity.sharedKey!, answer.nonce, answer.ciphertext)),
      '{"ForgetMeAck":{}}',
    )
    assert.equal((await client.ask({ type: 'supportedProtocol' })).type, 'supportedProtocol')
    let accepted = false
    fixture.gateway.deliver(identity.publicKey, message(1), () => {
      accepted = true
    })
    await client.drop()
    const later = await fixture.connect(identity)
    assert.equal((await later.ask(later.authentication())).type, 'error')
    assert.equal(accepted, false)
  })

  it('says what is wrong with its database', async () => {
    await assert.rejects(Fixture.open({}, join(scratch, 'no', 'such', 'directory.sqlite')), {
      code: 'MIX_GATEWAY_DATABASE',
      kind: 'local',
    })
    const { writeFileSync } = await import('node:fs')
    const garbage = join(scratch, 'garbage.sqlite')
    writeFileSync(garbage, 'this is no database'.repeat(1000))
    await assert.rejects(Fixture.open({}, garbage), { code: 'MIX_GATEWAY_DATABASE' })
  })
})

function encodeHandshake(): string {
  return JSON.stringify({ type: 'handshakePayload', protocol_version: 3, data: Array.from({ length: 80 }, () => 0) })
}
