/**
 * The surroundings of a virtual network: one clock, one seed, the ways between computers and what runs on them. Everything that
 * happens is an event of the clock, so the same seed gives the same run.
 */
import { MixError, type Random, SeededRandom, VirtualClock } from '@mixwright/runtime'
import { Path } from './path.js'
import { VirtualProcess } from './virtual-process.js'

/** Turns of the event loop after the last work outside the clock, so that whoever waited for it has had a turn. */
const TURNS = 3
/** Most turns that work at one moment may take; more is work that never ends. */
const MOST_TURNS = 100_000

export class World {
  readonly clock = new VirtualClock()
  readonly seed: string
  readonly random: Random
  readonly #latencyMs: number
  readonly #paths = new Map<string, Path>()
  #outside = 0

  /** `latencyMs`: between two computers, one way. */
  constructor(seed: string, latencyMs: number) {
    this.seed = seed
    this.random = new SeededRandom(seed)
    this.#latencyMs = latencyMs
  }

  /** The way between two computers, the same in both directions. */
  path(oneIp: string, otherIp: string): Path {
    const key = [oneIp, otherIp].sort().join(' ')
    let path = this.#paths.get(key)
    if (path === undefined) {
      path = new Path(this.clock, this.random.fork(`path ${key}`), oneIp === otherIp ? 0 : this.#latencyMs)
      this.#paths.set(key, path)
    }
    return path
  }

  /** Time stands still until `work`, which does not wait for the clock, is done. */
  async outside<T>(work: Promise<T>): Promise<T> {
    this.#outside++
    try {
      return await work
    } finally {
      this.#outside--
    }
  }

  /** `work`, or the signal's reason if that comes first. */
  withSignal<T>(work: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
    if (!signal) return work
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason)
      if (signal.aborted) return onAbort()
      signal.addEventListener('abort', onAbort, { once: true })
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
    })
  }

  /** Let so much time pass, and everything happen that falls into it. */
  async advance(ms: number): Promise<void> {
    const end = this.clock.monotonic() + ms
    let isOver = false
    this.clock.setTimer(ms, () => {
      isOver = true
    })
    await this.settled()
    while (!isOver) await this.#step()
    // Times that differ only by rounding are the same.
    if (this.clock.monotonic() < end) this.clock.advance(end - this.clock.monotonic())
  }

  /** Let time pass until `work` is settled. Error: `MIX_VIRTUAL_TIME` after `limitMs` of virtual time. @default an hour */
  async during<T>(work: Promise<T>, limitMs?: number): Promise<T> {
    let isSettled = false
    const settle = () => {
      isSettled = true
    }
    work.then(settle, settle)
    await this.until(() => isSettled, limitMs)
    return work
  }

  /** Let time pass until `condition` holds. Error: `MIX_VIRTUAL_TIME` after `limitMs` of virtual time. @default an hour */
  async until(condition: () => boolean, limitMs = 3_600_000): Promise<void> {
    const end = this.clock.monotonic() + limitMs
    await this.settled()
    while (!condition()) {
      if (this.clock.monotonic() > end) throw overdue(`not within ${limitMs} ms: ${condition}`, this.seed)
      await this.#step()
    }
  }

  /** Everything that does not wait for the clock is done. */
  async settled(): Promise<void> {
    let quiet = 0
    for (let turn = 0; quiet < TURNS; turn++) {
      if (turn > MOST_TURNS) throw overdue('work that never ends', this.seed)
      await new Promise<void>((resolve) => setImmediate(resolve))
      quiet = this.#outside > 0 ? 0 : quiet + 1
    }
  }

  async #step(): Promise<void> {
    if (!this.clock.nextEvent()) throw overdue('nothing will ever happen any more', this.seed)
    await this.settled()
  }
}

/** A computer: its address, its clock's error, and the process that runs there now. */
export class VirtualComputer {
  readonly ip: string
  skewMs = 0
  readonly #world: World
  #process: VirtualProcess

  constructor(world: World, ip: string) {
    this.#world = world
    this.ip = ip
    this.#process = this.#fresh()
  }

  get process(): VirtualProcess {
    return this.#process
  }

  /** A new process in place of the one that was killed. */
  boot(): void {
    this.#process.kill()
    this.#process = this.#fresh()
  }

  #fresh(): VirtualProcess {
    return new VirtualProcess(this.#world.clock, () => this.skewMs)
  }
}

function overdue(what: string, seed: string): MixError {
  return new MixError('MIX_VIRTUAL_TIME', `The virtual network stands: ${what} (seed ${seed}).`, { kind: 'bug' })
}
