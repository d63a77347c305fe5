/**
 * One connection through a requester, on the client's side (06-service-providers §2.4): what the app writes becomes numbered
 * messages, what the requester sends is put in order, and both directions end on their own. Credit, between our own peers, bounds
 * what is under way. Which requester, and when to give up on it, is `exit.ts`'s business.
 *
 * | bound | at it |
 * |---|---|
 * | 64 KiB written and not sent | writes wait |
 * | 64 messages not acknowledged, or the requester's credit | nothing more is sent |
 * | two minutes in which a message of the exit is missing, and later ones come | the connection ends |
 * | 1 MiB that the app did not read | our requester waits; an official one knows no credit: at 16 MiB the connection is reset |
 */
import { type Clock, MixError } from '@mixwright/runtime'
import {
  CREDIT_STEP_BYTES,
  CREDIT_WINDOW_BYTES,
  joinRemote,
  OrderedBuffer,
  type ProviderResponse,
  RESET_CREDIT,
  type Recipient,
} from '@mixwright/wire'
import type { SendHandle } from '../api.js'
import { type Deferred, deferred } from '../deferred.js'
import { ByteStreamPair } from '../streams/byte-stream.js'
import type { ExitConnection, ExitTarget } from './exit-api.js'
import { exitError, requesterError } from './exit-error.js'

/** Data of one message, bytes. */
const MESSAGE_BYTES = 16_384
const WRITTEN_BYTES = 65_536
const UNACKNOWLEDGED_MESSAGES = 64
const UNREAD_BYTES = 16 * 1024 * 1024
/** After so long without one an empty message or, after the last, a credit: requesters end what is silent for five minutes. */
const KEEPALIVE_MS = 60_000
/** Requesters of all kinds send something every minute. */
const SILENCE_MS = 300_000
/** What a breaking link to a gateway ate after its ack, nobody sends again. */
const GAP_MS = 120_000

/** A request of this connection; versions are the exit's. */
export type TunnelRequest =
  | { readonly kind: 'connect'; readonly remote: string; readonly returnAddress: Recipient | undefined }
  | { readonly kind: 'send'; readonly sequence: bigint; readonly closed: boolean; readonly data: Uint8Array }
  | { readonly kind: 'credit'; readonly limit: bigint; readonly renewedBytes: number }

/** An answer to this connection. */
export type TunnelResponse = Extract<ProviderResponse, { connectionId: bigint }>

export interface TunnelOptions {
  readonly target: ExitTarget
  readonly requester: string
  readonly clock: Clock
  /** Where answers go; undefined: by reply blocks. */
  readonly returnAddress: Recipient | undefined
  readonly connectTimeoutMs: number
  /** Whether there is another requester. */
  readonly hasAnother: () => boolean
  readonly send: (request: TunnelRequest) => SendHandle
  /** Drop what waits to be sent. */
  readonly dropQueued: () => void
  /** It has ended, in order or by this error. */
  readonly onEnd: (error: MixError | undefined) => void
}

export class Tunnel implements ExitConnection {
  readonly requester: string
  readonly opened: Promise<void>
  readonly closed: Promise<void>
  readonly #options: TunnelOptions
  readonly #streams: ByteStreamPair
  readonly #incoming = new OrderedBuffer()
  readonly #bornMs: number
  #open = deferred()
  #end = deferred()
  #state: 'connecting' | 'open' | 'ended' = 'connecting'
  #heardMs: number
  #spokeMs: number
  // What we send.
  #written: Uint8Array[] = []
  #writtenBytes = 0
  #whenRoom: (() => void) | undefined
  #sequence = 0n
  #sentBytes = 0n
  #limit: bigint | undefined
  #unsent = 0
  #unacknowledged = 0
  #finishing: Deferred | undefined
  #finished = false
  // What we get.
  #readBytes = 0
  #grantedBytes = CREDIT_WINDOW_BYTES
  #remoteEnded = false
  /** Since when a message is missing. */
  #gapMs: number | undefined

