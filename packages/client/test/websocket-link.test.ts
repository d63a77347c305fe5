/** Links to a real gateway over real websockets: first starts, restarts on either side, and whatever can go wrong between. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createNodeKeys, LOCAL_GATEWAY_LIMITS, Node, type NodeKeys, StaticSource } from '@mixwright/node'
import {
  concatBytes,
  MemoryMetrics,
  MixError,
  RealClock,
  SystemRandom,
  silentLogger,
  VirtualClock,
} from '@mixwright/runtime'
import {
  buildPacket,
  type CryptoProvider,
  encodeNodeAddress,
  loadCryptoProvider,
  type NodeAddress,
  PACKET_SIZES,
} from '@mixwright/sphinx'
import { decodeBase58, encodeBase58, encodeSurbAck, type MixPacket, rotationOfId } from '@mixwright/wire'
import { GatewayKeeper } from '../src/gateway/gateway-keeper.js'
import type { GatewayLink } from '../src/gateway/gateway-link.js'
import { openNodeWebSocket } from '../src/gateway/node-websocket.js'
import { decodeRegistration, encodeRegistration, type Registration } from '../src/gateway/registration.js'
import { WebSocketDoor, type WebSocketDoorOptions } from '../src/gateway/websocket-link.js'
import { GatewayProxy } from './gateway-proxy.js'

const LOOPBACK = '127.0.0.1'
const ROTATION = 2
const scratch = mkdtempSync(join(tmpdir(), 'mixwright-link-'))
const random = new SystemRandom()
let crypto: CryptoProvider
let databases = 0
before(async () => {
  crypto = await loadCryptoProvider()
})
after(() => rmSync(scratch, { recursive: true, force: true }))

/** A gateway of its own identity, which can be stopped and started, and lose its database. */
class GatewayHost implements AsyncDisposable {
  readonly keys: NodeKeys = createNodeKeys(crypto, random)
  readonly stateDirectory = mkdtempSync(join(scratch, 'node-'))
  databaseFile = join(scratch, `${databases++}.sqlite`)
  node!: Node

  static async start(): Promise<GatewayHost> {
    const host = new GatewayHost()
    await host.start()
    return host
  }

  async start(): Promise<void> {
    const listen = { host: LOOPBACK, port: 0 }
    this.node = await Node.start({
      role: 'gateway',
      clock: new RealClock(),
      random,
      logger: silentLogger,
      metrics: new MemoryMetrics(),
      crypto,
      keys: this.keys,
      stateDirectory: this.stateDirectory,
      network: new StaticSource([{ ipAddresses: [LOOPBACK], mixPort: 1 }], ROTATION),
      announcedIps: [LOOPBACK],
      mixListen: listen,
      gateway: { listen, databaseFile: this.databaseFile, limits: LOCAL_GATEWAY_LIMITS },
    })
  }

  async restart({ forgetting = false } = {}): Promise<void> {
    await this.node.stop()
    if (forgetting) this.databaseFile = join(scratch, `${databases++}.sqlite`)
    await this.start()
  }

  get sphinxKey(): Uint8Array {
    return decodeBase58(this.node.description.hostInformation.data.keys.x25519_sphinx, 32)!
  }

  get url(): string {
    return `ws://${LOOPBACK}:${this.node.clientPort}`
  }

  /** A packet through this gateway alone: message `number` for one client, and its ack for another. */
  packet(number: number, to: TestClient, ackTo: TestClient): MixPacket {
    const nextHop: NodeAddress = { family: 4, host: LOOPBACK, port: this.node.mixPort }
    const route = [{ address: encodeNodeAddress(nextHop, 32), publicKey: this.sphinxKey }]
    const common = { route, delaysNanos: [0n] }
    const message = new Uint8Array(1643)
    new DataView(message.buffer).setUint32(0, number)
    const ack = buildPacket(crypto, random, {
      ...common,
      destination: ackTo.identity,
      packetSize: PACKET_SIZES.ack,
      message: message.subarray(0, 21),
    })
    const packet = buildPacket(crypto, random, {
      ...common,
      destination: to.identity,
      packetSize: PACKET_SIZES.regular,
      message: concatBytes(encodeSurbAck({ firstHop: nextHop, packet: ack }), message),
    })
    return { nextHop, rotation: rotationOfId(ROTATION), packet }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.stop()
  }
}

