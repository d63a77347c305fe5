/**
 * When packets leave a client, on real sockets and on a machine without a free core: whoever watches the link of an idle and
 * of a busy client should see no difference. Each client is a process of its own, so that what the busy one has to do delays
 * only itself; the network is in this one, and busy threads take the rest of the machine.
 *
 * Timers of Node.js have a grain of a millisecond, and come late under load: that is why neither is Exp(mean) to the last.
 */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { type Client, connect, PROFILES } from '@mixwright/client'
import { Network } from '../../src/index.js'
import { againstEachOther, againstExponential, type Verdict } from './kolmogorov-smirnov.js'
import { QUICK } from './quick.js'
import type { Watched } from './watched-client.js'

const INTERVALS = QUICK ? 1_000 : 10_000

/** Main stream and loop cover together: again a Poisson process, of both rates. */
const { averageSendingDelayMs, averageLoopCoverDelayMs } = PROFILES.default
const MEAN_MS = 1 / (1 / averageSendingDelayMs + 1 / averageLoopCoverDelayMs)

/** What a watcher would see at a glance. */
const GLARING_DISTANCE = QUICK ? 0.2 : 0.1

/** `partner` answers each message of the watched client with one of the same size, as fast as it can. */
async function watch(directory: string, partner?: Client): Promise<Watched> {
  const program = fileURLToPath(new URL('watched-client.js', import.meta.url))
  const child = fork(program, [directory, String(INTERVALS), ...(partner ? [partner.address] : [])], { execArgv: [] })
  const [address] = await once(child, 'message')
  if (partner) void answer(partner, address)
  const [report] = await once(child, 'message')
  return report
}

async function answer(partner: Client, address: string): Promise<void> {
  for await (const { data } of partner.messages()) partner.send(address, data)
}

const milliseconds = (value: number) => `${value.toFixed(2)} ms`
const said = ({ distance, p }: Verdict) => `distance ${distance.toFixed(4)}, p ${p.toPrecision(2)}`

function summary(name: string, { intervals, packets, cover, received }: Watched): string {
  const sorted = Float64Array.from(intervals).sort()
  const quantile = (share: number) => milliseconds(sorted[Math.floor(share * sorted.length)]!)
  const mean = intervals.reduce((sum, interval) => sum + interval, 0) / intervals.length
  return (
    `${name}: ${packets} packets, ${cover} of them cover, ${received} messages received; interval mean ${milliseconds(mean)} ` +
    `(${milliseconds(MEAN_MS)} in theory), p10 ${quantile(0.1)}, p50 ${quantile(0.5)}, p99 ${quantile(0.99)}, ` +
    `longest ${milliseconds(sorted.at(-1)!)}`
  )
}

describe(`packets as they leave, over ${INTERVALS} intervals`, () => {
  for (const load of [0, availableParallelism()]) {
    it(`of an idle and of a busy client, with ${load} threads that take what CPU they get`, async (t) => {
      await using net = await Network.start()
      const burners = Array.from({ length: load }, () => new Worker('for (;;);', { eval: true }))
      const partner = await connect({ directory: net.nymApiUrl, profile: 'no-cover' })
      const [idle, busy] = await Promise.all([watch(net.nymApiUrl), watch(net.nymApiUrl, partner)])
      await partner.close({ flushMs: 0 })
      await Promise.all(burners.map((burner) => burner.terminate()))

      const each = againstEachOther(idle.intervals, busy.intervals)
      t.diagnostic(summary('idle', idle))
      t.diagnostic(summary('busy', busy))
      t.diagnostic(`idle against busy: ${said(each)}`)
      t.diagnostic(`idle against Exp(mean): ${said(againstExponential(idle.intervals, MEAN_MS))}`)
      t.diagnostic(`busy against Exp(mean): ${said(againstExponential(busy.intervals, MEAN_MS))}`)
      assert.equal(idle.packets, idle.cover)
      assert.ok(busy.cover < busy.packets / 4, 'a busy client sends mostly data')
      assert.ok(busy.received > 0)
      assert.ok(each.distance < GLARING_DISTANCE)
    })
  }
})