  constructor(options: TunnelOptions) {
    this.#options = options
    this.requester = options.requester
    this.opened = this.#open.promise
    this.closed = this.#end.promise
    this.#bornMs = options.clock.monotonic()
    this.#heardMs = this.#bornMs
    this.#spokeMs = this.#bornMs
    this.#streams = new ByteStreamPair({
      write: (chunk) => this.#write(chunk),
      finish: () => this.#finish(),
      abort: (reason) => this.abort(reason),
      read: (bytes) => this.#onRead(bytes),
    })
    const { target, returnAddress } = options
    this.#request({ kind: 'connect', remote: joinRemote(target.host, target.port), returnAddress })
    this.#credit(0)
  }

  get readable(): ReadableStream<Uint8Array> {
    return this.#streams.readable
  }

  get writable(): WritableStream<Uint8Array> {
    return this.#streams.writable
  }

  /** The requester said something about this connection. */
  received(response: TunnelResponse): void {
    if (this.#state === 'ended') return
    this.#heardMs = this.#options.clock.monotonic()
    switch (response.kind) {
      case 'credit':
        if (this.#limit === undefined || response.limit > this.#limit) this.#limit = response.limit
        this.#pump()
        return
      case 'connection-error':
        this.fail(requesterError(response.message, this.#state === 'open', this.#options.hasAnother()))
        return
      case 'data':
        this.#onData(response)
    }
  }

  /** To be called every few seconds; `isOnline`: our link to the gateway is there. */
  tick(nowMs: number, isOnline: boolean): void {
    if (this.#state === 'connecting' && nowMs - this.#bornMs >= this.#options.connectTimeoutMs) {
      const { host, port } = this.#options.target
      this.fail(exitError('MIX_EXIT_SILENT', `The exit gave no answer about ${host}:${port}.`))
      return
    }
    if (isOnline && this.#gapMs !== undefined && nowMs - this.#gapMs >= GAP_MS) return this.#failByGap()
    if (this.#state === 'open' && nowMs - this.#heardMs >= SILENCE_MS) {
      if (this.#remoteEnded && nowMs - this.#spokeMs < SILENCE_MS) return
      // Whoever has read everything and writes nothing has left the stream lying.
      if (this.#remoteEnded) this.abort(exitError('MIX_EXIT_CLOSED', 'Nothing was written for five minutes.'))
      else this.fail(exitError('MIX_EXIT_SILENT', 'The exit has forgotten the connection.'))
      return
    }
    if (this.#state !== 'open' || nowMs - this.#spokeMs < KEEPALIVE_MS) return
    if (!this.#finished) this.#transmit(EMPTY, false)
    else if (this.#limit !== undefined && !this.#remoteEnded) this.#credit(0)
  }

  abort(reason: unknown = exitError('MIX_EXIT_CLOSED', 'The connection was given up.', 'usage')): void {
    this.fail(reason)
  }

  /** End both directions by an error; the requester is told. */
  fail(reason: unknown): void {
    if (this.#state === 'ended') return
    const hadFinished = this.#finished
    this.#ended()
    this.#options.dropQueued()
    if (!hadFinished) this.#request({ kind: 'send', sequence: this.#sequence, closed: true, data: EMPTY })
    // One of ours stops sending at once; others send what they have, for nobody.
    if (this.#limit !== undefined) this.#request({ kind: 'credit', limit: RESET_CREDIT, renewedBytes: 0 })
    this.#open.reject(reason)
    this.#finishing?.reject(reason)
    this.#whenRoom?.()
    this.#streams.fail(reason)
    this.#end.reject(reason)
    this.#options.onEnd(reason instanceof MixError ? reason : undefined)
  }

  #onData({ sequence, closed, data }: Extract<TunnelResponse, { kind: 'data' }>): void {
    if (this.#state === 'connecting') {
      // This is how official requesters say that they could not connect.
      if (sequence === 0n && closed && data.length === 0)
        return this.fail(exitError('MIX_EXIT_CONNECT_FAILED', 'The exit could not connect; it gives no reason.'))
      this.#state = 'open'
      this.#open.resolve()
    }
    if (this.#incoming.write(sequence, data, closed) === 'too-far') return this.#failByGap()
    const read = this.#incoming.read()
    if (read !== undefined) this.#gapMs = undefined
    if (this.#incoming.hasGap) this.#gapMs ??= this.#heardMs
    for (const bytes of read?.data ?? []) this.#streams.push(bytes)
    if (this.#streams.unreadBytes + this.#incoming.bytes > UNREAD_BYTES)
      return this.fail(exitError('MIX_EXIT_RESET', 'The app did not take what came, and the exit went on.', 'local'))
    if (!read?.closed || this.#remoteEnded) return
    this.#remoteEnded = true
    this.#streams.end()
    this.#endIfBoth()
  }

  #failByGap(): void {
    this.fail(exitError('MIX_EXIT_RESET', 'A message of the exit is missing.', 'peer'))
  }

  #onRead(bytes: number): void {
    this.#readBytes += bytes
    if (this.#state === 'ended' || this.#remoteEnded) return
    const limit = this.#readBytes + CREDIT_WINDOW_BYTES
    const renewedBytes = limit - this.#grantedBytes
    if (renewedBytes < CREDIT_STEP_BYTES) return
    this.#grantedBytes = limit
    this.#credit(renewedBytes)
  }

  #credit(renewedBytes: number): void {
    if (this.#finished) this.#spokeMs = this.#options.clock.monotonic()
    this.#request({ kind: 'credit', limit: BigInt(this.#grantedBytes), renewedBytes })
  }

  async #write(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array))
      throw new MixError('MIX_MESSAGE_DATA', 'A chunk is a Uint8Array.', { kind: 'usage' })
    if (chunk.length === 0) return
    // The app may use its buffer again.
    this.#written.push(new Uint8Array(chunk))
    this.#writtenBytes += chunk.length
    this.#pump()
    if (this.#writtenBytes < WRITTEN_BYTES) return
    await new Promise<void>((resolve) => {
      this.#whenRoom = resolve
    })
  }

  async #finish(): Promise<void> {
    if (this.#state === 'ended') return
    this.#finishing = deferred()
    this.#pump()
    await this.#finishing.promise
  }

  /** Send what may be sent. Small writes are gathered while a message of this connection waits for its slot. */
  #pump(): void {
    while (this.#state !== 'ended' && this.#writtenBytes > 0 && this.#unacknowledged < UNACKNOWLEDGED_MESSAGES) {
      if (this.#unsent > 0 && this.#writtenBytes < MESSAGE_BYTES && this.#finishing === undefined) break
      const allowed = this.#limit === undefined ? MESSAGE_BYTES : Number(this.#limit - this.#sentBytes)
      if (allowed <= 0) break
      this.#transmit(this.#takeWritten(Math.min(MESSAGE_BYTES, allowed)), false)
    }
    if (this.#writtenBytes < WRITTEN_BYTES) {
      this.#whenRoom?.()
      this.#whenRoom = undefined
    }
    if (this.#state === 'ended' || this.#finishing === undefined || this.#finished || this.#writtenBytes > 0) return
    this.#finished = true
    const { resolve } = this.#finishing
    this.#transmit(EMPTY, true).sent.then(resolve, () => {})
    this.#endIfBoth()
  }

  #takeWritten(most: number): Uint8Array {
    const first = this.#written[0]!
    if (first.length >= most) {
      this.#writtenBytes -= most
      if (first.length === most) this.#written.shift()
      else this.#written[0] = first.subarray(most)
      return first.subarray(0, most)
    }
    const data = new Uint8Array(Math.min(most, this.#writtenBytes))
    let length = 0
    while (length < data.length) {
      const chunk = this.#written[0]!
      const part = chunk.subarray(0, data.length - length)
      data.set(part, length)
      length += part.length
      if (part.length === chunk.length) this.#written.shift()
      else this.#written[0] = chunk.subarray(part.length)
    }
    this.#writtenBytes -= length
    return data
  }

  #transmit(data: Uint8Array, closed: boolean): SendHandle {
    this.#spokeMs = this.#options.clock.monotonic()
    this.#sentBytes += BigInt(data.length)
    this.#unsent++
    this.#unacknowledged++
    const handle = this.#request({ kind: 'send', sequence: this.#sequence++, closed, data })
    const sent = () => {
      this.#unsent--
      this.#pump()
    }
    handle.sent.then(sent, () => {})
    handle.acknowledged.then(
      () => {
        this.#unacknowledged--
        this.#pump()
      },
      () => {},
    )
    return handle
  }

  /** Any message that is lost for good is the end of the connection. */
  #request(request: TunnelRequest): SendHandle {
    const handle = this.#options.send(request)
    handle.acknowledged.catch((reason) => this.fail(reason))
    return handle
  }

  #endIfBoth(): void {
    if (!this.#remoteEnded || !this.#finished || this.#state === 'ended') return
    this.#ended()
    this.#end.resolve()
    this.#options.onEnd(undefined)
  }

  #ended(): void {
    this.#state = 'ended'
    this.#written = []
    this.#writtenBytes = 0
  }
}

const EMPTY = new Uint8Array(0)

/** A promise, and how to settle it; a rejection that nobody reads disturbs nobody. */
