import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { connect } from '@mixwright/client'
import { listenOn } from '@mixwright/runtime/node'
import { Network } from '../src/index.js'

const scratch = mkdtempSync(join(tmpdir(), 'mixwright-test-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

async function json(url: string): Promise<unknown> {
  const response = await fetch(url)
  assert.equal(response.status, 200, url)
  return response.json()
}

describe('a network', () => {
  it('starts routable: three layers filled, gateways listed, every node described', async () => {
    await using net = await Network.start({ mixes: 4, gateways: 2 })
    const rewarded = (await json(`${net.nymApiUrl}/v1/nym-nodes/rewarded-set`)) as Record<string, number[]>
    const layers = [rewarded.layer1, rewarded.layer2, rewarded.layer3]
    assert.ok(layers.every((layer) => layer!.length > 0))
    assert.deepEqual(layers.flat().sort(), [1, 2, 3, 4])
    const gateways = (await json(`${net.nymApiUrl}/v2/unstable/nym-nodes/skimmed/entry-gateways?page=0`)) as {
      nodes: { data: { ed25519_identity_pubkey: string }[] }
    }
    assert.deepEqual(
      gateways.nodes.data.map(({ ed25519_identity_pubkey }) => ed25519_identity_pubkey).sort(),
      [net.gateway(0).identityKey, net.gateway(1).identityKey].sort(),
    )
    assert.equal(net.nodes.length, 6)
    assert.equal(net.nodes.filter(({ clientUrl }) => clientUrl !== undefined).length, 2)
  })

  it('runs many at once in one process and leaves nothing behind', async () => {
    const networks = await Promise.all([Network.start(), Network.start(), Network.start()])
    const ports = networks.flatMap((net) => net.nodes.map(({ mixAddress }) => mixAddress))
    assert.equal(new Set(ports).size, ports.length)
    const directories = networks.map((net) => net.stateDirectory)
    await Promise.all(networks.map((net) => net.close()))
    for (const directory of directories) assert.equal(existsSync(directory), false)
    for (const net of networks) await assert.rejects(fetch(`${net.nymApiUrl}/v1/api-status/health`))
  })

  it('draws the same keys from the same seed, others from another', async () => {
    const identities = async (seed?: string) => {
      await using net = await Network.start({ seed })
      return net.nodes.map(({ identityKey }) => identityKey)
    }
    const [first, again, other, random] = [
      await identities('a'),
      await identities('a'),
      await identities('b'),
      await identities(),
    ]
    assert.deepEqual(first, again)
    assert.equal(new Set([...first, ...other, ...random]).size, 15)
  })

  it('sets every variable of the official clients, all pointing at this machine', async () => {
    await using net = await Network.start()
    const { environment } = net
    assert.equal(environment.CONFIGURED, 'true')
    assert.equal(environment.NYM_API, net.nymApiUrl)
    assert.deepEqual(JSON.parse(environment.NYM_APIS!), [{ url: net.nymApiUrl, front_hosts: null }])
    for (const [name, value] of Object.entries(environment)) {
      assert.notEqual(value, '', name)
      for (const [url] of value.matchAll(/\w+:\/\/[^"\s]+/g)) assert.equal(new URL(url).hostname, '127.0.0.1', name)
    }
    const file = readFileSync(net.envFile, 'utf8')
    for (const [name, value] of Object.entries(environment)) assert.ok(file.includes(`${name}=${value}\n`))
  })
})

describe('a network with a data directory', () => {
  it('comes back with the same keys and ports', async () => {
    const dataDirectory = join(scratch, 'resume')
    const run = async () => {
      await using net = await Network.start({ dataDirectory })
      return { url: net.nymApiUrl, nodes: net.nodes }
    }
    assert.deepEqual(await run(), await run())
  })

  it('is not shared by two networks', async () => {
    const dataDirectory = join(scratch, 'locked')
    await using _net = await Network.start({ dataDirectory })
    await assert.rejects(Network.start({ dataDirectory }), { code: 'MIX_DATA_LOCKED', kind: 'local' })
  })

  it('refuses other counts than those saved', async () => {
    const dataDirectory = join(scratch, 'counts')
    await (await Network.start({ dataDirectory })).close()
    await assert.rejects(Network.start({ dataDirectory, mixes: 6 }), { code: 'MIX_OPTIONS' })
    await (await Network.start({ dataDirectory, mixes: 3, gateways: 2 })).close()
  })
})

describe('a network with several authorities', () => {
  it('has one document, survives the loss of one, and comes back with the same keys and ports', async () => {
    const dataDirectory = join(scratch, 'authorities')
    const options = { dataDirectory, epochMs: 15_000, validityEpochs: 3 }
    const network = await Network.start({ ...options, authorities: 3, authorityThreshold: 2 })
    const { access, nodes, authorities } = network
    await using _closing = network
    assert.deepEqual([access.directory.length, access.authorities!.length, authorities.length], [3, 3, 3])
    assert.deepEqual(JSON.parse(network.environment.NYM_APIS!).length, 3)
    const shown = (path: string) =>
      Promise.all(access.directory.map(async (url) => JSON.stringify(await json(url + path))))
    for (const path of ['/v1/mixwright/consensus', '/v2/unstable/nym-nodes/semi-skimmed'])
      assert.equal(new Set(await shown(path)).size, 1, path)
    const { sha256, document } = authorities[2]!.authority.current!
    assert.equal(document.nodes.length, 5)

    await authorities[2]!.close()
    await assert.rejects(fetch(`${access.directory[2]}/v1/api-status/health`))
    await using client = await connect({ ...access, profile: 'local' })
    await client.send(client.address, 'with two of three').acknowledged
    await network.restartDirectory(2)
    assert.equal(network.authorities[2]!.authority.documentOf(document.epoch_id)?.sha256, sha256)

    await client.close()
    await network.close()
    await assert.rejects(Network.start({ ...options, authorities: 2 }), { code: 'MIX_OPTIONS' })
    await using again = await Network.start({ ...options, authorityThreshold: 2 })
    assert.deepEqual([again.access, again.nodes], [access, nodes])
  })
})

describe('a node from elsewhere', () => {
  it('joins by the address of its HTTP API, asked until it answers', async () => {
    await using elsewhere = await Network.start()
    const stranger = elsewhere.mix(0)
    await stranger.stop()
    await using net = await Network.start({ joining: [stranger.httpUrl] })
    const isListed = () =>
      net.directory.snapshot!.nodes.some((node) => node.ed25519_identity_pubkey === stranger.identityKey)
    assert.equal(isListed(), false)
    await stranger.start()
    while (!isListed()) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(net.directory.snapshot!.nodes.length, 6)
  })

  it('needs an address that can be one', async () => {
    for (const url of ['127.0.0.1:8080', 'ws://127.0.0.1:8080', 'http://127.0.0.1:8080/api'])
      await assert.rejects(Network.start({ joining: [url] }), { code: 'MIX_OPTIONS', kind: 'usage' }, url)
  })
})

describe('a network that cannot start', () => {
  it('names bad options', async () => {
    for (const options of [
      { mixes: 2 },
      { gateways: 0 },
      { mixes: 1.5 },
      { port: 70_000 },
      { port: -1 },
      { mixes: 1e9 },
      { authorities: 0 },
      { authorities: 10 },
      { authorities: 3, authorityThreshold: 4 },
      { authorityThreshold: 1 },
    ]) {
      await assert.rejects(Network.start(options), { code: 'MIX_OPTIONS', kind: 'usage' }, JSON.stringify(options))
    }
  })

  it('names the port that is in use and leaves nothing running', async () => {
    // Below the range from which systems hand out free ports, so that nobody else takes one meanwhile.
    const port = 20_000 + (process.pid % 500) * 20
    const server = createServer()
    await listenOn(server, { host: '127.0.0.1', port: port + 1 })
    // The first node's port: the rest of the network is already up when it fails.
    await assert.rejects(Network.start({ port }), { code: 'MIX_PORT_IN_USE', kind: 'local' })
    server.close()
    await (await Network.start({ port })).close()
  })
})

describe('one node of a network', () => {
  it('stops and starts again as the same node', async () => {
    await using net = await Network.start()
    const gateway = net.gateway(0)
    const before = net.nodes
    await gateway.stop()
    assert.equal(gateway.running, false)
    await assert.rejects(fetch(`${gateway.httpUrl}/api/v1/health`))
    await gateway.start()
    await json(`${gateway.httpUrl}/api/v1/health`)
    assert.deepEqual(net.nodes, before)
    // Away for so long that the directory gave it up: it is listed again as soon as it is back.
    await gateway.stop()
    for (let missed = 0; missed < 3; missed++) await net.directory.refresh()
    assert.equal(net.directory.snapshot?.nodes.length, 4)
    await gateway.start()
    assert.equal(net.directory.snapshot?.nodes.length, 5)
    await assert.rejects(gateway.start(), { code: 'MIX_NODE_RUNNING' })
  })
})
