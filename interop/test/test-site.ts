/** A web site on the loopback address, over HTTP and HTTPS, that an exit is to reach. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { fileURLToPath } from 'node:url'
import { SeededRandom } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'

const certificate = (name: string) =>
  fileURLToPath(new URL(`../../../packages/client/test/certificates/${name}.pem`, import.meta.url))

/** Of the authority that has issued the certificate of the site, for `localhost` and 127.0.0.1. */
export const AUTHORITY_FILE = certificate('authority.certificate')

export const LARGE_BYTES = 5_000_000

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
/** What the site has under the path. */
export const siteFile = (path: string) => new SeededRandom(path).bytes(path === '/large' ? LARGE_BYTES : 100_000)

export class TestSite implements AsyncDisposable {
  readonly server: Server
  readonly port: number
  readonly #secure: Server
  readonly #securePort: number

  private constructor(server: Server, port: number, secure: Server, securePort: number) {
    this.server = server
    this.port = port
    this.#secure = secure
    this.#securePort = securePort
  }

  static async start(): Promise<TestSite> {
    const server = createServer(serveSite)
    const [key, cert] = ['server.key', 'server.certificate'].map((name) => readFileSync(certificate(name)))
    const secure = createSecureServer({ key: key!, cert: cert! }, serveSite)
    // On a busy machine a download takes longer than the usual five seconds, and the next request may be a POST.
    for (const each of [server, secure]) each.keepAliveTimeout = 60_000
    const at = { host: '127.0.0.1', port: 0 }
    return new TestSite(server, await listenOn(server, at), secure, await listenOn(secure, at))
  }

  url(scheme: 'http' | 'https', host: string, path: string): string {
    return `${scheme}://${host}:${scheme === 'http' ? this.port : this.#securePort}${path}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.server, this.#secure]) {
      server.closeAllConnections()
      server.close()
    }
  }
}

function serveSite(request: IncomingMessage, response: ServerResponse): void {
  const path = request.url!
  if (path === '/page') response.setHeader('x-page', 'yes').end('a page')
  else if (path === '/hash') void hashOf(request).then((hash) => response.end(hash))
  else response.end(siteFile(path))
}

async function hashOf(request: IncomingMessage): Promise<string> {
  const hash = createHash('sha256')
  for await (const part of request) hash.update(part as Uint8Array)
  return `${request.method} ${hash.digest('hex')}`
}
