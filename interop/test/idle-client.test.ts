/**
 * An idle official client keeps sending cover traffic, about 55 packets a second. A minute of it is neither lost nor kept:
 * no packet is dropped, nobody complains, and neither the network nor the client grows.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Network } from '@mixwright/localnet'
import { type LogFields, type Logger, RealClock, sleep } from '@mixwright/runtime'
import { OfficialClient } from '../src/official-client.js'
import { dropsByReason, sumOverNodes } from './network-counters.js'

const WARM_UP_MS = 20_000
const IDLE_MS = 60_000
/** What a process may hold more after the minute: 2 200 packets of 2.4 kB came and went in it, 5 MB of them. */
const NETWORK_GROWTH_BYTES = 3_000_000
const CLIENT_GROWTH_BYTES = 40_000_000
/** Packets under way at one moment: 55 a second, some 150 ms each with their acks. */
const PACKETS_UNDER_WAY = 200

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes alive in this process, which is the network's: its heap and its buffers outside. */
function networkMemory(): number {
  // The second time takes what the first one's finalizers let go.
  collectGarbage()
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

describe('an idle official client', () => {
  it('idles for a minute with cover traffic: no error, nothing dropped, nothing grows', async (t) => {
    const complaints: string[] = []
    await using net = await Network.start({ logger: complaintLogger(complaints) })
    const gateway = net.gateway(0)
    await using client = await OfficialClient.start({
      nymApiUrl: net.nymApiUrl,
      clientId: 'idle',
      preferredGateway: gateway.identityKey,
    })
    const clock = new RealClock()
    await sleep(clock, WARM_UP_MS)
    const forwarded = () => gateway.metrics.value('mixwright_gateway_forwarded_packets_total')
    const before = { packets: forwarded(), network: networkMemory(), client: await client.memory() }
    await sleep(clock, IDLE_MS - WARM_UP_MS)
    const after = { packets: forwarded(), network: networkMemory(), client: await client.memory() }
    const seconds = (IDLE_MS - WARM_UP_MS) / 1000
    const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)
    t.diagnostic(`${after.packets - before.packets} packets from the client in ${seconds} s`)
    t.diagnostic(`network ${megabytes(before.network)} → ${megabytes(after.network)} MB alive`)
    t.diagnostic(`client ${megabytes(before.client)} → ${megabytes(after.client)} MB resident`)

    assert.deepEqual(
      { drops: dropsByReason(net), complaints: [...complaints, ...client.complaints] },
      { drops: {}, complaints: [] },
    )
    // It idled indeed: cover went all the way round. Far below the nominal rate, for busy machines.
    assert.ok(after.packets - before.packets > 10 * seconds)
    assert.equal(gateway.metrics.value('mixwright_gateway_sessions'), 1)
    assert.equal(sumOverNodes(net, 'nym_node_mixnet_egress_stored_on_disk_final_hop_packets'), 0)
    for (const gauge of ['pending_delivery', 'being_delayed']) {
      const packets = sumOverNodes(net, `nym_node_process_forward_hop_packets_${gauge}`)
      assert.ok(packets < PACKETS_UNDER_WAY, `${packets} packets ${gauge}`)
    }
    assert.ok(after.network - before.network < NETWORK_GROWTH_BYTES)
    assert.ok(after.client - before.client < CLIENT_GROWTH_BYTES)

    await client.send(client.address, new TextEncoder().encode('still here'))
    await client.received(1)
  })
})

/** Keeps the lines of warnings and errors. */
function complaintLogger(lines: string[], bound: LogFields = {}): Logger {
  const keep = (fields: LogFields, message: string) => void lines.push(JSON.stringify({ ...bound, ...fields, message }))
  return {
    debug() {},
    info() {},
    warn: keep,
    error: keep,
    child: (fields) => complaintLogger(lines, { ...bound, ...fields }),
  }
}
