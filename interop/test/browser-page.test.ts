/** The page in Chromium that other tests stand on: it hears every complaint, and leaves nothing behind. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { BrowserPage, skipWithoutChromium } from '../src/browser-page.js'

const PAGE = `<!doctype html><script type="module">
  console.log('not a complaint')
  console.error('from the console')
  const worker = new Worker('/worker.js')
  await new Promise((resolve) => { worker.onmessage = resolve })
  setTimeout(() => { throw new Error('uncaught') })
  Promise.reject(new Error('rejected'))
  await fetch('/missing.js')
  globalThis.done = true
</script>`

describe('a page in Chromium', { skip: skipWithoutChromium }, () => {
  it('hears the console, workers, uncaught errors and failed requests', async () => {
    const files = { '/': PAGE, '/worker.js': "console.error('from a worker'); postMessage(0)" }
    await using browser = await BrowserPage.open(files, '/')
    await browser.page.waitForFunction('globalThis.done')
    const heard = (text: string) => browser.problems.some((problem) => problem.includes(text))
    const complaints = ['from the console', 'from a worker', 'uncaught', 'rejected', '404']
    assert.deepEqual(
      complaints.filter((text) => !heard(text)),
      [],
    )
    assert.equal(browser.problems.length, complaints.length)
  })

  it('leaves no files and no server, also when the page does not load', async (t) => {
    const place = mkdtempSync(join(tmpdir(), 'mixwright-page-test-'))
    const before = process.env.TMPDIR
    process.env.TMPDIR = place
    t.after(() => {
      if (before === undefined) delete process.env.TMPDIR
      else process.env.TMPDIR = before
      rmSync(place, { recursive: true, force: true })
    })
    const browser = await BrowserPage.open({ '/': '<!doctype html>' }, '/')
    assert.equal((await fetch(browser.origin)).status, 200)
    assert.notDeepEqual(readdirSync(place), [])
    await browser[Symbol.asyncDispose]()
    await assert.rejects(fetch(browser.origin))
    assert.deepEqual(readdirSync(place), [])
    await assert.rejects(BrowserPage.open({}, '/missing'), /missing/)
    assert.deepEqual(readdirSync(place), [])
  })
})
