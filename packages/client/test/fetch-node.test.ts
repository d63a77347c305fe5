import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { VirtualClock } from '@mixwright/runtime'
import { fetchOver } from '../src/fetch/node-fetch.js'
import { fetchCompliance } from './fetch-compliance.js'
import { TcpDialer } from './tcp-dialer.js'
import { ScriptedServer } from './web-server.js'

fetchCompliance('undici and node:tls', { fetchOver, tls: (ca) => (ca === undefined ? {} : { ca }) })

describe('fetch in Node.js', () => {
  it('gives up a server that says nothing during the TLS handshake', async () => {
    const mute = await new ScriptedServer(() => {}).start()
    const [clock, dialer] = [new VirtualClock(), new TcpDialer()]
    const fetch = fetchOver(dialer.dial, { clock })
    const asked = fetch(mute.url().replace('http', 'https'))
    while (mute.heard.length === 0 || mute.heard[0] === '') await new Promise(setImmediate)
    clock.advance(30_000)
    await assert.rejects(asked, { code: 'MIX_FETCH_TLS' })
    assert.equal(dialer.open, 0)
    await fetch.close()
    await mute.stop()
  })
})
