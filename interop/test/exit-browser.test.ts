/** Chromium browses through the SOCKS5 door a site whose name only the exit knows (06-service-providers §10). */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { Network } from '@mixwright/localnet'
import { BrowserPage, skipWithoutChromium } from '../src/browser-page.js'
import { ExitDoors } from './exit-doors.js'
import { WatchedRequester } from './watched-requester.js'

const IMAGES = Array.from({ length: 10 }, (_, index) => `/image-${index}.svg`)
const image = (path: string) => {
  const side = 10 + IMAGES.indexOf(path)
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}"><rect width="9" height="9"/></svg>`
}

const FILES = {
  '/': `<!doctype html><h1>a page</h1><p id="script"></p><p id="fetched"></p>
    ${IMAGES.map((path) => `<img src="${path}">`).join('\n')}
    <script src="/script.js"></script>`,
  '/script.js': `document.getElementById('script').textContent = 'a script'
    fetch('/words.txt').then((answer) => answer.text()).then((text) => { document.getElementById('fetched').textContent = text })`,
  '/words.txt': 'fetched '.repeat(10_000),
  ...Object.fromEntries(IMAGES.map((path) => [path, image(path)])),
}

describe('Chromium through an exit', { skip: skipWithoutChromium }, () => {
  let net: Network
  let requester: WatchedRequester
  let doors: ExitDoors
  /** Ports of this machine from which the exit has connected. */
  const exitPorts = new Set<number>()
  before(async () => {
    net = await Network.start()
    const resolve = async (host: string) => (host === 'site.test' ? ['127.0.0.1'] : [])
    const dial = (host: string, port: number) => {
      const socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
      return socket.once('connect', () => exitPorts.add(socket.localPort!))
    }
    requester = await WatchedRequester.start(net, { kind: 'open' }, { resolve, dial })
    doors = await ExitDoors.open(net, { requester: requester.address, profile: 'local' })
  })
  after(async () => {
    await doors?.[Symbol.asyncDispose]()
    await requester?.[Symbol.asyncDispose]()
    await net?.close()
  })

  it('shows a page, its script, ten images and what it fetches, all of which came through the exit', async () => {
    const asked: { readonly path: string; readonly host: string; readonly port: number }[] = []
    await using browser = await BrowserPage.open(FILES, '/', {
      host: 'site.test',
      proxy: `socks5://127.0.0.1:${doors.socks.port}`,
      onRequest: ({ url, headers, socket }) =>
        asked.push({ path: url!, host: headers.host!, port: socket.remotePort! }),
    })
    const { page, origin, problems } = browser
    await page.waitForFunction("document.getElementById('fetched').textContent !== ''")
    assert.equal(await page.evaluate('location.origin'), origin)
    assert.equal(await page.textContent('h1'), 'a page')
    assert.equal(await page.textContent('#script'), 'a script')
    assert.equal(await page.textContent('#fetched'), FILES['/words.txt'])
    assert.deepEqual(
      await page.evaluate('Array.from(document.images, (image) => image.complete && image.naturalWidth)'),
      IMAGES.map((_, index) => 10 + index),
    )
    assert.deepEqual(problems, [])
    const paths = asked.map(({ path }) => path).filter((path) => path !== '/favicon.ico')
    assert.deepEqual(paths.sort(), Object.keys(FILES).sort())
    assert.deepEqual(
      asked.filter(({ host, port }) => `http://${host}` !== origin || !exitPorts.has(port)),
      [],
    )
    assert.ok(requester.connects.some(({ remote }) => `http://${remote}` === origin))
  })
})
