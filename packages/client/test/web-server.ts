/** Servers for the tests of `createFetch`: one that behaves, over HTTP or HTTPS, and one that says what a test tells it to. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { deflateSync, gzipSync } from 'node:zlib'

export const pem = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../../test/certificates/${name}.pem`, import.meta.url)), 'utf8')

export const AUTHORITY = pem('authority.certificate')

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

export const LARGE = new Uint8Array(5_000_000).map((_, at) => (at * 2_654_435_761) >>> 13)

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export class WebServer {
  readonly server: Server
  readonly #scheme: string
  /** Connections that were opened, ever. */
  connections = 0
  /** Answers that were begun under `/held`: the test writes into them. */
  readonly held: ServerResponse[] = []
  /** Requests whose client has gone before its answer ended. */
  gone = 0
  readonly requests: IncomingMessage[] = []
  #whenHeld: (() => void)[] = []

  /** `tls`: the name of a certificate. */
  constructor(tls?: string, options: { minVersion?: 'TLSv1.2' | 'TLSv1.3'; maxVersion?: 'TLSv1.2' | 'TLSv1.3' } = {}) {
    const listener: RequestListener = (request, response) => {
      this.requests.push(request)
      response.on('close', () => {
        if (!response.writableFinished) this.gone++
      })
      this.#answer(request, response).catch(() => response.destroy())
    }
    this.#scheme = tls === undefined ? 'http' : 'https'
    this.server =
      tls === undefined
        ? createServer(listener)
        : createSecureServer({ cert: pem(`${tls}.certificate`), key: pem(`${tls}.key`), ...options }, listener)
    this.server.keepAliveTimeout = 60_000
    this.server.on(tls === undefined ? 'connection' : 'secureConnection', () => {
      this.connections++
    })
  }

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1')
    await once(this.server, 'listening')
    return this
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  url(path: string, host = this.#scheme === 'https' ? 'localhost' : '127.0.0.1'): string {
    return `${this.#scheme}://${host}:${this.port}${path}`
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    this.server.close()
    await once(this.server, 'close')
  }

  async whenHeld(count: number): Promise<void> {
    while (this.held.length < count) await new Promise<void>((resolve) => this.#whenHeld.push(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, 'http://x')
    const send = (body: string | Uint8Array, headers: Record<string, string | string[]> = {}, status = 200) => {
      response.writeHead(status, headers).end(body)
    }
    switch (url.pathname) {
      case '/echo': {
        const body = await bodyOf(request)
        const { method, headers } = request
        const kept = Object.fromEntries(
          ['content-type', 'content-length', 'transfer-encoding', 'authorization', 'cookie', 'x-one'].map((name) => [
            name,
            headers[name]?.toString().replace(/boundary=.*/, 'boundary='),
          ]),
        )
        return send(JSON.stringify({ method, ...kept, body: body.toString('latin1') }), { 'x-method': method! })
      }
      case '/mirror':
        return void request.pipe(response)
      case '/hash':
        return send(sha256(await bodyOf(request)))
      case '/large':
        return send(LARGE)
      case '/chunks':
        for (let at = 0; at < LARGE.length; at += 50_000) response.write(LARGE.subarray(at, at + 50_000))
        response.end()
        return
      case '/gzip':
        return send(gzipSync('packed '.repeat(1000)), { 'content-encoding': 'gzip' })
      case '/deflate':
        return send(deflateSync('packed '.repeat(1000)), { 'content-encoding': 'deflate' })
      case '/unpackable':
        return send('no gzip', { 'content-encoding': 'gzip' })
      case '/trailers':
        response.writeHead(200, { trailer: 'x-sum' })
        response.write('with ')
        response.addTrailers({ 'x-sum': '1' })
        return void response.end('trailers')
      case '/cookies':
        return send('', { 'set-cookie': ['a=1; path=/', 'b=2, and more'], 'x-latin': 'caf\xe9' })
      case '/held':
        this.held.push(response)
        response.writeHead(200)
        response.flushHeaders()
        for (const go of this.#whenHeld.splice(0)) go()
        return
      case '/mute':
        this.held.push(response)
        for (const go of this.#whenHeld.splice(0)) go()
        return
      case '/no-content':
        return send('', {}, 204)
      case '/not-found':
        return send('nothing here', {}, 404)
      case '/redirect':
        return send('elsewhere', { location: url.searchParams.get('to')! }, Number(url.searchParams.get('status')))
      case '/loop':
        return send('', { location: '/loop' }, 302)
      default:
        send('hello')
    }
  }
}

/** A server that gives one text to each connection once it has heard a request's head, and then does `after`. */
export class ScriptedServer {
  readonly #server: TcpServer
  /** What each connection has sent. */
  readonly heard: string[] = []
  readonly sockets: Socket[] = []

  constructor(script: (socket: Socket, connection: number) => void) {
    this.#server = createTcpServer({ allowHalfOpen: true }, (socket) => {
      const connection = this.heard.push('') - 1
      this.sockets.push(socket)
      let answered = false
      socket.on('error', () => {})
      socket.on('data', (bytes) => {
        this.heard[connection] += bytes.toString('latin1')
        if (answered || !this.heard[connection]!.includes('\r\n\r\n')) return
        answered = true
        script(socket, connection)
      })
    })
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  url(path = '/'): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