const numberOf = (message: Uint8Array) => new DataView(message.buffer, message.byteOffset).getUint32(0)

/** A client's identity, its door, and what came through it. */
class TestClient {
  readonly seed = random.bytes(32)
  readonly identity = crypto.ed25519PublicKey(this.seed)
  readonly registrations: Registration[] = []
  /** Numbers of messages and of acks. */
  readonly messages: number[] = []
  readonly acks: number[] = []
  readonly closings: MixError[] = []
  /** Texts that came. */
  texts = 0
  readonly door: WebSocketDoor
  #changed = () => {}

  constructor(gateway: Uint8Array, urls: () => readonly string[], options: Partial<WebSocketDoorOptions> = {}) {
    this.door = new WebSocketDoor({
      gateway: encodeBase58(gateway),
      urls,
      openWebSocket: (url) => {
        const websocket = openNodeWebSocket(url)
        websocket.addEventListener('message', ({ data }) => {
          if (typeof data === 'string') this.texts++
          this.#changed()
        })
        return websocket
      },
      identitySeed: this.seed,
      crypto,
      clock: new RealClock(),
      random,
      onRegistered: (registration) => this.registrations.push(registration),
      ...options,
    })
  }

  connect(signal?: AbortSignal): Promise<GatewayLink> {
    return this.door.connect(
      {
        received: (message) => this.take(message),
        closed: (reason) => this.tell(this.closings, reason),
      },
      signal,
    )
  }

  /** What the gateway pushed. */
  take(message: Uint8Array): void {
    this.tell(message.length === 21 ? this.acks : this.messages, numberOf(message))
  }

  /** Note something that `until` may wait for. */
  tell<T>(notes: T[], note: T): void {
    notes.push(note)
    this.#changed()
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#changed = resolve))
  }

  /** Hang up and wait for the end. */
  async leave(link: GatewayLink): Promise<void> {
    const before = this.closings.length
    link.close()
    await this.until(() => this.closings.length > before)
  }
}

const of = (host: GatewayHost, options: Partial<WebSocketDoorOptions> = {}) =>
  new TestClient(host.keys.identityKey, () => [host.url], options)

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => assert.fail('it should have failed'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof MixError, String(error))
  return error.code
}

const range = (count: number) => Array.from({ length: count }, (_, index) => index)
const sorted = (numbers: Iterable<number>) => [...numbers].sort((a, b) => a - b)

