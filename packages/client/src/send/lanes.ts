/**
 * What waits for a slot of the stream, in lanes (04-client §4.11.2). Within a lane messages leave in order; among lanes the
 * short ones go first, so that a chat line is not stuck behind a file. A lane of replies is open only while there are reply
 * blocks for its sender tag: it is set aside, and costs nothing, until some come.
 */
import { type Random, uniform } from '@mixwright/runtime'
import { Fifo } from '../fifo.js'
import { DrawSet } from './draw-set.js'
import type { Destination, OutgoingMessage } from './outgoing-message.js'

/** Lanes of our own making; apps have `general` and `connection:<number>`. */
export const GENERAL_LANE = 'general'
export const SURB_REQUEST_LANE = 'surb-request'
export const ADDITIONAL_SURBS_LANE = 'additional-surbs'
export const RETRANSMISSION_LANE = 'retransmission'

/** A lane with fewer packets than this goes before longer ones. */
const SHORT_LANE_PACKETS = 100
/** The part of the slots that longer lanes get all the same: else chatter that fills the stream would hold up a file for ever. */
const LONG_LANES_SHARE = 1 / 8

/** One packet of a message. */
export interface QueuedPacket {
  readonly message: OutgoingMessage
  readonly index: number
  /** Whether it was sent before. */
  readonly again: boolean
}

/** Consecutive packets of one message, at least one. */
interface Run {
  readonly message: OutgoingMessage
  next: number
  readonly end: number
  readonly again: boolean
}

interface Lane {
  readonly key: string
  readonly name: string
  /** Of replies. */
  readonly senderTag: string | undefined
  readonly runs: Fifo<Run>
  packets: number
  /** False while it is set aside. */
  isOpen: boolean
}

/** Which queue: replies wait for the reply blocks of their tag, so each tag has its own under every name. */
export function laneKey(name: string, destination: Destination): string {
  return destination.kind === 'sender-tag' ? `${name} ${destination.senderTag}` : name
}

export class Lanes {
  readonly #random: Random
  readonly #lanes = new Map<string, Lane>()
  /** Lanes that may be taken from. */
  readonly #short = new DrawSet<Lane>()
  readonly #long = new DrawSet<Lane>()
  readonly #byTag = new Map<string, Set<Lane>>()
  #packets = 0
  /** Something in the lanes need not be sent any more. */
  #isSwept = true

  constructor(random: Random) {
    this.#random = random
  }

  /** Packets in all lanes. */
  get packets(): number {
    this.#sweepNow()
    return this.#packets
  }

