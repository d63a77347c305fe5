/** The HTTP API of a node, as a directory and an operator ask it (05-mixnode §12). */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, describe, it } from 'node:test'
import { MemoryMetrics, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  buildInformationSchema,
  exitPolicyFromJson,
  fromBincode,
  parseExitPolicy,
  parseHostInformation,
  type Schema,
  verifyHostInformation,
} from '@mixwright/wire'
import { NodeApi, nodeRoutes } from '../src/http/node-api.js'
import { type CarriedRequester, describeNode, type NodeFacts } from '../src/http/node-description.js'
import { nodeLoad } from '../src/http/node-load.js'
import { PacketStatistics } from '../src/http/packet-statistics.js'
import { systemInformation } from '../src/http/system-information.js'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

const sphinxKey = (rotationId: number, byte: number) => {
  const secret = new Uint8Array(32).fill(byte)
  return { rotationId, secret, publicKey: crypto.x25519Base(secret) }
}

function facts(role: 'mixnode' | 'gateway' = 'mixnode'): NodeFacts {
  const identitySeed = new Uint8Array(32).fill(7)
  return {
    role,
    identityKey: crypto.ed25519PublicKey(identitySeed),
    identitySeed,
    sphinxKey: sphinxKey(3, 8),
    announcedIps: ['127.0.0.1'],
    mixPort: 1789,
    websocketPort: 9000,
  }
}

const sessions = {
  update_time: '2026-01-01',
  unique_active_users: 3,
  unique_active_users_hashes: [],
  sessions: [{ duration_ms: 60_000, typ: 'mixnet' }],
  sessions_started: 7,
  sessions_finished: 4,
}

function routes(
  role: 'mixnode' | 'gateway',
  options: { metricsToken?: string; exposed?: boolean; carrying?: CarriedRequester } = {},
) {
  const clock = new VirtualClock()
  const metrics = new MemoryMetrics()
  const statistics = new PacketStatistics(clock, metrics)
  const { metricsToken, exposed = false, carrying } = options
  const app = nodeRoutes({
    metrics,
    statistics,
    describe: () => describeNode(crypto, { ...facts(role), networkRequester: carrying }),
    sessions: () => sessions,
    uptimeSeconds: () => 12,
    load: () => nodeLoad(0.2, 0.05),
    metricsToken,
    ...(exposed && { systemInformation }),
  })
  const get = async (path: string, init?: RequestInit) => app.request(`/api/v1${path}`, init)
  const body = async (path: string) => {
    const response = await get(path)
    assert.equal(response.status, 200, path)
    assert.match(response.headers.get('content-type') ?? '', /^application\/json/)
    return (await response.json()) as Record<string, unknown>
  }
  return { get, body, clock, metrics, app }
}

