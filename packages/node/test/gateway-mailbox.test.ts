import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { MemoryMetrics, MixError, SystemRandom, silentLogger, VirtualClock } from '@mixwright/runtime'
import { ClientDelivery, type DeliverySocket } from '../src/gateway/client-delivery.js'
import { GatewayDatabase } from '../src/gateway/store/gateway-database.js'
import { Mailbox, type MailboxLimits } from '../src/gateway/store/mailbox.js'
import { newIdentity } from './gateway-client.js'
import { crypto, Fixture, message, numberOf, scratch, turn, until } from './gateway-fixture.js'

const HOUR_MS = 3_600_000
const alice = new Uint8Array(32).fill(1)
const bob = new Uint8Array(32).fill(2)
let files = 0

class MailboxFixture implements Disposable {
  readonly clock = new VirtualClock()
  readonly metrics = new MemoryMetrics()
  readonly database = GatewayDatabase.open(join(scratch, `mailbox-${files++}.sqlite`), 'process', 1e9)
  readonly mailbox: Mailbox

  constructor(limits: Partial<MailboxLimits> = {}) {
    this.mailbox = new Mailbox(this.database, this.clock, silentLogger, this.metrics, limits)
  }

  store(client: Uint8Array, from: number, to: number): void {
    for (let i = from; i < to; i++) this.mailbox.store(client, message(i), () => {})
    this.mailbox.commit()
  }

  page(client: Uint8Array): number[] {
    return this.mailbox.page(client, 0, 100_000).map(({ content }) => numberOf(content))
  }

  get rows(): number {
    return (this.database.prepare('SELECT count(*) AS n FROM messages').get([]) as { n: number }).n
  }

  get expired(): number {
    return this.metrics.value('mixwright_mailbox_expired_total')
  }

