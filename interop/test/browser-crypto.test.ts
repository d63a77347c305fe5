/** Sphinx in a real browser: the same bytes as in Node.js. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { BrowserPage, skipWithoutChromium } from '../src/browser-page.js'
import { type PacketFromSeed, packetFromSeed } from '../src/packet-from-seed.js'

const SEED = 'four hops'

describe('Sphinx in Chromium', { skip: skipWithoutChromium }, () => {
  it('builds and peels the very packet that Node.js does, with libsodium', async () => {
    const bundle = await build({
      entryPoints: [fileURLToPath(new URL('../src/packet-from-seed.js', import.meta.url))],
      bundle: true,
      format: 'esm',
      platform: 'browser',
      write: false,
    })
    const html = `<!doctype html><script type="module">
      import { packetFromSeed } from '/packet.js'
      globalThis.packet = packetFromSeed('${SEED}')
    </script>`
    await using browser = await BrowserPage.open({ '/': html, '/packet.js': bundle.outputFiles[0]!.text }, '/')
    const inBrowser = await browser.page.evaluate<PacketFromSeed>('packet')
    const here = await packetFromSeed(SEED)
    assert.equal(inBrowser.provider, 'libsodium-wasm')
    assert.equal(here.packets.length, 4)
    assert.deepEqual(inBrowser, { ...here, provider: 'libsodium-wasm' })
    assert.ok(inBrowser.arrived && inBrowser.signatureHolds)
    assert.deepEqual(browser.problems, [])
  })
})
