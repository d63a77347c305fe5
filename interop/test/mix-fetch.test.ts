/** mix-fetch 1.4.4, unmodified, through a network requester of ours (06-service-providers §3). */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, afterEach, before, describe, it, type TestContext } from 'node:test'
import { PROFILES } from '@mixwright/client'
import { Network } from '@mixwright/localnet'
import { RealClock, SeededRandom } from '@mixwright/runtime'
import { formatRecipient } from '@mixwright/wire'
import { type Fetched, type FetchInit, MixFetch, overrideFor } from '../src/mix-fetch.js'
import { dropsByReason } from './network-counters.js'
import { WatchedRequester } from './watched-requester.js'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const text = ({ body }: Fetched) => new TextDecoder().decode(body)
const file = (name: string, bytes: number) => new SeededRandom(name).bytes(bytes)

const LARGE_BYTES = 5_000_000
const CERTIFICATES = new URL('../../../packages/node/test/certificates/', import.meta.url)
/** The package checks CORS by itself; the servers here know nothing of it. */
const ANY_ORIGIN: FetchInit = { mode: 'unsafe-ignore-cors' }

describe('mix-fetch through our network requester', { timeout: 300_000 }, () => {
  let net: Network
  let origin: Server
  let site: string
  let requester: WatchedRequester
  let mixFetch: MixFetch
  before(async () => {
    origin = createServer(serveSite).listen(0, '127.0.0.1')
    await once(origin, 'listening')
    site = `http://127.0.0.1:${portOf(origin)}`
    net = await Network.start({ mixes: 3, gateways: 2 })
    requester = await WatchedRequester.start(net, {
      kind: 'text',
      text: 'ExitPolicy reject 127.0.0.2:*\nExitPolicy accept *:*',
    })
    mixFetch = await MixFetch.start({
      nymApiUrl: net.nymApiUrl,
      requester: requester.address,
      gateway: net.gateway(1).identityKey,
      clientOverride: overrideFor(PROFILES.local),
    })
  })
  after(async () => {
    await mixFetch?.close()
    await requester?.[Symbol.asyncDispose]()
    await net?.close()
    origin?.closeAllConnections()
    origin?.close()
  })
  afterEach(() => {
    assert.doesNotMatch(mixFetch.stderr, /panic|fatal error/)
    assertCloseIsLast(requester)
    assert.deepEqual(dropsByReason(net), {})
  })

  const get = (path: string, init: FetchInit = {}) => mixFetch.fetch(`${site}${path}`, { ...ANY_ORIGIN, ...init })

  it('gets a page, over one connection of version 3 whose answers go to its own address', async (t) => {
    const page = await get('/page')
    assert.deepEqual([page.status, text(page), page.headers['x-page']], [200, 'a page', 'yes'])
    t.diagnostic(`connected in ${mixFetch.connectMs.toFixed(0)} ms, fetched in ${page.totalMs.toFixed(0)} ms`)
    const [connect, ...others] = requester.connects
    assert.deepEqual(others, [])
    assert.deepEqual(connect?.versions, { interface: 3, socks5: 3 })
    assert.equal(connect?.remote, `127.0.0.1:${portOf(origin)}`)
    assert.ok(formatRecipient(connect.returnAddress!).endsWith(`@${net.gateway(1).identityKey}`))
    assert.ok(requester.requests.every(({ senderTag }) => senderTag === undefined))
    assert.deepEqual(
      [requester.count('connects_total', { outcome: 'connected' }), requester.count('connects_total')],
      [1, 1],
    )
  })

  it('checks CORS by itself: a page without the header is refused, one with it is not', async () => {
    await assert.rejects(get('/page?cors', { mode: 'cors' }), /Access-Control-Allow-Origin.*header not present/)
    assert.equal(text(await get('/open-page', { mode: 'cors' })), 'an open page')
  })

  it('gets a file of 5 MB whole', async (t) => {
    const large = await get('/large')
    t.diagnostic(rate(large))
    assert.equal(large.body.length, LARGE_BYTES)
    assert.equal(sha256(large.body), sha256(file('large', LARGE_BYTES)))
  })

  it('posts 1 MB whole', async (t) => {
    const body = file('posted', 1_000_000)
    const echo = await get('/hash', { method: 'POST', body, headers: { 'content-type': 'application/octet-stream' } })
    t.diagnostic(`${echo.totalMs.toFixed(0)} ms`)
    assert.equal(text(echo), `POST application/octet-stream 1000000 ${sha256(body)}`)
  })

  it('follows a redirect, which is a second connection', async () => {
    const known = requester.connects.length
    assert.equal(text(await get('/moved')), 'a page')
    assert.equal(requester.connects.length - known, 2)
  })

  it('gets 10 files of one host at once, each over a connection of its own', async (t) => {
    const known = requester.connects.length
    const names = Array.from({ length: 10 }, (_, i) => `file-${i}`)
    const files = await Promise.all(names.map((name) => get(`/files/${name}`)))
    t.diagnostic(files.map(({ totalMs }) => totalMs.toFixed(0)).join(' '))
    assert.deepEqual(
      files.map(({ body }) => sha256(body)),
      names.map((name) => sha256(file(name, 100_000))),
    )
    const ids = requester.connects.slice(known).map(({ connectionId }) => connectionId)
    assert.equal(new Set(ids).size, 10)
  })

  it('learns at once that a destination is not to be had, and fetches on', async (t) => {
    const failures = [
      { url: `http://127.0.0.1:${await unusedPort()}/`, outcome: 'connection-refused' },
      { url: `http://127.0.0.2:${portOf(origin)}/`, outcome: 'refused-by-policy' },
      { url: 'http://nowhere.invalid/', outcome: 'unknown-host' },
    ]
    const count = (outcome: string) => requester.count('connects_total', { outcome })
    for (const { url, outcome } of failures) {
      assert.match(await failureOf(t, mixFetch.fetch(url, ANY_ORIGIN)), /: EOF$/)
      assert.equal(count(outcome), 1, outcome)
      assert.equal(text(await get('/page')), 'a page')
    }
    await Promise.all(failures.map(({ url }) => failureOf(t, mixFetch.fetch(url, ANY_ORIGIN))))
    assert.deepEqual(
      failures.map(({ outcome }) => count(outcome)),
      [2, 2, 2],
    )
    assert.equal(text(await get('/page')), 'a page')
  })

  it('is told when a destination closes without a word, or in the middle', async (t) => {
    assert.match(await failureOf(t, get('/nothing')), /: EOF$/)
    assert.match(await failureOf(t, get('/half')), /: unexpected EOF$/)
    assert.equal(text(await get('/page')), 'a page')
  })

  it('trusts only the roots that it brings along: HTTPS of a server with a certificate of its own is refused', async (t) => {
    const [key, cert] = ['key', 'certificate'].map((name) => readFileSync(new URL(`first.${name}.pem`, CERTIFICATES)))
    const server = createSecureServer({ key: key!, cert: cert! }, serveSite).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const url = `https://127.0.0.1:${portOf(server)}/page`
      assert.match(await failureOf(t, mixFetch.fetch(url, ANY_ORIGIN)), /certificate/)
    } finally {
      server.close()
    }
    assert.equal(text(await get('/page')), 'a page')
  })

  it('leaves nothing behind at the requester', async (t) => {
    await untilIdle(t, requester)
    const totals = ['connects', 'requests', 'dropped', 'bytes'].map(
      (what) => `${requester.count(`${what}_total`)} ${what}`,
    )
    t.diagnostic(`in all ${totals.join(', ')}`)
    assert.equal(requester.count('connections'), 0)
    assert.equal(requester.count('buffered_bytes'), 0)
    const versions = requester.connects.map(({ versions }) => JSON.stringify(versions))
    assert.deepEqual([...new Set(versions)], ['{"interface":3,"socks5":3}'])
    assert.equal(new Set(requester.connects.map(({ returnAddress }) => formatRecipient(returnAddress!))).size, 1)
    assert.equal(requester.count('connects_total'), requester.connects.length)
  })
})

