/** A network requester between scripted clients and real sockets: what it carries, in which order, and how connections end. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, Socket } from 'node:net'
import { afterEach, describe, it } from 'node:test'
import { MemoryMetrics, SeededRandom, silentLogger, VirtualClock } from '@mixwright/runtime'
import {
  CURRENT_VERSIONS,
  encodeProviderRequest,
  formatRecipient,
  type ProviderVersions,
  parseExitPolicy,
  RESET_CREDIT,
} from '@mixwright/wire'
import { NetworkRequester, type NetworkRequesterOptions } from '../src/index.js'
import { type Dial, systemDial } from '../src/network-requester/destination.js'
import type { ConnectOutcome as ConnectOutcomeName } from '../src/network-requester/requester-metrics.js'
import {
  Bag,
  type PeerOptions,
  recipientOf,
  ScriptedClient,
  ScriptedConnection,
  type Sent,
  tagOf,
} from './scripted-client.js'
import { type Destination, listenTcp } from './tcp-destinations.js'

const BUILD = {
  binary_name: 'mixwright',
  build_timestamp: '',
  build_version: '0.1.0',
  commit_sha: '',
  commit_timestamp: '',
  commit_branch: '',
  rustc_version: '',
  rustc_channel: '',
  cargo_profile: '',
  cargo_triple: '',
}

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function listen(...args: Parameters<typeof listenTcp>): Promise<Destination> {
  const destination = await listenTcp(...args)
  cleanups.push(() => destination.close())
  return destination
}

async function startRequester(options: Partial<NetworkRequesterOptions> = {}) {
  const bus = new ScriptedClient()
  const clock = new VirtualClock()
  const metrics = new MemoryMetrics()
  const requester = await NetworkRequester.start({
    client: bus.client,
    clock,
    logger: silentLogger,
    metrics,
    policy: { kind: 'open' },
    allowLocalIps: true,
    buildInformation: BUILD,
    ...options,
  })
  cleanups.push(async () => {
    bus.holdAcks = false
    const closing = requester.close()
    clock.advance(3000)
    await closing
  })
  const dropped = (reason: string) => metrics.value('mixwright_requester_dropped_total', { reason })
  const ended = (reason: string) => metrics.value('mixwright_requester_ended_total', { reason })
  const connects = (outcome: string) => metrics.value('mixwright_requester_connects_total', { outcome })
  return { bus, clock, metrics, requester, dropped, ended, connects }
}

const hashOf = (chunks: Uint8Array[]) => createHash('sha256').update(Buffer.concat(chunks)).digest('hex')
/** Until what is queued in this process has happened. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Until it is so, one turn of the event loop after the other: sockets have no event for it. */
async function until(when: () => boolean): Promise<void> {
  while (!when()) await settled()
}

/** Until the other side has cut it off. */
async function reset(socket: Socket): Promise<void> {
  const [error] = await once(socket, 'error')
  assert.equal(error.code, 'ECONNRESET')
}

/** A destination with one socket of it. */
async function connected(options: Partial<NetworkRequesterOptions> = {}, peerOptions?: PeerOptions) {
  const destination = await listen()
  const running = await startRequester(options)
  const peer = new ScriptedConnection(running.bus, peerOptions)
  const arriving = destination.socket()
  peer.connect(destination.remote)
  const socket = await arriving
  await peer.until(() => peer.messages > 0)
  return { ...running, destination, peer, socket }
}

