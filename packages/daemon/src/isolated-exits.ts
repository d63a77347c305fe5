/**
 * A client for each name and password that apps give at the proxy (06-service-providers §10). A requester knows a client by one
 * sender tag: only streams of different clients cannot be linked by it. The clients live in memory and connect when they are first
 * needed. At the bound the one that has been idle longest is closed; when none is idle, the newcomer is refused.
 */
import type { Exit, ExitConnection, ExitConnectOptions, ExitTarget } from '@mixwright/client'
import { MixError } from '@mixwright/runtime'

export interface IsolatedClient {
  readonly exit: Pick<Exit, 'connect'>
  /** Ends the client, too. */
  close(): Promise<void>
}

interface Resident {
  readonly client: Promise<IsolatedClient>
  /** Connections that are open, or being opened. */
  connections: number
  readonly exit: Pick<Exit, 'connect'>
}

export class IsolatedExits {
  readonly #most: number
  readonly #open: (signal: AbortSignal) => Promise<IsolatedClient>
  readonly #closing = new AbortController()
  /** By key, the one that was asked for last at the end. */
  readonly #residents = new Map<string, Resident>()

  /** At most `most` clients at once, each made by `open`, which gives up at the signal. */
  constructor(most: number, open: (signal: AbortSignal) => Promise<IsolatedClient>) {
    this.#most = most
    this.#open = open
  }

  /** Error, of its `connect`: `MIX_EXIT_BUSY` when every client is in use, and those of `open`, which is then tried anew. */
  exitFor(key: string): Pick<Exit, 'connect'> {
    const resident = this.#residents.get(key) ?? this.#make(key)
    this.#residents.delete(key)
    this.#residents.set(key, resident)
    return resident.exit
  }

  /** Close all clients. */
  async close(): Promise<void> {
    this.#closing.abort(closed())
    await Promise.all([...this.#residents.keys()].map((key) => this.#dismiss(key)))
  }

  #make(key: string): Resident {
    this.#closing.signal.throwIfAborted()
    if (this.#residents.size >= this.#most) {
      const idle = [...this.#residents].find(([, { connections }]) => connections === 0)
      if (idle === undefined) {
        const message = `All ${this.#most} isolated clients have open connections: close some, or allow more clients.`
        throw new MixError('MIX_EXIT_BUSY', message, { kind: 'network', retry: true })
      }
      void this.#dismiss(idle[0])
    }
    const client = this.#open(this.#closing.signal)
    const resident: Resident = {
      client,
      connections: 0,
      exit: { connect: (target, options) => this.#connect(resident, target, options) },
    }
    client.catch(() => {
      if (this.#residents.get(key) === resident) this.#residents.delete(key)
    })
    return resident
  }

  async #connect(resident: Resident, target: ExitTarget, options?: ExitConnectOptions): Promise<ExitConnection> {
    resident.connections++
    const ended = () => void resident.connections--
    try {
      const connection = await (await resident.client).exit.connect(target, options)
      connection.closed.then(ended, ended)
      return connection
    } catch (error) {
      ended()
      throw error
    }
  }

  async #dismiss(key: string): Promise<void> {
    const resident = this.#residents.get(key)
    this.#residents.delete(key)
    // One that could not connect has nothing to close.
    const client = await resident?.client.catch(() => undefined)
    await client?.close()
  }
}

function closed(): MixError {
  return new MixError('MIX_EXIT_CLOSED', 'The proxy is closed.', { kind: 'usage' })
}
