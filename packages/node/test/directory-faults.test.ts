/** A directory that answers garbage, too much, or nothing, and what a node's view of the network makes of it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, describe, it } from 'node:test'
import { MemoryMetrics, MixError, SeededRandom, silentLogger, uniform, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { DirectorySource } from '../src/network/directory-source.js'
import type { NetworkSource, NetworkTopology } from '../src/network/network-source.js'
import type { ListedPeer } from '../src/network/network-view.js'
import { TopologyWatch } from '../src/network/topology-watch.js'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})
const random = new SeededRandom('directory faults')
const turn = () => new Promise((resolve) => setImmediate(resolve))

function vectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../../vectors/${name}.json`, import.meta.url), 'utf8'))
}
const misc = vectors<Record<string, { response: { json: string } }>>('directory-misc')
const { endpoints } = vectors<{ endpoints: { path: string; response: { json: string } }[] }>('directory-semi-skimmed')
const GOOD = {
  rotation: misc.key_rotation_info!.response.json,
  rewarded: misc.rewarded_set!.response.json,
  nodes: endpoints.find(({ path }) => path.startsWith('/v2/unstable/nym-nodes/semi-skimmed'))!.response.json,
}

type Answers = Record<keyof typeof GOOD, string>

/** A node's questions, answered with these texts. */
function asking(answers: Partial<Answers>, status = 200): DirectorySource {
  const { rotation, rewarded, nodes } = { ...GOOD, ...answers }
  return new DirectorySource({
    directories: ['http://directory.test/api'],
    clock: new VirtualClock(),
    crypto,
    identitySeed: new Uint8Array(32).fill(1),
    identityKey: crypto.ed25519PublicKey(new Uint8Array(32).fill(1)),
    fetch: async (url) => {
      const path = String(url)
      const text = path.includes('key-rotation') ? rotation : path.includes('rewarded') ? rewarded : nodes
      return new Response(text, { status })
    },
  })
}

/** Fulfilled, or the code of its typed error; anything else fails the test. */
async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'taken'
  } catch (error) {
    assert.ok(error instanceof MixError, `${(error as Error).stack}`)
    return error.code
  }
}

/** One value somewhere inside is another. */
function bend(value: unknown): unknown {
  const others = [null, -1, 0, 1.5, 2 ** 53, 'x', '', [], {}, true, { secs: 1 }, '2026-13-45T99:99:99Z']
  if (typeof value !== 'object' || value === null || uniform(random) < 0.15)
    return others[Math.floor(uniform(random) * others.length)]
  const keys = Object.keys(value)
  const key = keys[Math.floor(uniform(random) * keys.length)]
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>
  if (key === undefined) return copy
  if (uniform(random) < 0.1) delete copy[key]
  else copy[key] = bend(copy[key])
  return copy
}

describe('the questions of a node to a directory', () => {
  it('take what the official one answers', async () => {
    const source = asking({})
    assert.ok((await source.topology()).peers.length > 0)
    assert.ok((await source.keyRotation()).epochMs > 0)
  })

  it('end with a typed error on garbage', async () => {
    const garbage = [
      '',
      'null',
      '[]',
      '{}',
      '1',
      '"x"',
      '<html>',
      '{"nodes":null}',
      '['.repeat(500_000),
      '\ufeff{}',
      '{"a":',
    ]
    for (const text of garbage) {
      for (const name of ['rotation', 'rewarded', 'nodes'] as const) {
        const source = asking({ [name]: text })
        const answer = await outcome(name === 'rotation' ? source.keyRotation() : source.topology())
        assert.match(answer, /^MIX_(DOCUMENT|DIRECTORY_DOCUMENT)$/, `${name}: ${text.slice(0, 20)}`)
      }
      await outcome(asking({ nodes: text }).known(['10.0.0.1']))
    }
    for (const status of [201, 301, 404, 429, 500]) {
      const source = asking({}, status)
      if (status >= 300) assert.equal(await outcome(source.topology()), 'MIX_DIRECTORY_UNREACHABLE')
      else assert.equal(await outcome(source.topology()), 'taken')
    }
  })

  it('give a typed error or sound values for any bent document', async (t) => {
    const outcomes = new Map<string, number>()
    for (let run = 0; run < 3000; run++) {
      const name = (['rotation', 'rewarded', 'nodes'] as const)[run % 3]!
      const source = asking({ [name]: JSON.stringify(bend(JSON.parse(GOOD[name]))) })
      const answer = await outcome(
        name === 'rotation'
          ? source.keyRotation().then((info) => {
              for (const number of Object.values(info)) assert.ok(Number.isFinite(number), JSON.stringify(info))
              assert.ok(info.epochMs > 0 && info.validityEpochs > 0)
            })
          : source.topology().then(({ peers }) => {
              for (const { noiseKey } of peers) assert.ok(noiseKey === undefined || noiseKey.length === 32)
            }),
      )
      outcomes.set(answer, (outcomes.get(answer) ?? 0) + 1)
    }
    t.diagnostic(JSON.stringify(Object.fromEntries(outcomes)))
    assert.ok(outcomes.size > 1)
  })

  it('refuse lists without an end and lists that are too long', async () => {
    const page = JSON.parse(GOOD.nodes)
    const [node] = page.nodes.data
    const listOf = (count: number, total: number) =>
      JSON.stringify({
        ...page,
        nodes: { pagination: { ...page.nodes.pagination, total }, data: Array.from({ length: count }, () => node) },
      })
    assert.equal(await outcome(asking({ nodes: listOf(10_000, 20_000) }).topology()), 'taken')
    assert.equal(await outcome(asking({ nodes: listOf(10_000, 1e9) }).topology()), 'MIX_DIRECTORY_DOCUMENT')
    assert.equal(await outcome(asking({ nodes: listOf(20_001, 1) }).topology()), 'MIX_DIRECTORY_DOCUMENT')
    assert.equal(await outcome(asking({ nodes: listOf(1, 1e9) }).topology()), 'MIX_DIRECTORY_DOCUMENT')
    assert.equal(await outcome(asking({ nodes: ' '.repeat(17 * 2 ** 20) }).topology()), 'MIX_DIRECTORY_DOCUMENT')
  })
})

