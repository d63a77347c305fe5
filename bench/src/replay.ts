/**
 * `npm run bench:replay [-- TAGS]`: replay protection at its default capacity, filled with so many distinct tags (180 million without a
 * number: some minutes): memory, CPU time of a check, longest pause, false positives. Its peer, in the same run and at a size
 * that both hold in a minute, is the Bloom filter that official nodes keep (05-mixnode §9), with the same keyed hash before it.
 */

import { ReplayProtection } from '@mixwright/node'
import { MemoryMetrics, RealClock, SystemRandom, silentLogger } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'

const FULL = 180_000_000
/** Tags of the comparison with the Bloom filter: 1/64 of the full filter. */
const COMPARED = FULL / 64
/** Checks whose CPU time is measured, and fresh ones that are searched for false positives. */
const MEASURED = 1_000_000
const FRESH = 2_000_000
const FALSE_POSITIVE_RATE = 1e-5
const KEY = 1

/** Says whether the tag is new, and remembers it. */
type Check = (tag: Uint8Array) => boolean

/** One array for all tags: a number and zeros. */
const tag = new Uint8Array(32)
const tagView = new DataView(tag.buffer)
function numbered(number: number): Uint8Array {
  tagView.setFloat64(0, number)
  return tag
}

/** CPU microseconds of each of `count` calls, and how many of them found a new tag. */
function measure(check: Check, from: number, count: number): { micros: number; fresh: number } {
  let fresh = 0
  const start = process.cpuUsage()
  for (let n = from; n < from + count; n++) if (check(numbered(n))) fresh++
  const { user, system } = process.cpuUsage(start)
  return { micros: (user + system) / count, fresh }
}

/** Milliseconds of CPU of the checks, among `COMPARED`, in which a page was split; ascending. */
function splits({ check, bytes }: { check: Check; bytes: () => number }): number[] {
  const found: number[] = []
  let before = bytes()
  for (let n = 0; n < COMPARED; n++) {
    numbered(n)
    const start = process.cpuUsage()
    check(tag)
    const { user, system } = process.cpuUsage(start)
    if (bytes() !== before) found.push((user + system) / 1000)
    before = bytes()
  }
  return found.sort((a, b) => a - b)
}

async function protection(crypto: CryptoProvider, capacity: number) {
  const metrics = new MemoryMetrics()
  const options = {
    clock: new RealClock(),
    random: new SystemRandom(),
    logger: silentLogger,
    crypto,
    metrics,
    capacity,
  }
  const replay = await ReplayProtection.open({ ...options, directory: undefined })
  await replay.protect(KEY)
  const check: Check = (tag) => replay.check(KEY, tag) === 'fresh'
  return { check, bytes: () => metrics.value('mixwright_replay_filter_bytes') }
}

/** As the book has it: bits and number of probes by the formula, double hashing. */
function bloomFilter(crypto: CryptoProvider, capacity: number): { check: Check; bytes: () => number } {
  const bits = Math.ceil((capacity * -Math.log(FALSE_POSITIVE_RATE)) / Math.LN2 ** 2)
  const probes = Math.round((bits / capacity) * Math.LN2)
  const words = new Uint32Array(Math.ceil(bits / 32))
  const secret = new SystemRandom().bytes(64)
  const digest = new Uint8Array(32)
  const view = new DataView(digest.buffer)
  const check: Check = (tag) => {
    crypto.blake2bKeyed(secret, tag, digest)
    const step = (view.getUint32(8) / 2 ** 32) * bits
    let place = ((view.getUint32(0) + view.getUint32(4) / 2 ** 32) / 2 ** 32) * bits
    let fresh = false
    for (let probe = 0; probe < probes; probe++) {
      const bit = Math.floor(place)
      const mask = 1 << (bit & 31)
      const word = Math.floor(bit / 32)
      if ((words[word]! & mask) === 0) {
        words[word]! |= mask
        fresh = true
      }
      place += step
      if (place >= bits) place -= bits
    }
    return fresh
  }
  return { check, bytes: () => words.byteLength }
}