describe('the node API', () => {
  it('answers what a directory asks, of mix nodes and gateways alike', async () => {
    for (const role of ['mixnode', 'gateway'] as const) {
      const { get, body } = routes(role)
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
      const yaml = await get('/build-information?output=yaml')
      assert.equal(yaml.headers.get('content-type'), 'application/yaml')
      assert.deepEqual(await yaml.json(), build)
    }
  })

  it('answers what tools ask', async () => {
    const { body } = routes('mixnode')
    assert.deepEqual(await body('/load'), { total: 'low', machine: 'low', network: 'unknown' })
    assert.deepEqual(await body('/description'), {
      moniker: 'mixwright',
      website: '',
      security_contact: '',
      details: '',
    })
    assert.deepEqual(await body('/metrics/verloc'), { previous: 'unavailable', current: 'unavailable' })
    assert.deepEqual(await body('/metrics/wireguard-stats'), { bytes_tx: 0, bytes_rx: 0 })
    assert.deepEqual(await body('/mixnode'), {})
    assert.deepEqual(await body('/metrics/sessions'), sessions)
    const system = await routes('mixnode', { exposed: true }).body('/system-info')
    assert.deepEqual(Object.keys(system), ['system_name', 'kernel_version', 'os_version', 'cpu_arch', 'hardware'])
  })

  it('tells of the network requester that the node carries, with its policy as it is now', async () => {
    const address = 'identity.encryption@gateway'
    let policy = parseExitPolicy('ExitPolicy reject *:25\nExitPolicy accept *:*')
    const exitPolicy = () => ({ upstream: 'https://example.org/policy.txt', lastUpdated: 17, policy })
    const carrying = { address, exitPolicy }
    const { body, get } = routes('gateway', { carrying })
    assert.deepEqual(await body('/roles'), {
      mixnode_enabled: false,
      gateway_enabled: true,
      network_requester_enabled: true,
      ip_packet_router_enabled: false,
    })
    assert.deepEqual(await body('/network-requester'), {
      encoded_identity_key: 'identity',
      encoded_x25519_key: 'encryption',
      address,
    })
    assert.deepEqual(await body('/network-requester/exit-policy'), {
      enabled: true,
      upstream_source: 'https://example.org/policy.txt',
      last_updated: 17,
      policy: {
        rules: [
          { action: 'reject', pattern: { ip_pattern: '*', ports: { start: 25, end: 25 } } },
          { action: 'accept', pattern: { ip_pattern: '*', ports: { start: 1, end: 65_535 } } },
        ],
      },
    })
    policy = parseExitPolicy('ExitPolicy reject *:*')
    assert.deepEqual(exitPolicyFromJson((await body('/network-requester/exit-policy')).policy), policy)
    assert.equal((await get('/network-requester/exit-policy?output=yaml')).status, 200)
    assert.equal((await get('/ip-packet-router')).status, 501)
  })

  it('says no as the official one does', async () => {
    const { get, app } = routes('mixnode')
    const expect = async (path: string, status: number, init?: RequestInit) =>
      assert.equal((await get(path, init)).status, status, path)
    await expect('/health?output=xml', 400)
    await expect('/health?output=bincode', 400)
    for (const absent of ['/network-requester', '/network-requester/exit-policy', '/lewes-protocol', '/authenticator'])
      await expect(absent, 501)
    await expect('/system-info', 403)
    await expect('/nowhere', 404)
    await expect('/nowhere', 404, { method: 'POST' })
    await expect('/mixnode/', 404)
    await expect('/mixnode', 405, { method: 'DELETE' })
    await expect('/health', 405, { method: 'POST' })
    await expect('/health', 200, { method: 'HEAD' })
    assert.equal(await (await get('/nowhere')).text(), '')
    assert.equal(await (await get('/network-requester')).text(), '')
    assert.equal((await app.request('/')).status, 200)
    assert.equal((await app.request('/favicon.ico')).status, 404)
  })

  it('sends readers of the older addresses on', async () => {
    const { app } = routes('mixnode')
    for (const [path, target] of [
      ['/hardware', 'system-info'],
      ['/description', 'description'],
      ['/stats', 'metrics/mixing'],
      ['/verloc', 'metrics/verloc'],
      ['/metrics', 'metrics/prometheus'],
    ] as const) {
      const response = await app.request(path)
      assert.deepEqual([response.status, response.headers.get('location')], [303, `/api/v1/${target}`])
    }
  })

  it('shows metrics, to whom may see them', async () => {
    const open = routes('gateway')
    open.metrics
      .counter('mixwright_dropped_packets_total', 'Packets dropped, by reason', { reason: 'header-mac' })
      .increment(3)
    const text = await (await open.get('/metrics/prometheus')).text()
    assert.match(text, /mixwright_dropped_packets_total\{reason="header-mac"\} 3/)
    const closed = routes('gateway', { metricsToken: 'secret' })
    assert.equal((await closed.get('/metrics/prometheus')).status, 401)
    const wrong = await closed.get('/metrics/prometheus', { headers: { authorization: 'Bearer secreT' } })
    assert.equal(wrong.status, 401)
    const allowed = await closed.get('/metrics/prometheus', { headers: { authorization: 'Bearer secret' } })
    assert.equal(allowed.status, 200)
  })

  it('serves over a socket, and its counts end with it', async () => {
    const clock = new VirtualClock()
    const metrics = new MemoryMetrics()
    const api = await NodeApi.start({
      clock,
      metrics,
      listen: { host: '127.0.0.1', port: 0 },
      describe: () => describeNode(crypto, facts()),
    })
    clock.advance(61_000)
    const answer = await fetch(`http://127.0.0.1:${api.port}/api/v1/health`)
    assert.deepEqual(await answer.json(), { status: 'up', uptime: 61 })
    const load = (await (await fetch(`http://127.0.0.1:${api.port}/api/v1/load`)).json()) as { machine: string }
    assert.notEqual(load.machine, 'unknown')
    const sessions = (await (await fetch(`http://127.0.0.1:${api.port}/api/v1/metrics/sessions`)).json()) as object
    assert.deepEqual(Object.keys(sessions).length, 6)
    await api.close()
    assert.equal(clock.pending, 0)
  })
})

