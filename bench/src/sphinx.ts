/**
 * `npm run bench:sphinx`: CPU time of peeling and building a Sphinx packet with each crypto provider, beside the bare
 * curve multiplications of the same provider (the floor) and, where `cargo` is there, beside crate `sphinx-packet`
 * 0.6.0. Everybody runs in turn, many short rounds; a ratio is the median of the rounds' ratios, so that a machine
 * that is busy with other things slows both sides of it. CPU time is that of the whole process, garbage collector and
 * compiler threads included; Rust's is that of its one thread.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { SystemRandom } from '@mixwright/runtime'
import {
  buildPacket,
  type CryptoProvider,
  type CryptoProviderName,
  encodeNodeAddress,
  loadCryptoProvider,
  PACKET_SIZES,
  peel,
} from '@mixwright/sphinx'

const ROUNDS = 31
const HOPS = 4
const OPERATIONS = ['peel', 'build'] as const
type Operation = (typeof OPERATIONS)[number]

/** Anything that can do an operation so many times and say what one took, in microseconds of CPU time. */
interface Contestant {
  readonly name: string
  /** Noble is slow: it takes part in fewer rounds, with fewer iterations. */
  readonly everyRounds: number
  readonly iterations: Readonly<Record<Operation, number>>
  measure(operation: Operation | 'floor-peel' | 'floor-build', iterations: number): Promise<number>
  close(): void
}

function ours(crypto: CryptoProvider): Contestant {
  const random = new SystemRandom()
  const secrets = Array.from({ length: HOPS }, () => random.bytes(32))
  const route = secrets.map((secret, hop) => ({
    address: encodeNodeAddress({ family: 4, host: `10.0.0.${hop + 1}`, port: 1789 }, 32),
    publicKey: crypto.x25519Base(secret),
  }))
  const options = {
    route,
    delaysNanos: route.map(() => 15_000_000n),
    destination: random.bytes(32),
    packetSize: PACKET_SIZES.regular,
    message: random.bytes(PACKET_SIZES.regular.plaintextBytes),
  }
  const packet = buildPacket(crypto, random, options)
  const secret = secrets[0]!
  const { publicKey } = route[0]!
  const work = {
    peel: () => {
      if (peel(crypto, secret, packet).kind !== 'forward') throw new Error('the packet of the benchmark was dropped')
    },
    build: () => void buildPacket(crypto, random, options),
    // A forward hop agrees on a key and blinds alpha; a sender makes alpha and multiplies once per hop.
    'floor-peel': () => {
      crypto.x25519(secret, publicKey)
      crypto.x25519(secret, publicKey)
    },
    'floor-build': () => {
      crypto.x25519Base(secret)
      for (let hop = 0; hop < HOPS; hop++) crypto.x25519(secret, publicKey)
    },
  }
  const slow = crypto.name === 'noble'
  return {
    name: crypto.name,
    everyRounds: slow ? 5 : 1,
    iterations: slow ? { peel: 12, build: 4 } : { peel: 300, build: 100 },
    async measure(operation, iterations) {
      const run = work[operation]
      const start = process.cpuUsage()
      for (let i = 0; i < iterations; i++) run()
      const { user, system } = process.cpuUsage(start)
      return (user + system) / iterations
    },
    close() {},
  }
}

/** Build and start the Rust program of `bench/rust`; a text says why not. */
function rust(): Contestant | string {
  const folder = fileURLToPath(new URL('../../rust/', import.meta.url))
  if (spawnSync('cargo', ['--version']).status !== 0) return 'cargo is not here: no comparison with Rust'
  console.log('building bench/rust (release) …')
  const target = process.env.CARGO_TARGET_DIR ?? `${folder}target`
  const built = spawnSync('cargo', ['build', '--release', '--locked', '--target-dir', target], { cwd: folder })
  const program = `${target}/release/mixwright-bench-sphinx${process.platform === 'win32' ? '.exe' : ''}`
  if (built.status !== 0 || !existsSync(program))
    return `cargo could not build bench/rust: no comparison with Rust\n${built.stderr.toString().trim()}`
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    name: 'rust sphinx-packet 0.6.0',
    everyRounds: 1,
    iterations: { peel: 300, build: 100 },
    async measure(operation, iterations) {
      child.stdin.write(`${operation} ${iterations}\n`)
      const answer = await lines.next()
      if (answer.done) throw new Error('the Rust program ended early')
      return Number(answer.value)
    },
    close: () => void child.stdin.end(),
  }
}

/** Microseconds per round; `undefined` where a contestant sat out. */
type Series = (number | undefined)[]

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

const present = (series: Series): number[] => series.filter((value) => value !== undefined)

/** Median of the ratios of the rounds in which both took part. */
function ratio(series: Series, reference: Series): number {
  return median(
    series.flatMap((value, round) => {
      const other = reference[round]
      return value === undefined || other === undefined ? [] : [value / other]
    }),
  )
}

async function main(): Promise<void> {
  const contestants: Contestant[] = []
  for (const name of ['sodium-native', 'libsodium-wasm', 'noble'] satisfies CryptoProviderName[]) {
    try {
      contestants.push(ours(await loadCryptoProvider(name)))
    } catch (error) {
      console.log(`${name} does not load here: ${error instanceof Error ? error.message : error}`)
    }
  }
  const peer = rust()
  if (typeof peer === 'string') console.log(peer)
  else contestants.push(peer)

  console.log(`Node.js ${process.version}, ${process.platform}-${process.arch}, ${ROUNDS} rounds`)
  const results = new Map<string, Series>()
  for (let round = -1; round < ROUNDS; round++)
    for (let turn = 0; turn < contestants.length; turn++) {
      // Nobody always runs first. Round −1 warms up and is not counted.
      const contestant = contestants[(turn + round + 1) % contestants.length]!
      for (const operation of OPERATIONS)
        for (const kind of [operation, `floor-${operation}`] as const) {
          const key = `${contestant.name} ${kind}`
          const takesPart = round < 0 || round % contestant.everyRounds === 0
          const iterations = contestant.iterations[operation] * (round < 0 && contestant.everyRounds === 1 ? 10 : 1)
          const micros = takesPart ? await contestant.measure(kind, iterations) : undefined
          if (round < 0) results.set(key, [])
          else results.get(key)!.push(micros)
        }
    }

  for (const operation of OPERATIONS) {
    const what =
      operation === 'peel'
        ? 'peel: regular packet (2413 bytes), forward hop, version 259; floor = two X25519'
        : `build: regular packet, ${HOPS} hops, version 259; floor = one base and ${HOPS} X25519`
    console.log(`\n${what}`)
    console.log(row(['', 'CPU µs', 'floor µs', '× floor', '× rust']))
    for (const { name } of contestants) {
      const series = results.get(`${name} ${operation}`)!
      const floor = results.get(`${name} floor-${operation}`)!
      const rustSeries = typeof peer === 'string' ? undefined : results.get(`${peer.name} ${operation}`)
      const times = rustSeries === undefined ? '–' : ratio(series, rustSeries).toFixed(2)
      const micros = [median(present(series)), median(present(floor))].map((value) => value.toFixed(1))
      console.log(row([name, ...micros, ratio(series, floor).toFixed(2), times]))
    }
  }
  for (const contestant of contestants) contestant.close()
}

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(26) : cell.padStart(10))).join('')
}

await main()
