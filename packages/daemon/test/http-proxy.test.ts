/** The HTTP proxy on real sockets: tunnels and documents, the reasons that it gives, and what it keeps to itself. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { describe, it } from 'node:test'
import { SeededRandom } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { HttpProxy, type HttpProxyOptions } from '../src/index.js'
import { curl } from './curl.js'
import { PlainExit } from './plain-exit.js'
import { destination, echo, RawApp } from './tcp-peers.js'

const MEBIBYTE = 1024 * 1024
const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')
const noise = () => new SeededRandom('noise').bytes(MEBIBYTE)

async function open(options: Partial<HttpProxyOptions> = {}) {
  const exit = new PlainExit()
  const asked: (string | undefined)[] = []
  const exitFor = (isolation: string | undefined) => {
    asked.push(isolation)
    return exit
  }
  const proxy = await HttpProxy.listen({ exitFor, port: 0, ...options })
  return { exit, asked, proxy, [Symbol.asyncDispose]: () => proxy.close() }
}

async function webServer(serve: (incoming: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(serve)
  const port = await listenOn(server, { host: '127.0.0.1', port: 0 })
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** What a raw server hears of a request, up to the empty line, while the answer is ours. */
const answering = (answer: string, heard: string[] = []) =>
  destination((socket) => {
    socket.once('data', (data) => {
      heard.push(String(data))
      socket.end(answer)
    })
  })

const raw = async (proxy: HttpProxy, ...lines: readonly string[]) => {
  const app = await RawApp.connect(proxy.port)
  app.send(`${lines.join('\r\n')}\r\n\r\n`)
  return app
}

describe('a tunnel', () => {
  it('carries a mebibyte each way for curl, by name', async () => {
    await using web = await webServer((incoming, response) => void incoming.pipe(response))
    await using door = await open()
    const data = noise()
    const url = `http://name.test:${web.port}/`
    const { code, body, stderr } = await curl.upload(data, '--proxytunnel', '--proxy', door.proxy.url, url)
    assert.equal(code, 0, stderr)
    assert.equal(sha256(body), sha256(data))
    assert.deepEqual(door.exit.asked, [{ host: 'name.test', port: web.port }])
  })

  it('takes data that comes right behind the request, and lets each direction end by itself', async () => {
    await using server = await destination(echo)
    await using door = await open()
    const app = await raw(door.proxy, `CONNECT echo.test:${server.port} HTTP/1.1`, 'host: echo.test', '', 'early')
    app.socket.end()
    const { received } = await app.ended
    assert.equal(String(received), 'HTTP/1.1 200 Connection established\r\n\r\nearly\r\n\r\n')
  })

  it('goes to IPv6, and to nothing that has no port', async () => {
    await using door = await open()
    await raw(door.proxy, 'CONNECT [2001:db8::1]:443 HTTP/1.1', 'host: x')
    await door.exit.until(() => door.exit.asked.length === 1)
    assert.deepEqual(door.exit.asked, [{ host: '2001:db8::1', port: 443 }])
    for (const target of ['name.test', 'a:b:1', ':80', 'name.test:', 'http://name.test:80']) {
      const { received } = await (await raw(door.proxy, `CONNECT ${target} HTTP/1.1`, 'host: x')).ended
      assert.match(String(received), /^HTTP\/1.1 400 /, target)
    }
    assert.equal(door.exit.asked.length, 1)
  })

  it('of an app that leaves while the exit connects is given up', async () => {
    await using door = await open()
    const app = await raw(door.proxy, 'CONNECT never.test:80 HTTP/1.1', 'host: x')
    await door.exit.until(() => door.exit.asked.length === 1)
    app.socket.end()
    await door.exit.until(() => door.exit.givenUp.length === 1)
  })

  it('is reset when it breaks, also for an eager app', async () => {
    await using server = await destination((socket) => void socket.once('data', () => socket.resetAndDestroy()))
    await using door = await open({ eager: true })
    const app = await raw(door.proxy, `CONNECT echo.test:${server.port} HTTP/1.1`, 'host: x')
    await app.take(39)
    app.send('x')
    assert.equal((await app.ended).error, 'ECONNRESET')
    const refused = await raw(door.proxy, 'CONNECT MIX_EXIT_BUSY.test:80 HTTP/1.1', 'host: x')
    assert.match(String((await refused.ended).received), /^HTTP\/1.1 200 .*\r\n\r\n$/)
  })
})

