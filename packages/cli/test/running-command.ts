/** The command as a child process, its output awaited piece by piece. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../../bin/mixwright.mjs', import.meta.url))

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export class Run {
  readonly child: ChildProcess
  readonly finished: Promise<Finished>
  #stdout = ''
  #stderr = ''
  #onOutput = () => {}

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [program, ...args], { env: { ...process.env, ...env } })
    this.child.stdout?.on('data', (chunk) => {
      this.#stdout += chunk
      this.#onOutput()
    })
    this.child.stderr?.on('data', (chunk) => {
      this.#stderr += chunk
      this.#onOutput()
    })
    this.finished = once(this.child, 'close').then(([code]) => ({ code, stdout: this.#stdout, stderr: this.#stderr }))
  }

  /** Wait until the output contains `text`; fails when the command ends before. */
  prints(text: string): Promise<string> {
    return this.#until(text, 'stdout')
  }

  /** The same of standard error. */
  complains(text: string): Promise<string> {
    return this.#until(text, 'stderr')
  }

  async #until(text: string, where: 'stdout' | 'stderr'): Promise<string> {
    const output = () => (where === 'stdout' ? this.#stdout : this.#stderr)
    const seen = new Promise<void>((resolve) => {
      this.#onOutput = () => {
        if (output().includes(text)) resolve()
      }
      this.#onOutput()
    })
    const ended = await Promise.race([seen, this.finished])
    if (ended && !output().includes(text)) assert.fail(`ended early: ${JSON.stringify(ended)}`)
    return output()
  }

  async interrupt(): Promise<Finished> {
    this.child.kill('SIGINT')
    return this.finished
  }
}

/** Run to the end. */
export const run = (...args: string[]) => new Run(args).finished

/** It failed with this error, said in one line, and nothing else. */
export function assertOneLine({ code, stdout, stderr }: Finished, errorCode: string): void {
  assert.equal(code, 1, stderr)
  assert.equal(stdout, '')
  assert.equal(stderr.trim().split('\n').length, 1, stderr)
  assert.match(stderr, new RegExp(errorCode))
}
