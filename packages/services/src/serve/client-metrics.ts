/**
 * The state and the counters of a client as metrics, for a program that is built around one. Never sender tags or
 * addresses.
 */
import type { ClientCounters, ClientStatus } from '@mixwright/client'
import type { MemoryMetrics } from '@mixwright/runtime'

const COUNTERS: readonly (readonly [Exclude<keyof ClientCounters, 'dropped'>, name: string, help: string])[] = [
  ['packetsSent', 'packets_sent', 'Packets sent, cover included'],
  ['coverSent', 'cover_packets_sent', 'Cover packets sent'],
  ['retransmissions', 'packets_retransmitted', 'Packets sent again'],
  ['acksReceived', 'acks_received', 'Acknowledgements of our packets'],
  ['coverReceived', 'cover_packets_received', 'Cover packets that came home'],
  ['fragmentsReceived', 'fragments_received', 'Fragments of messages'],
  ['duplicateFragments', 'duplicate_fragments', 'Fragments that came twice'],
  ['messagesReceived', 'messages_received', 'Messages received whole'],
  ['messagesSent', 'messages_sent', 'Messages given to the client'],
  ['messagesAcknowledged', 'messages_acknowledged', 'Messages whose every packet was acknowledged'],
  ['messagesFailed', 'messages_failed', 'Messages given up'],
]

/** Set the gauges `mixwright_client_…` to what the client says now; to be called before each scrape. */
export function recordClient(metrics: MemoryMetrics, status: ClientStatus): void {
  const { gateway, topology, queue, inbox, replies, unacknowledgedPackets, counters } = status
  const set = (name: string, help: string, value: number, labels = {}) =>
    metrics.gauge(`mixwright_client_${name}`, help, labels).set(value)
  set('gateway_up', 'Whether there is a link to the gateway', gateway.state === 'up' ? 1 : 0)
  set('gateway_losses', 'Links to the gateway lost since the start', gateway.losses)
  set('topology_age_seconds', 'Age of what is known of the network', topology.ageMs / 1000)
  set('queued_packets', 'Packets that wait for a slot', queue.packets)
  set('messages_under_way', 'Messages neither acknowledged nor failed', queue.messages)
  set('unacknowledged_packets', 'Packets sent and neither acknowledged nor failed', unacknowledgedPackets)
  set('inbox_messages', 'Messages received and not taken', inbox.messages)
  set('inbox_bytes', 'Their bytes', inbox.bytes)
  set('reply_senders', 'Anonymous senders whose reply blocks are kept', replies.size)
  let surbs = 0
  for (const pool of replies.values()) surbs += pool.surbs
  set('reply_surbs', 'Reply blocks in hand', surbs)
  for (const [field, name, help] of COUNTERS) set(name, `${help}, since the start`, counters[field])
  for (const [reason, count] of Object.entries(counters.dropped))
    set('dropped_packets', 'Dropped of what the gateway pushed, since the start', count, { reason })
}
