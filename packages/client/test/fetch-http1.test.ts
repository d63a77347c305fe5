import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MixError, VirtualClock } from '@mixwright/runtime'
import fc from 'fast-check'
import type { ExitConnection } from '../src/exit/exit-api.js'
import { fetchOver } from '../src/fetch/browser-fetch.js'
import { ByteReader, latin1 } from '../src/fetch/http1/byte-reader.js'
import { readBody } from '../src/fetch/http1/response-body.js'
import { readResponseHead } from '../src/fetch/http1/response-head.js'
import { ByteStreamPair } from '../src/streams/byte-stream.js'

const bytesOf = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0))

function readableOf(parts: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      const part = parts.shift()
      if (part === undefined) controller.close()
      else controller.enqueue(part)
    },
  })
}

async function read(parts: Uint8Array[]): Promise<string> {
  const reader = new ByteReader(readableOf(parts))
  const { status, headers, framing } = await readResponseHead(reader, 'GET')
  const next = readBody(reader, framing)
  let body = ''
  for (let bytes = await next(); bytes !== undefined; bytes = await next()) body += latin1(bytes)
  return `${status} ${headers.get('x')} ${body}`
}

const CHUNKED =
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx: \t1 2 \r\nTransfer-Encoding: Chunked\r\n\r\n' +
  '3;ext="1"\r\nabc\r\n0005 \r\ndefgh\r\n0\r\nsum: 1\r\n\r\n'
const MEASURED = 'HTTP/1.1 404\r\nx: 1 2\r\ncontent-length: 8\r\ncontent-length: 8\r\n\r\nabcdefgh'

describe('answers in HTTP/1.1', () => {
  it('are the same in pieces of any length', async () => {
    for (const [text, expected] of [
      [CHUNKED, '200 1 2 abcdefgh'],
      [MEASURED, '404 1 2 abcdefgh'],
    ] as const)
      for (let size = 1; size <= text.length; size++) {
        const parts = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
          bytesOf(text.slice(at * size, (at + 1) * size)),
        )
        assert.equal(await read(parts), expected)
      }
  })

  it('that are cut anywhere are an error', async () => {
    for (const text of [CHUNKED, MEASURED])
      for (let length = 0; length < text.length; length++)
        await assert.rejects(read([bytesOf(text.slice(0, length))]), (error) => {
          assert.ok(error instanceof MixError && error.code === 'MIX_FETCH_HTTP', `${length}: ${error}`)
          assert.equal(error.data.reason, length === 0 ? 'no-answer' : 'cut-short')
          return true
        })
  })

  it('with wrong bytes are read or refused, and nothing else', async () => {
    const mutation = fc.record({
      text: fc.constantFrom(CHUNKED, MEASURED),
      at: fc.nat(200),
      remove: fc.nat(4),
      insert: fc.uint8Array({ maxLength: 4 }),
    })
    await fc.assert(
      fc.asyncProperty(mutation, async ({ text, at, remove, insert }) => {
        const bytes = [...bytesOf(text)]
        bytes.splice(at % text.length, remove, ...insert)
        try {
          await read([Uint8Array.from(bytes)])
        } catch (error) {
          assert.ok(error instanceof MixError && error.code === 'MIX_FETCH_HTTP', String(error))
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('end lines with CR and LF, and nothing shorter', async () => {
    for (const text of [CHUNKED, MEASURED])
      await assert.rejects(read([bytesOf(text.replaceAll('\r', ''))]), { code: 'MIX_FETCH_HTTP' })
  })

  it('do not come after interim ones for ever', async () => {
    await assert.rejects(read([bytesOf('HTTP/1.1 103 Wait\r\n\r\n'.repeat(100))]), { code: 'MIX_FETCH_HTTP' })
  })
})

/** Answers each request at once. */
class InstantServer {
  readonly connections: ByteStreamPair[] = []
  ended = 0
  heads: string[] = []
  answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

  readonly dial = async (): Promise<ExitConnection> => {
    const pair = new ByteStreamPair({
      write: async (chunk) => {
        this.heads.push(latin1(chunk))
        pair.push(bytesOf(this.answer))
      },
      finish: async () => {},
      abort: () => {},
      read: () => {},
    })
    this.connections.push(pair)
    return {
      requester: 'none',
      readable: pair.readable,
      writable: pair.writable,
      opened: Promise.resolve(),
      closed: new Promise(() => {}),
      abort: (reason) => {
        this.ended++
        pair.fail(reason)
      },
    }
  }
}

describe('connections that are kept', () => {
  const get = async (server: InstantServer, clock: VirtualClock) => {
    const fetch = fetchOver(server.dial, { clock })
    return { fetch, ask: async () => (await fetch('http://there/')).text() }
  }

  it('end after a minute without use', async () => {
    const [server, clock] = [new InstantServer(), new VirtualClock()]
    const { ask } = await get(server, clock)
    await ask()
    clock.advance(59_000)
    await ask()
    clock.advance(59_999)
    assert.deepEqual([server.connections.length, server.ended], [1, 0])
    clock.advance(1)
    assert.equal(server.ended, 1)
    await ask()
    assert.equal(server.connections.length, 2)
  })

  it('end before the server ends them', async () => {
    const [server, clock] = [new InstantServer(), new VirtualClock()]
    const { ask } = await get(server, clock)
    server.answer = server.answer.replace('content', 'keep-alive: max=9, timeout=5\r\ncontent')
    await ask()
    clock.advance(2_999)
    assert.equal(server.ended, 0)
    clock.advance(1)
    assert.equal(server.ended, 1)
    server.answer = server.answer.replace('=5', '=1')
    await ask()
    assert.equal(server.ended, 2)
  })

  it('end where the server says so, or says what nobody asked', async () => {
    const [server, clock] = [new InstantServer(), new VirtualClock()]
    const { ask } = await get(server, clock)
    server.answer = server.answer.replace('content', 'Connection: x, Close\r\ncontent')
    await ask()
    assert.equal(server.ended, 1)
    server.answer = server.answer.replace('Close', 'y')
    await ask()
    server.connections[1]!.push(bytesOf('HTTP/1.1 200 OK\r\n\r\n'))
    await new Promise(setImmediate)
    assert.equal(server.ended, 2)
  })
})

describe('requests in HTTP/1.1', () => {
  it('are the same for everybody who sets nothing', async () => {
    const server = new InstantServer()
    const fetch = fetchOver(server.dial, { clock: new VirtualClock() })
    await fetch('http://THERE:8080/ä?b=c d#e', { headers: { connection: 'close', host: 'x', 'content-length': '9' } })
    await fetch('http://[::1]/', { method: 'POST', body: 'four' })
    assert.deepEqual(server.heads, [
      'GET /%C3%A4?b=c%20d HTTP/1.1\r\nhost: there:8080\r\naccept: */*\r\naccept-encoding: gzip, deflate\r\n' +
        'accept-language: *\r\nuser-agent: mixwright\r\n\r\n',
      'POST / HTTP/1.1\r\nhost: [::1]\r\naccept: */*\r\naccept-encoding: gzip, deflate\r\naccept-language: *\r\n' +
        'content-type: text/plain;charset=UTF-8\r\nuser-agent: mixwright\r\ncontent-length: 4\r\n\r\nfour',
    ])
  })

  it('for https: without TLS say what to import', async () => {
    const fetch = fetchOver(new InstantServer().dial)
    await assert.rejects(fetch('https://there/'), (error) => {
      assert.ok(error instanceof MixError && error.code === 'MIX_FETCH_TLS_MISSING')
      assert.match(error.message, /@mixwright\/client\/tls/)
      return true
    })
  })
})
