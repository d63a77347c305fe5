/** A process of the benchmark that answers each message with one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export class Part<Order, Answer> {
  readonly #child: ChildProcess
  #ended: Error | undefined

  private constructor(child: ChildProcess) {
    this.#child = child
    child.once('exit', (code) => {
      this.#ended = new Error(`a process of the benchmark ended with ${code}`)
    })
  }

  /** Start a program of this folder; resolves with its first message. `flags` are for Node.js. */
  static async start<Ready, Order, Answer>(
    program: string,
    options: unknown,
    flags: readonly string[] = [],
  ): Promise<{ part: Part<Order, Answer>; ready: Ready }> {
    const path = fileURLToPath(new URL(program, import.meta.url))
    const child = spawn(process.execPath, [...flags, path, JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // Keeps numbers that JSON has not.
      serialization: 'advanced',
    })
    const part = new Part<Order, Answer>(child)
    return { part, ready: (await part.#message()) as Ready }
  }

  get pid(): number {
    return this.#child.pid!
  }

  async ask(order: Order): Promise<Answer> {
    this.#child.send(order as object)
    return (await this.#message()) as Answer
  }

  async stop(): Promise<void> {
    if (this.#ended !== undefined) return
    const ended = once(this.#child, 'exit')
    this.#child.disconnect()
    await ended
  }

  async #message(): Promise<unknown> {
    const controller = new AbortController()
    const ended = once(this.#child, 'exit', { signal: controller.signal }).then(() => {
      throw this.#ended
    })
    try {
      if (this.#ended !== undefined) throw this.#ended
      const [message] = (await Promise.race([once(this.#child, 'message', { signal: controller.signal }), ended])) as [
        unknown,
      ]
      return message
    } finally {
      controller.abort()
      ended.catch(() => {})
    }
  }
}
