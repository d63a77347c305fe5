/** `status()`, put together from what the parts of a client count. */
import type { Clock } from '@mixwright/runtime'
import type { ClientStatus } from './api.js'
import type { TopologyKeeper } from './directory/topology-keeper.js'
import type { GatewayKeeper } from './gateway/gateway-keeper.js'
import { gatewayGone } from './packet/packet-builder.js'
import type { Inbox } from './receive/inbox.js'
import type { Receiver } from './receive/receiver.js'
import type { SurbPools } from './replies/surb-pools.js'
import type { Lanes } from './send/lanes.js'
import type { Outbox } from './send/outbox.js'
import type { Transmitter } from './send/transmitter.js'

export interface StatusParts {
  readonly address: string
  readonly isClosed: boolean
  readonly clock: Clock
  readonly topology: TopologyKeeper
  readonly gateway: GatewayKeeper
  readonly lanes: Lanes
  readonly outbox: Outbox
  readonly pools: SurbPools
  readonly transmitter: Transmitter
  readonly receiver: Receiver
  readonly inbox: Inbox
  /** Messages of the app that were submitted, and how they ended. */
  readonly messages: { readonly sent: number; readonly acknowledged: number; readonly failed: number }
}

export function clientStatus(parts: StatusParts): ClientStatus {
  const { clock, topology, gateway, lanes, outbox, pools, transmitter, receiver, inbox, messages } = parts
  const { lastRead } = topology
  const listed = lastRead.gateways.get(gateway.identity)
  return {
    address: parts.address,
    gateway: {
      identity: gateway.identity,
      websocketUrls: listed?.websocketUrls ?? [],
      state: parts.isClosed ? 'closed' : gateway.state,
      reason: gateway.reason,
      losses: gateway.losses,
    },
    topology: {
      epochId: lastRead.epochId,
      rotationId: lastRead.rotationId,
      ageMs: clock.now() - lastRead.readAt,
      reason: topology.reason ?? (listed === undefined ? gatewayGone(gateway.identity) : undefined),
    },
    queue: {
      packets: lanes.packets,
      messages: outbox.messages,
      bytes: outbox.bytes,
      lanes: lanes.lengths(),
    },
    unacknowledgedPackets: transmitter.unacknowledged,
    replies: new Map(
      Array.from(pools.counts(), ({ senderTag, surbs, requested }) => {
        const waitingPackets = lanes.waitingFor(senderTag)
        return [senderTag, { surbs, requested, waitingPackets }]
      }),
    ),
    inbox: { messages: inbox.messages, bytes: inbox.bytes },
    counters: {
      packetsSent: transmitter.packetsSent,
      coverSent: transmitter.coverSent,
      retransmissions: transmitter.retransmissions,
      acksReceived: receiver.acks,
      coverReceived: receiver.cover,
      fragmentsReceived: receiver.fragments,
      duplicateFragments: receiver.duplicates,
      messagesReceived: receiver.messages,
      messagesSent: messages.sent,
      messagesAcknowledged: messages.acknowledged,
      messagesFailed: messages.failed,
      dropped: receiver.dropped,
    },
  }
}
