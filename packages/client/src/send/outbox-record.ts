/** A message of the outbox as the store keeps it: length of the head, u32 ‖ head, JSON ‖ bytes of the NymMessage. */
import { concatBytes, utf8 } from '@mixwright/runtime'
import { ChunkedMessage, decodeRecipient, encodeBase58, encodeRecipient } from '@mixwright/wire'
import { FRAGMENT_SPACE } from '../packet/packet-builder.js'
import type { Destination } from './outgoing-message.js'

export interface OutboxRecord {
  readonly destination: Destination
  readonly lane: string
  readonly maximumRetransmissions: number
  /** With its set ids: what had arrived of it before is recognised. */
  readonly chunks: ChunkedMessage
}

/** The key of a message in the table, so that keys sort by number. */
export function outboxKey(id: number): string {
  return id.toString(36).padStart(10, '0')
}

/** The number of a key; `NaN` for what is no key. */
export function outboxId(key: string): number {
  const id = Number.parseInt(key, 36)
  return outboxKey(id) === key ? id : Number.NaN
}

export function encodeOutboxRecord({ destination, lane, maximumRetransmissions, chunks }: OutboxRecord): Uint8Array {
  const to =
    destination.kind === 'recipient' ? [...encodeRecipient(destination.recipient)] : { tag: destination.senderTag }
  const head = utf8(JSON.stringify({ to, lane, maximumRetransmissions, setIds: chunks.setIds }))
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, head.length)
  return concatBytes(length, head, chunks.message)
}

/** Undefined when it is malformed. */
export function decodeOutboxRecord(value: Uint8Array): OutboxRecord | undefined {
  try {
    const headEnd = 4 + new DataView(value.buffer, value.byteOffset, value.length).getUint32(0)
    const { to, lane, maximumRetransmissions, setIds } = JSON.parse(
      new TextDecoder().decode(value.subarray(4, headEnd)),
    )
    if (typeof lane !== 'string' || typeof maximumRetransmissions !== 'number') return undefined
    const chunks = ChunkedMessage.resume(new Uint8Array(value.subarray(headEnd)), FRAGMENT_SPACE, setIds)
    if (!Array.isArray(to)) {
      const destination = { kind: 'sender-tag', senderTag: String(to.tag), purpose: 'data' } as const
      return { destination, lane, maximumRetransmissions, chunks }
    }
    const recipient = decodeRecipient(Uint8Array.from(to), () => true)!
    const gateway = encodeBase58(recipient.gateway)
    return { destination: { kind: 'recipient', recipient, gateway }, lane, maximumRetransmissions, chunks }
  } catch {
    return undefined
  }
}