describe('a connection through a requester', () => {
  it('echoes a megabyte both ways while messages are shuffled and repeated', async (t) => {
    const random = new SeededRandom(t.name)
    const echo = await listen((socket) => socket.pipe(socket))
    const { bus, requester, dropped } = await startRequester()
    const peer = new ScriptedConnection(bus)
    const [up, down] = [new Bag(random.fork('up'), 40), new Bag(random.fork('down'), 40)]
    peer.onWay = down.put
    const data = random.bytes(1_000_000)
    const messages = [peer.request({ kind: 'connect', remote: echo.remote, returnAddress: undefined })]
    for (let at = 0; at < data.length; at += 16_384) messages.push(peer.message(data.subarray(at, at + 16_384)))
    messages.push(peer.message(new Uint8Array(0), true))
    for (const message of messages) up.put(() => peer.deliver(message))
    await peer.until(() => peer.closed)
    assert.equal(hashOf(peer.chunks), hashOf([data]))
    assert.equal(peer.error, undefined)
    assert.ok(dropped('send-repeated') + dropped('send-old') + dropped('connect-repeated') > 0)
    await until(() => requester.connections === 0)
    assert.deepEqual([requester.uploadBytes, requester.downloadBytes], [0, 0])
  })

  it('says at once that it is connected, and closes in a message of its own', async () => {
    const { bus, peer, socket } = await connected()
    assert.deepEqual(bus.answers('data')[0], {
      kind: 'data',
      versions: CURRENT_VERSIONS,
      connectionId: peer.id,
      sequence: 0n,
      closed: false,
      data: bus.answers('data')[0]!.data,
    })
    assert.equal(bus.answers('data')[0]!.data.length, 0)
    socket.end('all of it')
    await peer.until(() => peer.closed)
    const script = bus.answers('data').map(({ sequence, closed, data }) => [Number(sequence), closed, data.length])
    assert.deepEqual(script, [
      [0, false, 0],
      [1, false, 9],
      [2, true, 0],
    ])
    assert.deepEqual(new Set(bus.sent.map(({ lane }) => lane)), new Set([peer.id]))
  })

  it('goes on downwards when the client has closed, and upwards when the destination has', async () => {
    const first = await connected()
    first.peer.send('question', true)
    const [asked] = await once(first.socket, 'data')
    assert.equal(String(asked), 'question')
    await once(first.socket, 'end')
    first.socket.end('answer')
    await first.peer.until(() => first.peer.closed)
    assert.equal(first.peer.text, 'answer')
    await until(() => first.requester.connections === 0)
    assert.equal(first.ended('finished'), 1)

    const second = await connected()
    second.socket.end('greeting')
    await second.peer.until(() => second.peer.closed)
    second.peer.send('late', true)
    const [late] = await once(second.socket, 'data')
    assert.equal(String(late), 'late')
    await until(() => second.requester.connections === 0)
    assert.equal(second.ended('finished'), 1)
    assert.deepEqual([second.peer.closes, second.peer.afterClose], [1, 0])
  })

  it('acts on a close only when everything before it is there', async () => {
    const { peer, socket } = await connected()
    const [one, two, close] = [
      peer.message(Buffer.from('one ')),
      peer.message(Buffer.from('two')),
      peer.message(Buffer.alloc(0), true),
    ]
    let text = ''
    socket.on('data', (data) => {
      text += data
    })
    peer.deliver(close)
    peer.deliver(two)
    await settled()
    assert.equal(text, '')
    peer.deliver(one)
    await once(socket, 'end')
    assert.equal(text, 'one two')
  })

  it('keeps what overtakes its Connect, but not for ever', async () => {
    const destination = await listen()
    const { bus, clock, dropped, requester } = await startRequester()
    const [early, late] = [new ScriptedConnection(bus), new ScriptedConnection(bus)]
    late.send('lost')
    late.send('as well')
    clock.advance(20_000)
    early.send('first ')
    early.send('second', true)
    assert.equal(requester.uploadBytes, 'lostas well'.length + 'first second'.length)
    clock.advance(11_000)
    assert.equal(dropped('no-connect'), 2)
    assert.match(late.error!, /^connect failed: /)
    const arriving = destination.socket()
    early.connect(destination.remote)
    late.connect(destination.remote)
    const socket = await arriving
    let text = ''
    socket.on('data', (data) => {
      text += data
    })
    await once(socket, 'end')
    assert.equal(text, 'first second')
    assert.equal(destination.sockets.length, 1)
  })

  it('bounds what waits for a Connect: the oldest goes', async () => {
    const { bus, dropped, requester } = await startRequester()
    const chunk = new Uint8Array(1024 ** 2)
    for (let count = 0; count < 40; count++) new ScriptedConnection(bus).send(chunk)
    assert.equal(requester.uploadBytes, 16 * 1024 ** 2)
    assert.equal(dropped('too-many-wait'), 24)
    for (let count = 0; count < 20_000; count++) new ScriptedConnection(bus).send('x')
    assert.ok(requester.uploadBytes <= 8192)
  })

  it('refuses a second Connect of a connection silently, and remembers ended ones', async () => {
    const { bus, peer, socket, destination, dropped, requester } = await connected()
    const before = bus.sent.length
    peer.connect(destination.remote)
    assert.equal(dropped('connect-repeated'), 1)
    socket.end()
    peer.close()
    await until(() => requester.connections === 0)
    const after = bus.sent.length
    peer.close()
    peer.send('data after the close')
    peer.connect(destination.remote)
    await settled()
    assert.equal(dropped('connection-ended'), 3)
    assert.deepEqual([before, bus.sent.length - after], [1, 0])
    assert.equal(destination.sockets.length, 1)
  })

  it('sends a keepalive each minute, and ends what is silent for five', async () => {
    const { bus, clock, peer, requester, ended, socket } = await connected()
    clock.advance(59_000)
    assert.equal(bus.sent.length, 1)
    for (let minute = 1; minute <= 10; minute++) {
      clock.advance(60_000)
      await settled()
      // A keepalive of the client counts, though it brings no data (trap T4).
      if (minute % 4 === 0) peer.send('')
    }
    assert.deepEqual([peer.messages, peer.bytes, peer.closed], [11, 0, false])
    assert.equal(requester.connections, 1)
    clock.advance(300_000)
    assert.equal(requester.connections, 0)
    assert.equal(ended('idle'), 1)
    await reset(socket)
  })

  it('ends when a client that knows credit has vanished, though the destination goes on; for others it goes on', async () => {
    const [ours, other] = [await connected(), await connected()]
    ours.peer.grant(1_000_000n)
    for (const { socket, peer, clock, requester } of [ours, other]) {
      for (let minute = 1; minute <= 4; minute++) {
        const before = peer.bytes
        socket.write('tick')
        await peer.until(() => peer.bytes > before)
        clock.advance(60_000)
      }
      assert.equal(requester.connections, 1)
    }
    // A credit that grants nothing new counts as a word.
    ours.peer.grant(1_000_000n)
    for (const { clock } of [ours, other]) clock.advance(299_000)
    assert.deepEqual([ours.requester.connections, other.requester.connections], [1, 0])
    const again = await connected()
    again.peer.grant(1_000_000n)
    again.clock.advance(200_000)
    again.socket.write('tick')
    await again.peer.until(() => again.peer.bytes > 0)
    again.clock.advance(100_000)
    assert.equal(again.ended('idle'), 1)
  })

  it('ends when a message is missing for two minutes, however much comes after it', async () => {
    const { clock, peer, ended, requester } = await connected()
    const keepalive = (sequence: bigint) =>
      peer.deliver(peer.request({ kind: 'send', sequence, closed: false, data: new Uint8Array(0) }))
    keepalive(1n)
    clock.advance(115_000)
    keepalive(0n)
    clock.advance(60_000)
    assert.equal(requester.connections, 1)
    keepalive(3n)
    clock.advance(60_000)
    keepalive(4n)
    clock.advance(59_000)
    assert.equal(ended('message-missing'), 0)
    clock.advance(2000)
    await peer.until(() => peer.closed)
    assert.match(peer.error!, /^connect failed: /)
    assert.equal(ended('message-missing'), 1)
  })

  it('ends when a message is missing for good, with an error and then a close', async () => {
    const { bus, peer, ended, dropped } = await connected()
    peer.send('one')
    peer.deliver(peer.request({ kind: 'send', sequence: 0n, closed: false, data: Buffer.from('again') }))
    peer.deliver(peer.request({ kind: 'send', sequence: 1001n, closed: false, data: Buffer.from('at the edge') }))
    peer.deliver(peer.request({ kind: 'send', sequence: 1001n, closed: false, data: Buffer.from('twice') }))
    assert.deepEqual([dropped('send-old'), dropped('send-repeated')], [1, 1])
    peer.deliver(peer.request({ kind: 'send', sequence: 1002n, closed: false, data: Buffer.from('too far') }))
    await peer.until(() => peer.closed)
    assert.match(peer.error!, /^connect failed: /)
    assert.equal(ended('message-missing'), 1)
    assert.deepEqual(
      bus.sent.map(({ response }) => response.kind),
      ['data', 'connection-error', 'data'],
    )
  })

  it('tells of a reset by an error, and who may not know credit by a close as well', async () => {
    const plain = await connected()
    plain.socket.resetAndDestroy()
    await plain.peer.until(() => plain.peer.closed)
    assert.match(plain.peer.error!, /reset/)
    const ours = await connected()
    ours.peer.grant(1_000_000n)
    ours.socket.resetAndDestroy()
    await ours.peer.until(() => ours.peer.error !== undefined)
    await settled()
    assert.equal(ours.peer.closes, 0)
    for (const { ended, requester } of [plain, ours]) {
      assert.equal(ended('reset-by-destination'), 1)
      await until(() => requester.connections === 0)
    }
  })

  it('ends at once when a client resets it', async () => {
    const { bus, peer, requester, socket, ended } = await connected()
    peer.grant(RESET_CREDIT)
    await reset(socket)
    assert.equal(requester.connections, 0)
    assert.equal(ended('reset-by-client'), 1)
    assert.deepEqual(bus.closedLanes, [peer.id])
  })

  it('lets go of the socket also when a client resets it just after its last word', async () => {
    let dialed: Socket | undefined
    const dial: Dial = (host, port) => {
      dialed = systemDial(host, port)
      return dialed
    }
    const { peer, ended } = await connected({ dial })
    peer.close()
    peer.grant(RESET_CREDIT)
    assert.equal(ended('reset-by-client'), 1)
    if (!dialed?.closed) await once(dialed!, 'close')
  })

  it('ends when an answer is lost, and drops the others', async () => {
    const { bus, peer, requester, socket, ended } = await connected()
    bus.deadTags.add(tagOf(1))
    socket.write('for nobody')
    await reset(socket)
    assert.equal(requester.connections, 0)
    assert.equal(ended('reply-lost'), 1)
    assert.deepEqual(bus.closedLanes, [peer.id])
  })
})

