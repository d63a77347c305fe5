/**
 * `npm run bench:exit`: downloads through an exit. 50 files of 1 MB, 10 at once, each checked by hash, from an HTTP server on this
 * machine through the network requester of a network from `mixwright up` (a process of its own); the same by mix-fetch 1.4.4 through
 * the same requester in the same run, with an equal traffic profile. Each contender is a process of its own, one after the other.
 *
 *   npm run bench:exit -- --downloads 50 --bytes 1000000 --at-once 10 --profiles default,fast
 *
 * mix-fetch gives its own address, as we do in the rows `address`; our default, `anonymous`, is answered by reply blocks, whose supply
 * bounds it: the column `blocks/s` is the bound, packets sent a second times reply blocks in each, by what was sent. mix-fetch has no
 * streaming: its first byte comes with its last. Then what curl says of destinations that are not to be had.
 */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PROFILES, type ProfileName } from '@mixwright/client'
import { DrivenProcess } from '@mixwright/interop/driven-process'
import { type Fetched, MixFetch, overrideFor } from '@mixwright/interop/mix-fetch'
import { RealClock } from '@mixwright/runtime'
import { startNetwork, stopNetwork } from './network-process.js'
import type { OurFetchCommand, OurFetchStart } from './our-fetch-process.js'
import { cpuOf } from './process-usage.js'

const { values: flags } = parseArgs({
  options: {
    downloads: { type: 'string', default: '50' },
    bytes: { type: 'string', default: '1000000' },
    'at-once': { type: 'string', default: '10' },
    profiles: { type: 'string', default: 'default,fast' },
  },
})
const downloads = Number(flags.downloads)
const bytes = Number(flags.bytes)
const atOnce = Number(flags['at-once'])
const profiles = flags.profiles.split(',') as ProfileName[]

/** Reply blocks in one packet, at 460 bytes each. */
const BLOCKS_PER_PACKET = 1590 / 460
const PATIENCE_MS = 600_000

const clock = new RealClock()

interface Contender {
  readonly name: string
  fetch(url: string): Promise<Fetched>
  /** Packets other than cover, sent so far; undefined where nobody counts. */
  packetsSent(): Promise<number | undefined>
  cpuMs(): Promise<number>
  close(): Promise<void>
}

interface Row {
  readonly megabytesPerSecond: number
  readonly headP50: number
  readonly headP99: number
}