  [Symbol.dispose](): void {
    this.mailbox.close()
    this.database.close()
  }
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

describe('the age of stored messages', () => {
  it('ends to the millisecond, also before they are deleted', () => {
    using fixture = new MailboxFixture()
    fixture.store(alice, 0, 3)
    fixture.clock.advance(30_000)
    fixture.store(alice, 3, 5)
    fixture.clock.advance(24 * HOUR_MS - 30_000)
    assert.deepEqual(fixture.page(alice), numbers(0, 5))
    fixture.clock.advance(1)
    assert.equal(fixture.rows, 5)
    assert.deepEqual(fixture.page(alice), numbers(3, 5))
    fixture.clock.advance(29_999)
    assert.deepEqual(fixture.page(alice), numbers(3, 5))
    fixture.clock.advance(1)
    assert.deepEqual(fixture.page(alice), [])
    fixture.clock.advance(60_000)
    assert.equal(fixture.rows, 0)
    assert.equal(fixture.expired, 5)
  })

  it('those deleted together with delivered ones are counted too', () => {
    using fixture = new MailboxFixture()
    fixture.store(alice, 0, 3)
    fixture.clock.advance(24 * HOUR_MS - 1)
    fixture.store(alice, 3, 5)
    fixture.clock.advance(2)
    const page = fixture.mailbox.page(alice, 0, 100)
    fixture.mailbox.deleteUpTo(alice, page.at(-1)!.id, page.length)
    assert.equal(fixture.rows, 0)
    assert.equal(fixture.expired, 3)
  })

  it('deletes 5 000 old ones in small steps, with the quota right at every one', () => {
    using fixture = new MailboxFixture({ messagesPerClient: 3_000 })
    fixture.store(alice, 0, 3_000)
    fixture.store(bob, 0, 2_000)
    fixture.clock.advance(24 * HOUR_MS)
    fixture.store(bob, 2_000, 2_010)
    const steps: number[] = []
    let before = fixture.rows
    while (before > 10) {
      assert.ok(fixture.clock.nextEvent())
      const after = fixture.rows
      if (after < before) steps.push(before - after)
      before = after
    }
    assert.deepEqual(
      steps,
      Array.from({ length: 50 }, () => 100),
    )
    assert.deepEqual(fixture.page(bob), numbers(2_000, 2_010))
    // Each client has its whole quota again, and no more.
    fixture.store(alice, 0, 3_001)
    fixture.store(bob, 2_010, 5_001)
    assert.equal(fixture.metrics.value('mixwright_dropped_packets_total', { reason: 'mailbox-full' }), 2)
    assert.equal(fixture.rows, 6_000)
  })
})

describe('a slow reader', () => {
  /** A socket whose other side reads only when told to. */
  class SlowSocket implements DeliverySocket {
    readonly #unread: { data: Uint8Array; written: (error?: Error) => void }[] = []
    bufferedBytes = 0
    most = 0

    sendBinary(data: Uint8Array, written: (error?: Error) => void): void {
      this.#unread.push({ data, written })
      this.bufferedBytes += data.length
      this.most = Math.max(this.most, this.bufferedBytes)
    }

    read(): boolean {
      const first = this.#unread.shift()
      if (first === undefined) return false
      this.bufferedBytes -= first.data.length
      first.written()
      return true
    }

    break(): void {
      for (const { written } of this.#unread.splice(0)) written(new Error('gone'))
    }
  }

  const deliveryTo = (socket: DeliverySocket, { mailbox, metrics }: MailboxFixture) =>
    new ClientDelivery(alice, new Uint8Array(32).fill(7), socket, mailbox, new SystemRandom(), metrics)

  it('gets 9 000 messages through 300 kB of memory; each is acknowledged once, in either way', () => {
    using fixture = new MailboxFixture()
    const socket = new SlowSocket()
    const delivery = deliveryTo(socket, fixture)
    delivery.start()
    const accepted: number[] = []
    for (let i = 0; i < 9_000; i++) {
      delivery.deliver(message(i), () => accepted.push(i))
      if (i % 9 === 0) socket.read()
      fixture.clock.advance(1)
    }
    while (socket.read()) fixture.mailbox.commit()
    assert.ok(socket.most < 300_000, `${socket.most} bytes waited`)
    assert.deepEqual(
      accepted.sort((a, b) => a - b),
      numbers(0, 9_000),
    )
    assert.equal(fixture.rows, 0)
    const counted = (name: string) => fixture.metrics.value(`mixwright_gateway_${name}_messages_total`)
    assert.equal(counted('pushed') + counted('drained'), 9_000)
    // Once it has caught up nothing takes the way over the disk.
    const drained = counted('drained')
    delivery.deliver(message(9_000), () => accepted.push(9_000))
    socket.read()
    assert.equal(accepted.at(-1), 9_000)
    assert.equal(counted('drained'), drained)
  })

  it('that breaks: what its socket held is in the mailbox for the next connection', () => {
    using fixture = new MailboxFixture()
    const socket = new SlowSocket()
    const delivery = deliveryTo(socket, fixture)
    delivery.start()
    const accepted: number[] = []
    for (let i = 0; i < 500; i++) delivery.deliver(message(i), () => accepted.push(i))
    for (let i = 0; i < 20; i++) socket.read()
    delivery.close()
    socket.break()
    fixture.mailbox.commit()
    assert.equal(accepted.length, 500)
    assert.deepEqual(
      fixture.page(alice).sort((a, b) => a - b),
      numbers(20, 500),
    )
  })

  it('over a real socket: 6 000 messages, read a few at a time, arrive once and in order', async () => {
    await using fixture = await Fixture.open()
    const identity = await fixture.registered()
    const client = await fixture.authenticated(identity)
    const total = 6_000
    let accepted = 0
    for (let i = 0; i < total; i++) {
      fixture.gateway.deliver(identity.publicKey, message(i), () => accepted++)
      // It reads for a turn, then does something else for ten.
      if (i % 20 === 0) client.websocket.resume()
      await turn()
      client.websocket.pause()
    }
    client.websocket.resume()
    assert.deepEqual((await client.pushes(total)).map(numberOf), numbers(0, total))
    await until(() => accepted === total)
  })
})

describe('a database file that suffers', () => {
  const filled = async () => {
    const fixture = await Fixture.open()
    const identity = await fixture.registered()
    let accepted = 0
    for (let i = 0; i < 200; i++) fixture.gateway.deliver(identity.publicKey, message(i), () => accepted++)
    await until(() => accepted === 200)
    return { fixture, identity }
  }

  it('truncated at every length while the gateway was down: refused by name', async () => {
    const { fixture, identity } = await filled()
    await fixture.gateway.close()
    const whole = readFileSync(fixture.databaseFile)
    let refused = 0
    // Every length around what SQLite reads first, then every page with a remainder.
    const lengths = [
      ...numbers(0, 110),
      ...numbers(0, Math.floor(whole.length / 4096)).map((page) => page * 4096 + (page % 4096)),
    ]
    for (const length of lengths) {
      const path = join(mkdtempSync(join(scratch, 'cut-')), 'gateway.sqlite')
      writeFileSync(path, whole.subarray(0, length))
      try {
        await using damaged = await Fixture.open({}, path)
        damaged.gateway.deliver(identity.publicKey, message(1), () => {})
        await damaged.registered()
      } catch (error) {
        assert.ok(error instanceof MixError && error.code === 'MIX_GATEWAY_DATABASE', String(error))
        refused++
      }
      rmSync(path, { force: true })
    }
    // An empty file is a new database.
    const noticed = lengths.filter((length) => length > 0)
    assert.ok(noticed.length > 200)
    assert.equal(refused, noticed.length)
  })

  for (const [what, suffer] of [
    ['removed', (path: string) => rmSync(path)],
    [
      'replaced',
      (path: string) => {
        copyFileSync(path, `${path}.new`)
        renameSync(`${path}.new`, path)
      },
    ],
  ] as const) {
    it(`${what} while the gateway runs: nothing more is acknowledged or registered, and it lives on`, async () => {
      const { fixture, identity } = await filled()
      await using _ = fixture
      suffer(fixture.databaseFile)
      let accepted = 0
      for (let i = 0; i < 5; i++) fixture.gateway.deliver(identity.publicKey, message(i), () => accepted++)
      await until(() => fixture.dropped('mailbox-error') === 5)
      assert.equal(accepted, 0)
      const newcomer = await fixture.connect(newIdentity(crypto))
      assert.equal((await newcomer.register()).type, 'handshakeError')
    })
  }

  it('truncated while the gateway runs: counted, not acknowledged twice, and it lives on', async () => {
    const { fixture, identity } = await filled()
    await using _ = fixture
    writeFileSync(fixture.databaseFile, '')
    let accepted = 0
    for (let i = 0; i < 600; i++) fixture.gateway.deliver(identity.publicKey, message(i), () => accepted++)
    await until(() => accepted + fixture.dropped('mailbox-error') === 600)
    const client = await fixture.connect(identity)
    assert.match((await client.ask(client.authentication())).type, /^(error|authenticate)$/)
  })

  it('read-only: refused by name', async () => {
    const { fixture } = await filled()
    await fixture.gateway.close()
    const directory = mkdtempSync(join(scratch, 'read-only-'))
    const path = join(directory, 'gateway.sqlite')
    copyFileSync(fixture.databaseFile, path)
    // Root may write everywhere: then somebody else tries.
    const root = process.getuid?.() === 0
    if (root) {
      chmodSync(scratch, 0o755)
      chownSync(directory, 65_534, 65_534)
    }
    chmodSync(path, 0o444)
    chmodSync(directory, 0o555)
    const program = fileURLToPath(new URL('./gateway-database-opener.js', import.meta.url))
    const child = spawn(process.execPath, [program, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
      ...(root ? { uid: 65_534, gid: 65_534 } : {}),
    })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    await once(child, 'close')
    chmodSync(directory, 0o755)
    assert.equal(output, 'MIX_GATEWAY_DATABASE')
  })
})