describe('the way back', () => {
  const paths: [string, PeerOptions, string][] = [
    ['to the address of the Connect', { returnAddress: recipientOf(7) }, formatRecipient(recipientOf(7))],
    ['by the sender tag', { senderTag: tagOf(3) }, tagOf(3)],
    [
      'to the address where there is both',
      { returnAddress: recipientOf(7), senderTag: tagOf(3) },
      formatRecipient(recipientOf(7)),
    ],
  ]
  for (const [name, options, to] of paths)
    it(`is ${name}`, async () => {
      const { bus, peer, socket } = await connected({}, options)
      socket.end('hello')
      await peer.until(() => peer.closed)
      assert.deepEqual(new Set(bus.sent.map((sent) => sent.to)), new Set([to]))
    })

  it('has to be there', async () => {
    const destination = await listen()
    const { bus, dropped, requester } = await startRequester()
    new ScriptedConnection(bus, {}).connect(destination.remote)
    assert.deepEqual([dropped('no-return-path'), requester.connections, bus.sent.length], [1, 0, 0])
  })

  const versions: ProviderVersions[] = [
    { interface: 3, socks5: 3 },
    { interface: 'legacy', socks5: 'legacy' },
    { interface: 3, socks5: 'legacy' },
    { interface: 4, socks5: 3 },
  ]
  for (const version of versions)
    it(`speaks interface ${version.interface} and socks5 ${version.socks5} as the Connect did`, async () => {
      const { bus, peer, socket } = await connected({}, { versions: version, senderTag: tagOf(1) })
      // Those of a Send change nothing.
      peer.deliver(
        encodeProviderRequest({
          kind: 'send',
          versions: CURRENT_VERSIONS,
          connectionId: peer.id,
          sequence: 0n,
          closed: false,
          data: Buffer.from('x'),
        }),
      )
      await once(socket, 'data')
      socket.end('hello')
      await peer.until(() => peer.closed)
      const refused = new ScriptedConnection(bus, { versions: version, senderTag: tagOf(1) })
      refused.connect('nowhere')
      await refused.until(() => refused.closes === 1)
      for (const { response } of bus.sent) assert.deepEqual('versions' in response && response.versions, version)
      assert.equal(peer.text, 'hello')
    })
})