function serveSite(request: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(request.url!, 'http://site')
  const [, first, second] = pathname.split('/')
  switch (first) {
    case 'page':
      return void response.setHeader('x-page', 'yes').end('a page')
    case 'open-page':
      return void response.setHeader('access-control-allow-origin', '*').end('an open page')
    case 'large':
      return void response.end(file('large', LARGE_BYTES))
    case 'files':
      return void response.end(file(second!, 100_000))
    case 'moved':
      return void response.writeHead(302, { location: '/page?moved' }).end()
    case 'hash':
      return void hashOf(request).then((hash) => response.end(hash))
    case 'nothing':
      return void request.socket.end()
    case 'half':
      response.setHeader('content-length', 1000).write('half')
      return void setImmediate(() => request.socket.end())
    default:
      return void response.writeHead(404).end()
  }
}

async function hashOf(request: IncomingMessage): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of request) parts.push(part as Uint8Array)
  const body = Buffer.concat(parts)
  return `${request.method} ${request.headers['content-type']} ${body.length} ${sha256(body)}`
}

const portOf = (server: { address: Server['address'] }) => (server.address() as AddressInfo).port

async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = portOf(server)
  server.close()
  await once(server, 'close')
  return port
}

/** What a fetch that must fail says. */
async function failureOf(t: TestContext, fetching: Promise<Fetched>): Promise<string> {
  const clock = new RealClock()
  const startedAt = clock.monotonic()
  const error = await fetching.then(
    ({ status }) => assert.fail(`it was answered with status ${status}`),
    (error: Error) => error,
  )
  const [line = ''] = error.message.split('\n')
  t.diagnostic(`after ${Math.round(clock.monotonic() - startedAt)} ms: ${line}`)
  return line
}

/**
 * A second close ends the Go runtime of mix-fetch, and so does a ConnectionError: of each connection a close is the last, and the
 * only word of an end.
 */
function assertCloseIsLast({ answers }: WatchedRequester): void {
  const next = new Map<bigint, bigint>()
  const closed = new Set<bigint>()
  for (const answer of answers) {
    if (answer.kind !== 'data') assert.fail(`an answer of kind ${answer.kind}`)
    const { connectionId, sequence } = answer
    assert.ok(!closed.has(connectionId), `connection ${connectionId} goes on after its close`)
    assert.equal(sequence, next.get(connectionId) ?? 0n)
    next.set(connectionId, sequence + 1n)
    if (answer.closed) closed.add(connectionId)
  }
}

async function untilIdle(t: TestContext, requester: WatchedRequester): Promise<void> {
  const clock = new RealClock()
  const deadline = clock.monotonic() + 30_000
  while (requester.count('connections') > 0) {
    if (clock.monotonic() > deadline) throw new Error(`${requester.count('connections')} connections remain`)
    await new Promise<void>((resolve) => clock.setTimer(20, resolve))
    t.signal.throwIfAborted()
  }
}

const rate = ({ body, totalMs }: Fetched) =>
  `${body.length} bytes in ${totalMs.toFixed(0)} ms, ${(body.length / totalMs / 1000).toFixed(2)} MB/s`
