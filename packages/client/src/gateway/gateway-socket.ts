/**
 * One websocket to a gateway, whoever implements it (02-gateway §1): opened within a deadline, its end told exactly once and
 * with a reason. What the messages mean is left to others.
 */
import { type Clock, MixError, type Timer } from '@mixwright/runtime'

/** As much of the WHATWG `WebSocket` as is used; browsers' own and that of `ws` fit. */
export interface WebSocketLike {
  binaryType: string
  readonly bufferedAmount: number
  addEventListener(type: 'open' | 'close' | 'error', listener: (event: object) => void): void
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
  send(data: string | Uint8Array): void
  close(): void
  /** End the connection without a word, where that is possible. */
  terminate?(): void
}

/** Begin to open a websocket; may throw what the constructor throws. */
export type OpenWebSocket = (url: string) => WebSocketLike

export interface GatewaySocketEvents {
  opened(): void
  text(text: string): void
  binary(data: Uint8Array): void
  /** Once, never from within the constructor, and nothing comes after it; also when the socket never opened. */
  ended(reason: MixError): void
}

/** For the gateway's last words after our Close frame, milliseconds. */
const GOODBYE_MS = 500

export class GatewaySocket {
  readonly #events: GatewaySocketEvents
  readonly #clock: Clock
  readonly #url: string
  #websocket: WebSocketLike | undefined
  #state: 'opening' | 'open' | 'leaving' | 'ended' = 'opening'
  #timer: Timer | undefined
  /** Why it is ending, as far as anybody said. */
  #cause: unknown

  constructor(open: OpenWebSocket, url: string, clock: Clock, openMs: number, events: GatewaySocketEvents) {
    this.#events = events
    this.#clock = clock
    this.#url = url
    try {
      this.#websocket = open(url)
      this.#listen(this.#websocket)
      this.#timer = clock.setTimer(openMs, () => this.drop(this.#unreachable(`no answer within ${openMs} ms`)))
    } catch (cause) {
      this.#cause = cause
      queueMicrotask(() => this.drop(this.#unreachable()))
    }
  }

  /** Bytes handed over that the operating system has not taken yet. */
  get unsentBytes(): number {
    return this.#websocket?.bufferedAmount ?? 0
  }

  /** Send a text or binary message; nothing happens unless open. */
  send(data: string | Uint8Array): void {
    if (this.#state === 'open') this.#websocket?.send(data)
  }

  /** End at once. */
  drop(reason: MixError): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#timer?.cancel()
    if (this.#websocket?.terminate) this.#websocket.terminate()
    else this.#websocket?.close()
    this.#events.ended(reason)
  }

  /**
   * Say goodbye and go on reading, as long as the gateway finishes what it was about to say and at most half a second:
   * what it has written counts as delivered there, and would be lost. (Browsers stop reading at once.)
   */
  leave(reason: MixError): void {
    if (this.#state === 'opening') return this.drop(reason)
    if (this.#state !== 'open') return
    this.#state = 'leaving'
    this.#cause = reason
    this.#timer = this.#clock.setTimer(GOODBYE_MS, () => this.drop(reason))
    this.#websocket?.close()
  }

  #listen(websocket: WebSocketLike): void {
    websocket.binaryType = 'arraybuffer'
    websocket.addEventListener('open', () => {
      if (this.#state !== 'opening') return
      this.#state = 'open'
      this.#timer?.cancel()
      this.#events.opened()
    })
    websocket.addEventListener('message', ({ data }) => {
      if (this.#state !== 'open' && this.#state !== 'leaving') return
      if (typeof data === 'string') this.#events.text(data)
      else if (data instanceof ArrayBuffer) this.#events.binary(new Uint8Array(data))
    })
    // Browsers do not say what went wrong; `ws` does, and a close follows in both.
    websocket.addEventListener('error', (event) => {
      this.#cause ??= (event as { error?: unknown }).error
    })
    websocket.addEventListener('close', () => this.drop(this.#whyClosed()))
  }

  #whyClosed(): MixError {
    if (this.#state === 'opening') return this.#unreachable()
    if (this.#cause instanceof MixError) return this.#cause
    return this.#networkError('MIX_GATEWAY_CLOSED', `The connection to the gateway at ${this.#url} ended`)
  }

  #unreachable(reason?: string): MixError {
    return this.#networkError('MIX_GATEWAY_UNREACHABLE', `The gateway at ${this.#url} cannot be reached`, reason)
  }

  #networkError(code: `MIX_${string}`, what: string, reason = (this.#cause as Error | undefined)?.message): MixError {
    const details = { kind: 'network', retry: true, data: { url: this.#url, reason }, cause: this.#cause } as const
    return new MixError(code, reason === undefined ? `${what}.` : `${what}: ${reason}.`, details)
  }
}
