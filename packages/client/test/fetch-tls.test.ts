import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { describe, it } from 'node:test'
import { TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { VirtualClock } from '@mixwright/runtime'
import { fetchOver } from '../src/fetch/browser-fetch.js'
import { SOURCE_SHA256 } from '../src/fetch/tls/rustls.wasm.js'
import { createTls } from '../src/fetch/tls/tls.js'
import { TcpDialer } from './tcp-dialer.js'
import { AUTHORITY, pem, WebServer } from './web-server.js'

const sources = fileURLToPath(new URL('../../wasm/tls/', import.meta.url))

/** A server whose answer ends by `end`, with or without TLS's word for it. */
async function ending(end: (secure: TLSSocket, done: () => void) => void) {
  const server = createServer((socket) => {
    const secure = new TLSSocket(socket, {
      isServer: true,
      cert: pem('server.certificate'),
      key: pem('server.key'),
    })
    secure.on('error', () => {})
    socket.on('error', () => {})
    secure.once('data', () => {
      secure.write('HTTP/1.1 200 OK\r\n\r\nuntil the end', () => end(secure, () => socket.destroySoon()))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `https://localhost:${(server.address() as AddressInfo).port}/`
  return { url, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) }
}

describe('TLS in WebAssembly', () => {
  it('is made from the sources beside it', () => {
    const names = readFileSync(`${sources}build.mjs`, 'utf8')
    const listed = /const SOURCES = \[([^\]]+)\]/.exec(names)![1]!.match(/[\w./-]+(?=')/g)!
    const digest = createHash('sha256')
    for (const name of listed) digest.update(readFileSync(`${sources}${name}`))
    assert.equal(digest.digest('hex'), SOURCE_SHA256, 'run wasm/tls/build.mjs')
  })

  it('takes an end without a word for what it is: a cut', async () => {
    const fetchText = async (url: string) => {
      const fetch = fetchOver(new TcpDialer().dial, { tls: createTls({ ca: AUTHORITY }) })
      try {
        return await (await fetch(url)).text()
      } finally {
        await fetch.close()
      }
    }
    const told = await ending((secure) => secure.end())
    assert.equal(await fetchText(told.url), 'until the end')
    await told[Symbol.asyncDispose]()
    const cut = await ending((_, done) => done())
    await assert.rejects(fetchText(cut.url), { code: 'MIX_FETCH_TLS' })
    await cut[Symbol.asyncDispose]()
  })

  it('refuses certificates that are not valid yet', async () => {
    const server = await new WebServer('server').start()
    const clock = new VirtualClock(Date.UTC(2020, 0, 1))
    const fetch = fetchOver(new TcpDialer().dial, { tls: createTls({ ca: AUTHORITY, clock }) })
    await assert.rejects(fetch(server.url('/')), { code: 'MIX_FETCH_TLS', message: /NotValidYet|not valid yet/i })
    await fetch.close()
    await server.stop()
  })

  it('refuses a ca without a certificate', () => {
    assert.throws(() => createTls({ ca: 'nothing' }), { code: 'MIX_OPTIONS' })
  })
})