describe('a link to a gateway', () => {
  it('registers at the first start, sends over the same connection, and receives', async () => {
    await using host = await GatewayHost.start()
    const client = of(host)
    const link = await client.connect()
    assert.equal(client.registrations.length, 1)
    const { gateway, sharedKey, protocolVersion } = client.registrations[0]!
    assert.deepEqual([gateway, sharedKey.length, protocolVersion], [host.node.identityKey, 32, 6])
    link.send(host.packet(7, client, client))
    await client.until(() => client.messages.length + client.acks.length === 2)
    assert.deepEqual([client.messages, client.acks], [[7], [7]])
    await client.leave(link)
    assert.deepEqual(
      client.closings.map(({ code }) => code),
      ['MIX_GATEWAY_LEFT'],
    )
    link.close()
    link.send(host.packet(8, client, client))
  })

  it('authenticates afterwards: in the same process, and by a stored registration in another', async () => {
    await using host = await GatewayHost.start()
    const first = of(host)
    for (const _ of range(2)) await first.leave(await first.connect())
    assert.equal(first.registrations.length, 1)
    const stored = decodeRegistration(encodeRegistration(first.registrations[0]!))
    const second = of(host, { identitySeed: first.seed, registration: stored })
    await second.leave(await second.connect())
    assert.equal(second.registrations.length, 0)
  })

  it('comes back to a gateway that restarted, and gets what came meanwhile', async () => {
    await using host = await GatewayHost.start()
    const sender = of(host)
    const recipient = of(host)
    await recipient.leave(await recipient.connect())
    const link = await sender.connect()
    for (const number of range(120)) link.send(host.packet(number, recipient, sender))
    await sender.until(() => sender.acks.length === 120)
    await host.restart()
    await sender.until(() => sender.closings.length === 1)
    assert.equal(sender.closings[0]!.code, 'MIX_GATEWAY_CLOSED')
    const again = await recipient.connect()
    await recipient.until(() => recipient.messages.length === 120)
    assert.deepEqual(recipient.messages, range(120))
    assert.equal(recipient.registrations.length, 1)
    await recipient.leave(again)
  })

  it('registers anew with a gateway that lost its database, under the same identity', async () => {
    await using host = await GatewayHost.start()
    const client = of(host)
    await client.leave(await client.connect())
    await host.restart({ forgetting: true })
    const link = await client.connect()
    assert.equal(client.registrations.length, 2)
    assert.notDeepEqual(client.registrations[0]!.sharedKey, client.registrations[1]!.sharedKey)
    link.send(host.packet(1, client, client))
    await client.until(() => client.messages.length === 1)
    await client.leave(link)
  })

  it('registers anew when the gateway knows it by another key', async () => {
    await using host = await GatewayHost.start()
    const client = of(host)
    await client.leave(await client.connect())
    const registration = { ...client.registrations[0]!, sharedKey: new Uint8Array(32) }
    const mistaken = of(host, { identitySeed: client.seed, registration })
    await mistaken.leave(await mistaken.connect())
    assert.equal(mistaken.registrations.length, 1)
  })

  it('loses nothing by hanging up while the gateway pushes', async () => {
    await using host = await GatewayHost.start()
    const sender = of(host)
    const recipient = of(host)
    await recipient.leave(await recipient.connect())
    const link = await sender.connect()
    for (const number of range(300)) link.send(host.packet(number, recipient, sender))
    await sender.until(() => sender.acks.length === 300)
    let calls = 0
    while (new Set(recipient.messages).size < 300) {
      const first = recipient.messages.length
      const again = await recipient.connect()
      await recipient.until(() => recipient.messages.length > first)
      await recipient.leave(again)
      assert.ok(++calls < 20, `${recipient.messages.length} of 300 came`)
    }
    assert.deepEqual(sorted(new Set(recipient.messages)), range(300))
    await sender.leave(link)
  })

  it('says how much the operating system has not taken', async () => {
    await using host = await GatewayHost.start()
    await using proxy = await GatewayProxy.open(() => host.url)
    const client = new TestClient(host.keys.identityKey, () => [proxy.url])
    const link = await client.connect()
    assert.equal(link.unsentBytes, 0)
    for (const socket of proxy.sockets) socket.pause()
    const packet = host.packet(1, client, client)
    let sent = 0
    while (link.unsentBytes === 0 && sent++ < 20_000) link.send(packet)
    assert.ok(link.unsentBytes > 0)
    proxy.dropAll()
    await client.until(() => client.closings.length === 1)
  })
})

describe('a keeper over a real door', () => {
  it('is back by itself when the gateway is, and passes on what came meanwhile', async () => {
    await using host = await GatewayHost.start()
    const clock = new VirtualClock(new RealClock().now())
    const client = of(host, { clock })
    const told: string[] = []
    const keeper = new GatewayKeeper({
      door: client.door,
      clock,
      random,
      events: {
        received: (message) => client.take(message),
        up: () => client.tell(told, 'up'),
        down: ({ code }) => client.tell(told, code),
      },
    })
    keeper.resume()
    await client.until(() => told.length === 1)
    assert.ok(keeper.send(host.packet(1, client, client)))
    await client.until(() => client.acks.length === 1 && client.messages.length === 1)
    await host.node.stop()
    await client.until(() => told.length === 2)
    clock.advance(500)
    await client.until(() => told.length === 3)
    await host.start()
    const sender = of(host)
    const link = await sender.connect()
    link.send(host.packet(2, client, sender))
    await sender.until(() => sender.acks.length === 1)
    await sender.leave(link)
    keeper.wake()
    await client.until(() => client.messages.length === 2 && told.length === 4)
    assert.deepEqual(told, ['up', 'MIX_GATEWAY_CLOSED', 'MIX_GATEWAY_UNREACHABLE', 'up'])
    assert.equal(keeper.losses, 1)
    await keeper.close()
    assert.equal(clock.pending, 0)
  })
})

