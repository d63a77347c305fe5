/** The SOCKS door on real sockets: what apps are told, what goes through, and what becomes of apps that break the rules. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import type { Exit } from '@mixwright/client'
import { fromHex, type LogFields, type Logger, SeededRandom, silentLogger, VirtualClock } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { Socks5Proxy, type Socks5ProxyOptions } from '../src/index.js'
import { curl } from './curl.js'
import { PlainExit } from './plain-exit.js'
import { destination, echo, RawApp } from './tcp-peers.js'

const SUCCESS = '05000001 7f000001 0000'.replaceAll(' ', '')
const MEBIBYTE = 1024 * 1024
const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')
const noise = () => new SeededRandom('noise').bytes(MEBIBYTE)

async function open(options: Partial<Socks5ProxyOptions> = {}) {
  const exit = new PlainExit()
  const clock = new VirtualClock()
  const proxy = await Socks5Proxy.listen({ exitFor: () => exit, port: 0, clock, ...options })
  return { exit, clock, proxy, [Symbol.asyncDispose]: () => proxy.close() }
}

/** `05 01 00 03 name port` */
function request(host: string, port: number): Buffer {
  const head = Buffer.from([5, 1, 0, 3, host.length])
  return Buffer.concat([head, Buffer.from(host), Buffer.from([port >> 8, port & 255])])
}

/** Greeting and request; the next bytes are the reply. */
async function ask(proxy: Socks5Proxy, host: string, port: number): Promise<RawApp> {
  const app = await RawApp.connect(proxy.port)
  app.send([5, 1, 0])
  assert.equal(await app.hex(2), '0500')
  app.send(request(host, port))
  return app
}

async function connected(proxy: Socks5Proxy, port: number): Promise<RawApp> {
  const app = await ask(proxy, 'echo.test', port)
  assert.equal(await app.hex(10), SUCCESS)
  return app
}

/** A web server that says how it was called and returns what it was sent. */
async function webServer() {
  const server = createServer((incoming, response) => {
    response.setHeader('x-host', incoming.headers.host ?? '')
    incoming.pipe(response)
  })
  const port = await listenOn(server, { host: '127.0.0.1', port: 0 })
  return { port, [Symbol.asyncDispose]: async () => void server.close() }
}

