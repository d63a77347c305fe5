/**
 * Half an hour of mixed traffic through an exit on real sockets: every request ends with the right data or a typed error, no
 * connection is left, and memory after that is what it was.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { connect, openExit } from '@mixwright/client'
import { RealClock, SeededRandom, sleep } from '@mixwright/runtime'
import { Network } from '../../src/index.js'
import { MixedTraffic } from '../mixed-traffic.js'
import { followOrder } from '../scripted-destination.js'
import { QUICK } from './quick.js'

const DURATION_MS = QUICK ? 60_000 : 30 * 60_000
/** Of each of the three apps. */
const EVERY_MS = 4_000
const POLL_MS = 250
/** Longest wait for the last request: streams wait long for a peer that is silent. */
const PATIENCE_MS = 5 * 60_000

const clock = new RealClock()
setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function heapBytes(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed + process.memoryUsage().external
}

it('mixed traffic through an exit on real sockets: every request ends, and nothing is left', async (t) => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    void followOrder(socket, clock)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  await using net = await Network.start({ services: true })
  const { networkRequester: requester, echo } = net.services!
  const clients = await Promise.all(
    (['no-cover', 'default', 'local'] as const).map((profile) => connect({ ...net.access, profile })),
  )
  const apps = clients.map((client, index) => {
    return { client, exit: openExit(client, { requester, anonymous: index > 0 }) }
  })
  const { port } = server.address() as AddressInfo
  const traffic = new MixedTraffic({
    clock,
    random: new SeededRandom('half an hour'),
    apps,
    echo,
    resetMayLookLikeEnd: true,
    targets: {
      open: { host: '127.0.0.1', port },
      refused: { host: '127.0.0.1', port: 1 },
      unknown: { host: 'nowhere.invalid', port },
    },
  })
  const until = async (condition: () => boolean, limitMs: number) => {
    const deadline = clock.monotonic() + limitMs
    while (!condition()) {
      assert.ok(clock.monotonic() < deadline, `still running: ${traffic.describe()}`)
      await sleep(clock, POLL_MS)
    }
  }
  const gateway = net.gateway(1)
  const connections = () => gateway.metrics.value('mixwright_requester_connections')
  const startedMs = clock.monotonic()
  traffic.begin(DURATION_MS, EVERY_MS)
  await sleep(clock, DURATION_MS / 5)
  const before = heapBytes()
  await until(() => clock.monotonic() - startedMs >= DURATION_MS, 2 * DURATION_MS)
  await until(() => traffic.running === 0, PATIENCE_MS)
  await until(() => connections() === 0, PATIENCE_MS)
  const after = heapBytes()
  const blocks = clients.flatMap((client) => [...client.status().replies.values()].map(({ surbs }) => surbs))
  t.diagnostic(`${traffic.begun} requests, ${(traffic.bytes / 1e6).toFixed(1)} MB; ${JSON.stringify(traffic.counts)}`)
  t.diagnostic(`heap ${(before / 1e6).toFixed(1)} MB after a fifth, ${(after / 1e6).toFixed(1)} MB at the end`)
  t.diagnostic(`connections left at the exit: ${connections()}; reply blocks in hand: ${blocks.join(', ') || 'none'}`)
  assert.deepEqual(traffic.wrong, [])
  assert.ok(after <= 1.2 * before, 'memory grows')
  traffic.stop()
  for (const { client, exit } of apps) {
    await exit.close()
    await client.close({ flushMs: 0 })
  }
  server.close()
})