describe('timestamps of authentications', () => {
  const timesIn = ({ said }: GatewayProxy) =>
    said.flatMap((text) => /"requestUnixTimestamp":(\d+)/.exec(text)?.[1] ?? []).map(Number)

  it('differ from each other within one second', async () => {
    await using host = await GatewayHost.start()
    await using proxy = await GatewayProxy.open(() => host.url)
    const clock = new VirtualClock(new RealClock().now())
    const client = new TestClient(host.keys.identityKey, () => [proxy.url], { clock })
    for (const _ of range(5)) await client.leave(await client.connect())
    const start = Math.floor(clock.now() / 1000)
    assert.deepEqual(timesIn(proxy), [start, start + 1, start + 2, start + 3])
  })

  it('step over the second that an earlier process has used', async () => {
    await using host = await GatewayHost.start()
    await using proxy = await GatewayProxy.open(() => host.url)
    const clock = new VirtualClock(new RealClock().now())
    const earlier = new TestClient(host.keys.identityKey, () => [proxy.url], { clock })
    for (const _ of range(3)) await earlier.leave(await earlier.connect())
    const [registration] = earlier.registrations
    const options = { clock, registration, identitySeed: earlier.seed }
    const later = new TestClient(host.keys.identityKey, () => [proxy.url], options)
    await later.leave(await later.connect())
    const start = Math.floor(clock.now() / 1000)
    assert.deepEqual(timesIn(proxy), [start, start + 1, start, start + 1])
    assert.equal(later.registrations.length, 0)
  })

  it('follow a clock that was set right', async () => {
    await using host = await GatewayHost.start()
    await using proxy = await GatewayProxy.open(() => host.url)
    class WrongClock extends VirtualClock {
      error = 3_600_000
      override now(): number {
        return super.now() + this.error
      }
    }
    const clock = new WrongClock(new RealClock().now())
    const client = new TestClient(host.keys.identityKey, () => [proxy.url], { clock })
    await client.leave(await client.connect())
    assert.equal(await codeOf(client.connect()), 'MIX_GATEWAY_REFUSED')
    clock.error = 0
    await client.leave(await client.connect())
    assert.equal(timesIn(proxy).at(-1), Math.floor(clock.now() / 1000))
  })
})

describe('addresses', () => {
  it('are tried in turn', async () => {
    await using host = await GatewayHost.start()
    const dead = ['ws://127.0.0.1:1', 'no url', `http://${LOOPBACK}:${host.node.httpPort}/nothing`]
    const urls = [...dead, host.url]
    const client = new TestClient(host.keys.identityKey, () => urls)
    await client.leave(await client.connect())
    urls.pop()
    const error = (await client.connect().catch((reason: unknown) => reason)) as MixError
    assert.equal(error.code, 'MIX_GATEWAY_UNREACHABLE')
    assert.equal((error.data.reasons as string[]).length, 3)
    urls.length = 0
    assert.equal(await codeOf(client.connect()), 'MIX_GATEWAY_UNREACHABLE')
  })

  it('behind which nothing ever answers do not hold it up', async () => {
    await using host = await GatewayHost.start()
    const silent = createServer()
    silent.listen(0, LOOPBACK)
    await once(silent, 'listening')
    const clock = new VirtualClock(new RealClock().now())
    const urls = [`ws://${LOOPBACK}:${(silent.address() as AddressInfo).port}`, host.url]
    const client = new TestClient(host.keys.identityKey, () => urls, { clock })
    const accepted = once(silent, 'connection')
    const connected = client.connect()
    await accepted
    clock.advance(5_000)
    await client.leave(await connected)
    silent.close()
  })

  it('of another gateway are found out', async () => {
    await using host = await GatewayHost.start()
    const other = createNodeKeys(crypto, random).identityKey
    const client = new TestClient(other, () => [host.url])
    assert.equal(await codeOf(client.connect()), 'MIX_GATEWAY_IDENTITY')
    assert.deepEqual([client.registrations, client.closings], [[], []])
  })

  it('need an identity to belong to', () => {
    for (const gateway of ['', 'gateway', '0OIl']) {
      assert.throws(
        () => new WebSocketDoor({ ...({} as WebSocketDoorOptions), gateway }),
        (error: MixError) => error.code === 'MIX_GATEWAY_UNKNOWN',
      )
    }
  })
})

