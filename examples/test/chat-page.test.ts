/** The chat page in Chromium, served as any static server would serve the root of the repository. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BrowserPage, skipWithoutChromium } from '@mixwright/interop/browser-page'
import { Network } from '@mixwright/localnet'
import { REPOSITORY } from './program.js'

const FILES = Object.fromEntries(
  [
    'examples/chat-page/index.html',
    'examples/chat-page/chat.js',
    'packages/client/dist/src/bundle/mixwright-client.js',
  ].map((path) => [`/${path}`, new URL(path, REPOSITORY)]),
)

describe('chat-page', { skip: skipWithoutChromium }, () => {
  it('lets two pages talk, one of which never learns an address, and is at the same address after a reload', async () => {
    await using net = await Network.start()
    const pageOf = (name: string) =>
      `/examples/chat-page/index.html?directory=${encodeURIComponent(net.nymApiUrl)}&profile=local&name=${name}`
    await using browser = await BrowserPage.open(FILES, pageOf('alice'))
    const alice = browser.page
    const bob = await browser.another(pageOf('bob'))
    const addressOf = async (page: typeof bob) => {
      await page.locator('#address', { hasText: '@' }).waitFor()
      return (await page.locator('#address').textContent()) ?? ''
    }
    const say = async (page: typeof bob, text: string) => {
      await page.locator('#line').fill(text)
      await page.locator('#line').press('Enter')
      await page.locator('.sent', { hasText: `you: ${text}` }).waitFor()
    }
    const hears = (page: typeof bob, text: string) => page.locator('.received', { hasText: `peer: ${text}` }).waitFor()

    await addressOf(alice)
    const bobsAddress = await addressOf(bob)
    await alice.locator('#peer').fill(bobsAddress)
    await say(alice, 'hello bob <b>!')
    await hears(bob, 'hello bob <b>!')
    await say(bob, 'hello, whoever you are')
    await hears(alice, 'hello, whoever you are')

    await bob.reload()
    assert.equal(await addressOf(bob), bobsAddress)
    await say(alice, 'are you back?')
    await hears(bob, 'are you back?')

    await alice.locator('#peer').fill('looks.like@one')
    await alice.locator('#line').fill('hello?')
    await alice.locator('#line').press('Enter')
    await alice.locator('.failed', { hasText: 'MIX_ADDRESS' }).waitFor()
    assert.deepEqual(browser.problems, [])
  })
})
