/**
 * The process of the node under test: a mix node with an empty state directory and the fixed keys, in a network of which the
 * generator's sink is the only other node. Argument: `NodeUnderTestOptions` as JSON. Tells its parent where it listens, then
 * answers each message with what it has used and done so far; it ends when the parent lets go of it.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNodeKeys, Node, StaticSource } from '@mixwright/node'
import { MemoryMetrics, RealClock, SystemRandom, silentLogger, toHex } from '@mixwright/runtime'
import { type CryptoProviderName, loadCryptoProvider } from '@mixwright/sphinx'
import { HOST, keyPair, ROTATION_ID, SINK_PORT } from './fixed-keys.js'

export interface NodeUnderTestOptions {
  readonly crypto: CryptoProviderName
  /** Threads that peel; 0: the main thread does. */
  readonly workers: number
  /** Noise with the generator and the sink; else plain TCP. */
  readonly noise: boolean
  readonly replay: boolean
}

export interface NodeReady {
  readonly mixPort: number
}

/** What the node has used and done since its start. */
export interface NodeReport {
  /** Microseconds of the whole process, all threads, user and kernel. */
  readonly cpuMicros: number
  /** Resident memory, bytes. */
  readonly residentBytes: number
  /** Packets that the operating system has taken for the next hop. */
  readonly forwarded: number
  /** Dropped packets by reason. */
  readonly dropped: Readonly<Record<string, number>>
  /** From arrival until taken up for peeling. */
  readonly waiting: Buckets
}

export interface Buckets {
  /** Upper ends, seconds. */
  readonly bounds: readonly number[]
  /** One more than bounds. */
  readonly counts: readonly number[]
}

async function main(): Promise<void> {
  const { crypto: cryptoName, workers, noise, replay } = JSON.parse(process.argv[2]!) as NodeUnderTestOptions
  const crypto = await loadCryptoProvider(cryptoName)
  const random = new SystemRandom()
  const metrics = new MemoryMetrics()
  const stateDirectory = mkdtempSync(join(tmpdir(), 'mixwright-bench-node-state-'))
  process.once('exit', () => rmSync(stateDirectory, { recursive: true, force: true }))
  const sphinx = { rotationId: ROTATION_ID, secret: toHex(keyPair(crypto, 'node-sphinx').secret) }
  writeFileSync(join(stateDirectory, 'sphinx-keys.json'), JSON.stringify({ primary: sphinx, secondary: null }))
  const noiseKeys = keyPair(crypto, 'node-noise')
  const sink = {
    ipAddresses: [HOST],
    mixPort: SINK_PORT,
    ...(noise && { noiseKey: keyPair(crypto, 'generator-noise').publicKey }),
  }
  const node = await Node.start({
    role: 'mixnode',
    clock: new RealClock(),
    random,
    logger: silentLogger,
    metrics,
    crypto,
    keys: { ...createNodeKeys(crypto, random), noiseSecret: noiseKeys.secret, noiseKey: noiseKeys.publicKey },
    stateDirectory,
    network: new StaticSource([sink], ROTATION_ID),
    announcedIps: [HOST],
    mixListen: { host: HOST, port: 0 },
    noise: noise ? 'require' : 'off',
    replayProtection: replay,
    workers,
  })
  process.on('message', () => process.send!(report(metrics)))
  process.once('disconnect', () => void node.stop().then(() => process.exit()))
  process.send!({ mixPort: node.mixPort } satisfies NodeReady)
}

function report(metrics: MemoryMetrics): NodeReport {
  const { user, system } = process.cpuUsage()
  const dropped: Record<string, number> = {}
  let waiting: Buckets = { bounds: [], counts: [] }
  for (const family of metrics.families()) {
    if (family.name === 'mixwright_dropped_packets_total')
      for (const { labels, cell } of family.samples.values())
        dropped[labels.reason!] = (cell as { value: number }).value
    if (family.type === 'histogram' && family.name === 'mixnet_packet_stage_forwarder_queue_seconds')
      for (const { cell } of family.samples.values()) waiting = { bounds: cell.bounds, counts: [...cell.counts] }
  }
  return {
    cpuMicros: user + system,
    residentBytes: process.memoryUsage.rss(),
    forwarded: metrics.value('nym_node_mixnet_egress_forward_packets_sent'),
    dropped,
    waiting,
  }
}

await main()