describe('a Connect that fails', () => {
  it('is answered with its reason, and then with a close', async () => {
    const { bus, connects, requester } = await startRequester({
      policy: { kind: 'text', text: 'ExitPolicy reject *:25\nExitPolicy accept *:*' },
      resolve: async (host) => {
        if (host === 'empty.example') return []
        throw new Error('no such host')
      },
    })
    const gone = await listenTcp()
    await gone.close()
    const cases: [string, string, ConnectOutcomeName][] = [
      [gone.remote, `connection refused: ${gone.remote}`, 'connection-refused'],
      ['no.example:80', 'unknown host: no.example:80', 'unknown-host'],
      ['empty.example:80', 'unknown host: empty.example:80', 'unknown-host'],
      ['127.0.0.1:25', 'Domain "127.0.0.1:25" failed filter check', 'refused-by-policy'],
      ['no port', 'connect failed: the destination is no host:port', 'not-a-destination'],
      [
        `${'x'.repeat(70_000).slice(0, 65_000)}:80`,
        'connect failed: the destination is no host:port',
        'not-a-destination',
      ],
    ]
    for (const [remote, text, outcome] of cases) {
      const before = connects(outcome)
      const peer = new ScriptedConnection(bus)
      peer.connect(remote)
      peer.send('eager')
      await peer.until(() => peer.closed)
      assert.equal(peer.error, text)
      assert.equal(connects(outcome), before + 1)
    }
    await until(() => requester.connections === 0)
  })

  it('has the close follow only when the error has arrived, and not for clients that know credit', async () => {
    const { bus } = await startRequester()
    bus.holdAcks = true
    const peer = new ScriptedConnection(bus)
    peer.connect('nowhere')
    await peer.until(() => peer.error !== undefined)
    await settled()
    assert.equal(peer.closes, 0)
    bus.sent[0]!.arrive()
    await peer.until(() => peer.closes === 1)
    bus.sent[1]!.arrive()

    const ours = new ScriptedConnection(bus)
    ours.connect('nowhere')
    ours.grant(1_000_000n)
    await ours.until(() => ours.error !== undefined)
    for (const { arrive } of bus.sent) arrive()
    await settled()
    assert.equal(ours.closes, 0)
  })

  it('gives up after 15 seconds of silence', async () => {
    const silent = new Socket()
    const { bus, clock, requester, connects } = await startRequester({ dial: () => silent })
    const peer = new ScriptedConnection(bus)
    peer.connect('192.0.2.1:80')
    await settled()
    clock.advance(14_999)
    await settled()
    assert.equal(peer.error, undefined)
    clock.advance(1)
    await peer.until(() => peer.closed)
    assert.equal(peer.error, 'timed out: 192.0.2.1:80')
    assert.equal(connects('timed-out'), 1)
    assert.equal(silent.destroyed, true)
    await until(() => requester.connections === 0)
  })

  it('refuses what is not in the public internet, by whatever name', async () => {
    const dialled: string[] = []
    const { bus, connects } = await startRequester({
      allowLocalIps: false,
      // One address of several is enough.
      resolve: async () => ['93.184.215.14', '10.0.0.1'],
      dial: (ip) => {
        dialled.push(ip)
        return new Socket()
      },
    })
    const remotes = [
      '127.0.0.1:80',
      '0:0:0:0:0:0:0:1:80',
      '[::ffff:127.0.0.1]:80',
      '169.254.169.254:80',
      'rebound.example:80',
    ]
    for (const remote of remotes) {
      const peer = new ScriptedConnection(bus)
      peer.connect(remote)
      await peer.until(() => peer.closed)
      assert.equal(peer.error, `Domain "${remote}" failed filter check`)
    }
    assert.deepEqual(dialled, [])
    assert.equal(connects('refused-by-policy'), remotes.length)
  })

  it('resolves names by the system where nothing else is given', async () => {
    const destination = await listen((socket) => socket.end())
    const { bus } = await startRequester()
    const [known, unknown] = [new ScriptedConnection(bus), new ScriptedConnection(bus)]
    known.connect(`localhost:${destination.port}`)
    await known.until(() => known.closed)
    assert.equal(known.error, undefined)
    unknown.connect('no such name:80')
    await unknown.until(() => unknown.closed)
    assert.equal(unknown.error, 'unknown host: no such name:80')
  })

  it('quotes a destination as Rust does', async () => {
    const { bus } = await startRequester({ allowLocalIps: false, resolve: async () => ['10.0.0.1'] })
    const peer = new ScriptedConnection(bus)
    peer.connect('a"b\\c\u0001\td:80')
    await peer.until(() => peer.closed)
    assert.equal(peer.error, 'Domain "a\\"b\\\\c\\u{1}\\td:80" failed filter check')
  })

  it('resolves once and connects to what was checked, the next address when one fails', async () => {
    const destination = await listen()
    let resolutions = 0
    const dialled: string[] = []
    const { bus } = await startRequester({
      resolve: async () => (resolutions++ === 0 ? ['127.0.0.2', '127.0.0.1'] : ['10.0.0.1']),
      dial: (ip, port) => {
        dialled.push(ip)
        return connect({ host: ip, port, allowHalfOpen: true })
      },
    })
    const peer = new ScriptedConnection(bus)
    peer.connect(`two.example:${destination.port}`)
    await peer.until(() => peer.messages > 0)
    assert.equal(peer.error, undefined)
    assert.deepEqual([resolutions, dialled], [1, ['127.0.0.2', '127.0.0.1']])
  })

  it('tries the next address beside one that is silent, and drops the loser', async () => {
    const destination = await listen()
    const silent = new Socket()
    const { bus, clock } = await startRequester({
      resolve: async () => ['192.0.2.1', '127.0.0.1'],
      dial: (ip, port) => (ip === '192.0.2.1' ? silent : connect({ host: ip, port, allowHalfOpen: true })),
    })
    const peer = new ScriptedConnection(bus)
    peer.connect(`two.example:${destination.port}`)
    await settled()
    clock.advance(300)
    await peer.until(() => peer.messages > 0)
    assert.equal(peer.error, undefined)
    assert.equal(silent.destroyed, true)
  })

  it('goes no further when the client gives up', async () => {
    const silent = new Socket()
    const { bus, connects, requester } = await startRequester({ dial: () => silent })
    const peer = new ScriptedConnection(bus)
    peer.connect('192.0.2.1:80')
    await settled()
    peer.grant(RESET_CREDIT)
    await until(() => connects('given-up') === 1)
    assert.deepEqual([silent.destroyed, requester.connections, bus.sent.length], [true, 0, 0])
  })
})

