/**
 * What `createFetch` promises, for any engine below it: against real servers, over TCP in the exit's place. Where the platform's own
 * `fetch` promises the same, it is asked too.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { MixError } from '@mixwright/runtime'
import { exitError, requesterError } from '../src/exit/exit-error.js'
import type { Dial, Fetch, FetchInit, FetchOptions } from '../src/fetch/fetch-api.js'
import { TcpDialer } from './tcp-dialer.js'
import { AUTHORITY, LARGE, ScriptedServer, sha256, WebServer } from './web-server.js'

export interface FetchUnderTest {
  readonly fetchOver: (dial: Dial, options?: { tls?: FetchOptions['tls'] }) => Fetch
  readonly tls: (ca?: string) => FetchOptions['tls']
}

const code = (wanted: string, reason?: string) => (error: unknown) => {
  assert.ok(error instanceof MixError, `no MixError: ${error}`)
  assert.equal(error.code, wanted, error.message)
  if (reason !== undefined) assert.equal(error.data.reason, reason)
  return true
}

const streamOf = (...parts: string[]) =>
  new ReadableStream<Uint8Array>({
    pull(controller) {
      const part = parts.shift()
      if (part === undefined) controller.close()
      else controller.enqueue(new TextEncoder().encode(part))
    },
  })

export function fetchCompliance(name: string, { fetchOver, tls }: FetchUnderTest): void {
  describe(`fetch: ${name}`, () => {
    const server = new WebServer()
    const dialer = new TcpDialer()
    let fetch: Fetch

    before(async () => {
      await server.start()
      fetch = fetchOver(dialer.dial)
    })
    after(async () => {
      await fetch.close()
      await server.stop()
    })

    const scripted = async (
      script: ConstructorParameters<typeof ScriptedServer>[0],
      test: (url: string, peer: ScriptedServer) => Promise<void>,
    ) => {
      const peer = await new ScriptedServer(script).start()
      try {
        await test(peer.url(), peer)
      } finally {
        await peer.stop()
      }
    }

    const answers =
      (text: string, thenEnd = true) =>
      (test: (url: string) => Promise<void>) =>
        scripted((socket) => (thenEnd ? socket.end(text, 'latin1') : socket.write(text, 'latin1')), test)

    /** The platform and we give the same answer. */
    const same = async (path: string, makeInit: () => FetchInit = () => ({})) => {
      const [ours, theirs] = [
        await fetch(server.url(path), makeInit()),
        await globalThis.fetch(server.url(path), makeInit()),
      ]
      for (const key of ['status', 'statusText', 'ok', 'url', 'redirected'] as const)
        assert.equal(ours[key], theirs[key], key)
      assert.deepEqual(ours.headers.getSetCookie(), theirs.headers.getSetCookie())
      for (const key of ['content-type', 'x-method', 'x-latin'])
        assert.equal(ours.headers.get(key), theirs.headers.get(key))
      assert.deepEqual(await ours.text(), await theirs.text())
      return ours
    }

    it('answers as the platform does', async () => {
      assert.ok((await same('/')) instanceof Response)
      await same('/not-found')
      await same('/no-content')
      await same('/cookies')
      await same('/gzip')
      await same('/deflate')
      await same('/trailers')
      await same('/?a=1&b=%20#fragment')
    })

    it('gives a HEAD no body', async () => {
      const response = await same('/gzip', () => ({ method: 'HEAD' }))
      assert.equal(response.headers.get('content-encoding'), 'gzip')
      await same('/echo', () => ({ method: 'head' }))
    })

    it('sends bodies of every kind', async () => {
      const form = () => {
        const data = new FormData()
        data.set('field', 'value')
        data.set('file', new Blob(['content'], { type: 'text/plain' }), 'name.txt')
        return data
      }
      const kinds: (() => BodyInit)[] = [
        () => 'text ü',
        () => new Uint8Array([0, 1, 255]),
        () => new Uint8Array([9, 8]).buffer,
        () => new URLSearchParams({ a: '1 2', b: 'ü' }),
        () => new Blob(['blob'], { type: 'text/x-blob' }),
        () => '',
      ]
      for (const body of kinds) await same('/echo', () => ({ method: 'POST', body: body() }))
      await same('/echo', () => ({ method: 'POST' }))
      await same('/echo', () => ({ method: 'PATCH', body: 'p', headers: { 'content-type': 'x/y', 'x-one': '1' } }))
      const sent = await (await fetch(server.url('/echo'), { method: 'POST', body: form() })).json()
      assert.match(sent['content-type'], /^multipart\/form-data; boundary=/)
      assert.match(sent.body, /name="field"\r\n\r\nvalue\r\n.*filename="name.txt".*content\r\n/s)
      await same('/echo', () => ({ method: 'PUT', body: streamOf('a', 'bc', 'd'), duplex: 'half' }))
    })

    it('takes a Request', async () => {
      const request = new Request(server.url('/echo'), { method: 'post', body: 'inside', headers: { 'x-one': 'yes' } })
      const echo = await (await fetch(request)).json()
      assert.deepEqual([echo.method, echo.body, echo['x-one']], ['POST', 'inside', 'yes'])
      const other = await (await fetch(new Request(server.url('/echo')), { method: 'DELETE' })).json()
      assert.equal(other.method, 'DELETE')
    })

    it('refuses what is no request', async () => {
      await assert.rejects(fetch('/relative'), code('MIX_FETCH_URL'))
      await assert.rejects(fetch('ftp://127.0.0.1/'), code('MIX_FETCH_URL'))
      await assert.rejects(fetch('http://user:word@127.0.0.1/'), code('MIX_FETCH_URL'))
      await assert.rejects(fetch(server.url('/'), { method: 'TRACE' }), TypeError)
      await assert.rejects(fetch(server.url('/'), { method: 'a b' }), TypeError)
      await assert.rejects(fetch(server.url('/'), { body: 'x' }), TypeError)
      await assert.rejects(fetch(server.url('/'), { headers: { 'x-one': 'a\nb' } }), TypeError)
      assert.equal(dialer.targets.filter(({ port }) => port !== server.port).length, 0)
    })

    it('follows redirects by the rules', async () => {
      const to = (status: number, target = '/echo') => `/redirect?status=${status}&to=${encodeURIComponent(target)}`
      for (const status of [301, 302, 303, 307, 308]) {
        await same(to(status))
        await same(to(status), () => ({ method: 'POST', body: 'again', headers: { authorization: 'secret' } }))
        await same(to(status), () => ({ method: 'PUT', body: 'again' }))
        await same(to(status), () => ({ method: 'HEAD' }))
      }
      await same(to(302, to(302, '/not-found')))
      await same(to(303), () => ({ method: 'POST', body: streamOf('gone'), duplex: 'half' }))
      await assert.rejects(
        fetch(server.url(to(307)), { method: 'POST', body: streamOf('gone'), duplex: 'half' }),
        code('MIX_FETCH_REDIRECTS'),
      )
      await assert.rejects(fetch(server.url('/loop')), code('MIX_FETCH_REDIRECTS'))
      await assert.rejects(fetch(server.url(to(302)), { redirect: 'error' }), code('MIX_FETCH_REDIRECTS'))
      await assert.rejects(fetch(server.url(to(302, 'data:,x'))), code('MIX_FETCH_REDIRECTS'))
      const manual = await fetch(server.url(to(302)), { redirect: 'manual' })
      assert.deepEqual([manual.status, manual.headers.get('location'), manual.redirected], [302, '/echo', false])
      const shown = await fetch(server.url(`${to(302)}#part`))
      assert.deepEqual(
        [shown.url, shown.redirected, shown.clone().url],
        [server.url('/echo'), true, server.url('/echo')],
      )
    })

    it('keeps credentials from other origins', async () => {
      const other = await new WebServer().start()
      const headers = { authorization: 'secret', cookie: 'c=1', 'x-one': '1' }
      const path = (target: string) => `/redirect?status=302&to=${encodeURIComponent(target)}`
      const away = await (await fetch(server.url(path(other.url('/echo'))), { headers })).json()
      assert.deepEqual([away.authorization, away.cookie, away['x-one']], [undefined, undefined, '1'])
      const here = await (await fetch(server.url(path('/echo')), { headers })).json()
      assert.deepEqual([here.authorization, here.cookie, here['x-one']], ['secret', 'c=1', '1'])
      await other.stop()
    })

    it('gives the body while the server still writes', async () => {
      const before = server.held.length
      const response = await fetch(server.url('/held'))
      await server.whenHeld(before + 1)
      const writing = server.held[before]!
      const reader = response.body!.getReader()
      for (const part of ['one', 'two', 'three']) {
        writing.write(part)
        assert.equal(new TextDecoder().decode((await reader.read()).value), part)
      }
      writing.end()
      assert.equal((await reader.read()).done, true)
    })

    it('sends a body while the app still makes it, and gives what comes back meanwhile', async () => {
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
      const writer = writable.getWriter()
      const answer = fetch(server.url('/mirror'), { method: 'POST', body: readable, duplex: 'half' })
      const write = (text: string) => writer.write(new TextEncoder().encode(text))
      await write('first')
      const reader = (await answer).body!.getReader()
      assert.equal(new TextDecoder().decode((await reader.read()).value), 'first')
      await write('second')
      assert.equal(new TextDecoder().decode((await reader.read()).value), 'second')
      await writer.close()
      assert.equal((await reader.read()).done, true)
    })

    it('moves 5 MB either way', async () => {
      for (const path of ['/large', '/chunks']) {
        const bytes = new Uint8Array(await (await fetch(server.url(path))).arrayBuffer())
        assert.equal(sha256(bytes), sha256(LARGE))
      }
      const chunked = new Blob([LARGE]).stream()
      for (const body of [LARGE, chunked]) {
        const response = await fetch(server.url('/hash'), { method: 'POST', body, duplex: 'half' })
        assert.equal(await response.text(), sha256(LARGE))
      }
    })

    it('asks one host for twenty things at once, over sixteen connections at most', async () => {
      const own = await new WebServer().start()
      const one = fetchOver(new TcpDialer().dial)
      const asked = Array.from({ length: 20 }, async (_, at) => {
        const response = await one(own.url('/echo'), { method: 'POST', body: `request ${at}` })
        return (await response.json()).body
      })
      assert.deepEqual(
        await Promise.all(asked),
        Array.from({ length: 20 }, (_, at) => `request ${at}`),
      )
      assert.ok(own.connections <= 16, `${own.connections} connections`)
      await one.close()
      await own.stop()
    })

    it('lets requests over the limit wait, and go when they are aborted', async () => {
      const own = await new WebServer().start()
      const one = fetchOver(new TcpDialer().dial)
      const busy = Array.from({ length: 16 }, () => one(own.url('/held')))
      const responses = await Promise.all(busy)
      const control = new AbortController()
      const aborted = one(own.url('/'), { signal: control.signal })
      const waiting = one(own.url('/'))
      control.abort()
      await assert.rejects(aborted, { name: 'AbortError' })
      assert.equal(own.connections, 16)
      // Which of them it was does not matter.
      for (const response of own.held) response.end()
      for (const response of responses) await response.text()
      assert.equal(await (await waiting).text(), 'hello')
      assert.equal(own.connections, 16)
      await one.close()
      await own.stop()
    })

    it('uses a connection again', async () => {
      const own = await new WebServer().start()
      const dialer = new TcpDialer()
      const one = fetchOver(dialer.dial)
      for (const path of [
        '/',
        '/gzip',
        '/large',
        '/chunks',
        '/not-found',
        '/no-content',
        '/redirect?status=302&to=/echo',
      ])
        await (await one(own.url(path))).arrayBuffer()
      await (await one(own.url('/hash'), { method: 'POST', body: LARGE })).text()
      await (await one(own.url('/hash'), { method: 'POST', body: streamOf('a', 'b'), duplex: 'half' })).text()
      assert.deepEqual([own.connections, dialer.targets.length], [1, 1])
      await one.close()
      assert.equal(dialer.open, 0)
      await own.stop()
    })

    it('is aborted before it begins, before the head and in the body', async () => {
      const reason = new Error('enough')
      await assert.rejects(fetch(server.url('/'), { signal: AbortSignal.abort(reason) }), (error) => error === reason)

      const mute = new AbortController()
      let before = server.held.length
      const asked = fetch(server.url('/mute'), { signal: mute.signal })
      await server.whenHeld(before + 1)
      mute.abort()
      await assert.rejects(asked, (error) => error === mute.signal.reason)

      const body = new AbortController()
      before = server.held.length
      const response = await fetch(server.url('/held'), { signal: body.signal })
      await server.whenHeld(before + 1)
      const held = server.held[before]!
      const closed = once(held, 'close')
      const text = response.text()
      body.abort(reason)
      await assert.rejects(text, (error) => error === reason)
      await closed
    })

    it('is aborted at any moment', async () => {
      for (let turns = 0; turns < 60; turns++) {
        const control = new AbortController()
        const asked = fetch(server.url('/mute'), { signal: control.signal, method: 'POST', body: 'x' })
        asked.catch(() => {})
        for (let turn = 0; turn < turns; turn++) await (turn % 6 === 5 ? new Promise(setImmediate) : Promise.resolve())
        control.abort()
        await assert.rejects(asked, (error) => error === control.signal.reason, `after ${turns}`)
      }
    })

    it('tells the server when the app wants no more', async () => {
      const before = server.held.length
      const response = await fetch(server.url('/held'))
      await server.whenHeld(before + 1)
      const closed = once(server.held[before]!, 'close')
      await response.body!.cancel()
      await closed
    })

    it('fails by the error of the body that it was to send', async () => {
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.error(new RangeError('my own')),
      })
      const sent = fetch(server.url('/echo'), { method: 'POST', body, duplex: 'half' })
      await assert.rejects(sent, (error) => error instanceof RangeError && error.message === 'my own')
    })

    it('reads bodies until the connection ends', async () => {
      for (const head of [
        'HTTP/1.1 200 OK\r\n\r\n',
        'HTTP/1.0 200\r\nx: 1\r\n\r\n',
        'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n',
      ])
        await answers(`${head}until the end`)(async (url) => {
          assert.equal(await (await fetch(url)).text(), 'until the end')
        })
    })

    it('passes over interim answers', async () => {
      await answers(
        'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      )(async (url) => {
        const response = await fetch(url)
        assert.deepEqual([response.status, response.headers.get('link'), await response.text()], [200, null, 'ok'])
      })
    })

    it('errors a body that is cut', async () => {
      const cut = [
        'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort',
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n',
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nshort',
      ]
      for (const text of cut)
        await answers(text)(async (url) => {
          const response = await fetch(url)
          await assert.rejects(response.text(), code('MIX_FETCH_HTTP', 'cut-short'))
        })
      await scripted(
        (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort', () => socket.resetAndDestroy()),
        async (url) => {
          const text = fetch(url).then((response) => response.text())
          await assert.rejects(text, (error) => error instanceof MixError)
        },
      )
      const response = await fetch(server.url('/unpackable'))
      await assert.rejects(response.text(), code('MIX_FETCH_HTTP', 'encoding'))
    })

    it('refuses malformed answers', async () => {
      const malformed = [
        'hello\r\n\r\n',
        'HTTP/2 200\r\n\r\n',
        'HTTP/1.1 20 OK\r\n\r\n',
        'HTTP/1.1 200 OK\r\nno colon\r\n\r\n',
        'HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n',
        'HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n',
        'HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n',
        'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n',
        'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc',
        'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
        'HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
        'HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n',
      ]
      for (const text of malformed)
        await answers(
          text,
          false,
        )(async (url) => {
          await assert.rejects(fetch(url), code('MIX_FETCH_HTTP', 'malformed'), JSON.stringify(text))
        })
      for (const text of ['zz\r\n', '5\r\nshorter\r\n', '\r\n'])
        await answers(
          `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${text}`,
          false,
        )(async (url) => {
          const read = fetch(url).then((response) => response.text())
          await assert.rejects(read, code('MIX_FETCH_HTTP', 'malformed'), JSON.stringify(text))
        })
    })

    it('refuses a huge head', async () => {
      for (const head of [`x: ${'y'.repeat(100_000)}`, 'a: bcdefghijk\r\n'.repeat(20_000)])
        await answers(
          `HTTP/1.1 200 OK\r\n${head}`,
          false,
        )(async (url) => {
          await assert.rejects(fetch(url), code('MIX_FETCH_HTTP', 'too-long'))
        })
    })

    it('fails by the error of its exit', async () => {
      await assert.rejects(fetch('http://127.0.0.1:1/'), code('MIX_EXIT_CONNECTION_REFUSED'))
      const before = server.held.length
      const response = await fetch(server.url('/held'))
      await server.whenHeld(before + 1)
      const text = response.text()
      for (const connection of dialer.connections) connection.abort(exitError('MIX_EXIT_SILENT', 'gone'))
      await assert.rejects(text, code('MIX_EXIT_SILENT'))
      assert.equal(await (await fetch(server.url('/'))).text(), 'hello')
    })

    it('repeats what may be repeated, on a new connection, twice', async () => {
      const silent = () => exitError('MIX_EXIT_SILENT', 'silent')
      const flaky = new TcpDialer()
      const one = fetchOver(flaky.dial)
      flaky.failures.push(silent(), silent())
      assert.equal(await (await one(server.url('/'))).text(), 'hello')
      assert.equal(flaky.targets.length, 3)
      await one.close()

      const tries = async (init: FetchInit, failure: MixError) => {
        const failing = new TcpDialer()
        const two = fetchOver(failing.dial)
        failing.failures.push(failure, failure, failure, failure)
        await assert.rejects(two(server.url('/'), init), code(failure.code))
        await two.close()
        return failing.targets.length
      }
      for (const method of ['GET', 'HEAD', 'OPTIONS', 'DELETE'])
        assert.equal(await tries({ method }, silent()), 3, method)
      assert.equal(await tries({ method: 'PUT', body: 'x' }, silent()), 3)
      assert.equal(await tries({ method: 'PUT', body: streamOf('x'), duplex: 'half' }, silent()), 1)
      assert.equal(await tries({ method: 'POST', body: 'x' }, silent()), 1)
      const forbidden = (hasAnother: boolean) => requesterError('Domain "x" failed filter check', false, hasAnother)
      assert.equal(await tries({}, forbidden(false)), 1)
      assert.equal(await tries({}, forbidden(true)), 3, 'another exit may allow it')
    })

    it('repeats on a kept connection that the server has given up', async () => {
      const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
      // The first connection ends when it hears a second request.
      await scripted(
        (socket, connection) => {
          socket.write(answer)
          socket.once('data', () => (connection === 0 ? socket.destroy() : socket.write(answer)))
        },
        async (url, peer) => {
          const one = fetchOver(new TcpDialer().dial)
          assert.equal(await (await one(url)).text(), 'ok')
          assert.equal(await (await one(url)).text(), 'ok')
          assert.equal(peer.heard.length, 2)
          await one.close()
        },
      )
      await answers('')(async (url) => {
        await assert.rejects(fetch(url), code('MIX_FETCH_HTTP', 'no-answer'))
        await assert.rejects(fetch(url, { method: 'POST' }), code('MIX_FETCH_HTTP', 'no-answer'))
      })
    })

    it('ends everything when it is closed', async () => {
      const own = await new WebServer().start()
      const dialer = new TcpDialer()
      const one = fetchOver(dialer.dial)
      const mute = one(own.url('/mute'))
      const held = await one(own.url('/held'))
      await own.whenHeld(2)
      const text = held.text()
      await Promise.all([
        assert.rejects(mute, code('MIX_EXIT_CLOSED')),
        assert.rejects(text, code('MIX_EXIT_CLOSED')),
        one.close(),
      ])
      await assert.rejects(one(own.url('/')), code('MIX_EXIT_CLOSED'))
      assert.equal(dialer.open, 0)
      await own.stop()
    })
  })

  describe(`fetch over TLS: ${name}`, () => {
    const secure = async (
      certificate: string,
      test: (fetch: Fetch, server: WebServer, dialer: TcpDialer) => Promise<void>,
      options: ConstructorParameters<typeof WebServer>[1] = {},
      ca: string | undefined = AUTHORITY,
    ) => {
      const server = await new WebServer(certificate, options).start()
      const dialer = new TcpDialer()
      const fetch = fetchOver(dialer.dial, { tls: tls(ca) })
      try {
        await test(fetch, server, dialer)
      } finally {
        await fetch.close()
        await server.stop()
      }
    }

    for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
      it(`speaks ${version}: nothing of it can be read on the way`, async () => {
        await secure(
          'server',
          async (fetch, server, dialer) => {
            const response = await fetch(server.url('/echo'), { method: 'POST', body: 'a secret word' })
            assert.equal((await response.json()).body, 'a secret word')
            const bytes = new Uint8Array(await (await fetch(server.url('/large'))).arrayBuffer())
            assert.equal(sha256(bytes), sha256(LARGE))
            const sent = await fetch(server.url('/hash'), { method: 'POST', body: LARGE })
            assert.equal(await sent.text(), sha256(LARGE))
            assert.deepEqual([server.connections, dialer.targets.length], [1, 1])
            const [connection] = dialer.connections
            assert.equal(Buffer.concat(connection!.written).includes('secret'), false)
            assert.equal(await (await fetch(server.url('/', '127.0.0.1'))).text(), 'hello')
          },
          { minVersion: version, maxVersion: version },
        )
      })

    it('gives the body while the server still writes, and twenty answers at once', async () => {
      await secure('server', async (fetch, server) => {
        const response = await fetch(server.url('/held'))
        const reader = response.body!.getReader()
        server.held[0]!.write('one')
        assert.equal(new TextDecoder().decode((await reader.read()).value), 'one')
        const closed = once(server.held[0]!, 'close')
        await reader.cancel()
        await closed
        const all = Array.from({ length: 20 }, async () =>
          sha256(new Uint8Array(await (await fetch(server.url('/large'))).arrayBuffer())),
        )
        assert.deepEqual(new Set(await Promise.all(all)), new Set([sha256(LARGE)]))
      })
    })

    it('refuses the certificate of another, of an unknown authority, and of one that may not sign', async () => {
      const refused = (certificate: string, ca?: string) =>
        secure(
          certificate,
          async (fetch, server) => {
            await assert.rejects(fetch(server.url('/')), code('MIX_FETCH_TLS'))
            assert.equal(server.requests.length, 0)
          },
          {},
          ca,
        )
      await refused('elsewhere')
      await refused('untrusted')
      await refused('forged')
    })

    it('refuses what no root of its own has signed', async () => {
      const server = await new WebServer('server').start()
      const fetch = fetchOver(new TcpDialer().dial, { tls: tls() })
      await assert.rejects(fetch(server.url('/')), code('MIX_FETCH_TLS'))
      await fetch.close()
      await server.stop()
    })

    it('fails where no TLS is spoken, by the error of its exit, and when it is aborted', async () => {
      const plain = await new WebServer().start()
      const dialer = new TcpDialer()
      const fetch = fetchOver(dialer.dial, { tls: tls(AUTHORITY) })
      await assert.rejects(fetch(`https://127.0.0.1:${plain.port}/`), code('MIX_FETCH_TLS'))
      await assert.rejects(fetch('https://127.0.0.1:1/'), code('MIX_EXIT_CONNECTION_REFUSED'))
      const mute = await new ScriptedServer(() => {}).start()
      const control = new AbortController()
      const handshake = fetch(mute.url().replace('http', 'https'), { signal: control.signal })
      while (dialer.connections.length < 3) await new Promise(setImmediate)
      control.abort()
      await assert.rejects(handshake, (error) => error === control.signal.reason)
      await fetch.close()
      await plain.stop()
      await mute.stop()
    })
  })
}
