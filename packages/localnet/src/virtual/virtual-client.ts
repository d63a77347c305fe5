/** A client of a virtual network: the real client on a virtual computer, what it sent, and what came. */
import type { Client, ConnectOptions, Profile, ReceivedMessage, SendHandle, SendOptions } from '@mixwright/client'
import { memoryStore } from '@mixwright/client'
import { connectOn } from '@mixwright/client/platform'
import { type Logger, MixError } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { memoryWebSockets, type WebSocketMessage } from './memory-websocket.js'
import type { Switchboard } from './switchboard.js'
import type { VirtualDirectory } from './virtual-directory.js'
import { VirtualComputer, type World } from './world.js'

/** One message and its fate. Texts differ, so that each can be found at its recipient. */
export interface Letter {
  readonly text: string
  readonly from: string
  readonly to: string
  /** `orphaned`: its client was killed, and the next one sends it without telling. Else the code of the error that ended it. */
  outcome: 'pending' | 'acknowledged' | 'orphaned' | string
}

export interface VirtualClientOptions {
  readonly name: string
  readonly ip: string
  readonly world: World
  readonly crypto: CryptoProvider
  readonly logger: Logger
  readonly websockets: Switchboard<WebSocketMessage>
  readonly directory: VirtualDirectory
  /** Ed25519 identity of its gateway, base58. */
  readonly gateway: string
  readonly profile: Profile
  readonly refreshMs?: number | undefined
}

export class VirtualClient {
  readonly name: string
  readonly computer: VirtualComputer
  readonly received: ReceivedMessage[] = []
  readonly letters: Letter[] = []
  readonly #options: VirtualClientOptions
  readonly #store = memoryStore({ persistent: true })
  #client: Client | undefined
  #address = ''
  #lives = 0

  constructor(options: VirtualClientOptions) {
    this.name = options.name
    this.#options = options
    this.computer = new VirtualComputer(options.world, options.ip)
  }

  get ip(): string {
    return this.computer.ip
  }

  /** The client itself. Error: `MIX_OPTIONS` while it does not run. */
  get client(): Client {
    if (this.#client === undefined) throw new MixError('MIX_OPTIONS', `${this.name} does not run.`, { kind: 'usage' })
    return this.#client
  }

  get isRunning(): boolean {
    return this.#client !== undefined
  }

  /** Also while it does not run. */
  get address(): string {
    return this.#address
  }

  /** Connect, or connect again after `kill`, with what was in the store. */
  async start(): Promise<void> {
    const { name, world, crypto, logger, websockets, directory, gateway, profile, refreshMs } = this.#options
    if (this.#lives++ > 0) this.computer.boot()
    const host = { ip: this.ip, process: this.computer.process }
    const options: ConnectOptions = {
      directory: directory.clientSource(host),
      store: this.#store,
      gateway,
      profile,
      logger: logger.child({ client: name }),
      clock: host.process.clock,
      random: world.random.fork(`${name} life ${this.#lives}`),
      ...(refreshMs !== undefined && { refreshMs }),
    }
    const openWebSocket = memoryWebSockets(websockets, host)
    const client = await connectOn({ openWebSocket, loadCrypto: async () => crypto, preferTls: false }, options)
    this.#client = client
    this.#address = client.address
    void this.#takeAll(client)
  }

  /** End it without a word. What was acknowledged to the app, or queued, is in its store. */
  kill(): void {
    this.computer.process.kill()
    this.#client = undefined
    for (const letter of this.letters) if (letter.outcome === 'pending') letter.outcome = 'orphaned'
  }

  /** Send a text that was never sent before; what becomes of it is in `letters`. */
  send(to: VirtualClient, text: string, options: SendOptions = {}): SendHandle {
    const letter: Letter = { text, from: this.name, to: to.name, outcome: 'pending' }
    this.letters.push(letter)
    const handle = this.client.send(to.address, text, options)
    handle.acknowledged.then(
      () => {
        letter.outcome = 'acknowledged'
      },
      (error) => {
        letter.outcome = String((error as { code?: unknown }).code ?? error)
      },
    )
    return handle
  }

  async #takeAll(client: Client): Promise<void> {
    for await (const message of client.messages()) this.received.push(message)
  }
}