function writtenLog() {
  const lines: string[] = []
  const line = (fields: LogFields, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`)
  const logger: Logger = { ...silentLogger, info: line, warn: line, error: line }
  return { lines, logger }
}

describe('the SOCKS door', () => {
  it('serves curl in each of its dialects, and leaves names to the exit', async () => {
    await using web = await webServer()
    await using door = await open()
    const { exit, proxy } = door
    const at = `127.0.0.1:${proxy.port}`
    const dialects = [
      ['--socks5-hostname', 'name.test'],
      ['--socks4a', 'name.test'],
      ['--socks5', '127.0.0.1'],
      ['--socks4', '127.0.0.1'],
      ['--proxy', 'name.test', proxy.url],
    ] as const
    for (const [flag, host, value = at] of dialects) {
      const { code, body, stderr } = await curl(flag, value, '--data', flag, `http://${host}:${web.port}/`)
      assert.deepEqual([code, String(body)], [0, flag], stderr)
      assert.deepEqual(exit.asked.at(-1), { host, port: web.port })
    }
    assert.match(proxy.url, /^socks5h:\/\/127\.0\.0\.1:\d+$/)
  })

  it('carries a mebibyte each way', async () => {
    await using web = await webServer()
    await using door = await open()
    const data = noise()
    const { code, body } = await curl.upload(data, '--proxy', door.proxy.url, `http://name.test:${web.port}/`)
    assert.equal(code, 0)
    assert.equal(sha256(body), sha256(data))
  })

  const codes: readonly (readonly [string, string])[] = [
    ['MIX_EXIT_POLICY_REFUSED', '02'],
    ['MIX_EXIT_NETWORK_UNREACHABLE', '03'],
    ['MIX_EXIT_HOST_UNREACHABLE', '04'],
    ['MIX_EXIT_UNKNOWN_HOST', '04'],
    ['MIX_EXIT_CONNECTION_REFUSED', '05'],
    ['MIX_EXIT_TIMED_OUT', '06'],
    ['MIX_EXIT_CONNECT_FAILED', '01'],
    ['MIX_EXIT_SILENT', '01'],
    ['MIX_EXIT_BUSY', '01'],
    ['MIX_EXIT_NONE', '01'],
    ['MIX_EXIT_TARGET', '01'],
    ['MIX_EXIT_CLOSED', '01'],
  ]
  for (const [code, reply] of codes)
    it(`says ${reply} for ${code}, all 10 bytes of it, and ends`, async () => {
      await using door = await open()
      const app = await ask(door.proxy, `${code}.test`, 80)
      // Already on its way: it must not cut the answer short.
      app.send('data that nobody takes')
      const { received, error } = await app.ended
      assert.equal(received.toString('hex'), `05${reply}00017f0000010000`)
      assert.equal(error, undefined)
      app.socket.destroy()
    })

  it('says 5b in SOCKS4 when the exit cannot connect, and 01 when there is no exit', async () => {
    await using door = await open()
    const app = await RawApp.connect(door.proxy.port)
    app.send([4, 1, 0, 80, 0, 0, 0, 1, 0], 'MIX_EXIT_BUSY.test', [0])
    assert.equal((await app.ended).received.toString('hex'), '005b00007f000001')
    await using without = await open({ exitFor: () => Promise.reject(new Error('no gateway')) })
    const second = await ask(without.proxy, 'echo.test', 80)
    assert.equal((await second.ended).received.toString('hex'), '050100017f0000010000')
    for (const { socket } of [app, second]) socket.destroy()
  })

  it('takes data that comes right behind the request, and its end', async () => {
    await using server = await destination(echo)
    await using door = await open()
    const app = await RawApp.connect(door.proxy.port)
    app.send([5, 1, 0], request('echo.test', server.port), 'early')
    app.socket.end()
    const { received } = await app.ended
    assert.equal(received.toString('hex'), `0500${SUCCESS}${Buffer.from('early').toString('hex')}`)
    await door.exit.connections[0]!.closed
  })

  it('lets each direction end by itself', async () => {
    await using server = await destination((socket) => {
      // Says all it has, ends, and goes on listening.
      socket.end('hello')
    })
    await using door = await open()
    const app = await connected(door.proxy, server.port)
    assert.equal(String((await app.ended).received), 'hello')
    const [peer] = server.sockets
    let heard = ''
    peer!.setEncoding('utf8').on('data', (text) => {
      heard += text
    })
    app.send('still here')
    app.socket.end()
    await once(peer!, 'end')
    assert.equal(heard, 'still here')
  })

  it('makes the faster side wait for the slower one, in both directions', async () => {
    const total = 64 * MEBIBYTE
    await using server = await destination((socket) => {
      // Reads nothing, and writes more than anybody holds.
      socket.pause()
      socket.write(Buffer.alloc(total))
    })
    await using door = await open()
    const app = await connected(door.proxy, server.port)
    app.socket.pause()
    app.send(Buffer.alloc(total))
    const [connection] = door.exit.connections
    const [peer] = server.sockets
    await tillNothingMoves(() => connection!.read + connection!.written)
    assert.ok(connection!.read > 0 && connection!.read < total / 4, `${connection!.read} bytes read`)
    assert.ok(connection!.written > 0 && connection!.written < total / 4, `${connection!.written} bytes written`)
    peer!.destroy()
    app.socket.destroy()
  })

  it('serves two hundred apps at once', async () => {
    await using server = await destination(echo)
    await using door = await open()
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const app = await connected(door.proxy, server.port)
        const word = `app ${index}`.repeat(1000)
        app.send(word)
        app.socket.end()
        return String((await app.ended).received) === word
      }),
    )
    assert.deepEqual(
      answers.filter((right) => !right),
      [],
    )
    assert.equal(door.exit.connections.length, 200)
  })

  it('drops apps above the bound, and takes them again when there is room', async () => {
    await using server = await destination(echo)
    await using door = await open({ maximumConnections: 1 })
    const first = await connected(door.proxy, server.port)
    const second = await RawApp.connect(door.proxy.port)
    assert.equal((await second.ended).received.length, 0)
    first.socket.destroy()
    await door.exit.connections[0]!.closed.catch(() => {})
    await connected(door.proxy, server.port)
  })

  it('keeps streams apart by name and password', async () => {
    await using web = await webServer()
    const asked: (string | undefined)[] = []
    const exit = new PlainExit()
    const exitFor = async (isolation: string | undefined): Promise<Exit> => {
      asked.push(isolation)
      return exit
    }
    await using door = await open({ exitFor })
    for (const login of ['alice:1@', 'alice:1@', 'alice:2@', 'bob:1@', '']) {
      const url = `socks5h://${login}127.0.0.1:${door.proxy.port}`
      assert.equal((await curl('--proxy', url, `http://name.test:${web.port}/`)).code, 0)
    }
    const [first, same, password, user, none] = asked
    assert.equal(first, same)
    assert.equal(new Set([first, password, user, none]).size, 4)
    assert.equal(none, undefined)
  })
})

