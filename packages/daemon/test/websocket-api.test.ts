/** The door and the feed: who may come in, who gets which message, what waits for whom, and what harms nobody. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { fromHex, SeededRandom, toHex, utf8, VirtualClock } from '@mixwright/runtime'
import { encodeWebsocketRequest, formatWebsocketRequest, parseRecipient, parseSenderTag } from '@mixwright/wire'
import { WebSocket } from 'ws'
import { WebSocketApi, type WebSocketApiOptions } from '../src/index.js'
import { LoopbackClient, mixError, TAG } from './loopback-client.js'
import { TestApp } from './test-app.js'

const ADDRESS =
  '5Q9Qq1V4FsuLB1fiSHPqREUPJUi3vS1NpeVrPRzmqH6W.HrCGA5CRDXPhmeCevLNsEY8MxpB5HPRH94QUwAKzVeDQ@FRbKPTfwuoiXBzvHhhGNoivktFeEVNM8Bnxu14CSZ8Su'
/** Somebody else's: what goes there does not come back. */
const ELSEWHERE = ADDRESS.replace('5Q9', '5Q8')
const SELF_ADDRESS = '{"type":"selfAddress"}'
const recipient = parseRecipient(ADDRESS, () => true)!
/** Longer than messages wait for the first request of an app. */
const GRACE_MS = 1_000

async function open(options: WebSocketApiOptions = {}) {
  const client = new LoopbackClient(ADDRESS)
  const clock = new VirtualClock()
  const api = await WebSocketApi.listen(client, { port: 0, clock, ...options })
  return { client, clock, api, [Symbol.asyncDispose]: () => api.close() }
}

const say = (message: string, more: Record<string, unknown> = {}) =>
  JSON.stringify({ type: 'send', recipient: ADDRESS, message, ...more })
const received = (message: string, senderTag: string | null = null) =>
  JSON.stringify({ type: 'received', message, senderTag })
const receivedBinary = (message: string) =>
  `0100${message.length.toString(16).padStart(16, '0')}${toHex(utf8(message))}`

/** Status of the answer to an upgrade that is refused. */
async function refusal(url: string, origin?: string): Promise<number | undefined> {
  const websocket = new WebSocket(url, { ...(origin !== undefined && { origin }) })
  return new Promise((resolve) => {
    websocket.on('unexpected-response', (_request, { statusCode }) => {
      websocket.on('error', () => {})
      websocket.terminate()
      resolve(statusCode)
    })
    websocket.once('error', () => resolve(undefined))
    websocket.once('open', () => assert.fail('it was let in'))
  })
}