describe('back-pressure', () => {
  it('reads no more from a destination than 256 KiB that are not sent', async () => {
    const total = 1024 ** 3
    const block = new Uint8Array(1024 ** 2)
    let left = total
    const source = await listen((socket) => {
      const pour = () => {
        while (left > 0 && !socket.destroyed) {
          left -= block.length
          if (!socket.write(block)) return
        }
        if (left === 0) socket.end()
      }
      socket.on('drain', pour)
      pour()
    })
    const { bus, requester } = await startRequester()
    bus.holdSent = true
    bus.holdAcks = true
    const peer = new ScriptedConnection(bus)
    peer.connect(source.remote)
    await until(() => requester.downloadBytes > 240_000)
    for (let turn = 0; turn < 200; turn++) await settled()
    assert.ok(requester.downloadBytes <= 256 * 1024)
    // The client takes a message at a time.
    for (let taken = 0; taken < 2000; taken++) {
      await until(() => taken < bus.sent.length)
      bus.sent[taken]!.leave()
      bus.sent[taken]!.arrive()
      await settled()
      assert.ok(requester.downloadBytes <= 256 * 1024)
    }
    assert.ok(peer.bytes > 1999 * 16_000 && left > 0)
  })

  it('leaves room for every connection, however many are stuck', async () => {
    const block = new Uint8Array(512 * 1024)
    const source = await listen((socket) => socket.write(block))
    const { bus, requester } = await startRequester()
    bus.holdSent = true
    bus.holdAcks = true
    const peers = Array.from({ length: 300 }, (_, client) => {
      const peer = new ScriptedConnection(bus, { senderTag: tagOf(client % 3) })
      peer.connect(source.remote)
      return peer
    })
    const hasData = ({ response }: Sent) => response.kind === 'data' && response.data.length > 0
    await until(() => {
      for (const sent of bus.sent) if (!hasData(sent)) sent.leave()
      return peers.every(({ bytes }) => bytes > 0)
    })
    assert.ok(requester.downloadBytes > 32 * 1024 ** 2)
    for (let turn = 0; turn < 100; turn++) await settled()
    assert.ok(requester.downloadBytes < 48 * 1024 ** 2)
    bus.holdAcks = false
    for (const peer of peers) peer.grant(RESET_CREDIT)
    for (const { leave } of bus.sent) leave()
    await settled()
    assert.equal(requester.downloadBytes, 0)
  })

  it('has at most 250 messages not acknowledged, however small', async () => {
    const { bus, clock, peer, socket } = await connected()
    bus.holdAcks = true
    socket.setNoDelay(true)
    // Every byte is sent before the next one comes: nothing gathers.
    for (let byte = 0; byte < 249; byte++) {
      const sent = bus.sent.length
      socket.write('x')
      await until(() => bus.sent.length > sent)
    }
    const [, second] = bus.sent
    for (let byte = 0; byte < 1000; byte++) socket.write('y')
    await until(() => bus.sent.length >= 251)
    for (let turn = 0; turn < 100; turn++) await settled()
    clock.advance(1000)
    assert.equal(bus.sent.length, 251)
    second!.arrive()
    await until(() => bus.sent.length === 252)
    for (const { arrive } of bus.sent) arrive()
    bus.holdAcks = false
    await peer.until(() => peer.bytes === 1249)
  })

  it('gathers small reads while a message waits to be sent', async () => {
    const { bus, peer, socket } = await connected()
    bus.holdSent = true
    socket.write('a')
    await until(() => bus.sent.length === 2)
    for (let byte = 0; byte < 100; byte++) {
      socket.write('b')
      await settled()
    }
    assert.equal(bus.sent.length, 2)
    bus.sent[1]!.leave()
    await peer.until(() => peer.bytes === 101)
    assert.equal(bus.sent.length, 3)
    bus.sent[2]!.leave()
  })

  it('keeps to the credit of a client that sends one, and tells its own as the destination takes', async () => {
    const { peer, socket } = await connected()
    socket.pause()
    peer.grant(10n)
    await peer.until(() => peer.credit !== undefined)
    assert.equal(peer.credit, 1_048_576n)
    socket.write('0123456789abcdef')
    await peer.until(() => peer.bytes === 10)
    // Older ones do not take back.
    peer.grant(5n)
    peer.grant(13n)
    await peer.until(() => peer.bytes === 13)
    peer.grant(1000n)
    await peer.until(() => peer.text === '0123456789abcdef')
    for (let count = 0; count < 8; count++) peer.send(new Uint8Array(16_384))
    socket.resume()
    await peer.until(() => peer.credit! >= 1_048_576n + 131_072n)
    assert.equal(peer.credit, 1_048_576n + 131_072n)
  })

  it('buffers 16 MiB of a client that does not know credit, and then ends it', async () => {
    const { peer, requester, socket, ended } = await connected()
    socket.pause()
    const chunk = new Uint8Array(256 * 1024)
    let most = 0
    for (let count = 0; count < 128 && ended('buffer-full') === 0; count++) {
      peer.send(chunk)
      most = Math.max(most, requester.uploadBytes)
      await settled()
    }
    await peer.until(() => peer.closed)
    assert.match(peer.error!, /^connect failed: /)
    assert.ok(most > 15 * 1024 ** 2 && most <= 16 * 1024 ** 2)
    assert.equal(requester.uploadBytes, 0)
  })

  it('ends the connection where most waits when 256 MiB do', async () => {
    const { bus, requester, ended } = await startRequester({ dial: () => new Socket() })
    const chunk = new Uint8Array(1024 ** 2)
    const peers = Array.from({ length: 20 }, () => new ScriptedConnection(bus))
    for (const peer of peers) peer.connect('192.0.2.1:80')
    for (let round = 0; round < 15; round++) for (const peer of peers) if (peer.error === undefined) peer.send(chunk)
    assert.ok(ended('buffer-full') >= 1)
    assert.ok(requester.uploadBytes <= 256 * 1024 ** 2)
    assert.ok(requester.uploadBytes > 230 * 1024 ** 2)
    // One at a time, and the others stay.
    assert.ok(ended('buffer-full') <= 4)
    for (const peer of peers) peer.grant(RESET_CREDIT)
    assert.equal(requester.uploadBytes, 0)
  })

  it('passes on what trickles, byte by byte', async () => {
    const { peer, socket } = await connected()
    for (const letter of 'drop by drop') {
      const before = peer.bytes
      socket.write(letter)
      await peer.until(() => peer.bytes > before)
    }
    assert.equal(peer.text, 'drop by drop')
  })
})

