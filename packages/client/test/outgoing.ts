/** Messages for tests of the sending side. */
import { SeededRandom } from '@mixwright/runtime'
import { ChunkedMessage } from '@mixwright/wire'
import { FRAGMENT_SPACE } from '../src/packet/packet-builder.js'
import { GENERAL_LANE } from '../src/send/lanes.js'
import { type Destination, Handle, type MessageOutcome, OutgoingMessage } from '../src/send/outgoing-message.js'

/** Bytes of a fragment that is not linked. */
const PAYLOAD_BYTES = FRAGMENT_SPACE - 7
const random = new SeededRandom('outgoing')
let nextId = 0

/** An address; which one does not matter. */
export const SOMEBODY: Destination = {
  kind: 'recipient',
  recipient: { identity: new Uint8Array(32), encryption: new Uint8Array(32), gateway: new Uint8Array(32) },
  gateway: 'gateway',
}

export function toTag(senderTag: string, purpose: 'data' | 'surb-request' = 'data'): Destination {
  return { kind: 'sender-tag', senderTag, purpose }
}

/** The bytes of a message that is cut into so many packets, at most 255. */
export function bytesOfPackets(packets: number): Uint8Array {
  return new Uint8Array((packets - 1) * PAYLOAD_BYTES + 1)
}

export interface OutgoingOptions {
  readonly packets?: number
  readonly lane?: string
  readonly to?: Destination
  readonly maximumRetransmissions?: number
  readonly onSent?: (message: OutgoingMessage) => void
  readonly onEnd?: (message: OutgoingMessage, outcome: MessageOutcome) => void
}

/** A message of one packet to somebody, unless said otherwise. */
export function outgoing(options: OutgoingOptions = {}): OutgoingMessage {
  const { packets = 1, lane = GENERAL_LANE, to = SOMEBODY, maximumRetransmissions = 10 } = options
  return new OutgoingMessage({
    id: nextId++,
    destination: to,
    lane,
    chunks: ChunkedMessage.cut(bytesOfPackets(packets), FRAGMENT_SPACE, random),
    maximumRetransmissions,
    handle: new Handle(),
    onSent: options.onSent ?? (() => {}),
    onEnd: options.onEnd ?? (() => {}),
  })
}

/** How a promise of a handle has ended by now. */
export async function outcomeOf(promise: Promise<void>): Promise<unknown> {
  const pending = Symbol('pending')
  const reason = await Promise.race([
    promise.then(
      () => 'resolved',
      (reason) => reason?.code ?? reason,
    ),
    new Promise((resolve) => setImmediate(resolve, pending)),
  ])
  return reason === pending ? 'pending' : reason
}