describe('what a node says of itself', () => {
  interface Vector {
    readonly cases: readonly { readonly name: string; readonly response_body: string }[]
  }
  const vectors: Vector = JSON.parse(
    readFileSync(new URL('../../../../vectors/mixnode-host-information.json', import.meta.url), 'utf8'),
  )

  it('is what the official node signs from the same keys, byte for byte', () => {
    for (const { name, response_body } of vectors.cases) {
      const { data } = parseHostInformation(JSON.parse(response_body))
      const { primary_x25519_sphinx_key: primary, pre_announced_x25519_sphinx_key: next } = data.keys
      const described = describeNode(crypto, {
        ...facts(),
        sphinxKey: sphinxKey(primary.rotation_id, 0x31),
        secondaryKey: next ? sphinxKey(next.rotation_id, 0x32) : undefined,
        noiseKey: data.keys.x25519_versioned_noise ? crypto.x25519Base(new Uint8Array(32).fill(0x22)) : undefined,
        announcedIps: data.ip_address.map((ip) => ip.toUpperCase()),
        hostname: data.hostname ?? undefined,
      })
      assert.equal(JSON.stringify(described.hostInformation), response_body, name)
    }
  })

  it('announces a secondary key only when it is that of the next rotation', () => {
    const announced = (rotationId: number) =>
      describeNode(crypto, { ...facts(), secondaryKey: sphinxKey(rotationId, 9) }).hostInformation.data.keys
        .pre_announced_x25519_sphinx_key
    assert.equal(announced(4)?.rotation_id, 4)
    assert.equal(announced(2), null)
  })

  it('names ports, place and people as configured', () => {
    const described = describeNode(crypto, {
      ...facts('gateway'),
      location: 'CH',
      verlocPort: 1790,
      secureWebsocketPort: 9001,
      operator: { moniker: 'alice' },
    })
    assert.deepEqual(described.websockets, { ws_port: 9000, wss_port: 9001 })
    assert.deepEqual(described.auxiliaryDetails.announce_ports, { verloc_port: 1790, mix_port: 1789 })
    assert.equal(described.auxiliaryDetails.location, 'CH')
    assert.deepEqual(described.operator, { moniker: 'alice', website: '', security_contact: '', details: '' })
  })
})

describe('the load', () => {
  it('is the tier of the processor, one more when the memory is fuller', () => {
    const machine = (cpu: number, memory: number) => nodeLoad(cpu, memory).machine
    assert.equal(machine(0.1, 0), 'negligible')
    assert.equal(machine(0.3, 0.3), 'low')
    assert.equal(machine(0.31, 0.2), 'medium')
    assert.equal(machine(0.05, 0.99), 'low')
    assert.equal(machine(0.9, 0.99), 'at_capacity')
    assert.equal(machine(7, 0.99), 'at_capacity')
    assert.deepEqual(nodeLoad(0.7, 0), { total: 'high', machine: 'high', network: 'unknown' })
  })
})

describe('packet statistics', () => {
  it('keep apart what the official node mixes up, and know rates over the last 30 seconds', async () => {
    const { body, metrics, clock } = routes('mixnode')
    const count = (name: string, by: number, labels = {}) => metrics.counter(name, '', labels).increment(by)
    count('nym_node_mixnet_ingress_forward_packets_received', 900)
    count('nym_node_mixnet_ingress_malformed_packets_received', 2)
    count('nym_node_mixnet_ingress_replayed_packets_received', 5)
    count('nym_node_mixnet_egress_forward_packets_sent', 600)
    count('mixwright_dropped_packets_total', 7, { reason: 'egress-queue-full' })
    count('mixwright_dropped_packets_total', 1, { reason: 'egress-connection-lost' })
    count('mixwright_dropped_packets_total', 3, { reason: 'final-hop-disabled' })
    assert.deepEqual(await body('/metrics/packets-stats'), {
      ingress_mixing: {
        forward_hop_packets_received: 900,
        final_hop_packets_received: 0,
        malformed_packets_received: 2,
        replayed_packets_received: 5,
        excessive_delay_packets: 0,
        forward_hop_packets_dropped: 0,
        final_hop_packets_dropped: 3,
      },
      egress_mixing: { forward_hop_packets_sent: 600, forward_hop_packets_dropped: 8, ack_packets_sent: 0 },
    })
    const rate = (of: string) => metrics.value(`nym_node_mixnet_${of}_rate`)
    assert.equal(rate('ingress_forward_packets_received'), 0)
    clock.advance(30_000)
    assert.equal(rate('ingress_forward_packets_received'), 30)
    assert.equal(rate('egress_forward_packets_send'), 20)
    count('nym_node_mixnet_ingress_forward_packets_received', 300)
    clock.advance(30_000)
    assert.equal(rate('ingress_forward_packets_received'), 10)
    assert.equal(rate('egress_forward_packets_send'), 0)
    const mixing = await body('/metrics/mixing')
    assert.equal(Date.parse(String(mixing.update_time)) - Date.parse(String(mixing.previous_update_time)), 30_000)
    assert.deepEqual(
      [mixing.received_since_startup, mixing.received_since_last_update, mixing.sent_since_last_update],
      [1200, 300, 0],
    )
  })
})
