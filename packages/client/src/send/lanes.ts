/**
 * What waits for a slot of the stream, in lanes (04-client §4.11.2). Within a lane messages leave in order; among lanes the
 * short ones go first, so that a chat line is not stuck behind a file. A lane of replies is open only while there are reply
 * blocks for its sender tag: it is set aside, and costs nothing, until some come.
 */
import { type Random, uniform } from '@mixwright/runtime'
import type { OutgoingMessage } from './outgoing-message.js'

/** Lanes of our own making; apps have `general` and `connection:<number>`. */
export const GENERAL_LANE = 'general'
export const SURB_REQUEST_LANE = 'surb-request'
export const ADDITIONAL_SURBS_LANE = 'additional-surbs'
export const RETRANSMISSION_LANE = 'retransmission'

/** A lane with fewer packets than this goes before longer ones. */
const SHORT_LANE_PACKETS = 100

/** One packet of a message. */
export interface QueuedPacket {
  readonly message: OutgoingMessage
  readonly index: number
  /** Whether it was sent before. */
  readonly again: boolean
}

/** Consecutive packets of one message. */
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
  readonly runs: Run[]
  /** Index of the first run that still counts. */
  first: number
  packets: number
}

export class Lanes {
  readonly #random: Random
  readonly #lanes = new Map<string, Lane>()
  /** Lanes that may be taken from. */
  readonly #open = new Set<Lane>()
  readonly #byTag = new Map<string, Set<Lane>>()
  #packets = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** Packets in all lanes. */
  get packets(): number {
    return this.#packets
  }

  /** Packets by lane, replies that wait for reply blocks included. */
  lengths(): Map<string, number> {
    const lengths = new Map<string, number>()
    for (const { name, packets } of this.#lanes.values()) lengths.set(name, (lengths.get(name) ?? 0) + packets)
    return lengths
  }

  /** Packets of one lane. */
  length(name: string): number {
    let packets = 0
    for (const lane of this.#lanes.values()) if (lane.name === name) packets += lane.packets
    return packets
  }

  /** Reply packets queued for a sender tag; requests for reply blocks do not count. */
  waitingFor(senderTag: string): number {
    let packets = 0
    for (const lane of this.#byTag.get(senderTag) ?? []) if (lane.name !== SURB_REQUEST_LANE) packets += lane.packets
    return packets
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
    for (;;) {
      const lane = this.#pick()
      if (lane === undefined) return undefined
      const run = this.#head(lane)
      if (run === undefined) continue
      if (!canSend(run.message)) {
        this.#open.delete(lane)
        continue
      }
      const packet = { message: run.message, index: run.next, again: run.again }
      run.next++
      this.#shrink(lane, 1)
      return packet
    }
  }

  /** Reply blocks came for this tag, or its lanes may be tried again for another reason. */
  reopen(senderTag: string): void {
    for (const lane of this.#byTag.get(senderTag) ?? []) this.#open.add(lane)
  }

  /** Every lane may be tried again. */
  reopenAll(): void {
    for (const lane of this.#lanes.values()) this.#open.add(lane)
  }

  /** Messages queued in a lane of this name; retransmissions of theirs are elsewhere. */
  messagesOf(name: string): OutgoingMessage[] {
    const found = new Set<OutgoingMessage>()
    for (const lane of this.#lanes.values())
      if (lane.name === name) for (const run of lane.runs.slice(lane.first)) found.add(run.message)
    return [...found]
  }

  /** Messages with packets queued for a sender tag. */
  messagesFor(senderTag: string): OutgoingMessage[] {
    const found = new Set<OutgoingMessage>()
    for (const lane of this.#byTag.get(senderTag) ?? [])
      for (const run of lane.runs.slice(lane.first)) found.add(run.message)
    return [...found]
  }

  /** Remove what need not be sent any more from the lanes, after messages were given up. */
  sweep(): void {
    for (const lane of [...this.#lanes.values()]) {
      const kept = lane.runs.slice(lane.first).filter(({ message }) => !message.ended)
      const packets = kept.reduce((sum, { next, end }) => sum + end - next, 0)
      lane.runs.splice(0, lane.runs.length, ...kept)
      lane.first = 0
      this.#shrink(lane, lane.packets - packets)
    }
  }

  #push(name: string, run: Run): void {
    const { destination } = run.message
    const senderTag = destination.kind === 'sender-tag' ? destination.senderTag : undefined
    const key = senderTag === undefined ? name : `${name} ${senderTag}`
    let lane = this.#lanes.get(key)
    if (lane === undefined) {
      lane = { key, name, senderTag, runs: [], first: 0, packets: 0 }
      this.#lanes.set(key, lane)
      this.#open.add(lane)
      if (senderTag !== undefined) {
        const lanes = this.#byTag.get(senderTag)
        if (lanes) lanes.add(lane)
        else this.#byTag.set(senderTag, new Set([lane]))
      }
    }
    lane.runs.push(run)
    lane.packets += run.end - run.next
    this.#packets += run.end - run.next
  }

  /** Uniformly among the short lanes that are open, else among all that are. */
  #pick(): Lane | undefined {
    if (this.#open.size <= 1) {
      for (const lane of this.#open) return lane
      return undefined
    }
    const short = [...this.#open].filter(({ packets }) => packets < SHORT_LANE_PACKETS)
    const candidates = short.length > 0 ? short : [...this.#open]
    return candidates[Math.floor(uniform(this.#random) * candidates.length)]
  }

  /** The run at the head of a lane that has something to send; what has been settled meanwhile is skipped. */
  #head(lane: Lane): Run | undefined {
    for (;;) {
      const run = lane.runs[lane.first]
      if (run === undefined) {
        this.#remove(lane)
        return undefined
      }
      const from = run.next
      while (run.next < run.end && run.message.isSettled(run.next)) run.next++
      this.#shrink(lane, run.next - from, false)
      if (run.next < run.end) return run
      this.#dropFirst(lane)
    }
  }

  #shrink(lane: Lane, packets: number, removeIfEmpty = true): void {
    lane.packets -= packets
    this.#packets -= packets
    if (lane.packets > 0 || !removeIfEmpty) return
    this.#remove(lane)
  }

  #dropFirst(lane: Lane): void {
    lane.runs[lane.first] = undefined as never
    lane.first++
    // Moving the rest down now and then keeps this linear.
    if (lane.first > 1000 && lane.first * 2 > lane.runs.length) {
      lane.runs.splice(0, lane.first)
      lane.first = 0
    }
  }

  #remove(lane: Lane): void {
    this.#lanes.delete(lane.key)
    this.#open.delete(lane)
    if (lane.senderTag === undefined) return
    const lanes = this.#byTag.get(lane.senderTag)
    lanes?.delete(lane)
    if (lanes?.size === 0) this.#byTag.delete(lane.senderTag)
  }
}
