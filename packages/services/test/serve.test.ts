/**
 * `serve`: what becomes of messages and answers when handlers fail, hang, are slow, or the service ends; and how it is
 * watched.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MixError, RealClock, silentLogger, VirtualClock } from '@mixwright/runtime'
import { type ServeOptions, type Service, type ServiceHandlers, serve, startEcho } from '../src/index.js'
import { ServiceClient } from './service-client.js'

/** All that can run without time passing has run. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

function whenever<T = void>() {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

async function scripted(handler: ServiceHandlers | ServiceHandlers['message'], options: ServeOptions = {}) {
  const client = new ServiceClient()
  const clock = new VirtualClock()
  const service = await serve(handler!, { client: client.asClient, clock, logger: silentLogger, ...options })
  return { client, clock, service }
}

const counts = (service: Service) => service.health().messages

describe('messages', () => {
  it('are answered by sender tag with text, bytes or a stream; nothing returned sends nothing', async () => {
    const { client, service } = await scripted(async (message) => {
      switch (message.text()) {
        case 'text':
          return 'as text'
        case 'bytes':
          return new TextEncoder().encode('as bytes')
        case 'stream':
          return new Blob(['as ', 'a stream']).stream()
        case 'iterable':
          return (async function* () {
            yield new TextEncoder().encode('one ')
            yield new TextEncoder().encode('two')
          })()
      }
    })
    for (const text of ['text', 'bytes', 'stream', 'iterable', 'nothing']) client.receive(text, text)
    client.receive('text')
    while (counts(service).handled < 6) await settled()
    await service.close()
    assert.deepEqual(
      client.replies.toSorted((a, b) => (a.to < b.to ? -1 : 1)),
      [
        { to: 'bytes', text: 'as bytes' },
        { to: 'iterable', text: 'one two' },
        { to: 'stream', text: 'as a stream' },
        { to: 'text', text: 'as text' },
      ],
    )
    assert.equal(counts(service).unanswerable, 1)
    assert.equal(client.taken.length, 6)
    // The client was not ours.
    assert.equal(client.isClosed, false)
  })

  it('leave the store when the handler has returned and the answer is kept, not before', async () => {
    const handler = whenever<string>()
    const { client, service } = await scripted(() => handler.promise)
    const queued = whenever()
    client.gate = queued.promise
    client.receive('question', 'tag')
    await settled()
    assert.deepEqual([client.taken, client.replies], [[], []])
    handler.resolve('answer')
    await settled()
    assert.deepEqual([client.taken, client.replies], [[], [{ to: 'tag', text: 'answer' }]])
    queued.resolve()
    await settled()
    assert.deepEqual(client.taken, ['question'])
    await service.close()
  })

  it('of which a handler throws are counted and taken, and the service lives on', async () => {
    const lines: unknown[] = []
    const logger = { ...silentLogger, error: (fields: object) => void lines.push(fields) }
    const { client, service } = await scripted(
      (message) => {
        if (message.text() === 'sync') throw new Error('at once')
        if (message.text() === 'async') return Promise.reject(new MixError('MIX_TEST', 'later', { kind: 'usage' }))
        if (message.text() === 'number') return 7 as never
        return 'fine'
      },
      { logger },
    )
    for (const text of ['sync', 'async', 'number', 'good']) client.receive(text, 'tag')
    await settled()
    assert.deepEqual(client.replies, [{ to: 'tag', text: 'fine' }])
    assert.deepEqual(client.taken.toSorted(), ['async', 'good', 'number', 'sync'])
    assert.deepEqual([counts(service).handled, counts(service).failed], [1, 3])
    assert.equal(lines.length, 3)
    await service.close()
  })

  it('that hang are given up when their time is over: told, taken, counted, and not in the way of others', async () => {
    const signals: AbortSignal[] = []
    const hanging = whenever<string>()
    const handler: ServiceHandlers['message'] = (message, { signal }) => {
      if (message.text() !== 'hang') return 'fine'
      signals.push(signal)
      return hanging.promise
    }
    const { client, clock, service } = await scripted(handler, { concurrency: 1, handlerTimeoutMs: 5000 })
    client.receive('hang', 'tag')
    client.receive('good', 'tag')
    await settled()
    clock.advance(4999)
    await settled()
    assert.deepEqual([signals[0]!.aborted, client.taken], [false, []])
    clock.advance(1)
    await settled()
    assert.equal((signals[0]!.reason as MixError).code, 'MIX_HANDLER_TIMEOUT')
    assert.deepEqual(client.taken, ['hang', 'good'])
    assert.deepEqual([counts(service).timedOut, counts(service).handled], [1, 1])
    hanging.resolve('too late')
    await settled()
    assert.deepEqual(client.replies, [{ to: 'tag', text: 'fine' }])
    await service.close()
  })

  it('are handled so many at once and no more, and all of a thousand', async () => {
    let running = 0
    let most = 0
    const waiting: (() => void)[] = []
    const { client, service } = await scripted(
      async (message) => {
        most = Math.max(most, ++running)
        await new Promise<void>((resolve) => waiting.push(resolve))
        running--
        return message.text()
      },
      { concurrency: 16 },
    )
    for (let i = 0; i < 1000; i++) client.receive(`m${i}`, 'tag')
    while (client.taken.length < 1000) {
      await settled()
      for (const resume of waiting.splice(0)) resume()
    }
    assert.deepEqual(
      [most, counts(service).handled, new Set(client.replies.map(({ text }) => text)).size],
      [16, 1000, 1000],
    )
    await service.close()
  })

  it('are held up to so many bytes, however many handlers there may be', async () => {
    const handler = whenever()
    let begun = 0
    const { client, service } = await scripted(() => {
      begun++
      return handler.promise
    })
    for (let i = 0; i < 5; i++) client.receive('x'.repeat(30 * 1024 ** 2))
    await settled()
    assert.equal(begun, 3)
    handler.resolve()
    while (begun < 5) await settled()
    await service.close()
  })

  it('whose answers cannot leave hold up nobody', async () => {
    const { client, clock, service } = await scripted((message) => message.text(), { concurrency: 1 })
    client.gate = new Promise(() => {})
    client.receive('from one without reply blocks', 'greedy')
    await settled()
    client.gate = Promise.resolve()
    client.receive('another', 'tag')
    await settled()
    assert.deepEqual(client.taken, ['another'])
    const closing = service.close({ flushMs: 1000 })
    await settled()
    clock.advance(1000)
    await closing
  })

  it('whose answers are not acknowledged are counted by why', async () => {
    const lines: { code?: string }[] = []
    const logger = { ...silentLogger, warn: (fields: object) => void lines.push(fields) }
    const { client, service } = await scripted(() => 'answer', { logger })
    client.acknowledgement = Promise.reject(new MixError('MIX_REPLY_GIVEN_UP', 'No blocks.', { kind: 'peer' }))
    client.receive('question', 'tag')
    await settled()
    assert.deepEqual(
      lines.map(({ code }) => code),
      ['MIX_REPLY_GIVEN_UP'],
    )
    await service.close()
  })
})

describe('close', () => {
  it('lets handlers return, takes nothing new, and waits for the answers to be acknowledged', async () => {
    const handler = whenever<string>()
    const acknowledged = whenever()
    const { client, service } = await scripted(() => handler.promise)
    client.acknowledgement = acknowledged.promise
    client.receive('first', 'tag')
    await settled()
    let isClosed = false
    const closing = service.close().then(() => {
      isClosed = true
    })
    await settled()
    client.receive('too late', 'tag')
    handler.resolve('answer')
    await settled()
    assert.deepEqual([client.taken, client.replies.length, isClosed], [['first'], 1, false])
    acknowledged.resolve()
    await closing
    await service.closed
    assert.deepEqual(client.taken, ['first'])
  })

  it('gives up handlers that do not return in time: their messages stay in the store', async () => {
    const handler = whenever<string>()
    const signals: AbortSignal[] = []
    const { client, clock, service } = await scripted((_message, { signal }) => {
      signals.push(signal)
      return handler.promise
    })
    client.receive('unfinished', 'tag')
    await settled()
    const closing = service.close({ graceMs: 2000 })
    await settled()
    clock.advance(2000)
    await closing
    assert.equal((signals[0]!.reason as MixError).code, 'MIX_SERVICE_CLOSED')
    handler.resolve('too late')
    await settled()
    assert.deepEqual([client.taken, client.replies], [[], []])
  })

  it('follows by itself when the client ends', async () => {
    const { client, service } = await scripted(() => 'answer')
    await client.close()
    await service.closed
  })

  it('follows a signal that aborts; one that has aborted lets nothing start', async () => {
    const aborting = new AbortController()
    const { client, service } = await scripted(() => 'answer', { signal: aborting.signal })
    client.receive('question', 'tag')
    await settled()
    aborting.abort()
    await service.closed
    assert.deepEqual(client.replies, [{ to: 'tag', text: 'answer' }])
    const reason = new Error('never mind')
    await assert.rejects(
      scripted(() => 'answer', { signal: AbortSignal.abort(reason) }),
      reason,
    )
  })

  it('comes with SIGTERM when signals are asked for, and leaves them alone after', async () => {
    const before = process.listenerCount('SIGTERM')
    const health = { host: '127.0.0.1', port: 0 }
    const { service } = await scripted(() => 'answer', { handleSignals: true, health })
    assert.equal(process.listenerCount('SIGTERM'), before + 1)
    process.kill(process.pid, 'SIGTERM')
    await service.closed
    assert.equal(process.listenerCount('SIGTERM'), before)
    const { service: other } = await scripted(() => 'answer')
    assert.equal(process.listenerCount('SIGTERM'), before)
    await other.close()
  })
})

describe('streams', () => {
  it('go to their handler beside messages, and are aborted when it throws', async () => {
    const { client, service } = await scripted({
      message: (message) => message.text(),
      stream: async (stream) => {
        if (stream.senderTag === 'bad') throw new Error('no')
        await stream.readable.pipeTo(stream.writable)
      },
    })
    client.receive('a message', 'tag')
    const good = client.open('good', 'hello ', 'stream')
    const bad = client.open('bad', 'x')
    await good.closed
    await bad.closed
    await settled()
    assert.deepEqual([good.written, good.aborted], [['hello ', 'stream'], undefined])
    assert.match(String(bad.aborted), /no/)
    assert.deepEqual(service.health().streams, { handled: 1, failed: 1, refused: 0, open: 0 })
    assert.equal(client.replies.length, 1)
    await service.close()
  })

  it('beyond the bound are refused, also when a handler has returned and left its stream open', async () => {
    const { client, service } = await scripted({ stream: () => {} }, { maximumStreams: 1 })
    const first = client.open('first')
    await settled()
    const second = client.open('second')
    await second.closed
    assert.equal((second.aborted as MixError).code, 'MIX_SERVICE_BUSY')
    first.abort()
    await settled()
    const third = client.open('third')
    await settled()
    assert.deepEqual([third.aborted, service.health().streams?.open], [undefined, 1])
    // Messages that nobody handles do not pile up.
    client.receive('anybody?', 'tag')
    await settled()
    assert.deepEqual([client.taken, counts(service).unhandled], [['anybody?'], 1])
    third.abort()
    await service.close()
  })

  it('whose handlers do not end with the service are aborted after the grace', async () => {
    const { client, clock, service } = await scripted({ stream: () => new Promise(() => {}) })
    const stream = client.open('endless')
    await settled()
    const closing = service.close({ graceMs: 1000 })
    await settled()
    clock.advance(1000)
    await closing
    await stream.closed
    assert.equal((stream.aborted as MixError).code, 'MIX_SERVICE_CLOSED')
  })

  it('and messages are echoed by the echo service', async () => {
    const client = new ServiceClient()
    const echo = await startEcho({ client: client.asClient, logger: silentLogger })
    client.receive('bytes', 'tag')
    const stream = client.open('tag', 'more ', 'bytes')
    await stream.closed
    await settled()
    assert.deepEqual([client.replies, stream.written], [[{ to: 'tag', text: 'bytes' }], ['more ', 'bytes']])
    await echo.close()
  })
})

describe('health', () => {
  it('is told over HTTP, with the counters of service and client', async () => {
    const { client, service } = await scripted((message) => message.text(), {
      health: { host: '127.0.0.1', port: 0 },
      clock: new RealClock(),
    })
    client.receive('question', 'tag')
    client.receive('nobody can be told')
    await settled()
    const get = (path: string, method = 'GET') => fetch(`${service.healthUrl}${path}`, { method })
    const up = await get('/health')
    assert.equal(up.status, 200)
    const health = (await up.json()) as Record<string, Record<string, unknown>>
    assert.equal(health.status, 'up')
    assert.equal(health.address, client.address)
    assert.deepEqual(health.gateway, { identity: 'gateway', state: 'up', reason: null, losses: 2 })
    assert.deepEqual(health.topology, { epochId: 7, ageMs: 1500, reason: null })
    assert.deepEqual(health.messages, {
      handled: 2,
      failed: 0,
      timedOut: 0,
      unhandled: 0,
      unanswerable: 1,
      running: 0,
      waiting: 0,
    })
    client.gatewayState = 'down'
    const down = await get('/health')
    assert.equal(down.status, 503)
    assert.equal(((await down.json()) as { gateway: { reason: string } }).gateway.reason, 'MIX_GATEWAY_LOST')

    const metrics = await get('/metrics')
    assert.match(metrics.headers.get('content-type')!, /^text\/plain; version=0.0.4/)
    const text = await metrics.text()
    for (const line of [
      'mixwright_service_messages_total{outcome="handled"} 2',
      'mixwright_service_replies_total{outcome="acknowledged"} 1',
      'mixwright_service_replies_total{outcome="unanswerable"} 1',
      'mixwright_service_handler_seconds_count 2',
      'mixwright_client_gateway_up 0',
      'mixwright_client_packets_sent 42',
      'mixwright_client_reply_surbs 11',
      'mixwright_client_dropped_packets{reason="malformed"} 4',
    ])
      assert.ok(text.includes(`\n${line}\n`), `${line} is not in\n${text}`)
    // Who asked is nobody's business.
    assert.equal(text.includes('tag'), false)
    assert.deepEqual([(await get('/')).status, (await get('/health', 'POST')).status], [404, 405])
    await service.close()
    await assert.rejects(get('/health'))
  })

  it('on a port that is taken fails the start, and leaves nothing', async () => {
    const { service } = await scripted(() => 'x', { health: { host: '127.0.0.1', port: 0 } })
    const port = Number(new URL(service.healthUrl!).port)
    const client = new ServiceClient()
    const options = { client: client.asClient, logger: silentLogger, health: { host: '127.0.0.1', port } }
    await assert.rejects(
      serve(() => 'x', options),
      { code: 'MIX_PORT_IN_USE' },
    )
    client.receive('nobody listens', 'tag')
    await settled()
    assert.deepEqual(client.replies, [])
    await service.close()
  })
})

it('options that cannot be are refused before anything is opened', async () => {
  const client = new ServiceClient().asClient
  for (const options of [
    { concurrency: 0 },
    { concurrency: 1.5 },
    { dataDirectory: 'x' },
    { handlerTimeoutMs: -1 },
    { maximumStreams: 1e9 },
  ])
    await assert.rejects(
      serve(() => 'x', { client, ...options }),
      { code: 'MIX_OPTIONS' },
    )
  await assert.rejects(serve({}, { client }), { code: 'MIX_OPTIONS' })
  await assert.rejects(
    serve(() => 'x', { logger: silentLogger }),
    { code: 'MIX_OPTIONS' },
  )
})