async function tcp(api: WebSocketApi): Promise<Socket> {
  const socket = connect(api.port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

describe('messages for the app', () => {
  it('have the kind of the last request, and are binary before any', async () => {
    await using door = await open()
    const { client, clock, api } = door
    const app = await TestApp.attach(api.url)
    client.receive(utf8('unasked'))
    clock.advance(GRACE_MS)
    assert.equal(await app.binary(), receivedBinary('unasked'))
    app.send(SELF_ADDRESS)
    await app.text()
    client.receive(utf8('in text'), TAG)
    assert.equal(await app.text(), received('in text', TAG))
    app.send(fromHex('03'))
    await app.binary()
    client.receive(utf8('in bytes'))
    assert.equal(await app.binary(), receivedBinary('in bytes'))
  })

  it('go to the next app in order and in its kind when none was attached, and once', async () => {
    await using door = await open()
    const { client, clock, api } = door
    const first = await TestApp.attach(api.url)
    await first.leave()
    for (const word of ['one', 'two', 'three']) client.receive(utf8(word))
    const second = await TestApp.attach(api.url)
    second.send(SELF_ADDRESS)
    assert.match(await second.text(), /selfAddress/)
    for (const word of ['one', 'two', 'three']) assert.equal(await second.text(), received(word))
    await second.leave()
    client.receive(utf8('four'))
    const third = await TestApp.attach(api.url)
    clock.advance(GRACE_MS)
    assert.equal(await third.binary(), receivedBinary('four'))
    await third.leave()
    assert.equal(client.taken, 4)
  })

  it('are not lost with an app that dies while they are written', async () => {
    await using door = await open()
    const { client, clock, api } = door
    const words = Array.from({ length: 40 }, (_, index) => `${index}:`.padEnd(1_000_000, 'x'))
    for (const word of words) client.receive(utf8(word))
    const dying = await TestApp.attach(api.url)
    // It reads nothing: some are in the system's buffers, one is half written, the rest have to wait.
    dying.websocket.pause()
    clock.advance(GRACE_MS)
    await tillNothingMoves(() => client.taken)
    assert.ok(client.taken < words.length / 2)
    const { taken } = client
    dying.websocket.terminate()
    const next = await TestApp.attach(api.url)
    next.send(SELF_ADDRESS)
    await next.text()
    for (const word of words.slice(taken)) {
      const { message } = JSON.parse(await next.text())
      assert.equal(message.slice(0, 5), word.slice(0, 5), `after ${taken}`)
    }
  })

  it('stay with the client when the door closes', async () => {
    await using door = await open()
    const { client, api } = door
    client.receive(utf8('kept'))
    await api.close()
    assert.equal(client.taken, 0)
    assert.equal((await client.messages().next()).value?.text(), 'kept')
  })

  it('wait for an app that reads slowly, and come complete and in order', async () => {
    await using door = await open()
    const { client, clock, api } = door
    const app = await TestApp.attach(api.url)
    app.websocket.pause()
    clock.advance(GRACE_MS)
    for (let index = 0; index < 500; index++) client.receive(utf8(`${index}:`.padEnd(100_000, 'x')))
    await tillNothingMoves(() => client.taken)
    // What left the client is in the buffers of the two sockets.
    assert.ok(client.taken < 250, `${client.taken} messages were taken by nobody`)
    app.websocket.resume()
    for (let index = 0; index < 500; index++) {
      const frame = fromHex(await app.binary())
      assert.match(Buffer.from(frame.subarray(10, 20)).toString(), new RegExp(`^${index}:x`))
    }
  })
})

/** Turns of the event loop until a number stays the same for many. */
async function tillNothingMoves(number: () => number): Promise<void> {
  let last = -1
  for (let still = 0; still < 200; still = number() === last ? still + 1 : 0) {
    last = number()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('requests', () => {
  it('come back from oneself, anonymous ones with a tag, in text and in bytes', async () => {
    await using door = await open()
    const app = await TestApp.attach(door.api.url)
    app.send(say('hello'))
    assert.equal(await app.text(), received('hello'))
    app.send(JSON.stringify({ type: 'sendAnonymous', recipient: ADDRESS, message: 'who?', replySurbs: 5 }))
    assert.equal(await app.text(), received('who?', TAG))
    const data = utf8('hello')
    app.send(encodeWebsocketRequest({ kind: 'send', recipient, connectionId: undefined, data }))
    assert.equal(await app.binary(), receivedBinary('hello'))
    app.send(
      encodeWebsocketRequest({ kind: 'send-anonymous', recipient, connectionId: undefined, data, replySurbs: 5 }),
    )
    assert.equal(await app.binary(), `0101${'22'.repeat(16)}${receivedBinary('hello').slice(4)}`)
    app.send(formatWebsocketRequest({ kind: 'reply', senderTag: parseSenderTag(TAG)!, connectionId: undefined, data }))
    app.send(SELF_ADDRESS)
    assert.match(await app.text(), /selfAddress/)
    assert.deepEqual(
      door.client.sent.map(({ kind }) => kind),
      ['send', 'send', 'send', 'send', 'reply'],
    )
  })

  it('are done also when the app has left right after', async () => {
    await using door = await open()
    const app = await TestApp.attach(door.api.url)
    for (let index = 0; index < 100; index++) app.send(say(`${index}`))
    await app.leave()
    assert.equal(door.client.sent.length, 100)
  })

  it('are not read while one waits for room in the queue', async () => {
    await using door = await open()
    const { client, api } = door
    let release = () => {}
    client.gate = new Promise((resolve) => {
      release = resolve
    })
    const app = await TestApp.attach(api.url)
    for (let index = 0; index < 1000; index++) app.send(say(String(index).padEnd(10_000), { connectionId: 1 }))
    await tillNothingMoves(() => app.websocket.bufferedAmount)
    assert.equal(client.sent.length, 1)
    release()
    for (let index = 0; index < 2000; index++) await app.text()
    assert.equal(client.sent.length, 1000)
  })

  it('keep large connection ids exact, and tell lane 0 of a text from none in bytes', async () => {
    await using door = await open()
    const app = await TestApp.attach(door.api.url)
    const { client } = door
    for (const connectionId of ['18446744073709551615', '9007199254740993', '0']) {
      app.send(`{"type":"send","recipient":"${ELSEWHERE}","message":"x","connectionId":${connectionId}}`)
      assert.equal(await app.text(), `{"type":"laneQueueLength","lane":${connectionId},"queue_length":0}`)
      assert.equal(client.sent.at(-1)?.options.lane, BigInt(connectionId))
    }
  })

  it('answer an address whose keys are none as malformed, and say nothing of other failures', async () => {
    await using door = await open()
    const app = await TestApp.attach(door.api.url)
    door.client.failure = { reason: mixError('MIX_ADDRESS', 'no'), late: false }
    app.send(say('x', { connectionId: 3 }))
    assert.match(await app.text(), /^\{"type":"error","message":"malformed request:recipient is malformed/)
    for (const late of [false, true]) {
      door.client.failure = { reason: mixError('MIX_QUEUE_FULL', 'no'), late }
      app.send(say('x', { connectionId: 3, recipient: ELSEWHERE }))
      assert.equal(await app.text(), '{"type":"laneQueueLength","lane":3,"queue_length":0}')
      app.send(say('x', { recipient: ELSEWHERE }))
    }
    door.client.failure = undefined
    app.send(say('still here'))
    assert.equal(await app.text(), received('still here'))
  })

  it('may be pings', async () => {
    await using door = await open()
    const app = await TestApp.attach(door.api.url)
    app.websocket.ping('here?')
    const [data] = await once(app.websocket, 'pong')
    assert.equal(String(data), 'here?')
  })
})

describe('receipts', () => {
  const states = (frames: readonly string[]) => frames.map((frame) => JSON.parse(frame).state)

  it('tell in text what became of each message, in order, to those who ask', async () => {
    await using door = await open()
    const app = await TestApp.attach(`${door.api.url}/?receipts=1`)
    app.send(`{"type":"send","recipient":"${ELSEWHERE}","message":"x","id":"mine","connectionId":18446744073709551615}`)
    assert.match(await app.text(), /laneQueueLength/)
    const frames = [await app.text(), await app.text(), await app.text()]
    assert.deepEqual(states(frames), ['queued', 'sent', 'acknowledged'])
    assert.equal(
      frames[2],
      '{"type":"receipt","messageId":1,"id":"mine","connectionId":18446744073709551615,"state":"acknowledged","reason":null}',
    )
    door.client.failure = { reason: mixError('MIX_REPLY_NO_TAG', 'unknown tag'), late: false }
    app.send(JSON.stringify({ type: 'reply', senderTag: TAG, message: 'x', id: 7 }))
    assert.equal(
      await app.text(),
      '{"type":"receipt","messageId":2,"id":7,"connectionId":null,"state":"failed","reason":"MIX_REPLY_NO_TAG: unknown tag"}',
    )
    door.client.failure = { reason: mixError('MIX_UNACKNOWLEDGED', 'lost'), late: true }
    app.send(JSON.stringify({ type: 'sendAnonymous', recipient: ELSEWHERE, message: 'x', replySurbs: 1 }))
    assert.deepEqual(states([await app.text(), await app.text(), await app.text()]), ['queued', 'sent', 'failed'])
    app.send(say('x', { id: 'x'.repeat(257) }))
    assert.match(await app.text(), /malformed request:`id` is longer/)
  })

  it('tell it in bytes', async () => {
    await using door = await open()
    const app = await TestApp.attach(`${door.api.url}/?receipts=1`)
    const elsewhere = parseRecipient(ELSEWHERE, () => true)!
    const request = encodeWebsocketRequest({ kind: 'send', recipient: elsewhere, connectionId: 42n, data: utf8('x') })
    app.send(request)
    assert.match(await app.binary(), /^03/)
    const ids = '0000000000000001000000000000002a'
    for (const state of ['00', '01', '02']) assert.equal(await app.binary(), `10${state}${ids}0000000000000000`)
    door.client.failure = { reason: mixError('MIX_QUEUE_FULL', 'no'), late: false }
    app.send(request)
    assert.match(await app.binary(), /^03/)
    const reason = toHex(utf8('MIX_QUEUE_FULL: no'))
    assert.equal(await app.binary(), `1003${ids.replace('01', '02')}0000000000000012${reason}`)
  })
})

describe('who may come in', () => {
  it('is one app at a time, and the next when it has left', async () => {
    await using door = await open()
    const { client, api } = door
    const first = await TestApp.attach(api.url)
    assert.equal(await refusal(api.url), undefined)
    // Not even a handshake: the connection ends before a word is said.
    const second = await tcp(api)
    await once(second, 'close')
    first.send(say('undisturbed'))
    assert.equal(await first.text(), received('undisturbed'))
    await first.leave()
    for (let times = 0; times < 20; times++) {
      const next = await TestApp.attach(api.url)
      if (times % 2 === 0) await next.leave()
      else next.websocket.terminate()
      await next.closed
    }
    assert.equal(client.sent.length, 1)
  })

  it('is several apps where allowed; each message goes to all, and a backlog to the first', async () => {
    await using door = await open({ apps: 'many' })
    const { client, clock, api } = door
    client.receive(utf8('old'))
    const text = await TestApp.attach(api.url)
    text.send(SELF_ADDRESS)
    await text.text()
    assert.equal(await text.text(), received('old'))
    const binary = await TestApp.attach(api.url)
    clock.advance(GRACE_MS)
    client.receive(utf8('new'))
    assert.equal(await text.text(), received('new'))
    assert.equal(await binary.binary(), receivedBinary('new'))
    await text.leave()
    client.receive(utf8('newer'))
    assert.equal(await binary.binary(), receivedBinary('newer'))
  })

  it('lets one slow app of several hold up nobody', async () => {
    await using door = await open({ apps: 'many' })
    const { client, clock, api } = door
    const slow = await TestApp.attach(api.url)
    slow.websocket.pause()
    const fast = await TestApp.attach(api.url)
    clock.advance(GRACE_MS)
    // 120 MB: more than a slow app may be behind.
    for (let index = 0; index < 120; index++) {
      client.receive(utf8(`${index}:`.padEnd(1_000_000, 'x')))
      const frame = await fast.binary()
      assert.equal(frame.length, 2 * (1_000_000 + 10))
    }
    slow.websocket.resume()
    assert.equal(await slow.closed, 1006)
  })

  it('is no page of a browser, unless its origin is allowed', async () => {
    await using door = await open({ allowOrigins: ['http://localhost:5173/', 'https://App.example'], apps: 'many' })
    for (const origin of ['https://evil.example', 'http://localhost:5174', 'https://localhost:5173', 'null', '*'])
      assert.equal(await refusal(door.api.url, origin), 403, origin)
    for (const origin of ['http://localhost:5173', 'https://app.example'])
      await (await TestApp.attach(door.api.url, { origin })).leave()
    await (await TestApp.attach(door.api.url)).leave()
    await using closed = await open()
    assert.equal(await refusal(closed.api.url, 'http://127.0.0.1'), 403)
    await using all = await open({ allowOrigins: ['*'] })
    await (await TestApp.attach(all.api.url, { origin: 'https://any.example' })).leave()
  })
})

describe('what harms nobody', () => {
  it('a handshake that fails, is never finished, or is none', async () => {
    await using door = await open()
    const { api, clock } = door
    const silent = await tcp(api)
    const bytes = [
      'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n',
      'GET /?receipts=%E0%A4%A HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n',
      '\x16\x03\x01\x00\xa5\x01\x00\x00',
      `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`,
    ]
    for (const words of bytes) {
      const socket = await tcp(api)
      socket.write(words)
      socket.resume()
      await once(socket, 'close')
    }
    assert.equal((await fetch(api.url.replace('ws', 'http'))).status, 426)
    const app = await TestApp.attach(api.url)
    app.send(SELF_ADDRESS)
    assert.match(await app.text(), /selfAddress/)
    clock.advance(10_000)
    await once(silent, 'close')
    app.send(SELF_ADDRESS)
    assert.match(await app.text(), /selfAddress/)
  })

  it('a message that is too long, a text that is none, a broken frame: they end their own connection', async () => {
    await using door = await open()
    const large = await TestApp.attach(door.api.url)
    large.send(new Uint8Array(64 * 1024 * 1024 + 1))
    assert.equal(await large.closed, 1009)
    for (const [frame, code] of [
      // An unmasked frame, a reserved opcode, text that is no UTF-8.
      ['8103616263', 1002],
      ['838000000000', 1002],
      ['818100000000ff', 1007],
    ] as const) {
      const app = await TestApp.attach(door.api.url)
      ;(app.websocket as unknown as { _socket: Socket })._socket.write(fromHex(frame))
      assert.equal(await app.closed, code, frame)
    }
    const app = await TestApp.attach(door.api.url)
    app.send(SELF_ADDRESS)
    assert.match(await app.text(), /selfAddress/)
  })

  it('hostile frames, 5000 of them', async () => {
    const seed = String(process.pid)
    const random = new SeededRandom(seed)
    await using door = await open()
    const app = await TestApp.attach(`${door.api.url}/?receipts=1`)
    const below = (limit: number) => new DataView(random.bytes(4).buffer).getUint32(0) % limit
    const samples = [
      toHex(encodeWebsocketRequest({ kind: 'send', recipient, connectionId: 1n, data: utf8('abc') })),
      toHex(
        encodeWebsocketRequest({ kind: 'reply', senderTag: random.bytes(16), connectionId: 0n, data: utf8('abc') }),
      ),
      '05000000000000002a',
      '03',
    ].map(fromHex)
    const texts = [say('abc', { connectionId: 1 }), SELF_ADDRESS, '{"type":"closedConnection","connectionId":1}']
    for (let times = 0; times < 5000; times++) {
      const isText = below(2) === 0
      const sample = isText ? utf8(texts[below(texts.length)]!) : Uint8Array.from(samples[below(samples.length)]!)
      for (let flips = below(4); flips >= 0; flips--) sample[below(sample.length)] = below(isText ? 128 : 256)
      const frame = below(10) === 0 ? random.bytes(below(200)) : sample.subarray(below(10) === 0 ? below(9) : 0)
      app.send(isText ? Buffer.from(frame).toString('utf8') : frame)
      if (times % 100 > 0) continue
      // It is alive and has answered everything: the address, which nothing else has at the end, comes.
      app.send('{"type":"getLaneQueueLength","connectionId":987654321}')
      for (;;) {
        const seen = await app.next()
        if ('text' in seen && seen.text === '{"type":"laneQueueLength","lane":987654321,"queue_length":0}') break
      }
    }
    assert.equal(app.websocket.readyState, WebSocket.OPEN, `seed ${seed}`)
  })
})

describe('the end', () => {
  it('is told to the apps, and the port is free again', async () => {
    await using door = await open()
    const { client, api } = door
    const app = await TestApp.attach(api.url)
    const silent = await tcp(api)
    const ended = once(silent, 'close')
    await api.close()
    assert.equal(await app.closed, 1001)
    await ended
    await using again = await WebSocketApi.listen(client, { port: api.port })
    assert.equal(again.url, api.url)
  })

  it('does not wait long for an app that does not listen', async () => {
    await using door = await open()
    const { api, clock } = door
    const app = await TestApp.attach(api.url)
    app.websocket.pause()
    const closing = api.close()
    clock.advance(GRACE_MS)
    await closing
    app.websocket.resume()
    await app.closed
  })

  it('comes with the end of the client', async () => {
    await using door = await open()
    const app = await TestApp.attach(door.api.url)
    await door.client.close()
    assert.equal(await app.closed, 1001)
  })

  it('is at once when the port is in use', async () => {
    await using door = await open()
    const options = { port: door.api.port }
    await assert.rejects(WebSocketApi.listen(door.client, options), { code: 'MIX_PORT_IN_USE', kind: 'local' })
  })
})
