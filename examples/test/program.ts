/**
 * A program as somebody meets it in a terminal: type lines, read what it prints, press Ctrl-C. Every wait has a deadline and
 * says at its end what was there instead.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { RealClock } from '@mixwright/runtime'

/** The repository's directory, seen from the compiled file. */
export const REPOSITORY = new URL('../../../', import.meta.url)

/** Longest wait for anything. Far beyond what a busy machine needs: it turns a hang into a sentence. */
const PATIENCE_MS = 90_000

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export class Program implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #what: string
  #stdout = ''
  #stderr = ''
  /** How much of the output the waits have used up. */
  #read = 0
  #finished: Finished | undefined
  #wake = () => {}

  private constructor(words: readonly string[], options: SpawnOptions) {
    const [command = '', ...args] = words
    this.#what = words.join(' ')
    // A process group of its own, so that Ctrl-C reaches everything that it started.
    this.#child = spawn(command, args, { ...options, detached: true })
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text
      this.#wake()
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
    this.#child.stdin?.on('error', () => {})
    const end = (code: number | null) => {
      this.#finished ??= { code, stdout: this.#stdout, stderr: this.#stderr }
      this.#wake()
    }
    this.#child.once('error', ({ message }) => {
      this.#stderr += message
      end(null)
    })
    // After the last of its output.
    this.#child.once('close', end)
  }

  /** Start it in the root of the repository, or in `cwd`. `env`: beside the variables of this process. */
  static start(
    words: readonly string[],
    { env = {}, cwd = fileURLToPath(REPOSITORY) }: { env?: Readonly<Record<string, string>>; cwd?: string } = {},
  ): Program {
    // What the test runner tells its own children is not for these.
    const { NODE_TEST_CONTEXT: _, ...inherited } = process.env
    return new Program(words, { cwd, env: { ...inherited, ...env } })
  }

  /** Resolves when the output goes on with something like this; what was waited for before does not count again. */
  async prints(pattern: RegExp | string): Promise<RegExpExecArray> {
    const expected = typeof pattern === 'string' ? new RegExp(escaped(pattern)) : pattern
    const found = await this.#until(() => expected.exec(this.#stdout.slice(this.#read)), `${pattern} was not printed`)
    this.#read += found.index + found[0].length
    return found
  }

  type(text: string): void {
    this.#child.stdin?.write(`${text}\n`)
  }

  /** Ctrl-D. */
  endInput(): void {
    this.#child.stdin?.end()
  }

  /** Ctrl-C. Resolves at its end. */
  interrupt(): Promise<Finished> {
    this.#signal('SIGINT')
    return this.ends()
  }

  /** Resolves at its end, whatever the exit code. */
  ends(): Promise<Finished> {
    return this.#until(() => this.#finished, 'it did not end')
  }

  /** It has to end by itself, with exit code 0. */
  async succeeds(): Promise<Finished> {
    const finished = await this.ends()
    if (finished.code !== 0) throw new Error(this.#complaint(`it ended with ${finished.code}`))
    return finished
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal('SIGKILL')
    await this.ends()
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child
    if (pid === undefined || this.#finished) return
    try {
      process.kill(-pid, signal)
    } catch {
      // It has just ended.
    }
  }

  /** Looks again whenever something was printed, and at the end. */
  async #until<T>(check: () => T | null | undefined, failure: string): Promise<T> {
    let late = false
    const timer = new RealClock().setTimer(PATIENCE_MS, () => {
      late = true
      this.#wake()
    })
    try {
      for (;;) {
        const found = check()
        if (found) return found
        if (this.#finished || late) throw new Error(this.#complaint(failure))
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    } finally {
      timer.cancel()
    }
  }

  #complaint(what: string): string {
    return `${this.#what}: ${what}\nstdout:\n${this.#stdout}\nstderr:\n${this.#stderr}`
  }
}

/** A text as a regular expression that finds it. */
export function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
