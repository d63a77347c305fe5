/**
 * Prepared packets: distinct ones, as frames of version 8, for the node under test with the sink as next hop. Making one takes
 * some 300 µs of CPU, so they are made once, by as many processes as there are cores, and kept in the directory for temporary
 * files. Beside each frame stands by what the sink will know it again, the first bytes of what comes out of the node (the next
 * alpha), and the delay that was drawn for it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, statSync, writeSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SeededRandom, SystemRandom, toHex, uniform } from '@mixwright/runtime'
import { buildPacket, encodeNodeAddress, loadCryptoProvider, PACKET_SIZES, peel } from '@mixwright/sphinx'
import { encodeFrame } from '@mixwright/wire'
import { HOST, keyPair, ROTATION, SINK_ADDRESS } from './fixed-keys.js'

/** Delays of a pool: none, or drawn from an exponential distribution of this mean, milliseconds. */
export type MeanDelayMs = 0 | 50

export const FRAME_BYTES = 4 + PACKET_SIZES.regular.packetBytes
/** Bytes of alpha that a packet is known by; a number holds them exactly. */
const MARK_BYTES = 6
/** Mark and delay (a double, milliseconds), in front of each frame. */
const RECORD_HEADER_BYTES = MARK_BYTES + 8
const RECORD_BYTES = RECORD_HEADER_BYTES + FRAME_BYTES
/** Packets of one file, made by one process. */
const PART = 10_000

export class PacketPool {
  readonly size: number
  readonly #records: Buffer
  readonly #places: ReadonlyMap<number, number>

  private constructor(records: Buffer) {
    this.#records = records
    this.size = records.length / RECORD_BYTES
    const places = new Map<number, number>()
    for (let index = 0; index < this.size; index++)
      places.set(records.readUIntBE(index * RECORD_BYTES, MARK_BYTES), index)
    if (places.size !== this.size) throw new Error('two packets of the pool look the same')
    this.#places = places
  }

  /** Read the first `size` prepared packets. */
  static load(meanDelayMs: MeanDelayMs, size: number): PacketPool {
    const records = Buffer.allocUnsafeSlow(size * RECORD_BYTES)
    for (let part = 0, filled = 0; filled < records.length; part++) {
      const file = openSync(partFile(meanDelayMs, part), 'r')
      filled += readSync(file, records, filled, Math.min(PART * RECORD_BYTES, records.length - filled), 0)
      closeSync(file)
    }
    return new PacketPool(records)
  }

  frame(index: number): Uint8Array {
    const start = index * RECORD_BYTES + RECORD_HEADER_BYTES
    return this.#records.subarray(start, start + FRAME_BYTES)
  }

  /** Drawn for this packet, milliseconds. */
  delayMs(index: number): number {
    return this.#records.readDoubleBE(index * RECORD_BYTES + MARK_BYTES)
  }

  /** Which packet this is, after the node has peeled it; undefined: none of the pool. */
  indexOf(peeled: Uint8Array): number | undefined {
    let mark = 0
    for (let i = 0; i < MARK_BYTES; i++) mark = mark * 256 + peeled[i]!
    return this.#places.get(mark)
  }
}

/** Make what is missing of the first `size` packets, with a process per core. */
export async function preparePackets(
  meanDelayMs: MeanDelayMs,
  size: number,
  say: (line: string) => void,
): Promise<void> {
  const missing = Array.from({ length: Math.ceil(size / PART) }, (_, part) => part).filter((part) => {
    const path = partFile(meanDelayMs, part)
    return !existsSync(path) || statSync(path).size !== PART * RECORD_BYTES
  })
  if (missing.length === 0) return
  say(`preparing ${missing.length * PART} packets with a mean delay of ${meanDelayMs} ms …`)
  mkdirSync(directory(), { recursive: true })
  const program = fileURLToPath(new URL('./prepare-packets.js', import.meta.url))
  const worker = async () => {
    for (let part = missing.shift(); part !== undefined; part = missing.shift()) {
      const child = spawn(process.execPath, [program, `${meanDelayMs}`, `${part}`], { stdio: 'inherit' })
      const [code] = await once(child, 'exit')
      if (code !== 0) throw new Error('the packets could not be prepared')
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
}

/** Make one file of packets. Its delays are the same at each making, the packets are not. */
export async function writePart(meanDelayMs: MeanDelayMs, part: number): Promise<void> {
  const crypto = await loadCryptoProvider()
  const random = new SystemRandom()
  const delays = new SeededRandom(`mixwright bench:node delays ${part}`)
  const node = keyPair(crypto, 'node-sphinx')
  const route = [
    { address: encodeNodeAddress({ family: 4, host: HOST, port: 1 }, 32), publicKey: node.publicKey },
    { address: encodeNodeAddress(SINK_ADDRESS, 32), publicKey: keyPair(crypto, 'sink-sphinx').publicKey },
  ]
  const packetSize = PACKET_SIZES.regular
  const message = random.bytes(packetSize.plaintextBytes)
  const destination = random.bytes(32)
  const records = Buffer.alloc(PART * RECORD_BYTES)
  for (let at = 0; at < records.length; at += RECORD_BYTES) {
    const delayNanos = meanDelayMs === 0 ? 0n : BigInt(Math.round(-Math.log(1 - uniform(delays)) * meanDelayMs * 1e6))
    const packet = buildPacket(crypto, random, {
      route,
      delaysNanos: [delayNanos, 0n],
      destination,
      packetSize,
      message,
    })
    const peeled = peel(crypto, node.secret, packet)
    if (peeled.kind !== 'forward') throw new Error('a prepared packet cannot be forwarded')
    records.set(peeled.packet.subarray(0, MARK_BYTES), at)
    records.writeDoubleBE(Number(delayNanos) / 1e6, at + MARK_BYTES)
    records.set(encodeFrame(packet, ROTATION), at + RECORD_HEADER_BYTES)
  }
  const path = partFile(meanDelayMs, part)
  const temporary = `${path}.${process.pid}`
  const file = openSync(temporary, 'w')
  writeSync(file, records)
  closeSync(file)
  renameSync(temporary, path)
}

function directory(): string {
  return join(tmpdir(), 'mixwright-bench-node')
}

/** Named by what its packets are made for: another key, another address, another layout is another file. */
function partFile(meanDelayMs: MeanDelayMs, part: number): string {
  const made = toHex(new SeededRandom(`node-sphinx ${HOST} ${SINK_ADDRESS.port} ${RECORD_BYTES}`).bytes(4))
  return join(directory(), `${made}-${meanDelayMs}ms-${part}.packets`)
}
