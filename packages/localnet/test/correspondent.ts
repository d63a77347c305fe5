/** A client for tests, with all that it received and told, and how to wait for it. */
import { type Client, type ClientEvents, type ConnectOptions, connect, type ReceivedMessage } from '@mixwright/client'

export class Correspondent implements AsyncDisposable {
  readonly client: Client
  readonly received: ReceivedMessage[] = []
  readonly links: ClientEvents['gateway'][] = []
  readonly topologies: ClientEvents['topology'][] = []
  readonly #waiting = new Set<() => void>()
  #reading: Promise<void> | undefined

  private constructor(client: Client) {
    this.client = client
    client.on('gateway', (link) => {
      this.links.push(link)
      this.#changed()
    })
    client.on('topology', (topology) => {
      this.topologies.push(topology)
      this.#changed()
    })
    client.on('message', () => this.#changed())
  }

  /** `reads`: it takes its messages from the start. */
  static async connect(options: ConnectOptions, { reads = true } = {}): Promise<Correspondent> {
    const correspondent = new Correspondent(await connect(options))
    if (reads) correspondent.read()
    return correspondent
  }

  get address(): string {
    return this.client.address
  }

  /** What it received, in the order of the alphabet. */
  get texts(): string[] {
    return this.received.map((message) => message.text().trimEnd()).sort()
  }

  /** Take messages from now on. */
  read(): void {
    this.#reading ??= (async () => {
      for await (const message of this.client.messages()) {
        this.received.push(message)
        this.#changed()
      }
    })()
  }

  /** Wait until something that this client receives or tells makes the condition true. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#change()
  }

  /** Wait for the message that begins with these words. */
  async message(words: string): Promise<ReceivedMessage> {
    let looked = 0
    const found = () => {
      while (looked < this.received.length)
        if (this.received[looked++]!.text().startsWith(words)) return this.received[looked - 1]
      return undefined
    }
    for (;;) {
      const message = found()
      if (message !== undefined) return message
      await this.#change()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close({ flushMs: 0 })
    await this.#reading
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve))
  }

  #changed(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}
