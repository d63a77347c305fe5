/** A directory with epochs of its own, which can be led astray, and a node's key rotation that follows it with real files. */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Clock,
  MemoryMetrics,
  MixError,
  SystemRandom,
  silentLogger,
  type Timer,
  type VirtualClock,
} from '@mixwright/runtime'
import { buildPacket, type CryptoProvider, encodeNodeAddress, PACKET_SIZES } from '@mixwright/sphinx'
import { encodeFrame, type Frame, FrameDecoder, type FrameVersion, rotationOfId } from '@mixwright/wire'
import { KeyRotation } from '../src/keys/key-rotation.js'
import { SPHINX_KEY_FILE } from '../src/keys/node-keys.js'
import { SphinxKeyFile } from '../src/keys/sphinx-key-file.js'
import type { SphinxKeys } from '../src/keys/sphinx-keys.js'
import type { NetworkSource, NetworkTopology, RotationInfo } from '../src/network/network-source.js'
import { PacketPipeline } from '../src/peel/packet-pipeline.js'
import { ReplayProtection } from '../src/replay/replay-protection.js'

export const EPOCH_MS = 60_000
export const VALIDITY = 4
const random = new SystemRandom()

/** Tells its epochs by its own count of time, whatever the clock of the node says. */
export class FakeDirectory implements NetworkSource {
  asked = 0
  away = false
  /** Does not answer at all. */
  silent = false
  /** Added to the epoch that it tells. */
  shift = 0
  /** Told instead of the truth. */
  lie: Partial<RotationInfo> = {}

  constructor(readonly clock: VirtualClock) {}

  get epochId(): number {
    return Math.floor(this.clock.monotonic() / EPOCH_MS)
  }

  async keyRotation(): Promise<RotationInfo> {
    this.asked++
    if (this.silent) await new Promise(() => {})
    if (this.away) throw new MixError('MIX_DIRECTORY_UNREACHABLE', 'away', { kind: 'network' })
    const { epochId } = this
    const epochStartMs = this.clock.now() - (this.clock.monotonic() - epochId * EPOCH_MS)
    return {
      validityEpochs: VALIDITY,
      initialEpochId: 0,
      epochMs: EPOCH_MS,
      epochId: epochId + this.shift,
      epochStartMs,
      ...this.lie,
    }
  }

  async topology(): Promise<NetworkTopology> {
    return { peers: [{ ipAddresses: ['127.0.0.1'], mixPort: 1 }], routable: true }
  }

  async known(): Promise<ReadonlySet<string>> {
    return new Set()
  }

  async announce(): Promise<void> {}
}

/** The node's clock: as wrong as is wished. Knows whether the rotation has a timer running. */
class NodeClock implements Clock {
  armed = 0

  constructor(
    readonly truth: VirtualClock,
    readonly errorMs: number,
  ) {}

  now(): number {
    return this.truth.now() + this.errorMs
  }

  monotonic(): number {
    return this.truth.monotonic()
  }

  setTimer(delayMs: number, action: () => void): Timer {
    this.armed++
    let over = false
    const end = () => {
      if (!over) this.armed--
      over = true
    }
    const timer = this.truth.setTimer(delayMs, () => {
      end()
      action()
    })
    return {
      cancel: () => {
        end()
        timer.cancel()
      },
    }
  }
}

export class RotatingNode {
  readonly path: string
  readonly file: SphinxKeyFile
  readonly metrics = new MemoryMetrics()
  /** Public keys by rotation, as they were drawn: a second one for the same rotation is an error of its own. */
  readonly published = new Map<number, Uint8Array>()
  readonly redrawn: number[] = []
  readonly pipeline: PacketPipeline
  rotation!: KeyRotation
  replay!: ReplayProtection
  readonly #clock: NodeClock

