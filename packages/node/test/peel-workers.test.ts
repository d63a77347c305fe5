import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { MemoryMetrics, RealClock, SeededRandom, silentLogger, uniform } from '@mixwright/runtime'
import {
  buildPacket,
  type CryptoProvider,
  encodeNodeAddress,
  loadCryptoProvider,
  PACKET_SIZES,
  type PacketSize,
} from '@mixwright/sphinx'
import { encodeFrame, encodeSurbAck, type Frame, FrameDecoder } from '@mixwright/wire'
import { type SphinxKey, SphinxKeys } from '../src/keys/sphinx-keys.js'
import { type PacketOutcome, PacketPipeline } from '../src/peel/packet-pipeline.js'
import { packFrames, peelBatch, unpackOutcomes } from '../src/peel/peel-batch.js'
import { PeelWorkers } from '../src/peel/peel-workers.js'

const ROLES = { forwardHops: true, finalHops: true }
const random = new SeededRandom('peel workers')
let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

function key(rotationId: number): SphinxKey {
  const secret = random.bytes(32)
  return { rotationId, secret, publicKey: crypto.x25519Base(secret) }
}

/** Frames of all sizes, forward and final, with and without ack, some of them broken. */
function frames(own: SphinxKey, count: number): Frame[] {
  const sizes = Object.values(PACKET_SIZES)
  return Array.from({ length: count }, (_, i) => {
    const size: PacketSize = sizes[i % sizes.length]!
    const nextHop =
      i % 2 === 0
        ? ({ family: 4, host: '10.1.2.3', port: i + 1 } as const)
        : ({ family: 6, host: '2001:db8::7', port: i + 1 } as const)
    const hop = (publicKey: Uint8Array) => ({ address: encodeNodeAddress(nextHop, 32), publicKey })
    const final = i % 3 === 0
    const ack = random.bytes(PACKET_SIZES.ack.packetBytes)
    const message =
      size.name === 'ack'
        ? random.bytes(21)
        : final
          ? new Uint8Array([...encodeSurbAck({ firstHop: nextHop, packet: ack }), ...random.bytes(i + 1)])
          : random.bytes(100)
    const packet = buildPacket(crypto, random, {
      route: final ? [hop(own.publicKey)] : [hop(own.publicKey), hop(key(0).publicKey)],
      delaysNanos: final ? [0n] : [BigInt(i) * 1_000_000n, 0n],
      destination: random.bytes(32),
      packetSize: size,
      message,
    })
    if (i % 7 === 6) packet[Math.floor(uniform(random) * 300)]! ^= 1
    let found: Frame | undefined
    new FrameDecoder().push(encodeFrame(packet, ((own.rotationId % 2) + (i % 2)) as 0 | 1 | 2), (frame) => {
      found = frame
    })
    return found!
  })
}

describe('a batch', () => {
  it('carries every outcome unchanged', () => {
    const own = key(2)
    const pipeline = new PacketPipeline(crypto, new SphinxKeys(own), ROLES)
    const batch = frames(own, 60)
    const expected = batch.flatMap((frame) => pipeline.process([frame]))
    assert.deepEqual(new Set(expected.map(({ kind }) => kind)), new Set(['forward', 'final', 'drop']))
    const packed = packFrames(batch)
    peelBatch(packed, (frames) => pipeline.process(frames))
    assert.deepEqual(plain(unpackOutcomes(packed, batch)), plain(expected))
  })
})

describe('peel workers', () => {
  const start = (keys: SphinxKeys, metrics = new MemoryMetrics()) =>
    PeelWorkers.start({
      count: 2,
      crypto: crypto.name,
      roles: ROLES,
      keys,
      clock: new RealClock(),
      logger: silentLogger,
      metrics,
    })
  const peel = (workers: PeelWorkers, batch: Frame[]) =>
    new Promise<readonly (PacketOutcome | undefined)[]>((resolve) => workers.peel(batch, resolve))

  it('peel as this thread does, with the keys of the moment', async () => {
    const [old, own] = [key(1), key(2)]
    const keys = new SphinxKeys(own, old)
    const pipeline = new PacketPipeline(crypto, keys, ROLES)
    const workers = await start(keys)
    const batches = [frames(own, 20), frames(old, 20), frames(own, 20), frames(key(4), 5)]
    const outcomes = await Promise.all(batches.map((batch) => peel(workers, batch)))
    assert.deepEqual(
      outcomes.map(plain),
      batches.map((batch) => plain(batch.flatMap((frame) => pipeline.process([frame])))),
    )
    assert.equal(workers.underWay, 0)
    // What was handed in before the keys changed is peeled with the old ones, what comes after with the new.
    const next = key(3)
    const before = peel(workers, frames(old, 10))
    workers.setKeys(new SphinxKeys(next, own))
    const after = await peel(workers, frames(old, 10))
    assert.ok((await before).some((outcome) => outcome?.kind === 'forward'))
    assert.ok(after.every((outcome) => outcome?.kind === 'drop'))
    assert.ok((await peel(workers, frames(next, 10))).some((outcome) => outcome?.kind === 'forward'))
    await workers.close()
  })

  it('have room for two batches each, and say when there is room again', async () => {
    const own = key(2)
    const workers = await start(new SphinxKeys(own))
    const batch = frames(own, 5)
    const room = new Promise<void>((resolve) => {
      workers.onRoom = resolve
    })
    const all = Array.from({ length: 4 }, () => peel(workers, batch))
    assert.equal(workers.room, 0)
    assert.equal(workers.underWay, 20)
    await room
    assert.ok(workers.room > 0)
    await Promise.all(all)
    await workers.close()
  })

  it('are replaced when they die; what they held is given up, and the next batch is peeled', async () => {
    const own = key(2)
    const metrics = new MemoryMetrics()
    const workers = await start(new SphinxKeys(own), metrics)
    const batch = frames(own, 3)
    await Promise.all([peel(workers, batch), peel(workers, batch)])
    // A key of a wrong length stands for a fault of our own: the provider throws.
    workers.setKeys(new SphinxKeys({ ...own, secret: own.secret.subarray(0, 5) }))
    const lost = await Promise.all([peel(workers, batch), peel(workers, batch)])
    assert.deepEqual(lost, [Array(3).fill(undefined), Array(3).fill(undefined)])
    assert.equal(metrics.value('mixwright_peel_workers_replaced_total'), 2)
    workers.setKeys(new SphinxKeys(own))
    const outcomes = await peel(workers, frames(own, 10))
    assert.ok(outcomes.some((outcome) => outcome?.kind === 'forward'))
    await workers.close()
  })

  it('start only if they can work', async () => {
    const metrics = new MemoryMetrics()
    const starting = PeelWorkers.start({
      count: 2,
      crypto: 'no such library' as 'noble',
      roles: ROLES,
      keys: new SphinxKeys(key(2)),
      clock: new RealClock(),
      logger: silentLogger,
      metrics,
    })
    await assert.rejects(starting, /no such library/)
    assert.equal(metrics.value('mixwright_peel_workers_replaced_total'), 0)
  })
})

/** Bytes as hex, whatever array they are in. */
function plain(outcomes: readonly unknown[]): unknown {
  return JSON.parse(
    JSON.stringify(outcomes, (_name, value) => {
      if (typeof value === 'bigint') return `${value}n`
      return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value
    }),
  )
}
