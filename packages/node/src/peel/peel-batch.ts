/**
 * Frames and outcomes between threads: one buffer per batch, handed over and handed back, never copied by the threads
 * (05-mixnode §18.3 F1). Each frame has a slot; the worker writes the outcome over the frame.
 *
 * | offset in slot | bytes | going in | coming out |
 * |---|---|---|---|
 * | 0 | 1 | – | kind: 0 drop, 1 forward, 2 final, 3 final without ack |
 * | 1 | 1 | rotation hint | drop reason, or rotation hint |
 * | 2 | 2 | – | Sphinx version |
 * | 4 | 4 | packet bytes | packet or message bytes |
 * | 8 | 4 | – | key rotation id |
 * | 12 | 8 | – | delay, nanoseconds |
 * | 20 | 32 | – | replay tag |
 * | 52 | 32 | – | next hop, or destination |
 * | 84 | 32 | – | first hop of the ack |
 * | 116 | … | packet | packet; or message, then the ack's packet of 386 bytes |
 */
import { decodeNodeAddress, encodeNodeAddress, packetSizeByLength } from '@mixwright/sphinx'
import type { Frame, KeyRotation } from '@mixwright/wire'
import type { DropReason, PacketOutcome } from './packet-pipeline.js'

const SLOT_HEADER_BYTES = 116
const ACK_PACKET_BYTES = 386
const ADDRESS_BYTES = 32

const DROP = 0
const FORWARD = 1
const FINAL = 2
const FINAL_WITHOUT_ACK = 3

/** Their place in this list is their number. */
const DROP_REASONS: readonly DropReason[] = [
  'too-short',
  'low-order-point',
  'header-mac',
  'unsupported-version',
  'routing-flag',
  'next-hop-address',
  'payload',
  'expired-key',
  'forward-hop-disabled',
  'final-hop-disabled',
  'surb-ack',
]

/** Write `frames` into a new buffer. */
export function packFrames(frames: readonly Frame[]): Uint8Array {
  const total = frames.reduce((sum, { packet }) => sum + SLOT_HEADER_BYTES + packet.length, 0)
  const batch = new Uint8Array(total)
  const view = new DataView(batch.buffer)
  let slot = 0
  for (const { packet, rotation } of frames) {
    batch[slot + 1] = rotation
    view.setUint32(slot + 4, packet.length)
    batch.set(packet, slot + SLOT_HEADER_BYTES)
    slot += SLOT_HEADER_BYTES + packet.length
  }
  return batch
}

/** Run `process` over the frames of the batch, and write each outcome in its frame's place. */
export function peelBatch(batch: Uint8Array, process: (frames: readonly Frame[]) => readonly PacketOutcome[]): void {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.length)
  const frames: Frame[] = []
  for (let slot = 0; slot < batch.length; ) {
    const length = view.getUint32(slot + 4)
    const packet = batch.subarray(slot + SLOT_HEADER_BYTES, slot + SLOT_HEADER_BYTES + length)
    const rotation = batch[slot + 1] as KeyRotation
    frames.push({ version: 8, size: packetSizeByLength(length)!, rotation, packet })
    slot += SLOT_HEADER_BYTES + length
  }
  let slot = 0
  for (const [index, outcome] of process(frames).entries()) {
    const end = slot + SLOT_HEADER_BYTES + frames[index]!.packet.length
    writeOutcome(batch.subarray(slot, end), view, slot, outcome)
    slot = end
  }
}

/** The outcomes of a batch whose frames had these lengths. Packets and messages are copies, so that the batch can go. */
export function unpackOutcomes(batch: Uint8Array, frames: readonly Frame[]): PacketOutcome[] {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.length)
  let slot = 0
  return frames.map(({ packet }) => {
    const end = slot + SLOT_HEADER_BYTES + packet.length
    const outcome = readOutcome(batch.subarray(slot, end), view, slot)
    slot = end
    return outcome
  })
}

/** Messages are shorter than their packet by more than an ack's packet and the address of its first hop. */
function writeOutcome(slot: Uint8Array, view: DataView, at: number, outcome: PacketOutcome): void {
  if (outcome.kind === 'drop') {
    slot[0] = DROP
    slot[1] = DROP_REASONS.indexOf(outcome.reason)
    return
  }
  view.setUint16(at + 2, outcome.version)
  view.setUint32(at + 8, outcome.keyRotationId)
  slot.set(outcome.replayTag, 20)
  if (outcome.kind === 'forward') {
    slot[0] = FORWARD
    view.setBigUint64(at + 12, outcome.delayNanos)
    slot.set(encodeNodeAddress(outcome.mixPacket.nextHop, ADDRESS_BYTES), 52)
    slot.set(outcome.mixPacket.packet, SLOT_HEADER_BYTES)
    return
  }
  const { message, ack } = outcome
  slot[0] = ack ? FINAL : FINAL_WITHOUT_ACK
  view.setUint32(at + 4, message.length)
  slot.set(outcome.destination, 52)
  slot.set(message, SLOT_HEADER_BYTES)
  if (ack === undefined) return
  slot.set(encodeNodeAddress(ack.nextHop, ADDRESS_BYTES), 84)
  slot.set(ack.packet, SLOT_HEADER_BYTES + message.length)
}

function readOutcome(slot: Uint8Array, view: DataView, at: number): PacketOutcome {
  const kind = slot[0]
  if (kind === DROP) return { kind: 'drop', reason: DROP_REASONS[slot[1]!]! }
  const rotation = slot[1] as KeyRotation
  const bytes = (start: number, length: number) => slot.slice(start, start + length)
  const common = {
    version: view.getUint16(at + 2),
    keyRotationId: view.getUint32(at + 8),
    replayTag: bytes(20, 32),
  }
  const length = view.getUint32(at + 4)
  if (kind === FORWARD) {
    const nextHop = decodeNodeAddress(slot.subarray(52, 52 + ADDRESS_BYTES))!.address
    const mixPacket = { nextHop, rotation, packet: bytes(SLOT_HEADER_BYTES, length) }
    return { kind: 'forward', ...common, mixPacket, delayNanos: view.getBigUint64(at + 12) }
  }
  const ack = {
    nextHop: decodeNodeAddress(slot.subarray(84, 84 + ADDRESS_BYTES))?.address,
    rotation,
    packet: bytes(SLOT_HEADER_BYTES + length, ACK_PACKET_BYTES),
  }
  return {
    kind: 'final',
    ...common,
    destination: bytes(52, 32),
    message: bytes(SLOT_HEADER_BYTES, length),
    ack: kind === FINAL && ack.nextHop ? { ...ack, nextHop: ack.nextHop } : undefined,
  }
}
