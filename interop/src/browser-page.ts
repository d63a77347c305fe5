/**
 * A page in a real Chromium: a web server on the loopback address with the files that a test names, a browser with a fresh
 * profile, and everything that the page complains of. Nothing is left behind.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { listenOn } from '@mixwright/runtime/node'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { skipWithout } from './needed-program.js'

const CHROMIUM = process.env.MIXWRIGHT_CHROMIUM || '/usr/bin/chromium'

/** For the `skip` option of tests that need a browser. */
export const skipWithoutChromium = skipWithout('Chromium (/usr/bin/chromium or MIXWRIGHT_CHROMIUM)', CHROMIUM)

/** Longest wait for anything. Far beyond what a busy machine needs: it turns a hang into a sentence. */
const PATIENCE_MS = 90_000

/** No sandbox, because in containers there is only root; nothing that calls home. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '': 'text/html; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** What the server gives at a path such as `/index.html`: a file on disk, or the text itself. */
export type ServedFiles = Readonly<Record<string, URL | string>>

export interface BrowserPageOptions {
  /** By what name the browser knows the server. @default '127.0.0.1' */
  readonly host?: string
  /** A proxy for all but loopback addresses and names, such as `socks5://127.0.0.1:1080`. @default none */
  readonly proxy?: string
  /** Told of each request that the server hears. */
  readonly onRequest?: (request: IncomingMessage) => void
}

/** A page of `src/pages`. */
export function pageFile(name: string): URL {
  return new URL(`../../src/pages/${name}`, import.meta.url)
}

export class BrowserPage implements AsyncDisposable {
  readonly page: Page
  /** Where the files are, without a slash at the end. */
  readonly origin: string
  /** Errors on the console, of workers too, and uncaught ones. */
  readonly problems: string[] = []
  readonly #context: BrowserContext
  readonly #close: () => Promise<void>

  private constructor(context: BrowserContext, page: Page, origin: string, close: () => Promise<void>) {
    this.page = page
    this.origin = origin
    this.#context = context
    this.#close = close
    context.on('console', (message) => {
      if (message.type() === 'error') this.problems.push(message.text())
    })
    context.on('weberror', (event) => this.problems.push(event.error().message))
  }

  /** Serve `files`, start the browser and open `path`, which is one of them. Rejects when the page does not load. */
  static async open(files: ServedFiles, path: string, options: BrowserPageOptions = {}): Promise<BrowserPage> {
    const { host = '127.0.0.1', proxy, onRequest } = options
    const profile = mkdtempSync(join(tmpdir(), 'mixwright-chromium-'))
    const server = serve(files)
    if (onRequest) server.on('request', onRequest)
    let context: BrowserContext | undefined
    const close = async () => {
      await context?.close()
      await new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
    }
    try {
      const port = await listenOn(server, { host: '127.0.0.1', port: 0 })
      context = await chromium.launchPersistentContext(profile, {
        executablePath: CHROMIUM,
        headless: true,
        args: proxy === undefined ? FLAGS : [...FLAGS, `--proxy-server=${proxy}`],
        timeout: PATIENCE_MS,
      })
      context.setDefaultTimeout(PATIENCE_MS)
      const page = context.pages()[0] ?? (await context.newPage())
      const opened = new BrowserPage(context, page, `http://${host}:${port}`, close)
      await page.goto(opened.origin + path)
      return opened
    } catch (error) {
      await close()
      throw error
    }
  }

  /** Another page of the same browser, with the same storage. */
  async another(path: string): Promise<Page> {
    const page = await this.#context.newPage()
    await page.goto(this.origin + path)
    return page
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close()
  }
}

function serve(files: ServedFiles): Server {
  return createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://127.0.0.1').pathname
    // Browsers ask for it unasked.
    if (path === '/favicon.ico') return response.writeHead(204).end()
    const file = Object.hasOwn(files, path) ? files[path] : undefined
    if (file === undefined) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': CONTENT_TYPES[extname(path)] ?? 'application/octet-stream' })
    response.end(typeof file === 'string' ? file : readFileSync(fileURLToPath(file)))
  })
}
