/** An app at the local websocket, its frames awaited one by one. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientOptions, WebSocket } from 'ws'

/** Hex of a binary frame, or the text of a text frame. */
export type Seen = { readonly binary: string } | { readonly text: string }

export class TestApp {
  readonly websocket: WebSocket
  readonly #frames: Seen[] = []
  #wake = () => {}
  /** Close code. */
  readonly closed: Promise<number>

  private constructor(websocket: WebSocket) {
    this.websocket = websocket
    websocket.on('message', (data: Buffer, isBinary) => {
      this.#frames.push(isBinary ? { binary: data.toString('hex') } : { text: data.toString('utf8') })
      this.#wake()
    })
    websocket.on('error', () => {})
    this.closed = new Promise((resolve) => {
      websocket.once('close', (code) => {
        resolve(code)
        this.#wake()
      })
    })
  }

  /** Resolves once attached; rejects when it is refused. */
  static async attach(url: string, options: ClientOptions = {}): Promise<TestApp> {
    const websocket = new WebSocket(url, options)
    const app = new TestApp(websocket)
    await once(websocket, 'open')
    return app
  }

  send(data: string | Uint8Array): void {
    this.websocket.send(data)
  }

  /** The next frame, whichever came or comes. */
  async next(): Promise<Seen> {
    for (;;) {
      const frame = this.#frames.shift()
      if (frame) return frame
      if (this.websocket.readyState === WebSocket.CLOSED) assert.fail('the connection ended')
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async text(): Promise<string> {
    const frame = await this.next()
    assert.ok('text' in frame, `a binary frame came: ${JSON.stringify(frame)}`)
    return frame.text
  }

  async binary(): Promise<string> {
    const frame = await this.next()
    assert.ok('binary' in frame, `a text frame came: ${JSON.stringify(frame)}`)
    return frame.binary
  }

  async leave(): Promise<void> {
    this.websocket.close()
    await this.closed
  }
}
