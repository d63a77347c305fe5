/**
 * Room for messages under way, and for those that wait. Each kind of message has its own, so that what fills one is never in
 * the way of what would make it flow again: replies that wait for reply blocks do not hold up the requests for them.
 */
import { ADDITIONAL_SURBS_LANE, SURB_REQUEST_LANE } from './lanes.js'
import type { Destination } from './outgoing-message.js'

const MIB = 1024 ** 2
const UNDER_WAY_MESSAGES = 20_000
export const WAITING_MESSAGES = 100_000
/** Of messages of an app, and of those of our own making; as many under way as waiting. */
export const APP_BYTES = 64 * MIB
const OWN_BYTES = 16 * MIB

/** Messages, and their bytes. */
export class Load {
  messages = 0
  bytes = 0

  add(bytes: number): void {
    this.messages++
    this.bytes += bytes
  }

  remove(bytes: number): void {
    this.messages--
    this.bytes -= bytes
  }
}

export class Room {
  /** Neither acknowledged nor failed. */
  readonly underWay = new Load()
  readonly waiting = new Load()
  /** Messages in it are an app's, not of our own making. */
  readonly isOfApp: boolean
  readonly #bytes: number

  constructor(isOfApp: boolean) {
    this.isOfApp = isOfApp
    this.#bytes = isOfApp ? APP_BYTES : OWN_BYTES
  }

  /** Whether one more message may be under way; an empty room takes one of any size. */
  get hasSpace(): boolean {
    const { messages, bytes } = this.underWay
    return messages === 0 || (messages < UNDER_WAY_MESSAGES && bytes < this.#bytes)
  }

  /** Whether one more message may wait. */
  mayWait(bytes: number): boolean {
    return this.waiting.messages < WAITING_MESSAGES && this.waiting.bytes + bytes <= this.#bytes
  }
}

/** The rooms of an outbox. */
export class Rooms {
  readonly #toAddresses = new Room(true)
  readonly #replies = new Room(true)
  readonly #surbRequests = new Room(false)
  readonly #additionalSurbs = new Room(false)
  readonly ofApp: readonly Room[] = [this.#toAddresses, this.#replies]

  of(lane: string, destination: Destination): Room {
    if (lane === SURB_REQUEST_LANE) return this.#surbRequests
    if (lane === ADDITIONAL_SURBS_LANE) return this.#additionalSurbs
    return destination.kind === 'recipient' ? this.#toAddresses : this.#replies
  }
}
