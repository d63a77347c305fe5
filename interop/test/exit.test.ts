/**
 * Programs that know nothing of mixnets go through the exit of a network (06-service-providers §2, §10): curl in all its dialects,
 * websockets, a session as one types it, and `createFetch`; and what curl is told when the exit does not connect.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { createFetch } from '@mixwright/client'
import { Network } from '@mixwright/localnet'
import { RealClock, SeededRandom, VirtualClock } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import type { Dial, Resolve } from '@mixwright/services'
import { type RawData, WebSocket, WebSocketServer } from 'ws'
import { APP_TUNNELS } from './app-tunnel.js'
import { curl, skipWithoutCurl } from './curl.js'
import { ExitDoors } from './exit-doors.js'
import { dropsByReason } from './network-counters.js'
import { AUTHORITY_FILE, sha256, siteFile, TestSite } from './test-site.js'
import { WatchedRequester } from './watched-requester.js'

const LOOPBACK = { host: '127.0.0.1', port: 0 }

let net: Network
let site: TestSite
before(async () => {
  net = await Network.start({ services: true })
  site = await TestSite.start()
})
after(async () => {
  await site?.[Symbol.asyncDispose]()
  await net?.close()
})

describe('through the exit of a network', () => {
  let doors: ExitDoors
  before(async () => {
    doors = await ExitDoors.open(net, { requester: net.services!.networkRequester, profile: 'local' })
  })
  after(() => doors?.[Symbol.asyncDispose]())

  describe('curl', { skip: skipWithoutCurl }, () => {
    const dialects: readonly (readonly [flag: string, host: string])[] = [
      ['--socks5-hostname', 'localhost'],
      ['--socks5', '127.0.0.1'],
      ['--socks4a', 'localhost'],
      ['--proxy', 'localhost'],
    ]
    const door = (flag: string) => [
      flag,
      flag === '--proxy' ? doors.http.url : `127.0.0.1:${doors.socks.port}`,
      '--cacert',
      AUTHORITY_FILE,
    ]
    const get = async (...args: readonly string[]) => {
      const { code, body, stderr } = await curl(args)
      assert.equal(code, 0, stderr)
      return body
    }

    for (const scheme of ['http', 'https'] as const) {
      it(`gets a page and a file in each dialect, by ${scheme}`, async () => {
        for (const [flag, host] of dialects) {
          assert.equal(String(await get(...door(flag), site.url(scheme, host, '/page'))), 'a page', flag)
          const file = await get(...door(flag), site.url(scheme, host, '/file'))
          assert.equal(sha256(file), sha256(siteFile('/file')), flag)
        }
      })

      it(`posts 1 MB, by ${scheme}`, async () => {
        const data = new SeededRandom('posted').bytes(1_000_000)
        // By http the HTTP proxy forwards the request; by https it is a tunnel as any other.
        for (const flag of scheme === 'http' ? ['--socks5-hostname', '--proxy'] : ['--proxy']) {
          const args = [...door(flag), '--data-binary', '@-', site.url(scheme, 'localhost', '/hash')]
          const { code, body, stderr } = await curl(args, data)
          assert.deepEqual([code, String(body)], [0, `POST ${sha256(data)}`], stderr)
        }
      })
    }

    for (const [scheme, flag] of [
      ['http', '--socks5-hostname'],
      ['https', '--proxy'],
    ] as const)
      it(`gets 5 MB by ${scheme} with ${flag}`, async (t) => {
        const clock = new RealClock()
        const startedAt = clock.monotonic()
        const large = await get(...door(flag), site.url(scheme, 'localhost', '/large'))
        t.diagnostic(`${((clock.monotonic() - startedAt) / 1000).toFixed(1)} s`)
        assert.equal(sha256(large), sha256(siteFile('/large')))
      })

    it('gets ten files at once', async () => {
      const paths = Array.from({ length: 10 }, (_, index) => `/files/${index}`)
      const files = await Promise.all(
        paths.map((path, index) => {
          const [flag, host] = dialects[index % dialects.length]!
          return get(...door(flag), site.url('http', host, path))
        }),
      )
      assert.deepEqual(
        files.map(sha256),
        paths.map((path) => sha256(siteFile(path))),
      )
    })

    it('gets and posts with the profile default: cover, delays, and no more than 50 packets a second', async (t) => {
      const requester = net.services!.networkRequester
      await using slow = await ExitDoors.open(net, { requester, profile: 'default' })
      const through = ['--proxy', slow.socks.url]
      const clock = new RealClock()
      const startedAt = clock.monotonic()
      assert.equal(sha256(await get(...through, site.url('http', 'localhost', '/file'))), sha256(siteFile('/file')))
      t.diagnostic(`100 kB in ${(clock.monotonic() - startedAt).toFixed(0)} ms`)
      const data = new SeededRandom('posted').bytes(20_000)
      const { body } = await curl([...through, '--data-binary', '@-', site.url('http', 'localhost', '/hash')], data)
      assert.equal(String(body), `POST ${sha256(data)}`)
      assert.ok(slow.client.status().counters.coverSent > 0)
    })
  })

  for (const [name, tunnel] of APP_TUNNELS) {
    it(`a websocket echoes 200 messages and closes in order, by ${name}`, async () => {
      const server = new WebSocketServer({ ...LOOPBACK })
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const accepted = once(server, 'connection') as Promise<[WebSocket]>
      const through = await tunnel(doors, 'localhost', port)
      const socket = new WebSocket(`ws://localhost:${port}/`, { createConnection: () => through })
      const [peer] = await accepted
      peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary }))
      const heard: RawData[] = []
      const all = new Promise<void>((resolve) => {
        socket.on('message', (data) => heard.push(data) === 200 && resolve())
      })
      await once(socket, 'open')
      const random = new SeededRandom('messages')
      const messages = Array.from({ length: 200 }, (_, index) => random.bytes(index * 10))
      for (const message of messages) socket.send(message)
      await all
      assert.deepEqual(
        heard.map((data) => sha256(data as Buffer)),
        messages.map(sha256),
      )
      const ends = Promise.all([once(socket, 'close'), once(peer, 'close')])
      socket.close(1000, 'done')
      assert.deepEqual(
        (await ends).map(([code, reason]) => `${code} ${reason}`),
        ['1000 done', '1000 done'],
      )
      server.close()
    })
  }

  it('a session as one types it: 500 small writes, each answered before the next, and an end', async (t) => {
    // A byte is answered by itself and its place, so that none can be lost, repeated or elsewhere.
    const placed = (data: Uint8Array, at: number) => data.map((byte, index) => byte ^ ((at + index) % 251))
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const hash = createHash('sha256')
      let at = 0
      socket.on('data', (data) => {
        hash.update(data)
        socket.write(placed(data, at))
        at += data.length
      })
      socket.on('end', () => socket.end(hash.digest('hex')))
    })
    const port = await listenOn(server, LOOPBACK)
    const [, tunnel] = APP_TUNNELS[0]!
    const socket = await tunnel(doors, 'localhost', port)
    const answers = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    const random = new SeededRandom('typing')
    const clock = new RealClock()
    const hash = createHash('sha256')
    const tookMs: number[] = []
    let at = 0
    for (let index = 0; index < 500; index++) {
      const typed = random.bytes(1 + ((index * 7) % 40))
      const typedAt = clock.monotonic()
      socket.write(typed)
      hash.update(typed)
      let answer = Buffer.alloc(0)
      while (answer.length < typed.length) answer = Buffer.concat([answer, (await answers.next()).value as Buffer])
      assert.deepEqual([...answer], [...placed(typed, at)], `answer ${index}`)
      tookMs.push(clock.monotonic() - typedAt)
      at += typed.length
    }
    socket.end()
    let last = ''
    for (let next = await answers.next(); !next.done; next = await answers.next()) last += next.value
    assert.equal(last, hash.digest('hex'))
    tookMs.sort((a, b) => a - b)
    t.diagnostic(`there and back: median ${tookMs[250]!.toFixed(1)} ms, 99 of 100 ${tookMs[495]!.toFixed(1)} ms`)
    server.close()
  })

  it('createFetch gets a page and a file, by http and https, and posts; and 5 MB', async (t) => {
    const clock = new RealClock()
    const tls = { ca: readFileSync(AUTHORITY_FILE, 'utf8') }
    await using mixFetch = createFetch(doors.client, { requester: net.services!.networkRequester, tls })
    for (const scheme of ['http', 'https'] as const) {
      const page = await mixFetch(site.url(scheme, 'localhost', '/page'))
      assert.deepEqual([page.status, page.headers.get('x-page'), await page.text()], [200, 'yes', 'a page'])
      const file = await mixFetch(site.url(scheme, 'localhost', '/file'))
      assert.equal(sha256(new Uint8Array(await file.arrayBuffer())), sha256(siteFile('/file')))
      const body = new Uint8Array(new SeededRandom('posted').bytes(200_000))
      const posted = await mixFetch(site.url(scheme, 'localhost', '/hash'), { method: 'POST', body })
      assert.equal(await posted.text(), `POST ${sha256(body)}`)
    }
    const startedAt = clock.monotonic()
    const large = await mixFetch(site.url('https', 'localhost', '/large'))
    assert.equal(sha256(new Uint8Array(await large.arrayBuffer())), sha256(siteFile('/large')))
    t.diagnostic(`5 MB in ${((clock.monotonic() - startedAt) / 1000).toFixed(1)} s`)
  })

  it('the exit keeps no connection, and the network lost nothing', async (t) => {
    const { metrics } = net.gateway(1)
    const clock = new RealClock()
    while (metrics.value('mixwright_requester_connections') > 0) {
      await new Promise<void>((resolve) => clock.setTimer(20, resolve))
      t.signal.throwIfAborted()
    }
    assert.equal(metrics.value('mixwright_requester_buffered_bytes'), 0)
    assert.equal(metrics.value('mixwright_requester_ended_total', { reason: 'reply-lost' }), 0)
    assert.deepEqual(dropsByReason(net), {})
  })
})

describe('curl, of an exit that does not connect', { skip: skipWithoutCurl }, () => {
  const POLICY = 'ExitPolicy reject *:25\nExitPolicy accept *:*'
  const HOSTS: Readonly<Record<string, string>> = {
    'site.test': '127.0.0.1',
    'far.test': '192.0.2.1',
    'apart.test': '192.0.2.2',
    'silent.test': '192.0.2.3',
  }
  const FAULTS: Readonly<Record<string, string>> = { '192.0.2.1': 'EHOSTUNREACH', '192.0.2.2': 'ENETUNREACH' }
  const clock = new VirtualClock()
  const resolve: Resolve = async (host) => [HOSTS[host]!]
  let silentDial = () => {}
  const dial: Dial = (ip, port) => {
    const socket = new Socket({ allowHalfOpen: true })
    if (ip === '127.0.0.1') return socket.connect(port, ip)
    const code = FAULTS[ip]
    // One without a fault never connects.
    if (code === undefined) silentDial()
    else socket.destroy(Object.assign(new Error(code), { code }))
    return socket
  }
  let requester: WatchedRequester
  let doors: ExitDoors
  before(async () => {
    requester = await WatchedRequester.start(net, { kind: 'text', text: POLICY }, { clock, resolve, dial })
    doors = await ExitDoors.open(net, { requester: requester.address, profile: 'local' })
  })
  after(async () => {
    await doors?.[Symbol.asyncDispose]()
    const closed = requester?.[Symbol.asyncDispose]()
    // For the last answers, to clients that are gone, it waits by its own clock.
    clock.advance(3_000)
    await closed
  })

  const failures = [
    { what: 'a closed port', host: 'site.test', error: 'MIX_EXIT_CONNECTION_REFUSED', socks5: 5, http: 502 },
    { what: 'a blocked port', host: 'site.test', port: 25, error: 'MIX_EXIT_POLICY_REFUSED', socks5: 2, http: 403 },
    { what: 'an unknown host', host: 'unknown.test', error: 'MIX_EXIT_UNKNOWN_HOST', socks5: 4, http: 502 },
    { what: 'a host without a way', host: 'far.test', error: 'MIX_EXIT_HOST_UNREACHABLE', socks5: 4, http: 502 },
    {
      what: 'a network without a way',
      host: 'apart.test',
      error: 'MIX_EXIT_NETWORK_UNREACHABLE',
      socks5: 3,
      http: 502,
    },
    { what: 'a silent host', host: 'silent.test', error: 'MIX_EXIT_TIMED_OUT', socks5: 6, http: 504 },
  ]
  for (const { what, host, port, error, socks5, http } of failures)
    it(`is told of ${what}`, async () => {
      silentDial = () => clock.advance(15_000)
      const url = `http://${host}:${port ?? (await unusedPort())}/`
      const at = `127.0.0.1:${doors.socks.port}`

      const bySocks5 = await curl(['--socks5-hostname', at, url])
      assert.equal(bySocks5.code, 97)
      assert.match(bySocks5.stderr, new RegExp(`complete SOCKS5 connection .*\\(${socks5}\\)`))

      const bySocks4 = await curl(['--socks4a', at, url])
      assert.equal(bySocks4.code, 97)
      assert.match(bySocks4.stderr, /complete SOCKS4 connection .*\(91\)/)

      const byProxy = await curl(['--proxy', doors.http.url, '--fail-with-body', '--write-out', ' %{http_code}', url])
      assert.equal(byProxy.code, 22)
      assert.match(String(byProxy.body), new RegExp(`^${error}: .*\n ${http}$`))

      const byTunnel = await curl(['--proxy', doors.http.url, '--proxytunnel', url])
      assert.equal(byTunnel.code, 56)
      assert.match(byTunnel.stderr, new RegExp(`CONNECT.* ${http}`))
    })

  it('and connects right after; names of users are clients of their own', async () => {
    const known = requester.requests.length
    for (const user of ['', 'alice:x@', 'bob:x@', 'alice:x@']) {
      const proxy = doors.socks.url.replace('//', `//${user}`)
      const { body, stderr } = await curl(['--proxy', proxy, site.url('http', 'site.test', '/page')])
      assert.equal(String(body), 'a page', stderr)
    }
    const connects = requester.requests.slice(known).filter(({ request }) => request.kind === 'connect')
    const tags = connects.map(({ senderTag }) => senderTag)
    assert.equal(tags.length, 4)
    assert.ok(tags.every((tag) => tag !== undefined))
    assert.equal(new Set(tags).size, 3)
    assert.equal(tags[1], tags[3])
    assert.ok(requester.connects.every(({ returnAddress }) => returnAddress === undefined))
  })
})

async function unusedPort(): Promise<number> {
  const server = createServer()
  const port = await listenOn(server, LOOPBACK)
  server.close()
  await once(server, 'close')
  return port
}