  private constructor(
    readonly crypto: CryptoProvider,
    readonly directory: FakeDirectory,
    readonly stateDirectory: string,
    errorMs: number,
  ) {
    this.path = join(stateDirectory, SPHINX_KEY_FILE)
    this.file = new SphinxKeyFile(this.path, crypto)
    this.#clock = new NodeClock(directory.clock, errorMs)
    const keys = this.file.read() ?? this.file.create(random, Math.floor(directory.epochId / VALIDITY))
    this.pipeline = new PacketPipeline(crypto, keys, { forwardHops: true, finalHops: true })
  }

  static async start(
    crypto: CryptoProvider,
    directory: FakeDirectory,
    scratch: string,
    { errorMs = 0, stateDirectory = mkdtempSync(join(scratch, 'rotating-')) } = {},
  ): Promise<RotatingNode> {
    const node = new RotatingNode(crypto, directory, stateDirectory, errorMs)
    await node.#start()
    return node
  }

  async #start(): Promise<void> {
    const { crypto, metrics, directory, file } = this
    const clock = directory.clock
    this.replay = await ReplayProtection.open({
      directory: this.stateDirectory,
      clock,
      random,
      crypto,
      logger: silentLogger,
      metrics,
    })
    await this.#took(this.pipeline.keys)
    for (const id of this.ids) await this.replay.protect(id)
    this.rotation = new KeyRotation(
      {
        source: directory,
        file,
        clock: this.#clock,
        random,
        crypto,
        logger: silentLogger,
        metrics,
        prepare: (id) => this.replay.protect(id),
        changed: (keys) => this.#took(keys),
      },
      this.pipeline.keys,
    )
    await this.rotation.turn()
  }

  /** As a node does it. */
  async #took(keys: SphinxKeys): Promise<void> {
    this.pipeline.keys = keys
    for (const key of [keys.primary, keys.secondary]) {
      if (key === undefined) continue
      const before = this.published.get(key.rotationId)
      if (before !== undefined && !Buffer.from(before).equals(key.publicKey)) this.redrawn.push(key.rotationId)
      this.published.set(key.rotationId, key.publicKey)
    }
    await this.replay.keepOnly(this.ids)
  }

  /** Primary, then secondary. */
  get ids(): number[] {
    const { primary, secondary } = this.pipeline.keys
    return secondary ? [primary.rotationId, secondary.rotationId] : [primary.rotationId]
  }

  get idsOnDisk(): number[] {
    const { primary, secondary } = this.file.read()!
    return secondary ? [primary.rotationId, secondary.rotationId] : [primary.rotationId]
  }

  /** Let time go by; only what the node's own timers begin happens. */
  async pass(ms: number): Promise<void> {
    const { clock } = this.directory
    const end = clock.monotonic() + ms
    while (clock.monotonic() < end) {
      clock.advance(Math.min(250, end - clock.monotonic()))
      while (this.#clock.armed === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** A frame for this node with its key of `rotationId`. */
  frame(rotationId: number, version: FrameVersion): Frame {
    const address = encodeNodeAddress({ family: 4, host: '127.0.0.1', port: 9 }, 32)
    const packet = buildPacket(this.crypto, random, {
      route: [
        { address, publicKey: this.published.get(rotationId)! },
        { address, publicKey: this.crypto.x25519Base(random.bytes(32)) },
      ],
      delaysNanos: [0n, 0n],
      destination: random.bytes(32),
      packetSize: PACKET_SIZES.ack,
      message: random.bytes(21),
    })
    const frames: Frame[] = []
    new FrameDecoder().push(encodeFrame(packet, rotationOfId(rotationId), version), (frame) => frames.push(frame))
    return frames[0]!
  }

  /** What becomes of it: why it is dropped, or what the replay check says. */
  fate(frame: Frame): string {
    const outcome = this.pipeline.process([{ ...frame, packet: frame.packet.slice() }])[0]!
    if (outcome.kind === 'drop') return outcome.reason
    return this.replay.check(outcome.keyRotationId, outcome.replayTag)
  }

  async stop(): Promise<void> {
    await this.rotation.close()
    await this.replay.close()
  }
}