async function main(): Promise<void> {
  const tags = Number(process.argv[2] ?? FULL)
  if (!(tags >= 10 * MEASURED && tags <= FULL)) throw new Error(`a number of tags from ${10 * MEASURED} to ${FULL}`)
  const crypto = await loadCryptoProvider()
  console.log(`Node.js ${process.version}, ${process.platform}-${process.arch}, ${crypto.name}`)

  console.log(`\nbeside a Bloom filter: ${COMPARED} tags, which is what both are made for`)
  console.log(row(['', 'bytes', 'check µs', 'replay µs']))
  const contestants = [
    ['replay filter', await protection(crypto, COMPARED)],
    ['Bloom filter', bloomFilter(crypto, COMPARED)],
  ] as const
  // A warm-up in filters that are thrown away.
  measure((await protection(crypto, COMPARED)).check, 0, MEASURED)
  measure(bloomFilter(crypto, COMPARED).check, 0, MEASURED)
  const micros: number[] = []
  for (const [name, { check, bytes }] of contestants) {
    const inserted = measure(check, 0, COMPARED)
    const replayed = measure(check, 0, MEASURED)
    if (replayed.fresh > 0) throw new Error(`${name}: ${replayed.fresh} replays passed`)
    micros.push(inserted.micros)
    console.log(row([name, String(bytes()), inserted.micros.toFixed(2), replayed.micros.toFixed(2)]))
  }
  const [ours, bloom] = contestants.map(([, { bytes }]) => bytes())
  console.log(row(['ratio', (ours! / bloom!).toFixed(2), (micros[0]! / micros[1]!).toFixed(2)]))

  console.log(`\nmade for ${FULL} tags, filled with ${tags}`)
  console.log(row(['tags', 'bytes', 'resident', 'check µs', 'replay µs']))
  const residentBefore = process.memoryUsage().rss
  const { check, bytes } = await protection(crypto, FULL)
  let done = 0
  for (const share of [0.1, 0.5, 0.95, 1]) {
    const mark = Math.floor(tags * share)
    for (; done < mark - MEASURED; done++) {
      check(numbered(done))
      // The event loop of a node turns as well; it is then that memory is given back.
      if (done % 100_000 === 0) await new Promise(setImmediate)
    }
    const inserted = measure(check, done, MEASURED)
    done = mark
    const replayed = measure(check, Math.max(0, Math.floor(mark / 2) - MEASURED), MEASURED)
    if (replayed.fresh > 0) throw new Error(`${replayed.fresh} replays passed`)
    const resident = process.memoryUsage().rss - residentBefore
    const times = [inserted.micros, replayed.micros].map((value) => value.toFixed(2))
    console.log(row([String(mark), String(bytes()), String(resident), ...times]))
  }

  let passed = 0
  for (let n = 0; n < tags; n += 97) if (check(numbered(n))) passed++
  console.log(`\nreplays that passed, of ${Math.ceil(tags / 97)} over all tags: ${passed}`)
  const { fresh } = measure(check, FULL, FRESH)
  const refused = FRESH - fresh
  console.log(`fresh tags refused, of ${FRESH}: ${refused}, a rate of ${(refused / FRESH).toExponential(1)}`)
  const pauses = splits(await protection(crypto, FULL))
  const [median, longest] = [pauses[pauses.length >> 1]!, pauses.at(-1)!].map((ms) => ms.toFixed(2))
  console.log(`a check that splits a page: ${median} ms of CPU, median of ${pauses.length}; ${longest} ms the longest`)
  console.log(`memory: ${bytes()} bytes, ${((bytes() * 8) / tags).toFixed(1)} bits per tag`)
}

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(14) : cell.padStart(12))).join('')
}

await main()
