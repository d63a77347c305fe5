/** Somebody between client and gateway for tests: passes messages on, and interferes where told. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type RawData, WebSocket, WebSocketServer } from 'ws'

/** What becomes of a text: passed on, replaced, withheld, or the end of the connection. */
export type Interference = (
  text: string,
  number: number,
) => 'pass' | 'withhold' | 'drop' | { readonly replace: string | Uint8Array }

export class GatewayProxy implements AsyncDisposable {
  /** Texts of the client, of all its connections. */
  readonly said: string[] = []
  /** Applied to the gateway's texts, numbered from 0 in each connection. */
  interfere: Interference = () => 'pass'
  /** Withhold everything from the gateway. */
  deaf = false
  connections = 0
  readonly sockets = new Set<Socket>()
  readonly #server: Server
  readonly #target: () => string
  #changed = () => {}

  private constructor(server: Server, target: () => string) {
    this.#server = server
    this.#target = target
    const websockets = new WebSocketServer({ server, perMessageDeflate: false })
    websockets.on('connection', (websocket) => this.#serve(websocket))
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket)
      socket.once('close', () => {
        this.sockets.delete(socket)
        this.#changed()
      })
    })
  }

  static async open(target: () => string): Promise<GatewayProxy> {
    const server = createServer()
    const proxy = new GatewayProxy(server, target)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return proxy
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Wait until something that this proxy sees makes the condition true. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#changed = resolve))
  }

  /** End all connections. */
  dropAll(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.dropAll()
    await closed
  }

  #serve(websocket: WebSocket): void {
    this.connections++
    const gateway = new WebSocket(this.#target(), { perMessageDeflate: false })
    const early: (string | Buffer)[] = []
    const pass = (data: string | Buffer) =>
      gateway.readyState === WebSocket.OPEN ? gateway.send(data) : early.push(data)
    let number = 0
    gateway.on('open', () => {
      for (const data of early) gateway.send(data)
    })
    gateway.on('message', (data: RawData, isBinary: boolean) => {
      if (this.deaf) return
      if (isBinary) return websocket.send(data as Buffer)
      const text = String(data)
      const fate = this.interfere(text, number++)
      if (fate === 'pass') websocket.send(text)
      else if (fate === 'drop') websocket.terminate()
      else if (fate !== 'withhold') websocket.send(fate.replace)
      this.#changed()
    })
    websocket.on('message', (data: RawData, isBinary: boolean) => {
      if (!isBinary) this.said.push(String(data))
      pass(isBinary ? (data as Buffer) : String(data))
      this.#changed()
    })
    for (const [one, other] of [
      [websocket, gateway],
      [gateway, websocket],
    ] as const) {
      one.on('error', () => {})
      one.on('close', () => other.terminate())
    }
    this.#changed()
  }
}
