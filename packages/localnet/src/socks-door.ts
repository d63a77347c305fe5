/**
 * A SOCKS5 door for apps on this machine, with a client and an exit behind it: what `curl --socks5-hostname` needs to go through a
 * local network. Apps that give a name and password get a client of their own for it.
 */
import { type ConnectOptions, connect, memoryStore, openExit } from '@mixwright/client'
import { type IsolatedClient, IsolatedExits, Socks5Proxy } from '@mixwright/daemon'
import { LOOPBACK } from './node-handle.js'

/** Clients for different names at once. */
const ISOLATED_CLIENTS = 16
/** For what is on its way at the end, milliseconds. */
const FLUSH_MS = 300

export interface SocksDoorOptions {
  /** What the clients behind it connect by. */
  readonly client: ConnectOptions
  /** Address of the network requester. */
  readonly requester: string
  /** 0 for any free one. */
  readonly port: number
}

export class SocksDoor {
  readonly #client: IsolatedClient
  readonly #isolated: IsolatedExits
  readonly #proxy: Socks5Proxy

  private constructor(client: IsolatedClient, isolated: IsolatedExits, proxy: Socks5Proxy) {
    this.#client = client
    this.#isolated = isolated
    this.#proxy = proxy
  }

  /** Errors: those of `connect`, `MIX_PORT_IN_USE`, `MIX_LISTEN_FAILED`. */
  static async open({ client: options, requester, port }: SocksDoorOptions): Promise<SocksDoor> {
    const open = async (signal?: AbortSignal) => {
      const client = await connect({ ...options, store: memoryStore(), ...(signal && { signal }) })
      const exit = openExit(client, { requester })
      const close = async () => {
        await exit.close()
        await client.close({ flushMs: FLUSH_MS })
      }
      return { exit, close }
    }
    const main = await open()
    const isolated = new IsolatedExits(ISOLATED_CLIENTS, open)
    const exitFor = (key: string | undefined) => (key === undefined ? main.exit : isolated.exitFor(key))
    try {
      return new SocksDoor(main, isolated, await Socks5Proxy.listen({ exitFor, host: LOOPBACK, port }))
    } catch (error) {
      await main.close()
      throw error
    }
  }

  /** `socks5h://127.0.0.1:port`. */
  get url(): string {
    return this.#proxy.url
  }

  get port(): number {
    return this.#proxy.port
  }

  async close(): Promise<void> {
    await this.#proxy.close()
    await this.#isolated.close()
    await this.#client.close()
  }
}
