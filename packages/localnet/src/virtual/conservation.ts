/**
 * Conservation of packets, from the counters of the nodes and of the links between them. For each node
 *
 *   in = out + delivered + dropped + waiting + lost with the process
 *
 * where *in* is what links brought, what clients handed over and the acks it made; *out* what it wrote to links; *dropped*
 * every counted reason but `egress-connection-lost`, which speaks of packets that were written and may have arrived;
 * *waiting* what its gauges show. A packet that a killed process had in memory is in no counter: how many these were is what
 * is missing right after the kill, and may not be fewer than the gauges showed. For each link
 *
 *   written = delivered + lost + under way
 *
 * The sum of all is: created = delivered + dropped by reason + lost in links + lost with processes + in flight.
 */
import { MixError } from '@mixwright/runtime'
import type { WebSocketMessage } from './memory-websocket.js'
import type { Traffic } from './traffic.js'
import type { VirtualNode } from './virtual-node.js'

/** One node's packets. */
export interface NodeBalance {
  readonly name: string
  readonly fromLinks: number
  readonly fromClients: number
  readonly acksMade: number
  readonly toLinks: number
  /** Pushed to clients, or stored for them. */
  readonly delivered: number
  readonly dropped: Readonly<Record<string, number>>
  /** Queued after reading, delayed, or queued for a next hop. */
  readonly waiting: number
  readonly lostWithProcess: number
  /** What is in no other number: messages on their way to the disk or to a socket; nothing when all is quiet. */
  readonly missing: number
}

export interface Conservation {
  /** By clients, and acks by gateways. */
  readonly created: number
  readonly delivered: number
  /** By reason, over all nodes. */
  readonly dropped: Readonly<Record<string, number>>
  readonly lostInLinks: number
  readonly lostWithProcesses: number
  /** In links, queues and delay wheels. */
  readonly inFlight: number
  /** Messages and acks that gateways wrote to clients and a breaking connection lost. */
  readonly pushesLost: number
  readonly nodes: readonly NodeBalance[]
}

const DROPPED = 'mixwright_dropped_packets_total'
/** Drops of packets that were written to a link: the link knows what became of them. */
const WRITTEN_BEFORE = 'egress-connection-lost'
/** Gauges of what waits in a node. */
const WAITING = [
  'mixwright_ingress_queued_packets',
  'nym_node_process_forward_hop_packets_being_delayed',
  'nym_node_process_forward_hop_packets_pending_delivery',
]

/** Packets that wait in a node; of a dead one, in what is left of its memory. */
export function waitingIn({ metrics }: VirtualNode): number {
  return WAITING.reduce((sum, gauge) => sum + metrics.value(gauge), 0)
}

/** The balance of one node now. */
export function nodeBalance(
  node: VirtualNode,
  links: Traffic<Uint8Array>,
  isNode: (ip: string) => boolean,
): NodeBalance {
  const { name, ip, metrics, lostWithProcess } = node
  const fromLinks = links.sum((flow) => flow.to === ip).delivered
  const toLinks = links.sum((flow) => flow.from === ip && isNode(flow.to)).written
  const fromClients = metrics.value('mixwright_gateway_forwarded_packets_total')
  const acksMade = metrics.value('nym_node_mixnet_egress_ack_sent')
  const delivered =
    metrics.value('mixwright_gateway_pushed_messages_total') +
    metrics.value('nym_node_mixnet_egress_stored_on_disk_final_hop_packets')
  const dropped = droppedBy(node)
  const waiting = node.isRunning ? waitingIn(node) : 0
  const accounted = toLinks + delivered + sumOf(dropped) + waiting + lostWithProcess
  const missing = fromLinks + fromClients + acksMade - accounted
  return {
    name,
    fromLinks,
    fromClients,
    acksMade,
    toLinks,
    delivered,
    dropped,
    waiting,
    lostWithProcess,
    missing,
  }
}

/**
 * The balance of the whole network, checked. Error: `MIX_NOT_CONSERVED` with the balance of each node. `unsettled`: messages that
 * may be on their way to a disk or a socket at this moment, at most.
 */
export function conservation(
  nodes: readonly VirtualNode[],
  links: Traffic<Uint8Array>,
  websockets: Traffic<WebSocketMessage>,
  unsettled = 0,
): Conservation {
  const ips = new Set(nodes.map(({ ip }) => ip))
  const isNode = (ip: string) => ips.has(ip)
  const balances = nodes.map((node) => nodeBalance(node, links, isNode))
  const wrong = balances.filter(({ missing }) => missing < 0 || missing > unsettled)
  if (wrong.length > 0) throw notConserved(`${wrong.map(({ name, missing }) => `${missing} at ${name}`)}`, wrong)
  const total = (count: (balance: NodeBalance) => number) => balances.reduce((sum, one) => sum + count(one), 0)
  const up = websockets.sum((flow) => isNode(flow.to))
  const down = websockets.sum((flow) => isNode(flow.from))
  const between = links.sum()
  const fromClients = total((one) => one.fromClients)
  if (up.delivered !== fromClients)
    throw notConserved(`gateways were given ${up.delivered} packets by clients and counted ${fromClients}`, balances)
  const dropped: Record<string, number> = {}
  for (const balance of balances)
    for (const [reason, count] of Object.entries(balance.dropped)) dropped[reason] = (dropped[reason] ?? 0) + count
  const result: Conservation = {
    created: up.written + total((one) => one.acksMade),
    delivered: total((one) => one.delivered),
    dropped,
    lostInLinks: up.lost + between.lost,
    lostWithProcesses: total((one) => one.lostWithProcess),
    inFlight:
      up.written -
      up.delivered -
      up.lost +
      (between.written - between.delivered - between.lost) +
      total((one) => one.waiting + one.missing),
    pushesLost: down.lost,
    nodes: balances,
  }
  const ended = result.delivered + sumOf(dropped) + result.lostInLinks + result.lostWithProcesses + result.inFlight
  if (result.created !== ended) throw notConserved(`${result.created} were created, ${ended} are known`, balances)
  return result
}

function droppedBy({ metrics }: VirtualNode): Record<string, number> {
  const dropped: Record<string, number> = {}
  for (const { name, samples } of metrics.families()) {
    if (name !== DROPPED) continue
    for (const { labels, cell } of samples.values()) {
      const { reason = '' } = labels
      if (!('value' in cell) || reason === WRITTEN_BEFORE || cell.value === 0) continue
      dropped[reason] = (dropped[reason] ?? 0) + cell.value
    }
  }
  return dropped
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}

export function notConserved(what: string, balances: readonly NodeBalance[]): MixError {
  const message = `Packets are not conserved: ${what}.`
  return new MixError('MIX_NOT_CONSERVED', message, { kind: 'bug', data: { balances } })
}