describe('limits', () => {
  it('bound the connections of one client, of all, and those under way', async () => {
    const limits = { connectionsPerClient: 3, connections: 5, connecting: 4 }
    const { bus, requester, connects } = await startRequester({ limits, dial: () => new Socket() })
    const open = (client: number) => {
      const peer = new ScriptedConnection(bus, { senderTag: tagOf(client) })
      peer.connect('192.0.2.1:80')
      return peer
    }
    const first = [open(1), open(1), open(1)]
    const fourth = open(1)
    await fourth.until(() => fourth.closed)
    assert.match(fourth.error!, /^too many connections: /)
    open(2)
    const sixth = open(2)
    await sixth.until(() => sixth.closed)
    assert.match(sixth.error!, /^too many connections: /)
    assert.equal(requester.connections, 4)
    assert.equal(connects('too-many'), 2)
    first[0]!.grant(RESET_CREDIT)
    await until(() => connects('given-up') === 1)
    assert.equal(open(1).error, undefined)
    assert.equal(requester.connections, 4)
  })

  it('hold against a hundred thousand opens without data', async () => {
    const destination = await listen()
    const { bus, clock, requester, connects, dropped } = await startRequester()
    for (let count = 0; count < 100_000; count++) {
      new ScriptedConnection(bus, { senderTag: tagOf(1) }).connect(destination.remote)
      if (count % 1000 === 0) await settled()
    }
    assert.equal(requester.connections, 256)
    assert.equal(connects('too-many'), 100_000 - 256)
    // Of the errors, so many as are not acknowledged yet are under way.
    assert.equal(bus.answers('connection-error').length + dropped('too-many-answers'), connects('too-many'))
    await until(() => connects('connected') === 256)
    clock.advance(301_000)
    assert.equal(requester.connections, 0)
  })

  it('hold for answers to questions', async () => {
    const { bus, dropped } = await startRequester()
    bus.holdAcks = true
    const health = encodeProviderRequest({ kind: 'control', interfaceVersion: 3, request: 'health' })
    for (let count = 0; count < 100; count++) bus.deliver(health, tagOf(1))
    assert.deepEqual([bus.sent.length, dropped('too-many-answers')], [64, 36])
    for (const { arrive } of bus.sent) arrive()
    await settled()
    bus.deliver(health, tagOf(1))
    assert.equal(bus.sent.length, 65)
  })
})