describe('a gateway that fails', () => {
  /** The gateway's texts to a client that registers, and to one that authenticates. */
  const steps = [
    ...['supportedProtocol', 'handshake', 'handshake', 'register', 'claim'].map((step, number) => ({
      known: false,
      step,
      number,
    })),
    ...['supportedProtocol', 'authenticate'].map((step, number) => ({ known: true, step, number })),
  ]

  /** A client, registered or not, behind a proxy; its clock stands still unless told. */
  async function behindProxy(host: GatewayHost, proxy: GatewayProxy, known: boolean) {
    const clock = new VirtualClock(new RealClock().now())
    const client = new TestClient(host.keys.identityKey, () => [proxy.url], { clock })
    if (known) await client.leave(await client.connect())
    return { client, clock }
  }

  for (const { known, step, number } of steps) {
    it(`${known ? 'authentication' : 'registration'}, text ${number} (${step}): garbage, silence or the end of the connection`, async () => {
      await using host = await GatewayHost.start()
      await using proxy = await GatewayProxy.open(() => host.url)
      const failing = async (fate: ReturnType<GatewayProxy['interfere']>, act = (_clock: VirtualClock) => {}) => {
        proxy.interfere = () => 'pass'
        const { client, clock } = await behindProxy(host, proxy, known)
        const closings = client.closings.length
        let interfered = false
        proxy.interfere = (_text, which) => {
          if (which !== number) return 'pass'
          interfered = true
          return fate
        }
        const connected = client.connect()
        connected.catch(() => {})
        await proxy.until(() => interfered)
        act(clock)
        const code = await codeOf(connected)
        assert.equal(client.closings.length, closings)
        // Nothing is left over, and nothing stands in the way of a better day.
        assert.equal(clock.pending, 0)
        await proxy.until(() => proxy.sockets.size === 0)
        proxy.interfere = () => 'pass'
        await client.leave(await client.connect())
        return code
      }
      const refused = step === 'claim' ? 'MIX_GATEWAY_BANDWIDTH' : 'MIX_GATEWAY_REFUSED'
      assert.equal(await failing({ replace: '{"type":"wrong"}' }), 'MIX_GATEWAY_ANSWER')
      assert.equal(await failing({ replace: '{"type":"error","message":"x"}' }), refused)
      assert.equal(await failing({ replace: new Uint8Array(100) }), 'MIX_GATEWAY_ANSWER')
      assert.equal(await failing('drop'), 'MIX_GATEWAY_CLOSED')
      assert.equal(await failing('withhold', (clock) => clock.advance(10_000)), 'MIX_GATEWAY_TIMEOUT')
    })
  }

  it('gets time as long as it pushes what it stored', async () => {
    await using host = await GatewayHost.start()
    await using proxy = await GatewayProxy.open(() => host.url)
    const { client, clock } = await behindProxy(host, proxy, true)
    const sender = of(host)
    const link = await sender.connect()
    proxy.interfere = (_text, number) => (number === 1 ? 'withhold' : 'pass')
    const connected = client.connect()
    connected.catch(() => {})
    await proxy.until(() => proxy.said.at(-1)!.includes('authenticateV2'))
    for (const number of range(3)) {
      clock.advance(9_000)
      link.send(host.packet(number, client, sender))
      await client.until(() => client.messages.length === number + 1)
    }
    clock.advance(9_999)
    clock.advance(1)
    assert.equal(await codeOf(connected), 'MIX_GATEWAY_TIMEOUT')
    await sender.leave(link)
  })

  it('does not hold up whoever changes their mind', async () => {
    await using host = await GatewayHost.start()
    await using proxy = await GatewayProxy.open(() => host.url)
    const { client, clock } = await behindProxy(host, proxy, false)
    proxy.interfere = () => 'withhold'
    const controller = new AbortController()
    const connected = client.connect(controller.signal)
    connected.catch(() => {})
    await proxy.until(() => proxy.said.length === 1)
    const reason = new Error('no longer wanted')
    controller.abort(reason)
    await assert.rejects(connected, reason)
    await proxy.until(() => proxy.sockets.size === 0)
    assert.equal(clock.pending, 0)
    await assert.rejects(client.connect(controller.signal), reason)
    assert.equal(proxy.connections, 1)
  })

  it('is not believed dead while it answers, and is when it does not answer a packet for 15 s', async () => {
    await using host = await GatewayHost.start()
    await using proxy = await GatewayProxy.open(() => host.url)
    const { client, clock } = await behindProxy(host, proxy, false)
    const link = await client.connect()
    for (const number of range(4)) {
      link.send(host.packet(number, client, client))
      await client.until(() => client.acks.length === number + 1 && client.messages.length === number + 1)
      clock.advance(14_000)
    }
    assert.equal(client.closings.length, 0)
    proxy.deaf = true
    link.send(host.packet(4, client, client))
    clock.advance(10_000)
    link.send(host.packet(5, client, client))
    clock.advance(4_999)
    assert.equal(client.closings.length, 0)
    clock.advance(1)
    assert.deepEqual(
      client.closings.map(({ code }) => code),
      ['MIX_GATEWAY_SILENT'],
    )
    assert.equal(clock.pending, 0)
  })

  it('is asked for a sign of life after a minute of silence, and when told', async () => {
    await using host = await GatewayHost.start()
    await using proxy = await GatewayProxy.open(() => host.url)
    const { client, clock } = await behindProxy(host, proxy, false)
    const link = await client.connect()
    for (const _ of range(3)) {
      const { texts } = client
      clock.advance(59_999)
      assert.equal(client.texts, texts)
      clock.advance(1)
      await client.until(() => client.texts > texts)
    }
    // One question when it connected, and three since.
    assert.equal(proxy.said.filter((text) => text.includes('supportedProtocol')).length, 4)
    proxy.deaf = true
    link.probe?.()
    clock.advance(4_999)
    assert.equal(client.closings.length, 0)
    clock.advance(1)
    assert.equal(client.closings.at(-1)?.code, 'MIX_GATEWAY_SILENT')
  })

  it('is listened to once more when it is we who stood still', async () => {
    await using host = await GatewayHost.start()
    await using proxy = await GatewayProxy.open(() => host.url)
    class StandingClock extends VirtualClock {
      stoodStillMs = 0
      override monotonic(): number {
        return super.monotonic() + this.stoodStillMs
      }
    }
    const clock = new StandingClock(new RealClock().now())
    const client = new TestClient(host.keys.identityKey, () => [proxy.url], { clock })
    const link = await client.connect()
    proxy.deaf = true
    link.send(host.packet(1, client, client))
    clock.stoodStillMs = 3_600_000
    clock.advance(15_000)
    assert.equal(client.closings.length, 0)
    clock.advance(5_000)
    assert.equal(client.closings.at(-1)?.code, 'MIX_GATEWAY_SILENT')
  })
})

describe('a stored registration', () => {
  const registration: Registration = {
    gateway: encodeBase58(new Uint8Array(32).fill(200)),
    sharedKey: new Uint8Array(32).fill(9),
    protocolVersion: 6,
    registeredAt: Date.UTC(2026, 1, 3, 4, 5, 6, 789),
  }

  it('comes back as it was, also from the middle of a larger buffer', () => {
    const bytes = encodeRegistration(registration)
    assert.equal(bytes.length, 74)
    assert.deepEqual(decodeRegistration(bytes), registration)
    assert.deepEqual(decodeRegistration(concatBytes(new Uint8Array(5), bytes).subarray(5)), registration)
  })

  it('is refused when damaged', () => {
    const bytes = encodeRegistration(registration)
    for (const wrong of [bytes.subarray(1), bytes.subarray(0, 73), concatBytes(bytes, bytes), bytes.with(0, 2)]) {
      assert.throws(
        () => decodeRegistration(wrong),
        (error: MixError) => error.code === 'MIX_REGISTRATION',
      )
    }
  })
})