const body = randomBytes(bytes)
const hash = createHash('sha256').update(body).digest('hex')
// mix-fetch checks CORS itself.
const server = createServer((_, response) => {
  response.writeHead(200, { 'access-control-allow-origin': '*', 'content-length': bytes })
  response.end(body)
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`

const scratch = mkdtempSync(join(tmpdir(), 'mixwright-bench-exit-'))
const network = await startNetwork(scratch, ['--socks5', '0'])
const { nymApiUrl, services, nodes } = network.summary
const requester = services.networkRequester
// The first gateway carries no exit.
const gateway = nodes.find(({ role }) => role === 'gateway')!.identityKey
console.log(`${downloads} downloads of ${bytes} bytes, ${atOnce} at once, each by hash; network on ${network.crypto}`)
console.log(line('profile', 'contender', 'MB/s', 'first byte p50', 'p99 ms', 'CPU s/MB', 'network CPU', 'blocks/s'))
for (const profile of profiles) {
  const rows = new Map<string, Row>()
  for (const open of [() => ours(profile, false), () => official(profile), () => ours(profile, true)]) {
    const contender = await open()
    try {
      rows.set(contender.name, await measure(profile, contender))
    } finally {
      await contender.close()
    }
  }
  const [own, peer] = [rows.get('ours, address')!, rows.get('mix-fetch 1.4.4')!]
  console.log(
    `${profile}: ours by address / mix-fetch: throughput ${(own.megabytesPerSecond / peer.megabytesPerSecond).toFixed(2)} x, first byte p50 ${(own.headP50 / peer.headP50).toFixed(2)} x, p99 ${(own.headP99 / peer.headP99).toFixed(2)} x`,
  )
}
await tellFailures()
await stopNetwork(network)
server.close()
rmSync(scratch, { recursive: true, force: true })

async function measure(profile: ProfileName, contender: Contender): Promise<Row> {
  await contender.fetch(url)
  const heads: number[] = []
  const [startedAt, cpuBefore, networkBefore] = [clock.monotonic(), await contender.cpuMs(), cpuOf(network.process.pid)]
  const packetsBefore = await contender.packetsSent()
  let begun = 0
  const worker = async () => {
    while (begun++ < downloads) {
      const { status, body: got, headMs } = await contender.fetch(url)
      if (status !== 200 || createHash('sha256').update(got).digest('hex') !== hash)
        throw new Error('a wrong file came')
      heads.push(headMs)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  const seconds = (clock.monotonic() - startedAt) / 1000
  const megabytes = (downloads * bytes) / 1e6
  heads.sort((a, b) => a - b)
  const percentile = (share: number) => heads[Math.min(heads.length - 1, Math.floor(heads.length * share))]!
  const row = { megabytesPerSecond: megabytes / seconds, headP50: percentile(0.5), headP99: percentile(0.99) }
  const cpu = ((await contender.cpuMs()) - cpuBefore) / 1000 / megabytes
  const networkAfter = cpuOf(network.process.pid)
  const networkCpu =
    networkBefore === undefined || networkAfter === undefined
      ? '–'
      : `${(((networkAfter - networkBefore) / seconds) * 100).toFixed(0)} %`
  const packetsAfter = await contender.packetsSent()
  const blocks =
    packetsBefore === undefined || packetsAfter === undefined || !contender.name.includes('anonymous')
      ? '–'
      : (((packetsAfter - packetsBefore) / seconds) * BLOCKS_PER_PACKET).toFixed(0)
  const { megabytesPerSecond, headP50, headP99 } = row
  console.log(
    line(
      profile,
      contender.name,
      megabytesPerSecond.toFixed(2),
      headP50.toFixed(0),
      headP99.toFixed(0),
      cpu.toFixed(2),
      networkCpu,
      blocks,
    ),
  )
  return row
}

async function ours(profile: ProfileName, anonymous: boolean): Promise<Contender> {
  const program = new URL('./our-fetch-process.js', import.meta.url)
  const child = new DrivenProcess<OurFetchCommand>('our fetch', program)
  const options: OurFetchStart = { nymApiUrl, requester, gateway, profile, anonymous }
  await child.request({ kind: 'start', options })
  const usage = async () =>
    (await child.request({ kind: 'usage' })) as { cpuMs: number; packetsSent: number; coverSent: number }
  return {
    name: anonymous ? 'ours, anonymous' : 'ours, address',
    fetch: async (from) => (await child.request({ kind: 'fetch', url: from }, PATIENCE_MS)) as Fetched,
    packetsSent: async () => {
      const { packetsSent, coverSent } = await usage()
      return packetsSent - coverSent
    },
    cpuMs: async () => (await usage()).cpuMs,
    close: async () => child[Symbol.asyncDispose](),
  }
}

async function official(profile: ProfileName): Promise<Contender> {
  const clientOverride = overrideFor(PROFILES[profile])
  const requestTimeoutMs = PATIENCE_MS
  const mixFetch = await MixFetch.start({ nymApiUrl, requester, gateway, clientOverride, requestTimeoutMs })
  return {
    name: 'mix-fetch 1.4.4',
    fetch: (from) => mixFetch.fetch(from),
    packetsSent: async () => undefined,
    cpuMs: async () => (await mixFetch.usage()).cpuMs,
    close: () => mixFetch.close(),
  }
}

/** What curl prints, and when, of a closed port, an unknown host, and a host that accepts and says nothing. */
async function tellFailures(): Promise<void> {
  const proxy = services.socks5
  if (proxy === null) return
  const silent = createTcpServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const silentPort = (silent.address() as AddressInfo).port
  for (const [what, target, ...more] of [
    ['closed port', 'http://127.0.0.1:1/'],
    ['unknown host', 'http://nowhere.invalid/'],
    // An address of a documentation network: nobody answers, or a router says so.
    ['address that nobody has', 'http://192.0.2.1/'],
    ['silent host, --max-time 10', `http://127.0.0.1:${silentPort}/`, '--max-time', '10'],
  ] as const) {
    const startedAt = clock.monotonic()
    const host = proxy.replace('socks5h://', '')
    const curl = spawn('curl', ['--silent', '--show-error', '--socks5-hostname', host, ...more, target])
    let said = ''
    curl.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    curl.stdout.resume()
    await once(curl, 'close')
    console.log(`curl, ${what}: ${said.trim()} after ${Math.round(clock.monotonic() - startedAt)} ms`)
  }
  silent.close()
}

function line(...cells: readonly string[]): string {
  const widths = [9, 17, 7, 15, 8, 10, 12, 9]
  return cells.map((cell, index) => (index < 2 ? cell.padEnd(widths[index]!) : cell.padStart(widths[index]!))).join('')
}