describe('messages that are none', () => {
  it('are dropped by name, wherever they are cut', async () => {
    const destination = await listen()
    const { bus, metrics, requester } = await startRequester()
    const peer = new ScriptedConnection(bus)
    const whole = [
      peer.request({ kind: 'connect', remote: destination.remote, returnAddress: recipientOf(1) }),
      peer.request({ kind: 'send', sequence: 0n, closed: false, data: new Uint8Array(0) }),
      peer.request({ kind: 'query', query: 'exit-policy' }),
      peer.request({ kind: 'credit', limit: 1n }),
      encodeProviderRequest({ kind: 'control', interfaceVersion: 3, request: 'health' }),
    ]
    let cuts = 0
    for (const message of whole)
      for (let length = 0; length < message.length; length++) {
        // A Connect without its address is one for the sender tag; here nobody has one.
        bus.deliver(message.subarray(0, length))
        cuts++
      }
    assert.equal(metrics.value('mixwright_requester_dropped_total'), cuts)
    assert.deepEqual([requester.connections, requester.uploadBytes, bus.sent.length], [0, 0, 0])
    assert.equal(destination.sockets.length, 0)
  })

  it('are dropped when nobody knows them', async () => {
    const { bus, dropped } = await startRequester()
    for (const bytes of [
      [3, 0, 9],
      [3, 2, 3, 0],
      [3, 1, 3, 9],
      [3, 1, 4, 0],
      [0, 9],
      [3, 0, 255],
      [3, 1, 3, 2, 3],
    ])
      assert.equal(bus.deliver(Uint8Array.from(bytes), tagOf(1)), true)
    assert.equal(bus.sent.length, 0)
    assert.deepEqual(
      ['unknown-control', 'unknown-tag', 'unknown-flag', 'unsupported-version', 'bad-query'].map(dropped),
      [2, 1, 2, 1, 1],
    )
  })

  it('are left to others when they answer what this client asked', async () => {
    const { bus } = await startRequester()
    assert.equal(bus.deliver(Uint8Array.of(3, 0, 0), undefined, 'somebody'), false)
  })
})

