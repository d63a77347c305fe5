/**
 * The parent's side of an official package in a process of its own: because its WASM may end the process, and so that its
 * memory and CPU are not the network's. Commands go over Node's IPC with structured cloning; every wait has a deadline
 * and says at its end what was missing. The child's side is driven-child.ts.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type Clock, RealClock, type Timer } from '@mixwright/runtime'

/** What every child says; its own kinds come beside. */
export type ChildReport =
  | { readonly kind: 'done'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string }
  /** A warning or an error that the package wrote to the console. */
  | { readonly kind: 'complaint'; readonly text: string }
  /** The process ends after this. */
  | { readonly kind: 'fatal'; readonly reason: string }

/** Longest wait for anything. Far beyond what a busy machine needs: it turns a hang into a sentence. */
export const PATIENCE_MS = 90_000
/** Standard error of the process that is kept, characters from its end. */
const STDERR_KEPT = 20_000
/** Of it, in failure messages. */
const STDERR_SHOWN = 2_000

interface Wait {
  /** The awaited thing, or undefined while it is not there. */
  readonly check: () => { value: unknown } | undefined
  readonly missing: () => string
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
  readonly timer: Timer
}

export class DrivenProcess<Command extends { readonly kind: string }> implements AsyncDisposable {
  readonly #name: string
  readonly #child: ChildProcess
  readonly #clock: Clock = new RealClock()
  readonly #complaints: string[] = []
  readonly #answers = new Map<number, Extract<ChildReport, { kind: 'done' | 'failed' }>>()
  #waits: Wait[] = []
  #nextId = 1
  #fatal: string | undefined
  #failure: Error | undefined
  #stderr = ''

  /** `name`: in failure messages. `onReport`: takes the reports of kinds that are the child's own. */
  constructor(name: string, program: URL, onReport: (report: { readonly kind: string }) => void = () => {}) {
    this.#name = name
    // Flags of the test runner or the profiler are not for it.
    this.#child = fork(fileURLToPath(program), {
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT)
    })
    this.#child.on('message', (report: ChildReport) => this.#onReport(report, onReport))
    this.#child.once('error', (error) => this.#fail(error.message))
    // `close` comes after the last of its output.
    this.#child.once('close', (code, signal) => {
      this.#fail(this.#fatal ?? `its process ended with ${signal ?? `code ${code}`}`)
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Warnings and errors that the package wrote to the console. */
  get complaints(): readonly string[] {
    return this.#complaints
  }

  /** The last of what the process wrote to its standard error. */
  get stderr(): string {
    return this.#stderr
  }

  /** Have a command run; resolves with its result, rejects with what went wrong. */
  request(command: Command, patienceMs?: number): Promise<unknown> {
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
    return this.wait(check, () => `no answer to ${command.kind}`, patienceMs)
  }

  /** Resolves once `check`, asked after every report, finds a value. */
  wait<T>(check: () => { value: T } | undefined, missing: () => string, patienceMs = PATIENCE_MS): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer = this.#clock.setTimer(patienceMs, () => {
        this.#waits = this.#waits.filter((wait) => wait.timer !== timer)
        reject(this.#error(`${missing()} within ${patienceMs / 1000} s`))
      })
      this.#waits.push({ check, missing, resolve, reject, timer })
      this.#settleWaits()
    })
  }

  /** End it at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const closed = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await closed
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

  #onReport(report: ChildReport, onReport: (report: { readonly kind: string }) => void): void {
    switch (report.kind) {
      case 'complaint':
        this.#complaints.push(report.text)
        return
      case 'fatal':
        // Its standard error may say more; `close` comes after it.
        this.#fatal = report.reason
        return
      case 'done':
      case 'failed':
        this.#answers.set(report.id, report)
        break
      default:
        onReport(report)
    }
    this.#settleWaits()
  }

  #fail(reason: string): void {
    this.#failure ??= new Error(reason)
    this.#settleWaits()
  }

  /** With what the package itself said of it. */
  #error(message: string): Error {
    const details = [...this.#complaints.slice(-5), this.#stderr.slice(-STDERR_SHOWN).trim()]
    return new Error([`${this.#name}: ${message}`, ...details.filter((text) => text !== '')].join('\n'))
  }
}
