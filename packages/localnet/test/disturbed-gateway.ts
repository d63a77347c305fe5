/**
 * Somebody between clients and their gateway for tests, on real sockets: loses, doubles and delays whole websocket messages,
 * cuts connections, or takes them and says nothing. Clients are led to it by a directory of its own, which is the network's
 * but for one port.
 *
 * What it loses are packets on their way to the gateway, and acks on their way back. A message that the gateway pushes is
 * never lost: the gateway acknowledges what it has written to its client, and what is lost after that no client gets again.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { RealClock, SeededRandom, uniform } from '@mixwright/runtime'
import { ACK_MESSAGE_BYTES, NONCE_BYTES } from '@mixwright/wire'
import { type RawData, WebSocket, WebSocketServer } from 'ws'
import type { Network } from '../src/index.js'

/** Of an ack that the gateway pushes: kind and flag, nonce, the ack, tag. */
const PUSHED_ACK_BYTES = 2 + NONCE_BYTES + ACK_MESSAGE_BYTES + 16

export interface Disturbance {
  /** Probability that a message is lost. */
  loss: number
  /** Probability that it comes twice. */
  duplication: number
  /** Each is late by up to so much, so that they overtake each other. */
  latestMs: number
}

/** Both ends of a connection: that of the client and that to the gateway. */
type Link = readonly [client: WebSocket, gateway: WebSocket]

export class DisturbedGateway implements AsyncDisposable {
  readonly disturbance: Disturbance = { loss: 0, duplication: 0, latestMs: 0 }
  readonly counted = { passed: 0, lost: 0, doubled: 0 }
  readonly #net: Network
  readonly #index: number
  readonly #random: SeededRandom
  readonly #server: Server
  readonly #upgrades = new WebSocketServer({ noServer: true, clientTracking: false, perMessageDeflate: false })
  readonly #clock = new RealClock()
  readonly #sockets = new Set<Socket>()
  readonly #links = new Set<Link>()
  #hangs = false

  private constructor(net: Network, index: number, seed: string) {
    this.#net = net
    this.#index = index
    this.#random = new SeededRandom(seed)
    this.#server = createServer((request, response) => void this.#answer(request, response))
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    this.#server.on('upgrade', (request, socket: Socket, head) => {
      socket.on('error', () => {})
      if (!this.#hangs) this.#connect(request, socket, head)
    })
  }

  /** In front of gateway number `index`. */
  static async open(net: Network, index: number, seed: string): Promise<DisturbedGateway> {
    const gateway = new DisturbedGateway(net, index, seed)
    gateway.#server.listen(0, '127.0.0.1')
    await once(gateway.#server, 'listening')
    return gateway
  }

  /** For `connect`: the network's directory, in which this stands for the gateway. */
  get directory(): string {
    return `http://127.0.0.1:${this.#port}/api`
  }

  /** End all connections, without a word to either side. */
  cut(): void {
    for (const [client, gateway] of this.#links) {
      client.terminate()
      gateway.terminate()
    }
  }

  /** From now on nothing passes, and new connections are taken and never answered. */
  hang(): void {
    this.#hangs = true
    for (const end of [...this.#links].flat()) end.pause()
  }

  /** What was held back passes; new connections are answered again. */
  heal(): void {
    this.#hangs = false
    for (const end of [...this.#links].flat()) end.resume()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.cut()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async #answer({ url }: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const answer = await fetch(new URL(url!, this.#net.nymApiUrl))
      const text = await answer.text()
      const { clientPort } = this.#net.gateway(this.#index).ports
      response.writeHead(answer.status, { 'content-type': 'application/json' })
      response.end(text.replaceAll(`"ws_port":${clientPort}`, `"ws_port":${this.#port}`))
    } catch {
      response.writeHead(502).end()
    }
  }

  /** The client is let in when the gateway has let us in. */
  #connect(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const gateway = new WebSocket(this.#net.gateway(this.#index).clientUrl!, { perMessageDeflate: false })
    gateway.on('error', () => {})
    gateway.once('close', () => socket.destroy())
    gateway.once('open', () => {
      this.#upgrades.handleUpgrade(request, socket, head, (client) => this.#join([client, gateway]))
    })
  }

  #join(link: Link): void {
    const [client, gateway] = link
    this.#links.add(link)
    client.on('error', () => {})
    client.on('message', (data, isBinary) => this.#pass(data, isBinary, gateway, isBinary))
    gateway.on('message', (data, isBinary) =>
      this.#pass(data, isBinary, client, (data as Buffer).length === PUSHED_ACK_BYTES),
    )
    client.once('close', () => {
      gateway.terminate()
      this.#links.delete(link)
    })
    gateway.once('close', () => client.terminate())
  }

  #pass(data: RawData, isBinary: boolean, to: WebSocket, mayBeLost: boolean): void {
    const { loss, duplication, latestMs } = this.disturbance
    const send = () => to.send(data as Buffer, { binary: isBinary }, () => {})
    if (!isBinary) return send()
    const copies = this.#happens(duplication) ? 2 : 1
    this.counted.doubled += copies - 1
    for (let copy = 0; copy < copies; copy++) {
      if (mayBeLost && this.#happens(loss)) this.counted.lost++
      else {
        this.counted.passed++
        if (latestMs === 0) send()
        else this.#clock.setTimer(latestMs * uniform(this.#random), send, { background: true })
      }
    }
  }

  #happens(probability: number): boolean {
    return uniform(this.#random) < probability
  }
}
