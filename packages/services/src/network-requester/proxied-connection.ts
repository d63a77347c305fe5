/**
 * One connection of a client to a destination (06-service-providers §2.4, traps T4–T8, T20): what the client sends is put in order
 * and written to the socket, what the socket gives goes back in numbered messages, and each direction ends on its own. Opening the
 * socket, and which messages belong to this connection, is left to others.
 *
 * | bound | at it |
 * |---|---|
 * | the client's reorder window, or two minutes for a message that is missing in it | the connection ends with a ConnectionError |
 * | 16 MiB that wait for the destination | the same; a client that knows credit stops at 1 MiB |
 * | 256 KiB of answers not sent (less where many connections share), 250 not acknowledged, or the client's credit | reading pauses |
 * | five minutes without anything from either side; from a client that knows credit | the connection ends |
 */
import type { Socket } from 'node:net'
import type { SendHandle } from '@mixwright/client'
import type { Clock, Timer } from '@mixwright/runtime'
import { CREDIT_STEP_BYTES, CREDIT_WINDOW_BYTES, OrderedBuffer, RESET_CREDIT } from '@mixwright/wire'
import type { ConnectionEnd } from './requester-metrics.js'

/** Data of one message, bytes. */
export const MESSAGE_BYTES = 16_384
/**
 * Data of the first message when nothing is under way, bytes: one packet, which is there before eleven are. Each further one has four
 * times as much.
 */
export const FIRST_MESSAGE_BYTES = 1400
const UNACKNOWLEDGED_MESSAGES = 250
const UPLOAD_BYTES = 16 * 1024 ** 2
const KEEPALIVE_MS = 60_000
const IDLE_MS = 300_000
/** What a breaking link to our gateway ate after its ack, nobody sends again. */
const GAP_MS = 120_000
/** So long after a Connect the first credit of a client of ours may still be under way. */
const CREDIT_WAIT_MS = 500
const EMPTY = new Uint8Array(0)

/** An answer of this connection; id and versions are its owner's. */
export type ConnectionAnswer =
  | { readonly kind: 'data'; readonly sequence: bigint; readonly closed: boolean; readonly data: Uint8Array }
  | { readonly kind: 'connection-error'; readonly message: string }
  | { readonly kind: 'credit'; readonly limit: bigint }

/** A request of this connection. */
export type ConnectionRequest =
  | { readonly kind: 'send'; readonly sequence: bigint; readonly closed: boolean; readonly data: Uint8Array }
  | { readonly kind: 'credit'; readonly limit: bigint }

export interface ConnectionOwner {
  readonly clock: Clock
  /**
   * False: a ConnectionError may only go to it once it has sent a credit. It ends all of mix-fetch, which is never anonymous (06 §3), and
   * other official clients do no more than log it.
   */
  readonly bearsErrors: boolean
  send(answer: ConnectionAnswer): SendHandle
  /** Drop the answers that wait to be sent. */
  dropQueued(): void
  /** How many bytes of answers may be unsent. */
  allowance(): number
  /** Bytes that wait for the destination became more (or fewer). */
  uploadChanged(by: number): void
  /** Bytes of answers that wait to be sent became more (or fewer). */
  downloadChanged(by: number): void
  carried(direction: 'up' | 'down', bytes: number): void
  dropped(reason: string): void
  /** It takes no more requests; its last answers may still be on their way. */
  onEnd(reason: ConnectionEnd): void
  /** Its last answer has been sent, or given up. */
  onGone(): void
}

