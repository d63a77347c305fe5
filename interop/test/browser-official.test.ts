/** The official browser SDK, unmodified, and our bundle on one page in Chromium, on a network of ours. */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Network } from '@mixwright/localnet'
import { encodeSdkPayload } from '@mixwright/wire'
import { build } from 'esbuild'
import { BrowserPage, pageFile, skipWithoutChromium } from '../src/browser-page.js'
import { dropsByReason } from './network-counters.js'

/** No cover, no Poisson stream: what `no-cover` is in ours. */
const NO_COVER = {
  traffic: { disableMainPoissonPacketDistribution: true },
  coverTraffic: { disableLoopCoverTrafficStream: true },
}
/** What the SDK puts before every payload. */
const SDK_PREFIX_BYTES = encodeSdkPayload({
  mimeType: 'application/octet-stream',
  headers: undefined,
  payload: new Uint8Array(0),
}).length
/** Longest payload in one packet (04-client §4.2, §4.5): an unlinked fragment less kind and padding marker. */
const ONE_PACKET_BYTES = 1604 - 1 - 1 - SDK_PREFIX_BYTES
const SIZES = [1, ONE_PACKET_BYTES - 1, ONE_PACKET_BYTES, ONE_PACKET_BYTES + 1, 100_000, 1_000_000]

describe('the official browser SDK and our bundle on one page', { skip: skipWithoutChromium }, () => {
  let net: Network
  let browser: BrowserPage
  let official: string
  let ours: string
  const call = <T>(code: string) => browser.page.evaluate<T>(code)
  const js = JSON.stringify
  const expected = (length: number, seed: number) => call<string>(`expected(${length}, ${seed})`)

  before(async () => {
    net = await Network.start({ mixes: 3, gateways: 2 })
    browser = await BrowserPage.open(
      {
        '/': pageFile('clients.html'),
        '/official.js': new URL(import.meta.resolve('@nymproject/sdk-full-fat')),
        '/ours.js': new URL(import.meta.resolve('@mixwright/client/bundle')),
        '/wire.js': await bundled(import.meta.resolve('@mixwright/wire')),
      },
      '/',
    )
    const options = { nymApiUrl: net.nymApiUrl, clientId: 'official', clientOverride: NO_COVER }
    official = await call(`official.start(${js({ ...options, preferredGateway: net.gateway(0).identityKey })})`)
    ours = await call(
      `ours.start(${js({ directory: net.nymApiUrl, gateway: net.gateway(1).identityKey, profile: 'no-cover' })}, 'ours')`,
    )
  })
  after(async () => {
    await browser?.[Symbol.asyncDispose]()
    await net?.close()
  })
  afterEach(() => assert.deepEqual([dropsByReason(net), browser.problems], [{}, []]))

  it('each registers at the gateway that it was told', () => {
    assert.ok(official.endsWith(`@${net.gateway(0).identityKey}`))
    assert.ok(ours.endsWith(`@${net.gateway(1).identityKey}`))
  })

  it('the official one sends itself a text', async () => {
    const before = (await call<string[]>('official.inbox.received(0)')).length
    await call(`official.sendText(${js(official)}, 'hello world')`)
    await call(`official.inbox.received(${before + 1})`)
    assert.equal(await call('official.texts.at(-1)'), 'hello world')
  })

  it('ours sends the official one a text, and it is acknowledged', async () => {
    const before = (await call<string[]>('official.inbox.received(0)')).length
    await call(`ours.sendText(${js(official)}, 'hello from the other library')`)
    await call(`official.inbox.received(${before + 1})`)
    assert.equal(await call('official.texts.at(-1)'), 'hello from the other library')
  })

  it('messages of every size come whole, both ways and to oneself', async () => {
    for (const [from, to, address] of [
      ['ours', 'official', official],
      ['official', 'ours', ours],
      ['ours', 'ours', ours],
    ] as const) {
      const before = await call<string[]>(`${to}.inbox.received(0)`)
      const wanted: string[] = []
      for (const [seed, size] of SIZES.entries()) {
        await call(`${from}.sendBytes(${js(address)}, ${size}, ${seed})`)
        wanted.push(await expected(size, seed))
      }
      const inbox = await call<string[]>(`${to}.inbox.received(${before.length + wanted.length})`)
      assert.deepEqual(inbox.slice(before.length).sort(), wanted.sort(), `${from} to ${to}`)
    }
  })

  it('ours answers the official one by its reply blocks, and asks for more of them', async () => {
    const before = await call<string[]>('official.inbox.received(0)')
    await call('ours.answerWith(100_000, 9)')
    await call(`official.sendBytes(${js(ours)}, 5, 8, 10)`)
    const inbox = await call<string[]>(`official.inbox.received(${before.length + 1})`)
    assert.equal(inbox.at(-1), await expected(100_000, 9))
  })

  it('ours answers itself by reply blocks', async () => {
    await call('ours.answerWith(3_000, 4)')
    const before = await call<string[]>('ours.inbox.received(0)')
    await call(`ours.sendBytes(${js(ours)}, 7, 6, { replySurbs: 5 })`)
    const inbox = await call<string[]>(`ours.inbox.received(${before.length + 2})`)
    assert.deepEqual(inbox.slice(before.length).sort(), [await expected(7, 6), await expected(3_000, 4)].sort())
  })

  it('ours comes back after a reload with the same address, and takes what was stored for it', async () => {
    await call('ours.stop()')
    const friend = await browser.another('/')
    await friend.evaluate(`ours.start(${js({ directory: net.nymApiUrl, profile: 'no-cover' })})`)
    // Acknowledged: the gateway has it on disk.
    await friend.evaluate(`ours.sendBytes(${js(ours)}, 2_000, 3)`)
    await friend.evaluate('ours.stop()')
    await browser.page.reload()
    const again = await call(`ours.start(${js({ directory: net.nymApiUrl, profile: 'no-cover' })}, 'ours')`)
    assert.equal(again, ours)
    assert.deepEqual(await call('ours.inbox.received(1)'), [await expected(2_000, 3)])
    await call('ours.stop()')
  })
})

/** A module and what it imports as one text for a browser. */
async function bundled(url: string): Promise<string> {
  const options = { bundle: true, format: 'esm', platform: 'browser', write: false } as const
  const { outputFiles } = await build({ ...options, entryPoints: [fileURLToPath(url)] })
  return outputFiles[0]!.text
}
