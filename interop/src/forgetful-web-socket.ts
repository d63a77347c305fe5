/** `ws` as the `WebSocket` that the WASM of the official packages finds in the global scope. */
import { WebSocket } from 'ws'

/**
 * After its registration a package frees its event closures and only then closes the socket; `ws` still emits `close`, and
 * the freed closure ends the process (04-client §4.20). So listeners are taken off at `close()`.
 */
export class ForgetfulWebSocket extends WebSocket {
  readonly #listeners: [string, (event: never) => void][] = []

  override addEventListener(type: string, listener: unknown, options?: unknown): void {
    this.#listeners.push([type, listener as (event: never) => void])
    super.addEventListener(type as 'message', listener as () => void, options as { once?: boolean })
  }

  override close(code?: number, data?: string | Buffer): void {
    for (const [type, listener] of this.#listeners) super.removeEventListener(type as 'message', listener as () => void)
    super.close(code, data)
  }
}
