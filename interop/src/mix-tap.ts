/**
 * Sees every packet of a client on its way to one mix node, as that node would: a directory that names another port for the
 * node, and there a listener that opens a copy of what it passes on. Every route leads through the node as long as it is
 * alone in its layer.
 */
import { readFileSync } from 'node:fs'
import { createServer, type Server as HttpServer } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Network } from '@mixwright/localnet'
import { fromHex } from '@mixwright/runtime'
import { listenOn } from '@mixwright/runtime/node'
import { type CryptoProvider, loadCryptoProvider, type PacketSizeName, peel } from '@mixwright/sphinx'
import { FrameDecoder } from '@mixwright/wire'

const LOOPBACK = '127.0.0.1'

/** A packet as the mix node sees it: of data packets and cover it sees the same. */
export interface TappedPacket {
  readonly size: PacketSizeName
  readonly version: number
}

export class MixTap implements AsyncDisposable {
  readonly #crypto: CryptoProvider
  readonly #secret: Uint8Array
  readonly #mixPort: number
  readonly #mixes: Server
  readonly #directory: HttpServer
  readonly #sockets = new Set<Socket>()
  readonly #packets: TappedPacket[] = []
  #waits: { readonly count: number; readonly resolve: () => void }[] = []

  private constructor(net: Network, crypto: CryptoProvider) {
    const { name, mixAddress } = net.nodes[0]!
    const keys = JSON.parse(readFileSync(join(net.stateDirectory, name, 'sphinx-keys.json'), 'utf8'))
    this.#crypto = crypto
    this.#secret = fromHex(keys.primary.secret)
    this.#mixPort = Number(mixAddress.split(':')[1])
    this.#mixes = createTcpServer((socket) => this.#pass(socket))
    const api = new URL(net.nymApiUrl)
    this.#directory = createServer(async ({ url }, response) => {
      const answer = await fetch(new URL(url!, api))
      const type = answer.headers.get('content-type') ?? ''
      const body = type.includes('json')
        ? (await answer.text()).replaceAll(`"mix_port":${this.#mixPort}`, `"mix_port":${portOf(this.#mixes)}`)
        : new Uint8Array(await answer.arrayBuffer())
      response.writeHead(answer.status, { 'content-type': type }).end(body)
    })
  }

  /** Tap the first mix node of a network. */
  static async start(net: Network): Promise<MixTap> {
    const tap = new MixTap(net, await loadCryptoProvider())
    for (const server of [tap.#mixes, tap.#directory]) await listenOn(server, { host: LOOPBACK, port: 0 })
    return tap
  }

  /** For the clients that are to be seen. */
  get nymApiUrl(): string {
    return `http://${LOOPBACK}:${portOf(this.#directory)}/api`
  }

  /** All packets that were seen since the last call, once there are `count` at least. */
  async packets(count: number): Promise<readonly TappedPacket[]> {
    if (this.#packets.length < count) await new Promise<void>((resolve) => this.#waits.push({ count, resolve }))
    return this.#packets.splice(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#directory.closeAllConnections()
    for (const server of [this.#mixes, this.#directory]) await new Promise((resolve) => server.close(resolve))
  }

  #pass(socket: Socket): void {
    const onward = connect(this.#mixPort, LOOPBACK)
    for (const end of [socket, onward]) {
      this.#sockets.add(end)
      end.on('error', () => {})
      end.on('close', () => this.#sockets.delete(end))
    }
    const decoder = new FrameDecoder()
    socket.on('data', (chunk) => decoder.push(chunk, ({ size, packet }) => this.#see(size.name, packet)))
    socket.pipe(onward).pipe(socket)
  }

  #see(size: PacketSizeName, packet: Uint8Array): void {
    const peeled = peel(this.#crypto, this.#secret, packet)
    this.#packets.push({ size, version: peeled.kind === 'drop' ? 0 : peeled.version })
    this.#waits = this.#waits.filter(({ count, resolve }) => {
      if (this.#packets.length < count) return true
      resolve()
      return false
    })
  }
}

function portOf(server: Server | HttpServer): number {
  return (server.address() as AddressInfo).port
}