export class ProxiedConnection {
  readonly #owner: ConnectionOwner
  readonly #ending = new AbortController()
  #state: 'connecting' | 'open' | 'ended' | 'gone' = 'connecting'
  #socket: Socket | undefined
  readonly #bornMs: number
  /** While a refusal waits for a credit. */
  #refusal: { readonly text: string; readonly timer: Timer } | undefined
  #clientMs: number
  #destinationMs: number
  // From the client to the destination.
  readonly #incoming = new OrderedBuffer()
  /** In order, before there is a socket. */
  #early: Uint8Array[] = []
  /** In order, and not taken by the destination. */
  #unwrittenBytes = 0
  #countedBytes = 0
  #takenBytes = 0n
  /** Our credit; undefined until the client sends one. */
  #granted: bigint | undefined
  #clientClosed = false
  /** Since when a message is missing. */
  #gapMs: number | undefined
  // From the destination to the client.
  #sequence = 0n
  #sentBytes = 0n
  #sentMs: number
  /** Data of the next message, at most. */
  #messageBytes = FIRST_MESSAGE_BYTES
  #limit: bigint | undefined
  #unsentBytes = 0
  #unsentMessages = 0
  #unacknowledged = 0
  #destinationEnded = false

  constructor(owner: ConnectionOwner) {
    this.#owner = owner
    this.#bornMs = owner.clock.monotonic()
    this.#clientMs = this.#bornMs
    this.#destinationMs = this.#clientMs
    this.#sentMs = this.#clientMs
  }

  /** Aborts when it ends. */
  get ending(): AbortSignal {
    return this.#ending.signal
  }

  get hasEnded(): boolean {
    return this.#state === 'ended' || this.#state === 'gone'
  }

  /** What waits for the destination, bytes. */
  get uploadBytes(): number {
    return this.#countedBytes
  }

  /** The client sent something. */
  received(request: ConnectionRequest): void {
    if (!this.hasEnded) this.#clientMs = this.#owner.clock.monotonic()
    if (request.kind === 'credit') this.#onCredit(request.limit)
    else if (this.hasEnded) this.#owner.dropped('connection-ended')
    else this.#onSend(request)
  }

