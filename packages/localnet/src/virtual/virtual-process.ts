/**
 * One process on a virtual computer: its clock, which may be wrong, and whether it runs, stands still (as after SIGSTOP) or is
 * dead. Whatever reaches the program from outside, timers included, comes through `run`.
 */
import type { Clock, Timer, VirtualClock } from '@mixwright/runtime'

/** An end of a connection that a process has open. */
export interface ProcessEnd {
  destroy(): void
  /** See whether something can be read. */
  look(): void
}

export class VirtualProcess {
  readonly clock: Clock
  #state: 'running' | 'paused' | 'dead' = 'running'
  /** What happened while it stood still, in order. */
  #held: (() => void)[] = []
  readonly #ends = new Set<ProcessEnd>()
  #isDeaf = false

  /** `skewMs` is asked each time: how far its time of day is ahead of the true one. */
  constructor(world: VirtualClock, skewMs: () => number) {
    this.clock = {
      // Whole milliseconds, as of every machine.
      now: () => Math.floor(world.now() + skewMs()),
      monotonic: () => world.monotonic(),
      setTimer: (delayMs, action): Timer => {
        let isCancelled = false
        const fire = () => this.run(() => isCancelled || action())
        const timer = world.setTimer(delayMs, fire)
        return {
          cancel() {
            isCancelled = true
            timer.cancel()
          },
        }
      },
    }
  }

  get isRunning(): boolean {
    return this.#state === 'running'
  }

  get isDead(): boolean {
    return this.#state === 'dead'
  }

  /** Now, or when it goes on, or never if it is dead by then. */
  run(action: () => void): void {
    if (this.#state === 'running') action()
    else if (this.#state === 'paused') this.#held.push(action)
  }

  /** Whether it takes what comes over its connections. */
  get isReading(): boolean {
    return this.#state === 'running' && !this.#isDeaf
  }

  /** A deaf process accepts connections and goes about its business, but never reads. */
  set deaf(isDeaf: boolean) {
    this.#isDeaf = isDeaf
    this.#look()
  }

  entered(end: ProcessEnd): void {
    this.#ends.add(end)
  }

  left(end: ProcessEnd): void {
    this.#ends.delete(end)
  }

  /** Connections open, or being opened. */
  get connections(): number {
    return this.#ends.size
  }

  pause(): void {
    if (this.#state === 'running') this.#state = 'paused'
  }

  /** Go on; first comes all that happened meanwhile. */
  resume(): void {
    if (this.#state !== 'paused') return
    this.#state = 'running'
    const held = this.#held
    this.#held = []
    for (const action of held) this.run(action)
    this.#look()
  }

  /** Nothing of it runs any more; its system closes its connections. */
  kill(): void {
    this.#state = 'dead'
    this.#held = []
    for (const end of [...this.#ends]) end.destroy()
  }

  #look(): void {
    for (const end of [...this.#ends]) end.look()
  }
}
