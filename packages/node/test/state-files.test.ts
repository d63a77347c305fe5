/**
 * The files of a node cut off at any length, as a broken disk or a bad copy leaves them: the node starts, or ends with one typed
 * error that names the file; it never ends otherwise, and never writes over keys.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { MemoryMetrics, MixError, RealClock, SystemRandom, silentLogger } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { loadOrCreateNodeKeys, Node, type NodeRole, StaticSource } from '../src/index.js'
import { ReplayProtection } from '../src/replay/replay-protection.js'
import { GatewayClient, type Identity, newIdentity } from './gateway-client.js'

const LISTEN = { host: '127.0.0.1', port: 0 }
const random = new SystemRandom()
let crypto: CryptoProvider
let scratch: string
before(async () => {
  crypto = await loadCryptoProvider()
  scratch = mkdtempSync(join(tmpdir(), 'mixwright-state-'))
})
after(() => rmSync(scratch, { recursive: true, force: true }))

const newDirectory = () => mkdtempSync(join(scratch, 'node-'))

/** As the command does it: the keys, then the node. */
async function startNode(role: NodeRole, stateDirectory: string): Promise<Node> {
  return await Node.start({
    role,
    clock: new RealClock(),
    random,
    logger: silentLogger,
    metrics: new MemoryMetrics(),
    crypto,
    keys: loadOrCreateNodeKeys(join(stateDirectory, 'keys.json'), crypto, random),
    stateDirectory,
    network: new StaticSource([], 2),
    announcedIps: [LISTEN.host],
    mixListen: LISTEN,
    ...(role === 'gateway' && { gateway: { listen: LISTEN } }),
  })
}

/** Start a node on a copy with one file cut off; `used` gets it when it starts. */
async function startCut(
  role: NodeRole,
  original: string,
  file: string,
  length: number,
  used: (node: Node, directory: string) => Promise<void> = async () => {},
): Promise<'started' | MixError> {
  const directory = newDirectory()
  cpSync(original, directory, { recursive: true })
  const path = join(directory, file)
  truncateSync(path, length)
  const cut = readFileSync(path)
  try {
    const node = await startNode(role, directory)
    try {
      await used(node, directory)
    } finally {
      await node.stop()
    }
    return 'started'
  } catch (error) {
    assert.ok(error instanceof MixError, `${file} cut off at ${length}: ${error}`)
    assert.equal(error.kind, 'local')
    assert.equal(error.data.path, path)
    assert.deepEqual(readFileSync(path), cut, 'it is left as it is')
    return error
  } finally {
    rmSync(directory, { recursive: true })
  }
}

describe('key files cut off at every length', () => {
  for (const file of ['keys.json', 'sphinx-keys.json'] as const) {
    it(file, async () => {
      const original = newDirectory()
      const first = await startNode('mixnode', original)
      const { keys } = first.description.hostInformation.data
      await first.stop()
      const { size } = statSync(join(original, file))
      for (let length = 0; length <= size; length++) {
        const outcome = await startCut('mixnode', original, file, length, async (node) => {
          assert.deepEqual(node.description.hostInformation.data.keys, keys)
        })
        // Only the line feed at its end may be missing.
        if (length >= size - 1) assert.equal(outcome, 'started')
        else assert.equal(outcome !== 'started' && outcome.code, 'MIX_KEY_FILE', `${length} bytes`)
      }
    })

    it(`${file} with something else in it`, async () => {
      for (const content of ['null', '[]', '{}', '{"primary":null}', '"', '\0\0\0\0', '{"identitySeed":"00"}']) {
        const directory = newDirectory()
        await (await startNode('mixnode', directory)).stop()
        writeFileSync(join(directory, file), content)
        await assert.rejects(startNode('mixnode', directory), {
          code: 'MIX_KEY_FILE',
          data: { path: join(directory, file) },
        })
        assert.equal(readFileSync(join(directory, file), 'utf8'), content)
      }
    })
  }

  it('a state directory that cannot be made', async () => {
    const file = join(newDirectory(), 'file')
    writeFileSync(file, '')
    const keys = newDirectory()
    const options = {
      role: 'mixnode' as const,
      clock: new RealClock(),
      random,
      logger: silentLogger,
      metrics: new MemoryMetrics(),
      crypto,
      keys: loadOrCreateNodeKeys(join(keys, 'keys.json'), crypto, random),
      stateDirectory: join(file, 'state'),
      network: new StaticSource([], 2),
      announcedIps: [LISTEN.host],
      mixListen: LISTEN,
    }
    await assert.rejects(Node.start(options), { code: 'MIX_FILE_WRITE', data: { path: join(file, 'state') } })
  })
})