describe('an app that leaves', () => {
  it('in the middle of its request is forgotten', async () => {
    await using door = await open()
    for (const part of [[], [5], [5, 1, 0], [5, 1, 0, 5, 1], [4, 1, 0, 80, 1]]) {
      const app = await RawApp.connect(door.proxy.port)
      app.send(part)
      app.socket.end()
      await app.ended
      app.socket.destroy()
    }
    assert.deepEqual(door.exit.asked, [])
    // Timers of handshakes are gone with them.
    assert.equal(door.clock.pending, 0)
  })

  for (const how of ['end', 'resetAndDestroy'] as const)
    it(`while the exit connects ends the attempt (${how})`, async () => {
      await using door = await open()
      const { exit, proxy } = door
      const app = await ask(proxy, 'never.test', 80)
      await exit.until(() => exit.asked.length === 1)
      app.socket[how]()
      await exit.until(() => exit.givenUp.length === 1)
      app.socket.destroy()
    })

  it('while an exit is being made costs nothing', async () => {
    let give = (_: Exit) => {}
    let wanted = () => {}
    const wish = new Promise<void>((resolve) => {
      wanted = resolve
    })
    const exitFor = () => {
      wanted()
      return new Promise<Exit>((resolve) => {
        give = resolve
      })
    }
    await using door = await open({ exitFor })
    const app = await ask(door.proxy, 'echo.test', 80)
    await wish
    app.socket.end()
    await app.ended
    const exit = new PlainExit()
    give(exit)
    await door.proxy.close()
    assert.deepEqual(exit.asked, [])
  })

  it('while it is connected takes the connection with it', async () => {
    await using server = await destination(echo)
    await using door = await open()
    const app = await connected(door.proxy, server.port)
    app.send('x')
    await app.take(1)
    app.socket.resetAndDestroy()
    await assert.rejects(door.exit.connections[0]!.closed, { code: 'MIX_EXIT_RESET' })
  })

  it('with the destination still sending takes the connection with it', async () => {
    await using server = await destination((socket) => void socket.write(Buffer.alloc(8 * MEBIBYTE)))
    await using door = await open()
    const app = await connected(door.proxy, server.port)
    app.socket.end()
    await app.take(1000)
    app.socket.destroy()
    await assert.rejects(door.exit.connections[0]!.closed, { code: 'MIX_EXIT_RESET' })
  })

  it('is not what the door closes for others', async () => {
    await using server = await destination(echo)
    const door = await open()
    const app = await connected(door.proxy, server.port)
    await door.proxy.close()
    await app.ended
    await door.exit.connections[0]!.closed.catch(() => {})
    await assert.rejects(RawApp.connect(door.proxy.port), { code: 'ECONNREFUSED' })
  })
})