  /** The destination is there. */
  connected(socket: Socket): void {
    this.#state = 'open'
    this.#socket = socket
    this.#destinationMs = this.#owner.clock.monotonic()
    socket.on('readable', () => {
      this.#destinationMs = this.#owner.clock.monotonic()
      this.#pump()
    })
    socket.on('end', () => {
      this.#destinationEnded = true
      this.#transmit(EMPTY, true)
      this.#settle()
    })
    socket.on('error', () => this.#onReset())
    socket.on('close', () => this.#onClose())
    // Tells the client that it is connected.
    this.#transmit(EMPTY, false)
    const early = this.#early
    this.#early = []
    for (const data of early) this.#hand(socket, data)
    if (this.#clientClosed) socket.end()
    this.#pump()
  }

  /** There is no way to the destination; `text` tells the client. */
  refuse(text: string): void {
    if (this.hasEnded) return
    const waitMs = this.#bornMs + CREDIT_WAIT_MS - this.#owner.clock.monotonic()
    if (this.#hearsErrors || waitMs <= 0) return this.#fail('not-connected', text)
    const timer = this.#owner.clock.setTimer(waitMs, () => this.#fail('not-connected', text))
    this.#refusal = { text, timer }
  }

  /** It waits for a destination that takes too little. */
  overflow(): void {
    this.#fail('buffer-full', 'connect failed: the destination takes what comes too slowly')
  }

  /** The requester closes. */
  shutDown(): void {
    this.#fail('requester-closed', 'connect failed: the requester closes')
  }

  /** To be called every second or so, and when the allowance grows. */
  tick(nowMs: number): void {
    if (this.#state === 'gone') return
    // Who knows credit says something every minute, or has vanished. Of others the destination alone keeps it alive, but for who has closed.
    const isClients = this.#limit !== undefined || this.#clientClosed || this.hasEnded
    const lastMs = isClients ? this.#clientMs : Math.max(this.#clientMs, this.#destinationMs)
    if (nowMs - lastMs >= IDLE_MS) return this.#abandon('idle')
    if (this.#gapMs !== undefined && nowMs - this.#gapMs >= GAP_MS) return this.#failByGap()
    if (this.#state !== 'open') return
    this.#pump()
    const isQuiet = nowMs - this.#sentMs >= KEEPALIVE_MS && this.#unsentMessages === 0
    if (isQuiet && !this.#destinationEnded) this.#transmit(EMPTY, false)
  }

  #onSend({ sequence, closed, data }: Extract<ConnectionRequest, { kind: 'send' }>): void {
    const written = this.#incoming.write(sequence, data, closed)
    if (written === 'too-far') return this.#failByGap()
    if (written !== 'taken') return this.#owner.dropped(`send-${written}`)
    const read = this.#incoming.read()
    if (read !== undefined) this.#gapMs = undefined
    if (this.#incoming.hasGap) this.#gapMs ??= this.#clientMs
    for (const bytes of read?.data ?? []) this.#write(bytes)
    this.#countUpload()
    if (this.hasEnded) return
    if (this.#countedBytes > UPLOAD_BYTES) return this.overflow()
    if (!read?.closed) return
    this.#clientClosed = true
    this.#socket?.end()
    this.#settle()
  }

  #failByGap(): void {
    this.#fail('message-missing', 'connect failed: a message is missing')
  }

  #onCredit(limit: bigint): void {
    if (limit === RESET_CREDIT) {
      if (this.#state !== 'gone') this.#abandon('reset-by-client')
      return
    }
    if (this.#limit === undefined || limit > this.#limit) this.#limit = limit
    if (this.hasEnded) return
    if (this.#refusal) return this.#fail('not-connected', this.#refusal.text)
    if (this.#granted === undefined) this.#grant()
    this.#pump()
  }

  #grant(): void {
    const limit = this.#takenBytes + BigInt(CREDIT_WINDOW_BYTES)
    if (this.#granted !== undefined && limit - this.#granted < CREDIT_STEP_BYTES) return
    this.#granted = limit
    this.#send({ kind: 'credit', limit })
  }

  #write(data: Uint8Array): void {
    if (this.hasEnded) return
    this.#unwrittenBytes += data.length
    if (this.#socket === undefined) this.#early.push(data)
    else this.#hand(this.#socket, data)
  }

  #hand(socket: Socket, data: Uint8Array): void {
    if (socket.writable) socket.write(data, (error) => this.#written(data.length, error))
  }

  #written(bytes: number, error: Error | null | undefined): void {
    this.#unwrittenBytes -= bytes
    this.#countUpload()
    if (error || this.hasEnded) return
    this.#takenBytes += BigInt(bytes)
    this.#destinationMs = this.#owner.clock.monotonic()
    this.#owner.carried('up', bytes)
    if (this.#granted !== undefined && !this.#clientClosed) this.#grant()
  }

  /** After the end nothing waits that is of use to anybody. */
  #countUpload(): void {
    const bytes = this.hasEnded ? 0 : this.#unwrittenBytes + this.#incoming.bytes
    const by = bytes - this.#countedBytes
    this.#countedBytes = bytes
    if (by !== 0) this.#owner.uploadChanged(by)
  }

  /** Send what may be sent. Small reads are gathered while an answer of this connection waits to be sent. */
  #pump(): void {
    const socket = this.#socket
    while (this.#state === 'open' && socket !== undefined && !this.#destinationEnded) {
      const available = socket.readableLength
      if (available === 0) {
        // Asks for more, and finds the end.
        socket.read(0)
        return
      }
      const credit = this.#limit === undefined ? MESSAGE_BYTES : Number(this.#limit - this.#sentBytes)
      if (this.#unacknowledged === 0) this.#messageBytes = FIRST_MESSAGE_BYTES
      const room = Math.min(this.#messageBytes, credit, this.#owner.allowance() - this.#unsentBytes)
      const size = Math.min(available, room)
      if (size <= 0 || this.#unacknowledged >= UNACKNOWLEDGED_MESSAGES) return
      if (size < this.#messageBytes && this.#unsentMessages > 0) return
      const data = socket.read(size) as Uint8Array | null
      if (data === null) return
      this.#messageBytes = Math.min(MESSAGE_BYTES, 4 * this.#messageBytes)
      this.#transmit(data, false)
    }
  }

  #transmit(data: Uint8Array, closed: boolean): void {
    this.#sentMs = this.#owner.clock.monotonic()
    this.#sentBytes += BigInt(data.length)
    this.#owner.carried('down', data.length)
    this.#send({ kind: 'data', sequence: this.#sequence++, closed, data })
  }

  /** An answer that is lost for good ends the connection. */
  #send(answer: ConnectionAnswer): SendHandle {
    const bytes = answer.kind === 'data' ? answer.data.length : 0
    this.#unsentMessages++
    this.#unacknowledged++
    this.#unsentBytes += bytes
    this.#owner.downloadChanged(bytes)
    const handle = this.#owner.send(answer)
    const left = () => {
      this.#unsentMessages--
      this.#unsentBytes -= bytes
      this.#owner.downloadChanged(-bytes)
    }
    handle.sent.then(() => {
      left()
      this.#pump()
      this.#settle()
    }, left)
    handle.acknowledged.then(
      () => {
        this.#unacknowledged--
        this.#pump()
      },
      () => this.#abandon('reply-lost'),
    )
    return handle
  }

  /** The destination ended the connection in both directions, and not in order. */
  #onReset(): void {
    if (this.hasEnded) return
    // That bytes are missing: whoever hears nothing of errors takes it for the end.
    if (this.#hearsErrors && !(this.#clientClosed && this.#destinationEnded))
      return this.#fail('reset-by-destination', 'connect failed: the destination reset the connection')
    if (!this.#destinationEnded) this.#transmit(EMPTY, true)
    this.#destinationEnded = true
    this.#end('reset-by-destination')
  }

  #onClose(): void {
    if (this.hasEnded) return
    if (this.#clientClosed && this.#destinationEnded) this.#end('finished')
    else this.#onReset()
  }

  get #hearsErrors(): boolean {
    return this.#owner.bearsErrors || this.#limit !== undefined
  }

  /**
   * Tell the client. Official ones do not close on a ConnectionError: they get a close as well (trap T5), once the error has arrived,
   * so that it cannot come first; or a close alone.
   */
  #fail(reason: ConnectionEnd, text: string): void {
    if (this.hasEnded) return
    const mayClose = !this.#destinationEnded
    this.#destinationEnded = true
    if (!this.#hearsErrors) {
      if (mayClose) this.#transmit(EMPTY, true)
      return this.#end(reason)
    }
    const handle = this.#send({ kind: 'connection-error', message: text })
    this.#unsentMessages++
    const done = () => {
      this.#unsentMessages--
      if (mayClose && this.#limit === undefined && this.#state === 'ended') this.#transmit(EMPTY, true)
      this.#settle()
    }
    handle.acknowledged.then(done, () => {})
    this.#end(reason)
  }

  /** End it without a word. */
  #abandon(reason: ConnectionEnd): void {
    if (this.#state === 'gone') return
    if (!this.hasEnded) this.#end(reason)
    this.#state = 'gone'
    this.#owner.dropQueued()
    this.#owner.onGone()
  }

  #end(reason: ConnectionEnd): void {
    this.#state = 'ended'
    this.#clientMs = this.#owner.clock.monotonic()
    this.#early = []
    this.#refusal?.timer.cancel()
    this.#countUpload()
    const socket = this.#socket
    // What was cut off must not look complete to the destination. Where all was said, a reset beside the end that is under way would
    // leave the socket open for good, and the process at full load when it ends (Node.js 20).
    const isWhole = reason === 'finished' || (socket?.writableEnded && socket.writableLength === 0)
    if (isWhole) socket?.destroy()
    else socket?.resetAndDestroy()
    this.#ending.abort()
    this.#owner.onEnd(reason)
    this.#settle()
  }

  #settle(): void {
    if (this.#state !== 'ended' || this.#unsentMessages > 0) return
    this.#state = 'gone'
    this.#owner.onGone()
  }
}