describe('no connection', () => {
  const statuses: readonly (readonly [string, number])[] = [
    ['MIX_EXIT_POLICY_REFUSED', 403],
    ['MIX_EXIT_CONNECTION_REFUSED', 502],
    ['MIX_EXIT_HOST_UNREACHABLE', 502],
    ['MIX_EXIT_NETWORK_UNREACHABLE', 502],
    ['MIX_EXIT_UNKNOWN_HOST', 502],
    ['MIX_EXIT_CONNECT_FAILED', 502],
    ['MIX_EXIT_TIMED_OUT', 504],
    ['MIX_EXIT_SILENT', 504],
    ['MIX_EXIT_BUSY', 503],
    ['MIX_EXIT_NONE', 503],
    ['MIX_EXIT_TARGET', 400],
  ]
  for (const [code, status] of statuses)
    it(`is ${status} for ${code}, with the code in words`, async () => {
      await using door = await open()
      const tunnel = await raw(door.proxy, `CONNECT ${code}.test:80 HTTP/1.1`, 'host: x', '', 'more')
      const { received, error } = await tunnel.ended
      assert.equal(error, undefined)
      assert.match(
        String(received),
        new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*\r\n\r\n${code}: as the test wants it\n$`),
      )
      tunnel.socket.destroy()
      // Names of URLs are lower case: the exit of this test knows its failures in both.
      const url = `http://${code}.test/`
      const document = await curl('--proxy', door.proxy.url, '--write-out', '%{http_code}', url)
      assert.equal(String(document.body), `${code}: as the test wants it\n${status}`)
    })

  it('is told to an app that uploads, and the next request goes on', async () => {
    await using web = await webServer((_, response) => void response.end('fine'))
    await using door = await open()
    const { body } = await curl.upload(noise(), '--proxy', door.proxy.url, 'http://MIX_EXIT_POLICY_REFUSED.test/')
    assert.equal(String(body), 'MIX_EXIT_POLICY_REFUSED: as the test wants it\n')
    const app = await raw(
      door.proxy,
      'POST http://MIX_EXIT_BUSY.test/ HTTP/1.1',
      'host: x',
      'content-length: 4',
      '',
      'body',
    )
    assert.match(String(await app.take(12)), / 503$/)
    app.send(`GET http://name.test:${web.port}/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
    assert.match(String((await app.ended).received), /HTTP\/1.1 200 OK[\s\S]*fine/)
  })

  it('is 502 for an origin that speaks no HTTP, or hangs up', async () => {
    await using door = await open()
    for (const answer of ['', 'HTTP/1.1 200 OK\r\nbad header\r\n\r\n', 'SSH-2.0-x\r\n']) {
      await using server = await answering(answer)
      const { code, body } = await curl(
        '--proxy',
        door.proxy.url,
        '-w',
        '%{http_code}',
        `http://x.test:${server.port}/`,
      )
      assert.deepEqual([code, String(body).slice(-3)], [0, '502'], answer)
    }
  })
})

