/** The dashboard in deploy/ asks for nothing that a node does not have. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { MemoryMetrics, RealClock, SystemRandom, silentLogger } from '@mixwright/runtime'
import { loadCryptoProvider } from '@mixwright/sphinx'
import { createNodeKeys } from '../src/keys/node-keys.js'
import { StaticSource } from '../src/network/static-source.js'
import { Node, type NodeRole } from '../src/node.js'

const scratch = mkdtempSync(join(tmpdir(), 'mixwright-dashboard-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

/** Names of all metrics that a node of this role has from its start. */
async function metricsOf(role: NodeRole): Promise<Set<string>> {
  const crypto = await loadCryptoProvider()
  const random = new SystemRandom()
  const metrics = new MemoryMetrics()
  const listen = { host: '127.0.0.1', port: 0 }
  const node = await Node.start({
    role,
    clock: new RealClock(),
    random,
    logger: silentLogger,
    metrics,
    crypto,
    keys: createNodeKeys(crypto, random),
    stateDirectory: join(scratch, role),
    network: new StaticSource([]),
    announcedIps: ['127.0.0.1'],
    mixListen: listen,
    httpListen: listen,
    ...(role === 'gateway' && { gateway: { listen } }),
  })
  await node.stop()
  return new Set([...metrics.families()].map(({ name }) => name))
}

/** Whole names of metrics that stand in the sources: some appear only when there is something to count. */
function metricsInSource(): Set<string> {
  const root = fileURLToPath(new URL('../../src', import.meta.url))
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
  const texts = files.map((path) => readFileSync(join(root, path), 'utf8'))
  return new Set(texts.flatMap((text) => [...text.matchAll(/'(mixwright_\w+)'/g)].map(([, name]) => name!)))
}

describe('deploy/grafana/mixwright-node.json', () => {
  it('names only metrics that nodes have', async () => {
    const text = readFileSync(new URL('../../../../deploy/grafana/mixwright-node.json', import.meta.url), 'utf8')
    const { panels } = JSON.parse(text) as { panels: { title: string; targets: { expr: string }[] }[] }
    const known = new Set([...(await metricsOf('mixnode')), ...(await metricsOf('gateway')), ...metricsInSource()])
    const named = panels.flatMap(({ targets }) =>
      targets.flatMap(({ expr }) => expr.match(/\b(?:nym_node|mixwright|mixnet|process)_\w+/g) ?? []),
    )
    assert.ok(named.length >= 30, String(named.length))
    const missing = named.filter((name) => !known.has(name) && !known.has(name.replace(/_(?:bucket|sum|count)$/, '')))
    assert.deepEqual(missing, [])
  })
})
