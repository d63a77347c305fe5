/**
 * The last metre to one connected client: stored messages first and in order, then live ones straight to its socket
 * (02-gateway §9.3). While the mailbox is being emptied, or the client reads too slowly, messages go through the mailbox:
 * so order holds and memory is bounded by one page and the socket's buffer.
 */
import type { Counter, Metrics, Random } from '@mixwright/runtime'
import { NONCE_BYTES, PUSHED_MIX_MESSAGE, sealBinaryFrame } from '@mixwright/wire'
import type { Mailbox } from './store/mailbox.js'

/** What a session's socket offers. `written` is called when the operating system took the bytes, or with the error. */
export interface DeliverySocket {
  readonly bufferedBytes: number
  sendBinary(data: Uint8Array, written: (error?: Error) => void): void
}

/** Messages read from the mailbox at once. */
const PAGE_MESSAGES = 100
/** Unsent bytes in a client's socket past which messages take the way through the mailbox. */
const SLOW_READER_BYTES = 262_144

export function messagesPushed(metrics: Metrics): Counter {
  return metrics.counter('mixwright_gateway_pushed_messages_total', 'Messages given to clients as they came')
}

export function messagesDrained(metrics: Metrics): Counter {
  return metrics.counter('mixwright_gateway_drained_messages_total', 'Stored messages given to clients')
}

export class ClientDelivery {
  readonly #identity: Uint8Array
  readonly #sharedKey: Uint8Array
  readonly #socket: DeliverySocket
  readonly #mailbox: Mailbox
  readonly #random: Random
  readonly #pushed: Counter
  readonly #drained: Counter
  /** `waiting`: nothing may be pushed yet. `draining`: a page is under way. `live`: the mailbox is empty. */
  #state: 'waiting' | 'draining' | 'live' | 'closed' = 'waiting'
  #unwritten = 0

  constructor(
    identity: Uint8Array,
    sharedKey: Uint8Array,
    socket: DeliverySocket,
    mailbox: Mailbox,
    random: Random,
    metrics: Metrics,
  ) {
    this.#identity = identity
    this.#sharedKey = sharedKey
    this.#socket = socket
    this.#mailbox = mailbox
    this.#random = random
    this.#pushed = messagesPushed(metrics)
    this.#drained = messagesDrained(metrics)
  }

  /** From now on messages may be pushed; the stored ones go first. */
  start(): void {
    if (this.#state === 'waiting') this.#drain(0)
  }

  /** A message for this client; see `Gateway.deliver` for `accepted`. */
  deliver(message: Uint8Array, accepted: () => void): void {
    if (this.#state !== 'live') {
      this.#mailbox.store(this.#identity, message, accepted)
      return
    }
    this.#unwritten++
    this.#push(message, (error) => {
      this.#unwritten--
      if (error) this.#mailbox.store(this.#identity, message, accepted)
      else {
        this.#pushed.increment()
        accepted()
      }
      if (this.#state === 'waiting' && this.#unwritten === 0) this.#drain(0)
    })
    // A slow reader: what comes next waits on the disk until all of this is written.
    if (this.#socket.bufferedBytes > SLOW_READER_BYTES) this.#state = 'waiting'
  }

  /** The socket is gone. */
  close(): void {
    this.#state = 'closed'
  }

  #drain(afterId: number): void {
    this.#state = 'draining'
    const page = this.#mailbox.page(this.#identity, afterId, PAGE_MESSAGES)
    const last = page.at(-1)
    if (last === undefined) {
      this.#state = 'live'
      return
    }
    let outstanding = page.length
    let failed = false
    for (const { content } of page) {
      this.#push(content, (error) => {
        failed ||= error !== undefined && error !== null
        if (--outstanding > 0 || failed) return
        this.#mailbox.deleteUpTo(this.#identity, last.id, page.length)
        this.#drained.increment(page.length)
        if (this.#state === 'draining') this.#drain(last.id)
      })
    }
  }

  #push(message: Uint8Array, written: (error?: Error) => void): void {
    const frame = sealBinaryFrame(this.#sharedKey, PUSHED_MIX_MESSAGE, this.#random.bytes(NONCE_BYTES), message)
    this.#socket.sendBinary(frame, written)
  }
}
