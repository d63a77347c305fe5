/** Ctrl-C and friends: the first asks for an orderly end, the second ends at once. */

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Exit status of a process ended by a signal, by the shells' convention. */
const ENDED_BY_SIGINT = 130

export class StopSignals implements Disposable {
  /** Resolves at the first signal. */
  readonly first: Promise<void>
  readonly #onSignal: () => void

  constructor() {
    let resolve: () => void
    this.first = new Promise((done) => {
      resolve = done
    })
    let received = 0
    this.#onSignal = () => {
      if (++received > 1) process.exit(ENDED_BY_SIGINT)
      resolve()
    }
    for (const signal of SIGNALS) process.on(signal, this.#onSignal)
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal)
  }
}