describe('a connection that breaks', () => {
  it('is reset for the app, so that it is not taken for an end', async () => {
    await using server = await destination((socket) => {
      socket.write('half of it')
      socket.once('data', () => socket.resetAndDestroy())
    })
    await using door = await open()
    const app = await connected(door.proxy, server.port)
    await app.take(10)
    app.send('now break')
    assert.equal((await app.ended).error, 'ECONNRESET')
  })

  it('is told so to an eager app, which hears of success at once', async () => {
    await using server = await destination(echo)
    await using door = await open({ eager: true })
    const { exit, proxy } = door
    const good = await connected(proxy, server.port)
    good.send('ping')
    assert.equal(String(await good.take(4)), 'ping')
    const waiting = await ask(proxy, 'never.test', 80)
    assert.equal(await waiting.hex(10), SUCCESS)
    const bad = await ask(proxy, 'MIX_EXIT_BUSY.test', 80)
    assert.equal((await bad.ended).received.toString('hex'), SUCCESS)
    assert.equal(exit.connections.length, 1)
    for (const { socket } of [good, waiting]) socket.destroy()
  })
})

describe('an app that breaks the rules', () => {
  it('is closed, and the log says what to do', async () => {
    const { lines, logger } = writtenLog()
    await using door = await open({ logger })
    const { code } = await curl('--proxy', `http://127.0.0.1:${door.proxy.port}`, 'http://name.test/')
    assert.notEqual(code, 0)
    assert.equal(lines.length, 1)
    assert.match(lines[0]!, /socks5h:\/\//)
    const tls = await RawApp.connect(door.proxy.port)
    tls.send(fromHex('160301'))
    assert.equal((await tls.ended).received.length, 0)
  })

  for (const [what, said, answer] of [
    ['BIND', '05020001c00002070050', '050005070001'],
    ['UDP ASSOCIATE', '05030001c00002070050', '050005070001'],
    ['an unknown address type', '05010009c00002070050', '050005080001'],
  ] as const)
    it(`hears why: ${what}`, async () => {
      await using door = await open()
      const app = await RawApp.connect(door.proxy.port)
      app.send([5, 1, 0], fromHex(said), 'and more')
      const { received, error } = await app.ended
      assert.equal(received.toString('hex'), `${answer}7f0000010000`)
      assert.equal(error, undefined)
      app.socket.destroy()
    })

  it('has thirty seconds to say what it wants, and thirty to go', async () => {
    await using door = await open()
    const { clock, proxy } = door
    const slow = await RawApp.connect(proxy.port)
    slow.send([5, 1, 0])
    await slow.take(2)
    const refused = await ask(proxy, 'MIX_EXIT_BUSY.test', 80)
    await refused.ended
    clock.advance(30_000)
    await Promise.all([slow.ended, refused.ended])
    for (const { socket } of [slow, refused]) socket.destroy()
  })

  it('does not stop the clock of one that waits for the exit', async () => {
    await using door = await open()
    const { exit, clock, proxy } = door
    const app = await ask(proxy, 'never.test', 80)
    await exit.until(() => exit.asked.length === 1)
    clock.advance(60_000)
    assert.deepEqual(exit.givenUp, [])
    app.socket.destroy()
  })
})

/** Until the figure has been the same for many turns of the event loop. */
async function tillNothingMoves(figure: () => number): Promise<void> {
  for (let same = 0, last = -1; same < 200; ) {
    await new Promise((resolve) => setImmediate(resolve))
    same = figure() === last && last > 0 ? same + 1 : 0
    last = figure()
  }
}
