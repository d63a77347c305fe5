import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Logger, RealClock, silentLogger, VirtualClock } from '@mixwright/runtime'
import { encodeMixPacket } from '@mixwright/wire'
import { newIdentity } from './gateway-client.js'
import { crypto, Fixture, LOOPBACK, message, mixPacket, numberOf, scratch, until } from './gateway-fixture.js'

const certificates = fileURLToPath(new URL('../../test/certificates/', import.meta.url))
type Name = 'first' | 'second'
const certificateOf = (name: Name) => readFileSync(join(certificates, `${name}.certificate.pem`), 'utf8')

/** The two files of a gateway, and what is put into them. */
class Files {
  readonly #directory = mkdtempSync(join(scratch, 'tls-'))
  readonly certificateFile = join(this.#directory, 'certificate.pem')
  readonly keyFile = join(this.#directory, 'key.pem')

  constructor() {
    this.put('first')
  }

  put(certificate: Name, key: Name = certificate): void {
    copyFileSync(join(certificates, `${certificate}.certificate.pem`), this.certificateFile)
    copyFileSync(join(certificates, `${key}.key.pem`), this.keyFile)
  }

  get options() {
    const { certificateFile, keyFile } = this
    return { listen: { host: LOOPBACK, port: 0 }, certificateFile, keyFile }
  }
}

describe('wss', () => {
  it('serves clients as ws does, on its own port, with one table of sessions', async () => {
    await using fixture = await Fixture.open({ secure: new Files().options })
    assert.notEqual(fixture.gateway.secureWebsocketPort, fixture.gateway.websocketPort)
    const way = { ca: certificateOf('first') }
    const identity = await fixture.registered(way)
    const client = await fixture.authenticated(identity, way)
    assert.equal((await client.ask(client.frame(2, encodeMixPacket(mixPacket, 2)))).type, 'send')
    for (let i = 0; i < 500; i++) fixture.gateway.deliver(identity.publicKey, message(i), () => {})
    assert.deepEqual(
      (await client.pushes(500)).map(numberOf),
      Array.from({ length: 500 }, (_, i) => i),
    )
    const plain = await fixture.connect(identity)
    assert.equal((await plain.ask(plain.authentication())).type, 'error')
    await client.drop()
    await fixture.authenticated(identity)
  })

  it('loses nothing when a client that reads slowly drops its connection: the rest waits for the next one', async () => {
    await using fixture = await Fixture.open({ secure: new Files().options })
    const way = { ca: certificateOf('first') }
    const identity = await fixture.registered(way)
    const first = await fixture.authenticated(identity, way)
    first.websocket.pause()
    let accepted = 0
    for (let i = 0; i < 8_000; i++) fixture.gateway.deliver(identity.publicKey, message(i), () => accepted++)
    await until(() => fixture.metrics.value('nym_node_mixnet_egress_stored_on_disk_final_hop_packets') > 6_000)
    await first.drop()
    await until(() => accepted === 8_000)
    await until(() => fixture.metrics.value('mixwright_gateway_sessions') === 0)
    const second = await fixture.authenticated(identity, way)
    // What the first one's operating system took is gone with it. All others are there, each once.
    const left =
      fixture.metrics.value('nym_node_mixnet_egress_stored_on_disk_final_hop_packets') -
      fixture.metrics.value('mixwright_gateway_drained_messages_total')
    const got = (await second.pushes(left)).map(numberOf)
    assert.equal(new Set(got).size, left)
    fixture.gateway.deliver(identity.publicKey, message(8_000), () => {})
    assert.equal(numberOf((await second.pushes(1))[0]!), 8_000)
  })

  it('is not there unless asked for', async () => {
    await using fixture = await Fixture.open()
    assert.equal(fixture.gateway.secureWebsocketPort, undefined)
    assert.equal(fixture.gateway.reloadCertificate(), false)
  })

  it('cuts off what is no TLS and what never finishes its handshake, and counts both doors together', async () => {
    const clock = new VirtualClock(new RealClock().now())
    await using fixture = await Fixture.open({
      clock,
      secure: new Files().options,
      limits: { connectionsPerAddress: 2 },
    })
    const open = async () => {
      const socket = connect({ host: LOOPBACK, port: fixture.gateway.secureWebsocketPort! })
      socket.on('error', () => {})
      socket.resume()
      const closed = new Promise((resolve) => socket.once('close', resolve))
      await once(socket, 'connect')
      return { socket, closed }
    }
    const garbage = await open()
    garbage.socket.write('GET / HTTP/1.1\r\n\r\n')
    await garbage.closed
    await until(() => fixture.metrics.value('nym_node_network_active_ingress_web_socket_connections') === 0)
    const [silent, ours] = [await open(), await fixture.connect(newIdentity(crypto))]
    await (await open()).closed
    assert.equal((await ours.register()).type, 'register')
    clock.advance(5_001)
    await silent.closed
  })

  it('shows a new certificate to new connections, within a minute or when told to; open ones live on', async () => {
    const clock = new VirtualClock(new RealClock().now())
    const files = new Files()
    await using fixture = await Fixture.open({ clock, secure: files.options })
    const [first, second] = [{ ca: certificateOf('first') }, { ca: certificateOf('second') }]
    const old = await fixture.authenticated(await fixture.registered(first), first)
    files.put('second')
    assert.equal(fixture.gateway.reloadCertificate(), true)
    await assert.rejects(fixture.connect(newIdentity(crypto), first), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
    await fixture.authenticated(await fixture.registered(second), second)
    files.put('first')
    clock.advance(60_000)
    await fixture.registered(first)
    assert.equal((await old.ask(old.frame(2, encodeMixPacket(mixPacket, 2)))).type, 'send')
  })

  it('keeps the old certificate when the new files are broken, half written or of two minds, and says so once', async () => {
    const clock = new VirtualClock(new RealClock().now())
    const errors: string[] = []
    const logger: Logger = { ...silentLogger, error: (_fields: object, text: string) => void errors.push(text) }
    const files = new Files()
    await using fixture = await Fixture.open({ clock, logger, secure: files.options })
    const way = { ca: certificateOf('first') }
    const broken: (() => void)[] = [
      () => files.put('second', 'first'),
      () => writeFileSync(files.certificateFile, certificateOf('second').slice(0, 200)),
      () => writeFileSync(files.certificateFile, ''),
    ]
    for (const breakIt of broken) {
      breakIt()
      errors.length = 0
      clock.advance(180_000)
      assert.deepEqual(errors, ['the new certificate for wss cannot be used; the old one stays'])
      await fixture.registered(way)
      files.put('first')
      clock.advance(60_000)
    }
    files.put('second')
    clock.advance(60_000)
    await fixture.registered({ ca: certificateOf('second') })
  })

  it('does not start with files that cannot be used, and leaves no port and no lock behind', async () => {
    const files = new Files()
    files.put('first', 'second')
    const databaseFile = join(scratch, 'tls-refused.sqlite')
    await assert.rejects(Fixture.open({ secure: files.options }, databaseFile), {
      code: 'MIX_GATEWAY_CERTIFICATE',
      kind: 'local',
    })
    files.put('first')
    await using fixture = await Fixture.open({ secure: files.options }, databaseFile)
    const expires = fixture.metrics.value('mixwright_gateway_certificate_expires_timestamp_seconds')
    assert.ok(expires > new RealClock().now() / 1000)
  })
})
