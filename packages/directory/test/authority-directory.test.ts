/** Directories that are authorities: nodes are read over HTTP, agreed on, and shown on the official routes, alike at each. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { MemoryMetrics, SeededRandom, silentLogger, VirtualClock } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { type Fetch, identityOf, type NodeDescriptor, type SkimmedNode } from '@mixwright/wire'
import { AuthorityDirectory } from '../src/consensus/authority-directory.js'
import type { AuthorityAddress } from '../src/consensus/authority-peers.js'
import { verifyDirectory } from '../src/consensus/verify-directory.js'
import { loadOrCreateIdentity } from '../src/directory-identity.js'
import type { NodeEntry } from '../src/nodes/node-reader.js'
import { descriptorOf } from './consensus-network.js'

const LOOPBACK = '127.0.0.1'
const HOUR_MS = 3_600_000
const START = 1_000 * HOUR_MS
const EPOCH = { genesisMs: 0, durationMs: HOUR_MS, validityEpochs: 4 }
const ROUTES = [
  '/v1/nym-nodes/rewarded-set',
  '/v1/epoch/key-rotation-info',
  '/v1/nym-nodes/described',
  '/v2/nym-nodes/described?output=bincode',
  '/v2/unstable/nym-nodes/skimmed/mixnodes/active',
  '/v2/unstable/nym-nodes/skimmed/entry-gateways?output=bincode',
  '/v2/unstable/nym-nodes/semi-skimmed',
  '/v1/mixwright/consensus',
]

let crypto: CryptoProvider
let folder: string
let clock: VirtualClock
let closers: (() => Promise<unknown>)[]
before(async () => {
  crypto = await loadCryptoProvider()
})
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mixwright-authorities-'))
  clock = new VirtualClock(START)
  closers = []
})
afterEach(async () => {
  for (const close of closers) await close()
  rmSync(folder, { recursive: true })
})

const pending = new Set<Promise<unknown>>()
const fetch: Fetch = (input, init) => {
  const answer = (async () => {
    const response = await globalThis.fetch(input, init)
    return new Response(await response.arrayBuffer(), { status: response.status })
  })()
  const settled: Promise<unknown> = answer.then(
    () => pending.delete(settled),
    () => pending.delete(settled),
  )
  pending.add(settled)
  return answer
}

/** In steps of half a minute, each when everything that was sent has arrived. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 30_000) {
    clock.advance(30_000)
    await setImmediate()
    while (pending.size > 0) {
      await Promise.all(pending)
      await setImmediate()
    }
  }
}

async function closing(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

/** A node's own HTTP API, out of its descriptor. */
async function serveNode(descriptor: NodeDescriptor): Promise<NodeEntry> {
  const { host_information, declared_role, mixnet_websockets, auxiliary_details, build_information } = descriptor
  const answers: Readonly<Record<string, unknown>> = {
    health: { status: 'up', uptime: 1 },
    'host-information': host_information,
    roles: {
      mixnode_enabled: declared_role.mixnode,
      gateway_enabled: declared_role.entry,
      network_requester_enabled: declared_role.exit_nr,
      ip_packet_router_enabled: declared_role.exit_ipr,
    },
    'build-information': build_information,
    'gateway/client-interfaces/mixnet-websockets': mixnet_websockets,
    'auxiliary-details': auxiliary_details,
  }
  const server = createServer((request, response) => {
    response.end(JSON.stringify(answers[request.url!.slice('/api/v1/'.length)]))
  })
  const httpPort = await listenOn(server, { host: LOOPBACK, port: 0 })
  closers.push(() => closing(server))
  return { host: LOOPBACK, httpPort }
}

async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listenOn(server, { host: LOOPBACK, port: 0 })
  await closing(server)
  return port
}

/** As many authorities, founded beforehand, since each has to know the keys of all. */
async function found(count: number): Promise<AuthorityAddress[]> {
  const addresses: AuthorityAddress[] = []
  for (let index = 0; index < count; index++) {
    const { key } = loadOrCreateIdentity(stateOf(index), crypto, new SeededRandom(`${index}`), START, EPOCH)
    addresses.push({ key, url: `http://${LOOPBACK}:${await freePort()}/api` })
  }
  return addresses
}

