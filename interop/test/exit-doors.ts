/** The doors for apps on this machine, as `mixwright socks5` opens them: SOCKS and HTTP, on a client and an exit of their own. */
import { type Client, connect, openExit, type ProfileName } from '@mixwright/client'
import { HttpProxy, IsolatedExits, Socks5Proxy } from '@mixwright/daemon'
import type { Network } from '@mixwright/localnet'

export interface ExitDoorsOptions {
  /** Address of the network requester. */
  readonly requester: string
  readonly profile: ProfileName
}

export class ExitDoors implements AsyncDisposable {
  readonly client: Client
  readonly socks: Socks5Proxy
  readonly http: HttpProxy
  readonly #close: () => Promise<void>
  readonly #isolated: IsolatedExits

  private constructor(
    client: Client,
    close: () => Promise<void>,
    isolated: IsolatedExits,
    socks: Socks5Proxy,
    http: HttpProxy,
  ) {
    this.client = client
    this.#close = close
    this.#isolated = isolated
    this.socks = socks
    this.http = http
  }

  /** Apps that give a name and a password get a client of their own for it. */
  static async open(net: Network, { requester, profile }: ExitDoorsOptions): Promise<ExitDoors> {
    const open = async (signal?: AbortSignal) => {
      const gateway = net.gateway(0).identityKey
      const client = await connect({ ...net.access, gateway, profile, ...(signal && { signal }) })
      const exit = openExit(client, { requester })
      // The exit first, so that the requester is told of the ends of its connections.
      const close = async () => {
        await exit.close()
        await client.close()
      }
      return { client, exit, close }
    }
    const { client, exit, close } = await open()
    const isolated = new IsolatedExits(4, open)
    const exitFor = (key: string | undefined) => (key === undefined ? exit : isolated.exitFor(key))
    const socks = await Socks5Proxy.listen({ exitFor, port: 0 })
    return new ExitDoors(client, close, isolated, socks, await HttpProxy.listen({ exitFor, port: 0 }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.socks.close(), this.http.close()])
    await this.#isolated.close()
    await this.#close()
  }
}
