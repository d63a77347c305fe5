/**
 * Who can be reached where, for one kind of traffic: ports of virtual computers, and connections between them. A connection is
 * accepted by the computer's system even while the program stands still; one to a port where nobody listens is refused.
 */
import type { VirtualClock } from '@mixwright/runtime'
import { Connection, type End } from './connection.js'
import type { Path } from './path.js'
import type { PipeObserver } from './pipe.js'
import type { VirtualProcess } from './virtual-process.js'

export interface Host {
  readonly ip: string
  readonly process: VirtualProcess
}

export interface SwitchboardListener<T> {
  /** To be attached to, or destroyed. */
  accepted(end: End<T>, remoteIp: string): void
}

export interface SwitchboardOptions<T> {
  readonly clock: VirtualClock
  path(oneIp: string, otherIp: string): Path
  /** Watches what goes from one computer to another. */
  observe?(fromIp: string, toIp: string): PipeObserver<T> | undefined
}

/** Where ports are counted up from when any free one is asked for. */
const FIRST_FREE_PORT = 40_000

export class Switchboard<T> {
  readonly #options: SwitchboardOptions<T>
  readonly #listeners = new Map<
    string,
    { readonly process: VirtualProcess; readonly listener: SwitchboardListener<T> }
  >()
  #freePort = FIRST_FREE_PORT

  constructor(options: SwitchboardOptions<T>) {
    this.#options = options
  }

  /** Undefined when the port is taken. Listening ends with the process. */
  listen(host: Host, port: number, listener: SwitchboardListener<T>): { port: number; close(): void } | undefined {
    const bound = port === 0 ? this.#freePort++ : port
    const key = keyOf(host.ip, bound)
    const previous = this.#listeners.get(key)
    if (previous !== undefined && !previous.process.isDead) return undefined
    const entry = { process: host.process, listener }
    this.#listeners.set(key, entry)
    return {
      port: bound,
      close: () => {
        if (this.#listeners.get(key) === entry) this.#listeners.delete(key)
      },
    }
  }

  /** Begin to connect. */
  connect(from: Host, ip: string, port: number): End<T> {
    const { clock, observe } = this.#options
    const path = this.#options.path(from.ip, ip)
    const entry = this.#listeners.get(keyOf(ip, port))
    const connection = new Connection<T>(clock, path, from.process, entry?.process ?? from.process, {
      up: observe?.(from.ip, ip),
      down: observe?.(ip, from.ip),
    })
    const { client, server } = connection
    from.process.entered(client)
    path.travel(() => {
      const now = this.#listeners.get(keyOf(ip, port))
      if (client.isClosed) return connection.reset()
      if (entry === undefined || now !== entry || entry.process.isDead) return path.travel(() => connection.reset())
      path.travel(() => client.isClosed || client.opened())
      server.opened()
      entry.process.entered(server)
      entry.process.run(() => {
        if (!server.isClosed) entry.listener.accepted(server, from.ip)
      })
    })
    return client
  }
}

function keyOf(ip: string, port: number): string {
  return `${ip} ${port}`
}
