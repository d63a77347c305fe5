/** The parent's side of an official client: start it, send, receive, stop it, and start it again from what it stored. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ClientStart, Command, Report, StoredDatabases } from './official-client-protocol.js'

export type { ClientStart, StoredDatabases } from './official-client-protocol.js'

export interface ReceivedMessage {
  readonly message: Uint8Array
  /** Whether it came with reply blocks. */
  readonly hasSenderTag: boolean
}

type Settle = { resolve: (result: unknown) => void; reject: (error: Error) => void }
/** A command as callers state it; its id is given here. */
type Request = Command extends infer C ? (C extends { id: number } ? Omit<C, 'id'> : never) : never

export class OfficialClient implements AsyncDisposable {
  readonly address: string
  readonly #child: ChildProcess
  readonly #pending: Map<number, Settle>
  readonly #inbox: ReceivedMessage[]
  #waiting: { count: number; settle: Settle }[] = []
  #nextId = 1
  #failure: Error | undefined

  private constructor(child: ChildProcess, address: string, inbox: ReceivedMessage[]) {
    this.#child = child
    this.address = address
    this.#inbox = inbox
    this.#pending = new Map()
    child.on('message', (report: Report) => this.#onReport(report))
    child.once('exit', (code) => this.#fail(new Error(`the official client ended with code ${code}`)))
  }

  /** Start a client; resolves when it is connected. Rejects when it fails or ends before. */
  static async start(options: ClientStart): Promise<OfficialClient> {
    const program = fileURLToPath(new URL('./official-client-process.js', import.meta.url))
    const child = fork(program, { serialization: 'advanced', stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
    const inbox: ReceivedMessage[] = []
    let onEarly: ((report: Report) => void) | undefined
    const address = await new Promise<string>((resolve, reject) => {
      onEarly = (report) => {
        if (report.kind === 'started') resolve(report.address)
        if (report.kind === 'failed') reject(new Error(report.reason))
        // Stored messages may come before the start is reported.
        if (report.kind === 'message') inbox.push(received(report))
      }
      child.on('message', onEarly)
      child.once('exit', (code) => reject(new Error(`the official client ended with code ${code}`)))
      const command: Command = { kind: 'start', ...options }
      child.send(command)
    }).catch((error) => {
      child.kill('SIGKILL')
      throw error
    })
    child.off('message', onEarly!)
    return new OfficialClient(child, address, inbox)
  }

  /** Every message so far, in order of arrival. */
  get inbox(): readonly ReceivedMessage[] {
    return this.#inbox
  }

  /** Resolves once `count` messages have come in all. */
  received(count: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ count, settle: { resolve: () => resolve(), reject } })
      this.#checkWaiting()
    })
  }

  /** Send; with `replySurbs`, anonymously. Resolves when the client has taken it, not when it arrived. */
  async send(to: string, message: Uint8Array, replySurbs?: number): Promise<void> {
    await this.#request({ kind: 'send', to, message: Buffer.from(message).toString('base64'), replySurbs })
  }

  /** Messages to itself, one after the other: milliseconds of each. */
  async pingPong(messages: number): Promise<number[]> {
    return (await this.#request({ kind: 'ping-pong', messages })) as number[]
  }

  /** Resident memory of its process, bytes. */
  async memory(): Promise<number> {
    return (await this.#request({ kind: 'memory' })) as number
  }

  /** End it as a closed program would; resolves with what it had stored. */
  async stop(): Promise<StoredDatabases> {
    const storage = (await this.#request({ kind: 'export' })) as StoredDatabases
    await this[Symbol.asyncDispose]()
    return storage
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.removeAllListeners('exit')
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
  }

  #request(request: Request): Promise<unknown> {
    if (this.#failure) return Promise.reject(this.#failure)
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#child.send({ ...request, id })
    })
  }

  #onReport(report: Report): void {
    if (report.kind === 'message') {
      this.#inbox.push(received(report))
      this.#checkWaiting()
      return
    }
    if (report.kind === 'started') return
    if (report.id === undefined) {
      if (report.kind === 'failed') this.#fail(new Error(report.reason))
      return
    }
    const settle = this.#pending.get(report.id)
    this.#pending.delete(report.id)
    if (report.kind === 'done') settle?.resolve(report.result)
    else settle?.reject(new Error(report.reason))
  }

  #checkWaiting(): void {
    this.#waiting = this.#waiting.filter(({ count, settle }) => {
      if (this.#failure) settle.reject(this.#failure)
      else if (this.#inbox.length >= count) settle.resolve(undefined)
      else return true
      return false
    })
  }

  #fail(error: Error): void {
    this.#failure ??= error
    for (const settle of this.#pending.values()) settle.reject(error)
    this.#pending.clear()
    this.#checkWaiting()
  }
}

function received({ message, hasSenderTag }: { message: string; hasSenderTag: boolean }): ReceivedMessage {
  return { message: Uint8Array.from(Buffer.from(message, 'base64')), hasSenderTag }
}