const stateOf = (index: number) => join(folder, `authority-${index}`)

async function start(index: number, authorities: AuthorityAddress[], nodes: NodeEntry[]): Promise<AuthorityDirectory> {
  const started = await AuthorityDirectory.start({
    clock,
    random: new SeededRandom(`directory ${index}`),
    logger: silentLogger,
    metrics: new MemoryMetrics(),
    crypto,
    listen: { host: LOOPBACK, port: Number(new URL(authorities[index]!.url).port) },
    nodes,
    epoch: EPOCH,
    stateDirectory: stateOf(index),
    readIntervalMs: HOUR_MS / 2,
    authorities,
    fetch,
  })
  closers.push(() => started.close())
  await started.directory.whenRead()
  return started
}

async function bodies(url: string): Promise<string[]> {
  return Promise.all(
    ROUTES.map(async (route) => {
      const response = await fetch(url + route)
      assert.equal(response.status, 200, route)
      return Buffer.from(await response.arrayBuffer()).toString('hex')
    }),
  )
}

const mixnodes = () => [1, 2, 3].map((node) => descriptorOf(crypto, node))
const gateway = () => descriptorOf(crypto, 90, { entry: true })

describe('a directory that is an authority', () => {
  it('alone has a network as soon as it has read one', async () => {
    const [address] = await found(1)
    const nodes = await Promise.all([...mixnodes(), gateway()].map(serveNode))
    const alone = await start(0, [address!], nodes)
    await alone.whenRoutable()
    assert.equal(alone.directory.snapshot!.nodes.length, 4)
    const { agreed, documents } = await verifyDirectory([address!.url], [address!.key], { clock, crypto, fetch })
    assert.equal(agreed, true)
    assert.deepEqual([documents[0]!.nodes, documents[0]!.routable], [4, true])
  })

  it('of three shows the same bytes on every route, and lists only what most have seen', async () => {
    const addresses = await found(3)
    const [extra, ...nodes] = await Promise.all([descriptorOf(crypto, 7), ...mixnodes(), gateway()].map(serveNode))
    const authorities = []
    for (const index of [0, 1, 2])
      authorities.push(await start(index, addresses, index === 0 ? [extra!, ...nodes] : nodes))
    await assert.rejects(authorities[0]!.whenRoutable(), { code: 'MIX_NOT_ROUTABLE' })
    await pass(HOUR_MS / 5)
    for (const authority of authorities) await authority.whenRoutable().catch(() => {})
    const shown = await Promise.all(addresses.map(({ url }) => bodies(url)))
    for (const others of shown.slice(1))
      for (const [index, body] of others.entries()) assert.equal(body, shown[0]![index], ROUTES[index])
    const identities = authorities[0]!.directory.snapshot!.nodes.map(
      (node: SkimmedNode) => node.ed25519_identity_pubkey,
    )
    assert.deepEqual(new Set(identities), new Set([...mixnodes(), gateway()].map(identityOf)))
    await pass(HOUR_MS)
    assert.deepEqual(
      authorities.map(({ directory }) => directory.snapshot!.epoch.id - START / HOUR_MS),
      [1, 1, 1],
    )
    const keys = addresses.map(({ key }) => key)
    const report = await verifyDirectory(
      addresses.map(({ url }) => url),
      keys,
      { clock, crypto, fetch },
    )
    assert.deepEqual([report.agreed, report.documents.length], [true, 3])
  })

  it('needs a genesis that all have in common', async () => {
    const addresses = await found(3)
    const { genesisMs: _, ...epoch } = EPOCH
    const options = { clock, random: new SeededRandom('x'), logger: silentLogger, metrics: new MemoryMetrics(), crypto }
    const listen = { host: LOOPBACK, port: 0 }
    await assert.rejects(
      AuthorityDirectory.start({
        ...options,
        listen,
        nodes: [],
        epoch,
        stateDirectory: folder,
        authorities: addresses,
      }),
      { code: 'MIX_OPTIONS' },
    )
  })
})
