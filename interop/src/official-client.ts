/**
 * The parent's side of an official client: start it, send, receive, stop it, and start it again from what it stored. Every
 * wait has a deadline.
 */
import { DrivenProcess, PATIENCE_MS } from './driven-process.js'
import type {
  ClientStart,
  Command,
  MessageReport,
  PingPong,
  ReceivedMessage,
  Started,
  StoredDatabases,
} from './official-client-protocol.js'

export type { ClientStart, PingPong, ReceivedMessage, StoredDatabases } from './official-client-protocol.js'

const OFFICIAL = new URL('./official-client-process.js', import.meta.url)

export class OfficialClient implements AsyncDisposable {
  readonly #process: DrivenProcess<Command>
  readonly #inbox: ReceivedMessage[] = []
  #started: Started = { address: '', connectMs: 0 }

  private constructor(clientId: string, program: URL) {
    this.#process = new DrivenProcess<Command>(`official client ${clientId}`, program, (report) => {
      const { message, senderTag } = report as MessageReport
      this.#inbox.push({ message, ...(senderTag !== undefined && { senderTag }) })
    })
  }

  /**
   * Start a client; resolves when it is connected. Rejects when it fails or ends before. `program`: another client that obeys
   * the same commands, for comparison.
   */
  static async start(options: ClientStart, program = OFFICIAL): Promise<OfficialClient> {
    const client = new OfficialClient(options.clientId, program)
    try {
      client.#started = (await client.#process.request({ kind: 'start', ...options })) as Started
      return client
    } catch (error) {
      await client[Symbol.asyncDispose]()
      throw error
    }
  }

  /** `identity.encryption@gateway`. */
  get address(): string {
    return this.#started.address
  }

  /** From the package's constructor to connected, milliseconds; without the start of the process. */
  get connectMs(): number {
    return this.#started.connectMs
  }

  /** Every message so far, in order of arrival. */
  get inbox(): readonly ReceivedMessage[] {
    return this.#inbox
  }

  /** Warnings and errors that the package wrote to the console. */
  get complaints(): readonly string[] {
    return this.#process.complaints
  }

  /** Resolves with the inbox once `count` messages have come in all. */
  received(count: number): Promise<readonly ReceivedMessage[]> {
    const missing = () => `only ${this.#inbox.length} of ${count} messages came`
    return this.#process.wait(() => (this.#inbox.length >= count ? { value: this.#inbox } : undefined), missing)
  }

  /** Send; with `replySurbs`, anonymously. Resolves when the client has taken it, not when it arrived. */
  async send(to: string, message: Uint8Array, replySurbs?: number): Promise<void> {
    await this.#process.request({ kind: 'send', to, message, ...(replySurbs !== undefined && { replySurbs }) })
  }

  /** Answer whoever sent reply blocks under this tag. */
  async reply(senderTag: string, message: Uint8Array): Promise<void> {
    await this.#process.request({ kind: 'reply', senderTag, message })
  }

  /** One-packet messages to itself, one after the other. */
  async pingPong(messages: number, bytes = 11): Promise<PingPong> {
    return (await this.#process.request(
      { kind: 'ping-pong', messages, bytes },
      PATIENCE_MS + 1_000 * messages,
    )) as PingPong
  }

  /** A message of so many bytes to itself; milliseconds until it is back. */
  async transfer(bytes: number): Promise<number> {
    return (await this.#process.request({ kind: 'transfer', bytes }, PATIENCE_MS + bytes / 20)) as number
  }

  /** So many messages of 1000 bytes to itself, as fast as it takes them; milliseconds until all are back. */
  async burst(messages: number): Promise<number> {
    return (await this.#process.request({ kind: 'burst', messages }, PATIENCE_MS + 100 * messages)) as number
  }

  /** Its process. */
  get pid(): number | undefined {
    return this.#process.pid
  }

  /** Resident memory of its process, bytes. */
  async memory(): Promise<number> {
    return (await this.#process.request({ kind: 'memory' })) as number
  }

  /** End it without a farewell, as a closed laptop would; resolves with what it had stored. */
  async stop(): Promise<StoredDatabases> {
    const storage = (await this.#process.request({ kind: 'storage' })) as StoredDatabases
    await this[Symbol.asyncDispose]()
    return storage
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#process[Symbol.asyncDispose]()
  }
}
