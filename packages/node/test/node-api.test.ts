import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { MemoryMetrics, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  buildInformationSchema,
  fromBincode,
  parseHostInformation,
  type Schema,
  verifyHostInformation,
} from '@mixwright/wire'
import { nodeRoutes } from '../src/http/node-api.js'
import { describeNode } from '../src/http/node-description.js'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

function routes(role: 'mixnode' | 'gateway', metricsToken?: string) {
  const identitySeed = new Uint8Array(32).fill(7)
  const secret = new Uint8Array(32).fill(8)
  const description = describeNode(crypto, {
    role,
    identityKey: crypto.ed25519PublicKey(identitySeed),
    identitySeed,
    sphinxKey: { rotationId: 3, secret, publicKey: crypto.x25519Base(secret) },
    announcedIp: '127.0.0.1',
    mixPort: 1789,
    websocketPort: 9000,
  })
  const clock = new VirtualClock()
  const metrics = new MemoryMetrics()
  const app = nodeRoutes({
    clock,
    metrics,
    listen: { host: '127.0.0.1', port: 0 },
    describe: () => description,
    metricsToken,
  })
  const get = async (path: string, init?: RequestInit) => app.request(`/api/v1${path}`, init)
  return { get, clock, metrics, app }
}

describe('the node API', () => {
  it('answers what a directory asks, of mix nodes and gateways alike', async () => {
    for (const role of ['mixnode', 'gateway'] as const) {
      const { get, clock } = routes(role)
      clock.advance(12_345)
      const body = async (path: string) => {
        const response = await get(path)
        assert.equal(response.status, 200, path)
        assert.match(response.headers.get('content-type') ?? '', /^application\/json/)
        return (await response.json()) as Record<string, unknown>
      }
      assert.deepEqual(await body('/health'), { status: 'up', uptime: 12 })
      assert.deepEqual(await body('/roles'), {
        mixnode_enabled: role === 'mixnode',
        gateway_enabled: role === 'gateway',
        network_requester_enabled: false,
        ip_packet_router_enabled: false,
      })
      assert.deepEqual(await body('/gateway/client-interfaces/mixnet-websockets'), { ws_port: 9000, wss_port: null })
      assert.deepEqual(await body('/auxiliary-details'), {
        location: null,
        announce_ports: { verloc_port: null, mix_port: 1789 },
        accepted_operator_terms_and_conditions: true,
      })
      const signed = parseHostInformation(await body('/host-information'))
      assert.ok(verifyHostInformation(crypto, signed))
      assert.equal(signed.data.keys.primary_x25519_sphinx_key.rotation_id, 3)
      const build = await body('/build-information')
      assert.equal(build.binary_name, 'nym-node')
      const bincode = await get('/build-information?output=bincode')
      assert.equal(bincode.headers.get('content-type'), 'application/bincode')
      const decoded = fromBincode(
        buildInformationSchema as Schema<unknown>,
        new Uint8Array(await bincode.arrayBuffer()),
      )
      assert.deepEqual(decoded, build)
    }
  })

  it('says no as the official one does', async () => {
    const { get, app } = routes('mixnode')
    const expect = async (path: string, status: number, init?: RequestInit) =>
      assert.equal((await get(path, init)).status, status, path)
    await expect('/health?output=xml', 400)
    await expect('/network-requester', 501)
    await expect('/lewes-protocol', 501)
    await expect('/system-info', 403)
    await expect('/nowhere', 404)
    await expect('/mixnode/', 404)
    await expect('/health', 405, { method: 'POST' })
    assert.equal(await (await get('/nowhere')).text(), '')
    assert.equal((await app.request('/')).status, 404)
  })

  it('shows metrics, to whom may see them', async () => {
    const open = routes('gateway')
    open.metrics
      .counter('mixwright_dropped_packets_total', 'Packets dropped, by reason', { reason: 'header-mac' })
      .increment(3)
    const text = await (await open.get('/metrics/prometheus')).text()
    assert.match(text, /mixwright_dropped_packets_total\{reason="header-mac"\} 3/)
    const closed = routes('gateway', 'secret')
    assert.equal((await closed.get('/metrics/prometheus')).status, 401)
    const allowed = await closed.get('/metrics/prometheus', { headers: { authorization: 'Bearer secret' } })
    assert.equal(allowed.status, 200)
  })
})