  /** Packets by lane, replies that wait for reply blocks included. */
  lengths(): Map<string, number> {
    this.#sweepNow()
    const lengths = new Map<string, number>()
    for (const { name, packets } of this.#lanes.values()) lengths.set(name, (lengths.get(name) ?? 0) + packets)
    return lengths
  }

  /** Packets of one lane. */
  length(name: string): number {
    return this.lengths().get(name) ?? 0
  }

  /** Reply packets queued for a sender tag; requests for reply blocks do not count. */
  waitingFor(senderTag: string): number {
    this.#sweepNow()
    let packets = 0
    for (const lane of this.#byTag.get(senderTag) ?? []) if (lane.name !== SURB_REQUEST_LANE) packets += lane.packets
    return packets
  }

  /** For each sender tag with anything queued, requests included, what `waitingFor` says. */
  waitingByTag(): Map<string, number> {
    this.#sweepNow()
    return new Map([...this.#byTag.keys()].map((senderTag) => [senderTag, this.waitingFor(senderTag)]))
  }

  /** Queue a whole message in its lane. */
  add(message: OutgoingMessage): void {
    this.#push(message.lane, { message, next: 0, end: message.packets, again: false })
  }

  /** Queue one packet again because its ack is late. */
  retransmit(message: OutgoingMessage, index: number): void {
    this.requeue({ message, index, again: true })
  }

  /** Queue one packet that was taken and could not be sent. */
  requeue({ message, index, again }: QueuedPacket): void {
    // A request that got lost is still a request: it may use the last reply block.
    const isRequest = message.destination.kind === 'sender-tag' && message.destination.purpose === 'surb-request'
    const lane = isRequest ? SURB_REQUEST_LANE : RETRANSMISSION_LANE
    this.#push(lane, { message, next: index, end: index + 1, again })
  }

  /**
   * The next packet that `canSend` allows, removed from its lane; undefined when none waits or none may go. A lane of replies
   * that is refused is set aside until `reopen`.
   */
  take(canSend: (message: OutgoingMessage) => boolean): QueuedPacket | undefined {
    this.#sweepNow()
    for (;;) {
      const lane = this.#pick()
      if (lane === undefined) return undefined
      const run = this.#head(lane)
      if (run === undefined) continue
      if (!canSend(run.message)) {
        lane.isOpen = false
        this.#place(lane)
        continue
      }
      const packet = { message: run.message, index: run.next, again: run.again }
      run.next++
      if (run.next === run.end) lane.runs.shift()
      this.#resize(lane, -1)
      return packet
    }
  }

  /** Reply blocks came for this tag, or its lanes may be tried again for another reason. */
  reopen(senderTag: string): void {
    for (const lane of this.#byTag.get(senderTag) ?? []) this.#open(lane)
  }

  /** Every lane may be tried again. */
  reopenAll(): void {
    for (const lane of this.#lanes.values()) this.#open(lane)
  }

  /** Messages with packets queued for a sender tag. */
  messagesFor(senderTag: string): OutgoingMessage[] {
    const found = new Set<OutgoingMessage>()
    for (const lane of this.#byTag.get(senderTag) ?? []) for (const run of lane.runs) found.add(run.message)
    return [...found]
  }

  /** Messages were given up, or a packet was acknowledged that is queued again: before anybody looks, such things are removed. */
  sweep(): void {
    this.#isSwept = false
  }

  #sweepNow(): void {
    if (this.#isSwept) return
    this.#isSwept = true
    for (const lane of [...this.#lanes.values()]) {
      let packets = 0
      lane.runs.retain(({ message, next, end }) => {
        // Runs of several packets were never sent: all of them are settled, as their message has ended, or none is.
        const isWanted = !message.isSettled(next)
        if (isWanted) packets += end - next
        return isWanted
      })
      this.#resize(lane, packets - lane.packets)
    }
  }

  #push(name: string, run: Run): void {
    const { destination } = run.message
    const key = laneKey(name, destination)
    let lane = this.#lanes.get(key)
    if (lane === undefined) {
      const senderTag = destination.kind === 'sender-tag' ? destination.senderTag : undefined
      lane = { key, name, senderTag, runs: new Fifo(), packets: 0, isOpen: true }
      this.#lanes.set(key, lane)
      if (senderTag !== undefined) {
        const lanes = this.#byTag.get(senderTag)
        if (lanes) lanes.add(lane)
        else this.#byTag.set(senderTag, new Set([lane]))
      }
    }
    lane.runs.push(run)
    this.#resize(lane, run.end - run.next)
  }

  #pick(): Lane | undefined {
    const isLongOnesTurn = this.#long.size > 0 && uniform(this.#random) < LONG_LANES_SHARE
    const lanes = this.#short.size === 0 || isLongOnesTurn ? this.#long : this.#short
    return lanes.draw(this.#random)
  }

  /** The run at the head of a lane; what has been settled meanwhile is skipped. Undefined: that was all of the lane. */
  #head(lane: Lane): Run | undefined {
    for (;;) {
      const run = lane.runs.first
      if (run === undefined || !run.message.isSettled(run.next)) return run
      run.next++
      if (run.next === run.end) lane.runs.shift()
      this.#resize(lane, -1)
    }
  }

  #open(lane: Lane): void {
    lane.isOpen = true
    this.#place(lane)
  }

  /** Whether, and among which, the lane is drawn. */
  #place(lane: Lane): void {
    const isShort = lane.packets < SHORT_LANE_PACKETS
    if (lane.isOpen && isShort) this.#short.add(lane)
    else this.#short.delete(lane)
    if (lane.isOpen && !isShort) this.#long.add(lane)
    else this.#long.delete(lane)
  }

  /** The lane has so many packets more, or less. Without any it is removed. */
  #resize(lane: Lane, packets: number): void {
    lane.packets += packets
    this.#packets += packets
    if (lane.packets > 0) return this.#place(lane)
    lane.isOpen = false
    this.#place(lane)
    this.#lanes.delete(lane.key)
    if (lane.senderTag === undefined) return
    const lanes = this.#byTag.get(lane.senderTag)
    lanes?.delete(lane)
    if (lanes?.size === 0) this.#byTag.delete(lane.senderTag)
  }
}
