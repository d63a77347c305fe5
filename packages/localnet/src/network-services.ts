/**
 * What runs on a local network besides nodes: an exit (a network requester inside the last gateway), an echo service, and a SOCKS5
 * door for apps on this machine. On a network with a data directory they come back at the same addresses.
 */
import { type Client, connect, type ProfileName, sqlStore } from '@mixwright/client'
import type { Clock, Logger, Random } from '@mixwright/runtime'
import { type Service, startEcho } from '@mixwright/services'
import type { NetworkAccess, NodeHandle } from './node-handle.js'
import { SocksDoor } from './socks-door.js'

/** For what is on its way at the end, milliseconds. */
const FLUSH_MS = 300

export interface NetworkServicesOptions {
  readonly access: NetworkAccess
  /** The gateway that carries the exit. */
  readonly gateway: NodeHandle
  /** Port of the SOCKS5 door, 0 for any free one; no door without. */
  readonly socksPort: number | undefined
  /** How the client behind the SOCKS5 door sends. */
  readonly profile: ProfileName
  /** Path of a client's store by its name. */
  readonly storeFile: (name: string) => string
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** Addresses by service. */
export interface ServiceAddresses {
  readonly networkRequester: string
  readonly echo: string
}

interface Parts {
  readonly gateway: NodeHandle
  readonly exitAddress: string
  readonly echo: Service
  readonly echoClient: Client
  readonly door: SocksDoor | undefined
}

export class NetworkServices {
  readonly #parts: Parts

  private constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Start all; the network can be routed. Errors: those of `connect`, `MIX_PORT_IN_USE`; nothing is left open then. */
  static async open(options: NetworkServicesOptions): Promise<NetworkServices> {
    const { access, gateway, storeFile, clock, socksPort, profile } = options
    const opened: { close(): Promise<void> }[] = []
    const open = <Part extends { close(): Promise<void> }>(part: Part): Part => {
      opened.push(part)
      return part
    }
    const common = (name: string) => {
      return { ...access, clock, logger: options.logger.child({ service: name }), random: options.random.fork(name) }
    }
    const store = (name: string) => sqlStore(storeFile(name))
    try {
      const openStore = () => store('network-requester')
      const exitAddress = await gateway.openExit({ ...common('network-requester'), openStore })
      open({ close: () => gateway.closeExit() })
      const forEcho = { ...common('echo'), store: await store('echo'), profile: 'no-cover' as const }
      const echoClient = open(await connect({ ...forEcho, gateway: gateway.identityKey }))
      const echo = open(await startEcho({ client: echoClient, clock, logger: forEcho.logger }))
      const client = { ...common('socks5'), profile }
      const door =
        socksPort === undefined
          ? undefined
          : open(await SocksDoor.open({ client, requester: exitAddress, port: socksPort }))
      return new NetworkServices({ gateway, exitAddress, echo, echoClient, door })
    } catch (error) {
      for (const part of opened.reverse()) await part.close()
      throw error
    }
  }

  get addresses(): ServiceAddresses {
    return { networkRequester: this.#parts.exitAddress, echo: this.#parts.echoClient.address }
  }

  /** `socks5h://127.0.0.1:port`, where there is a door. */
  get socksUrl(): string | undefined {
    return this.#parts.door?.url
  }

  get socksPort(): number | undefined {
    return this.#parts.door?.port
  }

  async close(): Promise<void> {
    const { gateway, echo, echoClient, door } = this.#parts
    await door?.close()
    await echo.close({ graceMs: 0, flushMs: 0 })
    await echoClient.close({ flushMs: FLUSH_MS })
    await gateway.closeExit()
  }
}