describe('a document', () => {
  it('is asked for in origin form, without what concerns the proxy', async () => {
    const heard: string[] = []
    const answer = [
      'HTTP/1.1 203 As It Is',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
      'Keep-Alive: timeout=5',
      'Connection: keep-alive, x-hop',
      'X-Hop: secret',
      'Content-Length: 2',
      '',
      'ok',
    ].join('\r\n')
    await using server = await answering(answer, heard)
    await using door = await open()
    const app = await raw(
      door.proxy,
      `GET http://Name.Test:${server.port}/path/%7Ex?q=1&r#no HTTP/1.1`,
      'Host: somebody.else',
      'User-Agent: me',
      'Accept: */*',
      'Proxy-Connection: keep-alive',
      `Proxy-Authorization: Basic ${Buffer.from('alice:1').toString('base64')}`,
      'Connection: X-Private, close',
      'X-Private: 1',
      'TE: trailers',
      'Cookie: c=3',
    )
    const { received } = await app.ended
    assert.deepEqual(heard[0]!.split('\r\n'), [
      'GET /path/%7Ex?q=1&r HTTP/1.1',
      `host: name.test:${server.port}`,
      'User-Agent: me',
      'Accept: */*',
      'Cookie: c=3',
      'connection: close',
      '',
      '',
    ])
    assert.deepEqual(String(received).split('\r\n'), [
      'HTTP/1.1 203 As It Is',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
      'Content-Length: 2',
      'Connection: close',
      '',
      'ok',
    ])
  })

  it('of a mebibyte goes up and down, with a length and in chunks', async () => {
    const lengths: (string | undefined)[] = []
    await using web = await webServer((incoming, response) => {
      lengths.push(incoming.headers['content-length'] ?? incoming.headers['transfer-encoding'])
      incoming.pipe(response)
    })
    await using door = await open()
    const data = noise()
    const url = `http://name.test:${web.port}/`
    for (const headers of [[], ['-H', 'Transfer-Encoding: chunked'], ['-H', 'Expect: 100-continue']]) {
      const { code, body, stderr } = await curl.upload(data, ...headers, '--proxy', door.proxy.url, url)
      assert.equal(code, 0, stderr)
      assert.equal(sha256(body), sha256(data))
    }
    assert.deepEqual(lengths, [String(MEBIBYTE), 'chunked', String(MEBIBYTE)])
  })

  it('flows while it is made', async () => {
    let go = () => {}
    await using web = await webServer((_, response) => {
      response.write('first')
      go = () => response.end('last')
    })
    await using door = await open()
    const agent = new Agent({ keepAlive: true })
    const asked = request({ agent, port: door.proxy.port, path: `http://name.test:${web.port}/` }).end()
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    const seen: string[] = []
    for await (const chunk of response) {
      seen.push(String(chunk))
      go()
    }
    assert.deepEqual(seen, ['first', 'last'])
    agent.destroy()
  })

  it('has no body for HEAD, 204 and 304, and the app may go on', async () => {
    await using web = await webServer((incoming, response) => {
      response.setHeader('content-length', 5)
      response.writeHead(incoming.url === '/304' ? 304 : incoming.url === '/204' ? 204 : 200).end()
    })
    await using door = await open()
    const url = `http://name.test:${web.port}`
    const { code, stderr } = await curl('--proxy', door.proxy.url, '-I', `${url}/`, `${url}/204`, `${url}/304`)
    assert.equal(code, 0, stderr)
  })

  it('that breaks off is no whole document, also without a length', async () => {
    await using door = await open()
    for (const head of ['Content-Length: 100', 'Transfer-Encoding: chunked', 'X-Length: none']) {
      await using server = await destination(
        (socket) => void socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n4\r\nhalf`),
      )
      const app = await raw(door.proxy, `GET http://x.test:${server.port}/ HTTP/1.0`, 'host: x')
      await app.until('half')
      door.exit.connections.at(-1)!.abort()
      assert.equal((await app.ended).error, 'ECONNRESET', head)
    }
  })

  it('of an app that leaves is given up, in both phases', async () => {
    await using server = await destination(() => {})
    await using door = await open()
    const { exit, proxy } = door
    const early = await raw(proxy, 'GET http://never.test/ HTTP/1.1', 'host: x')
    await exit.until(() => exit.asked.length === 1)
    early.socket.destroy()
    await exit.until(() => exit.givenUp.length === 1)
    const late = await raw(proxy, `GET http://x.test:${server.port}/ HTTP/1.1`, 'host: x')
    await exit.until(() => exit.asked.length === 2)
    await once(await firstOf(server.sockets, exit), 'data')
    late.socket.destroy()
    await exit.connections[0]!.closed.catch(() => {})
  })

  it('is nothing that the proxy has itself, nor what no proxy can fetch', async () => {
    await using door = await open()
    for (const path of ['/', 'https://name.test/', 'ftp://name.test/', '*']) {
      const { received } = await (await raw(door.proxy, `OPTIONS ${path} HTTP/1.1`, 'host: x', 'connection: close'))
        .ended
      assert.match(String(received), /^HTTP\/1.1 400 [\s\S]*This is a proxy/, path)
    }
    assert.deepEqual(door.exit.asked, [])
  })
})

describe('the HTTP proxy', () => {
  it('keeps streams apart by name and password, as the SOCKS door does', async () => {
    await using web = await webServer((_, response) => void response.end('ok'))
    await using door = await open()
    const url = `http://name.test:${web.port}/`
    for (const login of ['alice:1', 'alice:1', 'alice:2', 'bob:1', ''])
      for (const how of [[], ['--proxytunnel']]) {
        const user = login === '' ? [] : ['--proxy-user', login]
        const { code, stderr } = await curl('--proxy', door.proxy.url, ...user, ...how, url)
        assert.equal(code, 0, stderr)
      }
    const keys = door.asked
    assert.equal(keys.length, 10)
    assert.equal(new Set(keys.slice(0, 4)).size, 1)
    assert.equal(new Set(keys).size, 4)
    assert.deepEqual(keys.slice(8), [undefined, undefined])
  })

  it('closes on an app that says nothing', async () => {
    await using door = await open({ handshakeTimeoutMs: 20 })
    const app = await RawApp.connect(door.proxy.port)
    await app.ended
  })

  it('closes with everything that goes through it', async () => {
    await using server = await destination(echo)
    const door = await open()
    const app = await raw(door.proxy, `CONNECT echo.test:${server.port} HTTP/1.1`, 'host: x')
    await app.take(39)
    await door.proxy.close()
    await app.ended
    await door.exit.connections[0]!.closed.catch(() => {})
  })
})

async function firstOf<T>(set: ReadonlySet<T>, exit: PlainExit): Promise<T> {
  await exit.until(() => exit.connections.length > 0)
  while (set.size === 0) await new Promise((resolve) => setImmediate(resolve))
  return [...set][0]!
}