describe('replay files cut off', () => {
  it('at any length: the node starts, and remembers what is left', async () => {
    const original = newDirectory()
    await (await startNode('mixnode', original)).stop()
    const replay = await ReplayProtection.open({
      directory: original,
      clock: new RealClock(),
      random,
      crypto,
      logger: silentLogger,
      metrics: new MemoryMetrics(),
    })
    await replay.protect(2)
    for (let tag = 0; tag < 80_000; tag++) {
      const bytes = new Uint8Array(32)
      new DataView(bytes.buffer).setUint32(0, tag)
      assert.equal(replay.check(2, bytes), 'fresh')
    }
    await replay.flush()
    await replay.close()
    const files = readdirSync(original).filter((name) => name.startsWith('replay-'))
    assert.equal(files.length, 2)
    for (const file of files) {
      const { size } = statSync(join(original, file))
      const lengths = [0, 1, 8, 87, 88, 89, 94, 100, size >> 1, size - 1].filter((length) => length < size)
      for (const length of new Set(lengths)) assert.equal(await startCut('mixnode', original, file, length), 'started')
    }
  })
})

describe('the database of a gateway cut off', () => {
  const clients: Identity[] = []

  /** With registered clients: as a clean stop leaves it, or as it is while the gateway runs, with its log beside it. */
  async function filled(running: boolean): Promise<string> {
    const directory = newDirectory()
    clients.length = 0
    const node = await startNode('gateway', directory)
    for (let i = 0; i < 120; i++) {
      const identity = newIdentity(crypto)
      const client = await GatewayClient.connect(node.clientPort!, identity, crypto)
      assert.equal((await client.register()).type, 'register')
      await client.drop()
      clients.push(identity)
    }
    const copy = newDirectory()
    if (running) cpSync(directory, copy, { recursive: true })
    await node.stop()
    return running ? copy : directory
  }

  /** Whether clients are still known is the disk's fault; that they are answered is ours. */
  async function serves(node: Node): Promise<void> {
    for (const identity of [clients[0]!, clients.at(-1)!]) {
      const client = await GatewayClient.connect(node.clientPort!, identity, crypto)
      assert.match((await client.ask(client.authentication())).type, /^(authenticate|error)$/)
      await client.drop()
    }
    const client = await GatewayClient.connect(node.clientPort!, newIdentity(crypto), crypto)
    assert.equal((await client.register()).type, 'register')
    await client.drop()
  }

  it('at any length: a typed error, and nothing is written over it', async () => {
    const original = await filled(false)
    const { size } = statSync(join(original, 'gateway.sqlite'))
    const lengths = new Set([1, 15, 16, 50, 99, 100, 101, 511, 512, 1024, size - 512, size - 1])
    for (let page = 4096; page < size; page += 4096) for (const off of [-1, 0, 1]) lengths.add(page + off)
    for (const length of lengths) {
      const outcome = await startCut('gateway', original, 'gateway.sqlite', length)
      assert.equal(outcome !== 'started' && outcome.code, 'MIX_GATEWAY_DATABASE', `cut off at ${length} of ${size}`)
    }
    // An empty file is what a start leaves that was interrupted at once.
    assert.equal(await startCut('gateway', original, 'gateway.sqlite', 0, serves), 'started')
    assert.equal(await startCut('gateway', original, 'gateway.sqlite', size, serves), 'started')
  })

  it('its log at any length: the gateway starts with what was committed before, and serves', async () => {
    const original = await filled(true)
    const file = 'gateway.sqlite-wal'
    const { size } = statSync(join(original, file))
    assert.ok(size > 100_000)
    const lengths = [0, 1, 31, 32, 33, 55, 56, 4151, 4152, 4153, size - 1, size]
    for (let i = 1; i < 12; i++) lengths.push(Math.floor((size * i) / 12.3))
    for (const length of lengths) assert.equal(await startCut('gateway', original, file, length, serves), 'started')
  })
})
