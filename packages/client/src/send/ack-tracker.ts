/**
 * Packets that were sent and not acknowledged (04-client §4.12): whose ack is this, and whose is late. Time is handed in.
 *
 * A packet is late after 1.5 × its expected round trip + 1.5 s. Expected are the delays that were drawn, and what acks have
 * taken beyond theirs of late: a slow machine or a long way is no loss. From the fifth retransmission on the wait doubles
 * each time, to a minute at most: a gateway that is away for a while is not hammered, and the ten retransmissions of a reply
 * are spread over almost two minutes.
 */
import type { FragmentIdentifier } from '@mixwright/wire'
import { DueQueue } from './due-queue.js'
import type { OutgoingMessage } from './outgoing-message.js'

const WAIT_MULTIPLIER = 1.5
const WAIT_ADDITION_MS = 1500
/** Retransmissions at the plain pace. */
const PLAIN_ATTEMPTS = 4
const LONGEST_WAIT_MS = 60_000
/** Acks over which their excess is averaged, and the largest that counts. */
const EXCESS_SAMPLES = 16
const LONGEST_EXCESS_MS = 10_000

interface Pending {
  readonly message: OutgoingMessage
  readonly index: number
  readonly attempts: number
  readonly sentAtMs: number
  readonly expectedRttMs: number
  /** False once it was late: then it waits in a lane, not for its ack. */
  awaited: boolean
}

/** A packet whose ack is late. */
export interface LatePacket {
  readonly message: OutgoingMessage
  readonly index: number
  /** How often it was sent again already. */
  readonly retransmissions: number
}

export class AckTracker {
  readonly #pending = new Map<number, Pending>()
  readonly #due = new DueQueue<Pending>()
  #awaited = 0
  #excessMs = 0

  /** How much longer than the delays drawn acks take, on average over the last ones. */
  get excessMs(): number {
    return this.#excessMs
  }

  /** Sent and not acknowledged, late ones included. */
  get size(): number {
    return this.#pending.size
  }

  /** Of these, the ones whose time is not over. */
  get awaited(): number {
    return this.#awaited
  }

  /** When to call `takeLate` next; undefined when nothing waits. */
  get nextDueMs(): number | undefined {
    return this.#due.nextDueMs
  }

  /** A packet has left. */
  sent(message: OutgoingMessage, index: number, expectedRttMs: number, nowMs: number): void {
    const key = keyOf(message.chunks.identifier(index))
    const earlier = this.#pending.get(key)
    if (earlier?.awaited) this.#release(earlier)
    const attempts = earlier === undefined ? 0 : earlier.attempts + 1
    const pending: Pending = { message, index, attempts, sentAtMs: nowMs, expectedRttMs, awaited: true }
    this.#pending.set(key, pending)
    this.#awaited++
    this.#due.add(nowMs + waitMs(expectedRttMs + this.#excessMs, attempts), pending)
  }

  /**
   * An ack has come: the packet is settled at its message. Tells how much longer it took than the delays drawn, where that
   * can be said: not when the packet was sent more than once; and whether it was late: then the packet waits to be sent
   * again. Undefined for an ack that nobody waits for.
   */
  acknowledged(
    identifier: FragmentIdentifier,
    nowMs: number,
  ): { readonly excessMs: number | undefined; readonly wasLate: boolean } | undefined {
    const key = keyOf(identifier)
    const pending = this.#pending.get(key)
    if (pending === undefined) return undefined
    this.#pending.delete(key)
    const wasLate = !pending.awaited
    this.#release(pending)
    const excessMs = pending.attempts > 0 ? undefined : Math.max(0, nowMs - pending.sentAtMs - pending.expectedRttMs)
    if (excessMs !== undefined) {
      this.#excessMs += (Math.min(excessMs, LONGEST_EXCESS_MS) - this.#excessMs) / EXCESS_SAMPLES
    }
    pending.message.packetAcknowledged(pending.index)
    return { excessMs, wasLate }
  }

  /** The next packet whose ack is late; undefined when none is. It stays known: its ack may come yet. */
  takeLate(nowMs: number): LatePacket | undefined {
    for (;;) {
      const pending = this.#due.takeDue(nowMs)
      if (pending === undefined) return undefined
      if (!pending.awaited) continue
      this.#release(pending)
      const { message, index, attempts } = pending
      if (!message.isSettled(index)) return { message, index, retransmissions: attempts }
    }
  }

  /** Forget a message that has ended. */
  forget(message: OutgoingMessage): void {
    if (message.sent === 0) return
    for (let index = 0; index < message.packets; index++) {
      const key = keyOf(message.chunks.identifier(index))
      const pending = this.#pending.get(key)
      if (pending === undefined) continue
      this.#pending.delete(key)
      this.#release(pending)
    }
  }

  #release(pending: Pending): void {
    if (!pending.awaited) return
    pending.awaited = false
    this.#awaited--
  }
}

function waitMs(expectedRttMs: number, attempts: number): number {
  const plain = WAIT_MULTIPLIER * expectedRttMs + WAIT_ADDITION_MS
  if (attempts <= PLAIN_ATTEMPTS) return plain
  return Math.max(plain, Math.min(LONGEST_WAIT_MS, plain * 2 ** (attempts - PLAIN_ATTEMPTS)))
}

/** Set id (31 bits) and position (8 bits) as one number. */
function keyOf({ setId, position }: FragmentIdentifier): number {
  return setId * 256 + position
}