class FakeSource implements NetworkSource {
  readings = 0
  asked: string[][] = []
  topologyNow: NetworkTopology | Error = { peers: [], routable: false }

  async keyRotation(): Promise<never> {
    throw new Error('not asked')
  }

  async topology(): Promise<NetworkTopology> {
    this.readings++
    if (this.topologyNow instanceof Error) throw this.topologyNow
    return this.topologyNow
  }

  async known(ips: readonly string[]): Promise<ReadonlySet<string>> {
    this.asked.push([...ips])
    return new Set()
  }

  async announce(): Promise<void> {}
}

function peer(last: number, noise?: number): ListedPeer {
  return {
    ipAddresses: [`10.0.0.${last}`],
    mixPort: 1789,
    ...(noise !== undefined && { noiseKey: new Uint8Array(32).fill(noise) }),
  }
}

describe('the view of the network', () => {
  const away = new MixError('MIX_DIRECTORY_UNREACHABLE', 'away', { kind: 'network' })

  function watching() {
    const clock = new VirtualClock()
    const source = new FakeSource()
    const options = { source, clock, random, logger: silentLogger, metrics: new MemoryMetrics() }
    const watch = new TopologyWatch(options)
    const keyOf = (last: number) => watch.noiseKeyOf({ family: 4, host: `10.0.0.${last}`, port: 1789 })?.[0]
    const allowed = (...lasts: number[]) => lasts.filter((last) => watch.allows(`10.0.0.${last}`))
    return { clock, source, watch, keyOf, allowed }
  }

  it('survives a directory that lists nobody for a while, or half of them with other keys', async () => {
    const { clock, source, watch, keyOf, allowed } = watching()
    source.topologyNow = { peers: [peer(1, 1), peer(2, 2), peer(3, 3)], routable: true }
    await watch.refresh()
    assert.deepEqual(allowed(1, 2, 3, 4), [1, 2, 3])
    source.topologyNow = { peers: [], routable: false }
    await watch.refresh()
    assert.equal(watch.routable, false)
    assert.deepEqual(allowed(1, 2, 3, 4), [1, 2, 3])
    // What is listed counts, also a key that is gone; of the others what was known.
    source.topologyNow = { peers: [peer(1, 9), peer(2), peer(4, 4)], routable: false }
    await watch.refresh()
    assert.deepEqual(allowed(1, 2, 3, 4, 5), [1, 2, 3, 4])
    assert.deepEqual([1, 2, 3, 4].map(keyOf), [9, undefined, 3, 4])
    // An hour later it is believed.
    clock.advance(3_600_001)
    await watch.refresh()
    assert.deepEqual(allowed(1, 2, 3, 4), [1, 2, 4])
    // A whole network without some of them is believed at once.
    source.topologyNow = { peers: [peer(2)], routable: true }
    await watch.refresh()
    assert.deepEqual(allowed(1, 2, 3, 4), [2])
    watch.close()
  })

  it('stays while a directory fails for a day, which is asked again at most every half minute', async () => {
    const { clock, source, watch, allowed } = watching()
    source.topologyNow = { peers: [peer(1)], routable: true }
    await watch.refresh()
    source.topologyNow = away
    await watch.refresh()
    const before = source.readings
    for (let seconds = 0; seconds < 24 * 3600; seconds += 5) {
      clock.advance(5_000)
      await turn()
    }
    assert.deepEqual(allowed(1, 2), [1])
    const readings = source.readings - before
    assert.ok(readings >= 24 * 120 * 0.8 && readings <= 24 * 120 * 1.3, `${readings} readings`)
    watch.close()
    const closed = source.readings
    clock.advance(3_600_000)
    await turn()
    assert.equal(source.readings, closed)
  })

  it('asks after addresses that packets name, a hundred at a time, and remembers a thousand', async () => {
    const { clock, source, watch } = watching()
    source.topologyNow = { peers: [peer(1)], routable: true }
    await watch.refresh()
    for (let round = 0; round < 3; round++)
      for (let n = 0; n < 5_000; n++) assert.equal(watch.allows(`10.1.${n >> 8}.${n & 255}`), false)
    for (let rounds = 0; rounds < 30; rounds++) {
      clock.advance(5_000)
      await turn()
    }
    assert.ok(source.asked.every((ips) => ips.length <= 100))
    const asked = source.asked.flat()
    assert.equal(asked.length, 1000)
    assert.equal(new Set(asked).size, 1000)
    watch.close()
  })
})
