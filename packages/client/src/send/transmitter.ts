/**
 * From what waits in the lanes to packets handed to the gateway, each remembered until its ack comes, and sent again when it
 * does not (04-client §4.12). Reply blocks and routes are drawn here, at the last moment: nothing queued grows old.
 */
import { type Clock, MixError, type Timer } from '@mixwright/runtime'
import type { FragmentIdentifier, MixPacket } from '@mixwright/wire'
import type { Topology } from '../directory/topology.js'
import type { BuiltPacket, PacketBuilder } from '../packet/packet-builder.js'
import type { SurbPools } from '../replies/surb-pools.js'
import { AckTracker } from './ack-tracker.js'
import type { Lanes, QueuedPacket } from './lanes.js'
import type { OutgoingMessage } from './outgoing-message.js'
import type { Filling } from './send-stream.js'
import { SendWindow } from './send-window.js'

/** A recipient's gateway that the network still does not list after so long is taken for unknown. */
const UNKNOWN_GATEWAY_MS = 10_000

export interface TransmitterOptions {
  readonly clock: Clock
  readonly lanes: Lanes
  readonly pools: SurbPools
  readonly builder: () => PacketBuilder
  /** Whether slots pace the packets; if not, the window bounds them. */
  readonly paced: boolean
  readonly topology: () => Topology | undefined
  readonly send: (packet: MixPacket) => void
  /** A recipient's gateway is unknown: the network should be read again. */
  readonly onUnknownGateway: () => void
  /** Room may have come up, or something may be sent again. */
  readonly onProgress: () => void
  /** A reply block of this sender tag was used, or is wanted again. */
  readonly onReplies: (senderTag: string) => void
}

interface Parked extends QueuedPacket {
  readonly sinceMs: number
}

export class Transmitter {
  readonly #options: TransmitterOptions
  readonly #acks = new AckTracker()
  readonly #window = new SendWindow()
  #parked: Parked[] = []
  #timer: Timer | undefined
  #timerDueMs = Infinity
  packetsSent = 0
  coverSent = 0
  retransmissions = 0

  constructor(options: TransmitterOptions) {
    this.#options = options
  }

  /** Packets sent and neither acknowledged nor given up. */
  get unacknowledged(): number {
    return this.#acks.size
  }

  /** Fill one slot; see `SendStreamOptions.transmit`. */
  transmit(filling: Filling): boolean {
    const { send, paced } = this.#options
    const builder = this.#options.builder()
    const topology = this.#options.topology()
    if (topology === undefined || !builder.isUsable(topology)) return false
    if (filling !== 'loop') {
      if (!paced && this.#acks.awaited >= this.#window.packets) return false
      for (;;) {
        const packet = this.#options.lanes.take((message) => this.#canSend(message))
        if (packet === undefined) break
        const built = this.#build(topology, packet)
        if (built === undefined) continue
        this.#sent(packet, built)
        return true
      }
      if (filling === 'data') return false
    }
    send((filling === 'data-or-drop' ? builder.drop(topology) : builder.cover(topology)).mixPacket)
    this.packetsSent++
    this.coverSent++
    return true
  }

  /** An ack came; false when nobody waits for it. */
  acknowledged(identifier: FragmentIdentifier): boolean {
    const acked = this.#acks.acknowledged(identifier, this.#options.clock.monotonic())
    if (acked?.excessMs !== undefined) this.#window.acknowledged(acked.excessMs)
    if (acked?.wasLate) this.#options.lanes.sweep()
    return acked !== undefined
  }

  /** A message has ended: acks of it are not waited for any more. */
  forget(message: OutgoingMessage): void {
    this.#acks.forget(message)
  }

  /**
   * The network was read anew, or could not be and is still this one: packets whose gateway was unknown go on, wait on, or
   * their messages fail.
   */
  topologyRead(topology: Topology): void {
    const { clock, lanes, onProgress } = this.#options
    const parked = this.#parked
    this.#parked = []
    for (const { message, index, again, sinceMs } of parked) {
      if (message.isSettled(index)) continue
      const gateway = gatewayOf(message)
      if (gateway !== undefined && !topology.gateways.has(gateway)) {
        if (clock.monotonic() - sinceMs < UNKNOWN_GATEWAY_MS) this.#parked.push({ message, index, again, sinceMs })
        else message.fail(unknownGateway(gateway))
      } else lanes.requeue({ message, index, again })
    }
    if (this.#parked.length > 0) this.#askAgainLater()
    onProgress()
  }

  close(): void {
    this.#timer?.cancel()
    this.#asking?.cancel()
  }

  #canSend({ destination }: OutgoingMessage): boolean {
    return destination.kind === 'recipient' || this.#options.pools.canTake(destination.senderTag, destination.purpose)
  }

  #build(topology: Topology, packet: QueuedPacket): BuiltPacket | undefined {
    const { message, index } = packet
    const { pools } = this.#options
    const builder = this.#options.builder()
    const { destination, chunks } = message
    try {
      if (destination.kind === 'sender-tag') {
        const pooled = pools.take(destination.senderTag)!
        this.#options.onReplies(destination.senderTag)
        try {
          return builder.reply(topology, pooled.surb, pooled.rotation, chunks.fragment(index), chunks.identifier(index))
        } catch {
          // A block that cannot be used is garbage of the peer's: the next one is tried.
          this.#options.lanes.requeue(packet)
          return undefined
        }
      }
      const gateway = topology.gateways.get(destination.gateway)
      if (gateway === undefined) {
        this.#parked.push({ ...packet, sinceMs: this.#options.clock.monotonic() })
        this.#askAgainLater(0)
        return undefined
      }
      const { recipient } = destination
      return builder.forward(topology, recipient, gateway, chunks.fragment(index), chunks.identifier(index))
    } catch (reason) {
      message.fail(reason)
      return undefined
    }
  }

