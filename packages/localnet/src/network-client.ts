/**
 * One client of a local network, with a local websocket for an app, in the network's process. On a network with a data
 * directory it comes back with the same keys, address, port and messages.
 */
import { type Client, connect, memoryStore, type ProfileName, sqlStore } from '@mixwright/client'
import { WebSocketApi } from '@mixwright/daemon'
import type { Clock, Logger, Random } from '@mixwright/runtime'
import { LOOPBACK, type NetworkAccess } from './node-handle.js'

/** For what is on its way at the end, milliseconds. */
const FLUSH_MS = 300

export interface NetworkClientOptions {
  readonly name: string
  readonly access: NetworkAccess
  /** Of the local websocket; 0 takes any free one. */
  readonly port: number
  readonly profile: ProfileName
  /** Path of its store; in memory without. */
  readonly storeFile: string | undefined
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export class NetworkClient {
  readonly name: string
  /** Its messages go to the app at the websocket from the moment that one attaches; until then, to who reads them here. */
  readonly client: Client
  readonly #websocketApi: WebSocketApi

  private constructor(name: string, client: Client, websocketApi: WebSocketApi) {
    this.name = name
    this.client = client
    this.#websocketApi = websocketApi
  }

  /** Connect and listen. Errors: those of `connect`, `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  static async open(options: NetworkClientOptions): Promise<NetworkClient> {
    const { name, access, port, profile, storeFile, clock, random } = options
    const logger = options.logger.child({ client: name })
    const store = storeFile === undefined ? memoryStore() : await sqlStore(storeFile)
    const client = await connect({ ...access, store, profile, clock, random, logger })
    try {
      return new NetworkClient(name, client, await WebSocketApi.listen(client, { host: LOOPBACK, port, clock, logger }))
    } catch (error) {
      await client.close({ flushMs: 0 })
      throw error
    }
  }

  get address(): string {
    return this.client.address
  }

  /** Where an app of any language attaches. */
  get websocketUrl(): string {
    return this.#websocketApi.url
  }

  get websocketPort(): number {
    return this.#websocketApi.port
  }

  async close(): Promise<void> {
    await this.#websocketApi.close()
    await this.client.close({ flushMs: FLUSH_MS })
  }
}