describe('questions about the requester', () => {
  it('are answered to a sender tag, on lane 0', async () => {
    const policy = { kind: 'text', text: 'ExitPolicy accept *:443' } as const
    const { bus, dropped } = await startRequester({ policy, description: 'An exit of ours.' })
    const requests = [
      { kind: 'control', interfaceVersion: 3, request: 'health' },
      { kind: 'control', interfaceVersion: 4, request: 'binary-info' },
      { kind: 'control', interfaceVersion: 3, request: 'supported-request-versions' },
      { kind: 'query', versions: CURRENT_VERSIONS, query: 'open-proxy' },
      { kind: 'query', versions: CURRENT_VERSIONS, query: 'description' },
      { kind: 'query', versions: CURRENT_VERSIONS, query: 'exit-policy' },
    ] as const
    for (const request of requests) bus.deliver(encodeProviderRequest(request), tagOf(5))
    const version = '{"type":"Versioned","version":3}'
    assert.deepEqual(
      bus.sent.map(({ response }) => response),
      [
        { kind: 'control', interfaceVersion: 3, answer: { kind: 'health' } },
        {
          kind: 'control',
          interfaceVersion: 4,
          answer: { kind: 'binary-info', binaryName: 'nym-network-requester', build: BUILD },
        },
        {
          kind: 'control',
          interfaceVersion: 3,
          answer: { kind: 'supported-request-versions', interfaceVersion: version, providerVersion: version },
        },
        { kind: 'query', versions: CURRENT_VERSIONS, answer: { kind: 'open-proxy', open: false } },
        { kind: 'query', versions: CURRENT_VERSIONS, answer: { kind: 'description', text: 'An exit of ours.' } },
        {
          kind: 'query',
          versions: CURRENT_VERSIONS,
          answer: { kind: 'exit-policy', enabled: true, upstream: '', policy: parseExitPolicy(policy.text) },
        },
      ],
    )
    assert.ok(bus.sent.every(({ to, lane }) => to === tagOf(5) && lane === 0n))
    for (const request of requests) bus.deliver(encodeProviderRequest(request))
    assert.deepEqual([bus.sent.length, dropped('no-return-path')], [6, 6])
  })
})

describe('start and close', () => {
  it('serves what comes while the policy is read, and nothing of earlier runs', async () => {
    const destination = await listen()
    const bus = new ScriptedClient()
    const stale = new ScriptedConnection(bus)
    bus.inbox = [stale.request({ kind: 'connect', remote: destination.remote, returnAddress: undefined })]
    const starting = startRequester({ client: bus.client })
    const early = new ScriptedConnection(bus)
    early.connect(destination.remote)
    const { dropped, requester } = await starting
    await early.until(() => early.messages > 0)
    assert.deepEqual([dropped('before-start'), requester.connections, bus.inbox.length], [1, 1, 0])
  })

  it('tells every client that it closes, and takes nothing afterwards', async () => {
    const { bus, requester, peer, socket, clock } = await connected()
    const ours = new ScriptedConnection(bus)
    ours.connect('127.0.0.1:1')
    ours.grant(1n)
    const closing = requester.close()
    await reset(socket)
    await closing
    assert.match(peer.error!, /the requester closes$/)
    assert.match(ours.error!, /the requester closes$/)
    assert.equal(peer.closed, true)
    assert.deepEqual([requester.connections, bus.interceptors, clock.pending], [0, 0, 0])
  })

  it('does not wait for clients that cannot be told', async () => {
    const { bus, requester, clock } = await connected()
    bus.holdAcks = true
    const closing = requester.close()
    clock.advance(3000)
    await closing
  })
})