  #sent({ message, index, again }: QueuedPacket, { mixPacket, expectedRttMs }: BuiltPacket): void {
    // Before it is sent: a link in the same process may bring the ack at once.
    this.#acks.sent(message, index, expectedRttMs, this.#options.clock.monotonic())
    this.packetsSent++
    if (again) {
      this.retransmissions++
      message.packetRetransmitted()
    } else message.packetSent()
    this.#options.send(mixPacket)
    this.#arm()
  }

  #arm(): void {
    const { clock } = this.#options
    const due = this.#acks.nextDueMs
    if (due === undefined || due >= this.#timerDueMs) return
    this.#timer?.cancel()
    this.#timerDueMs = due
    this.#timer = clock.setTimer(Math.max(0, due - clock.monotonic()), () => this.#serveLate())
  }

  #serveLate(): void {
    this.#timerDueMs = Infinity
    const { clock, lanes, onProgress, onReplies } = this.#options
    for (;;) {
      const late = this.#acks.takeLate(clock.monotonic())
      if (late === undefined) break
      this.#window.late()
      const { message, index, retransmissions } = late
      if (retransmissions >= message.maximumRetransmissions) message.fail(unacknowledged(message, retransmissions))
      else {
        lanes.retransmit(message, index)
        if (message.destination.kind === 'sender-tag') onReplies(message.destination.senderTag)
      }
    }
    this.#arm()
    onProgress()
  }

  #asking: Timer | undefined
  #askAgainLater(delayMs = UNKNOWN_GATEWAY_MS): void {
    if (this.#asking !== undefined) return
    this.#asking = this.#options.clock.setTimer(delayMs, () => {
      this.#asking = undefined
      if (this.#parked.length === 0) return
      // A network that was read a moment ago is not read again now.
      this.#askAgainLater()
      this.#options.onUnknownGateway()
    })
  }
}

function gatewayOf({ destination }: OutgoingMessage): string | undefined {
  return destination.kind === 'recipient' ? destination.gateway : undefined
}

function unknownGateway(gateway: string): MixError {
  const message = `The network does not list the recipient's gateway ${gateway}.`
  return new MixError('MIX_RECIPIENT_GATEWAY', message, { kind: 'network', retry: true, data: { gateway } })
}

function unacknowledged(message: OutgoingMessage, retransmissions: number): MixError {
  const text = `No acknowledgement came after ${retransmissions} retransmissions: the recipient's gateway may be away.`
  return new MixError('MIX_UNACKNOWLEDGED', text, {
    kind: 'network',
    retry: true,
    data: { retransmissions, packets: message.packets, acknowledged: message.acknowledged },
  })
}
