/**
 * The exit that a gateway node is to have for as long as it runs (06-service-providers §9): started when the network can be routed and
 * the exit policy read, tried again while not. The node runs meanwhile, as a plain gateway. One attempt is `exit-node.ts`.
 */
import type { ClientStore } from '@mixwright/client'
import { MixError, RealClock, silentLogger, sleep } from '@mixwright/runtime'
import { ExitNode, type ExitNodeOptions } from './exit-node.js'

/** Between two attempts, milliseconds: twice as long each time. */
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 60_000

export interface ExitKeeperOptions extends Omit<ExitNodeOptions, 'store' | 'signal'> {
  /** For each attempt: who connects closes it. */
  readonly openStore: () => Promise<ClientStore>
  /** It serves. Must not throw. */
  readonly onServing?: (exit: ExitNode) => void
  /** An attempt failed. Must not throw. */
  readonly onWaiting?: (reason: Error, retryInMs: number) => void
}

export class ExitKeeper {
  /** Resolves when it serves. Rejects as the first attempt does, those of `ExitNode.start` and of the store; more attempts follow. */
  readonly started: Promise<void>
  readonly #options: ExitKeeperOptions
  readonly #closing = new AbortController()
  readonly #running: Promise<void>
  #exit: ExitNode | undefined

  constructor(options: ExitKeeperOptions) {
    this.#options = options
    options.metrics.gauge('mixwright_exit_serving', 'Whether this node is an exit now', {}, () => Number(!!this.#exit))
    this.started = this.#attempt()
    this.#running = this.started.catch((reason) => this.#tryAgain(reason))
  }

  /** Undefined while it cannot serve. */
  get exit(): ExitNode | undefined {
    return this.#exit
  }

  /** End it, or the attempts. To be called before the node stops. */
  async close(): Promise<void> {
    // After the start the signal would end the client at once, with what it was sending.
    if (this.#exit === undefined) this.#closing.abort(closed())
    await this.#running
    const exit = this.#exit
    this.#exit = undefined
    await exit?.close()
  }

  async #attempt(): Promise<void> {
    const { openStore, onServing, onWaiting, ...options } = this.#options
    const { signal } = this.#closing
    const store = await openStore()
    this.#exit = await ExitNode.start({ ...options, store, signal })
    onServing?.(this.#exit)
  }

  async #tryAgain(reason: Error): Promise<void> {
    const { clock = new RealClock(), logger = silentLogger, onWaiting } = this.#options
    const { signal } = this.#closing
    for (let delayMs = FIRST_RETRY_MS; !signal.aborted; delayMs = Math.min(2 * delayMs, LONGEST_RETRY_MS)) {
      const isPolicy = reason instanceof MixError && reason.code === 'MIX_EXIT_POLICY_UNAVAILABLE'
      const retryInMs = isPolicy ? LONGEST_RETRY_MS : delayMs
      logger[isPolicy ? 'error' : 'warn']({ reason: reason.message, retryInMs }, 'the exit does not serve yet')
      onWaiting?.(reason, retryInMs)
      try {
        await sleep(clock, retryInMs, signal)
        await this.#attempt()
        return
      } catch (error) {
        reason = error as Error
      }
    }
  }
}

function closed(): MixError {
  return new MixError('MIX_CLIENT_CLOSED', 'The exit was closed.', { kind: 'usage' })
}
