/**
 * The parent's side of an official client: start it, send, receive, stop it, and start it again from what it stored. Every
 * wait has a deadline and says at its end what was missing.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type Clock, RealClock, type Timer } from '@mixwright/runtime'
import type {
  ClientStart,
  Command,
  PingPong,
  ReceivedMessage,
  Report,
  Started,
  StoredDatabases,
} from './official-client-protocol.js'

export type { ClientStart, PingPong, ReceivedMessage, StoredDatabases } from './official-client-protocol.js'

/** Longest wait for anything. Far beyond what a busy machine needs: it turns a hang into a sentence. */
const PATIENCE_MS = 90_000
/** Standard error of the process that is kept for failure messages, characters. */
const STDERR_KEPT = 2_000

const OFFICIAL = new URL('./official-client-process.js', import.meta.url)

interface Wait {
  /** The awaited thing, or undefined while it is not there. */
  readonly check: () => { value: unknown } | undefined
  readonly missing: () => string
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
  readonly timer: Timer
}

export class OfficialClient implements AsyncDisposable {
  readonly #clientId: string
  readonly #child: ChildProcess
  readonly #clock: Clock = new RealClock()
  readonly #inbox: ReceivedMessage[] = []
  readonly #complaints: string[] = []
  readonly #answers = new Map<number, Extract<Report, { kind: 'done' | 'failed' }>>()
  #waits: Wait[] = []
  #nextId = 1
  #failure: Error | undefined
  #stderr = ''
  #started: Started = { address: '', connectMs: 0 }

  private constructor(clientId: string, program: URL) {
    this.#clientId = clientId
    // Flags of the test runner or the profiler are not for it.
    this.#child = fork(fileURLToPath(program), {
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT)
    })
    this.#child.on('message', (report: Report) => this.#onReport(report))
    this.#child.once('error', (error) => this.#fail(error.message))
    // `close` comes after the last of its output.
    this.#child.once('close', (code, signal) => this.#fail(`its process ended with ${signal ?? `code ${code}`}`))
  }

  /**
   * Start a client; resolves when it is connected. Rejects when it fails or ends before. `program`: another client that obeys
   * the same commands, for comparison.
   */
  static async start(options: ClientStart, program = OFFICIAL): Promise<OfficialClient> {
    const client = new OfficialClient(options.clientId, program)
    try {
      client.#started = (await client.#request({ kind: 'start', ...options })) as Started
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
    return this.#complaints
  }

  /** Resolves with the inbox once `count` messages have come in all. */
  received(count: number): Promise<readonly ReceivedMessage[]> {
    const missing = () => `only ${this.#inbox.length} of ${count} messages came`
    return this.#wait(() => (this.#inbox.length >= count ? { value: this.#inbox } : undefined), missing)
  }

  /** Send; with `replySurbs`, anonymously. Resolves when the client has taken it, not when it arrived. */
  async send(to: string, message: Uint8Array, replySurbs?: number): Promise<void> {
    await this.#request({ kind: 'send', to, message, ...(replySurbs !== undefined && { replySurbs }) })
  }

  /** Answer whoever sent reply blocks under this tag. */
  async reply(senderTag: string, message: Uint8Array): Promise<void> {
    await this.#request({ kind: 'reply', senderTag, message })
  }

  /** One-packet messages to itself, one after the other. */
  async pingPong(messages: number, bytes = 11): Promise<PingPong> {
    return (await this.#request({ kind: 'ping-pong', messages, bytes }, PATIENCE_MS + 1_000 * messages)) as PingPong
  }

  /** A message of so many bytes to itself; milliseconds until it is back. */
  async transfer(bytes: number): Promise<number> {
    return (await this.#request({ kind: 'transfer', bytes }, PATIENCE_MS + bytes / 20)) as number
  }

  /** So many messages of 1000 bytes to itself, as fast as it takes them; milliseconds until all are back. */
  async burst(messages: number): Promise<number> {
    return (await this.#request({ kind: 'burst', messages }, PATIENCE_MS + 100 * messages)) as number
  }

  /** Its process. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Resident memory of its process, bytes. */
  async memory(): Promise<number> {
    return (await this.#request({ kind: 'memory' })) as number
  }

  /** End it without a farewell, as a closed laptop would; resolves with what it had stored. */
  async stop(): Promise<StoredDatabases> {
    const storage = (await this.#request({ kind: 'storage' })) as StoredDatabases
    await this[Symbol.asyncDispose]()
    return storage
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const closed = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await closed
  }

  #request(command: Command, patienceMs?: number): Promise<unknown> {
    const id = this.#nextId++
    if (this.#failure === undefined) {
      // An error here means that the process is gone, which is told by its `close`.
      this.#child.send({ id, ...command }, () => {})
    }
    const check = () => {
      const answer = this.#answers.get(id)
      this.#answers.delete(id)
      if (answer?.kind === 'failed') throw this.#error(`${command.kind} failed: ${answer.reason}`)
      return answer && { value: answer.result }
    }
    return this.#wait(check, () => `no answer to ${command.kind}`, patienceMs)
  }

  #wait<T>(check: () => { value: T } | undefined, missing: () => string, patienceMs = PATIENCE_MS): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer = this.#clock.setTimer(patienceMs, () => {
        this.#waits = this.#waits.filter((wait) => wait.timer !== timer)
        reject(this.#error(`${missing()} within ${patienceMs / 1000} s`))
      })
      this.#waits.push({ check, missing, resolve, reject, timer })
      this.#settleWaits()
    })
  }

  #settleWaits(): void {
    this.#waits = this.#waits.filter((wait) => {
      try {
        const found = wait.check()
        if (found) wait.resolve(found.value as never)
        else if (this.#failure) wait.reject(this.#error(`${wait.missing()}: ${this.#failure.message}`))
        else return true
      } catch (error) {
        wait.reject(error as Error)
      }
      wait.timer.cancel()
      return false
    })
  }

  #onReport(report: Report): void {
    switch (report.kind) {
      case 'message': {
        const { message, senderTag } = report
        this.#inbox.push({ message, ...(senderTag !== undefined && { senderTag }) })
        break
      }
      case 'complaint':
        this.#complaints.push(report.text)
        return
      case 'fatal':
        this.#fail(report.reason)
        return
      case 'done':
      case 'failed':
        this.#answers.set(report.id, report)
    }
    this.#settleWaits()
  }

  #fail(reason: string): void {
    this.#failure ??= new Error(reason)
    this.#settleWaits()
  }

  /** With what the client itself said of it. */
  #error(message: string): Error {
    const details = [...this.#complaints.slice(-5), this.#stderr.trim()].filter((text) => text !== '')
    return new Error([`official client ${this.#clientId}: ${message}`, ...details].join('\n'))
  }
}
