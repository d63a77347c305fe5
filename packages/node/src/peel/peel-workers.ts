/**
 * Peeling on all cores (05-mixnode §18.3 E, F1): worker threads that each get one batch after the other. Sockets, delays and
 * the replay check stay on the main thread. A worker that dies is replaced, at once if it ever worked, else after a pause; what it
 * held is given up, counted by the caller.
 */
import { Worker } from 'node:worker_threads'
import type { Clock, Logger, Metrics, Timer } from '@mixwright/runtime'
import type { CryptoProviderName } from '@mixwright/sphinx'
import type { Frame } from '@mixwright/wire'
import type { SphinxKeys } from '../keys/sphinx-keys.js'
import type { PacketOutcome, PacketRoles } from './packet-pipeline.js'
import { packFrames, unpackOutcomes } from './peel-batch.js'
import type { PeelWorkerData, PeelWorkerMessage } from './peel-worker.js'
import type { Peeler } from './peeler.js'

export interface PeelWorkersOptions {
  /** Threads; at least 1. */
  readonly count: number
  readonly crypto: CryptoProviderName
  readonly roles: PacketRoles
  readonly keys: SphinxKeys
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
}

/** Frames of one batch: enough that handing over costs little, few enough to wait little. */
const BATCH = 32
/** Batches that one worker has: one in work, one ready behind it. */
const BATCHES_PER_WORKER = 2
/** Before a worker that died without having peeled anything is replaced, milliseconds. */
const PAUSE_MS = 1_000

interface Batch {
  readonly frames: readonly Frame[]
  readonly done: (outcomes: readonly (PacketOutcome | undefined)[]) => void
}

export class PeelWorkers implements Peeler {
  readonly #options: PeelWorkersOptions
  readonly #workers: PeelThread[] = []
  readonly #pauses = new Set<Timer>()
  #keys: SphinxKeys
  /** Workers that die are replaced: not while the first ones start, and no more at the end. */
  #running = false
  onRoom: (() => void) | undefined

  private constructor(options: PeelWorkersOptions) {
    this.#options = options
    this.#keys = options.keys
  }

  /** Start the threads; resolves once all of them can work. Rejects with what one of them could not load. */
  static async start(options: PeelWorkersOptions): Promise<PeelWorkers> {
    const workers = new PeelWorkers(options)
    const threads = Array.from({ length: options.count }, () => workers.#spawn())
    try {
      await Promise.all(threads.map(({ ready }) => ready))
    } catch (error) {
      await workers.close()
      throw error
    }
    workers.#running = true
    return workers
  }

  get room(): number {
    return this.#workers.some(({ batches }) => batches.length < BATCHES_PER_WORKER) ? BATCH : 0
  }

  get underWay(): number {
    return this.#workers.reduce(
      (sum, { batches }) => sum + batches.reduce((frames, batch) => frames + batch.frames.length, 0),
      0,
    )
  }

  peel(frames: readonly Frame[], done: Batch['done']): void {
    const idlest = this.#workers.reduce((least, worker) => {
      return worker.batches.length < least.batches.length ? worker : least
    })
    idlest.batches.push({ frames, done })
    const batch = packFrames(frames)
    idlest.post({ kind: 'batch', batch }, [batch.buffer as ArrayBuffer])
  }

  setKeys(keys: SphinxKeys): void {
    this.#keys = keys
    for (const worker of this.#workers) worker.post(keysMessage(keys))
  }

  /** End the threads. What they hold is given up. */
  async close(): Promise<void> {
    this.#running = false
    for (const pause of this.#pauses) pause.cancel()
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }

  #spawn(): PeelThread {
    const { crypto, roles } = this.#options
    const thread: PeelThread = new PeelThread(
      { crypto, roles },
      {
        answered: (batch) => {
          const full = this.room === 0
          const { frames, done } = thread.batches.shift()!
          done(unpackOutcomes(batch, frames))
          if (full) this.onRoom?.()
        },
        ended: (reason) => this.#replace(thread, reason),
      },
    )
    thread.post(keysMessage(this.#keys))
    this.#workers.push(thread)
    return thread
  }

  #replace(thread: PeelThread, reason: string): void {
    const { clock, logger, metrics } = this.#options
    this.#workers.splice(this.#workers.indexOf(thread), 1)
    if (this.#running) {
      logger.error({ reason, batches: thread.batches.length }, 'a peel worker died; it is replaced')
      metrics.counter('mixwright_peel_workers_replaced_total', 'Peel workers that died').increment()
      if (thread.hasWorked) this.#spawn()
      else this.#spawnLater(clock)
    }
    for (const { frames, done } of thread.batches.splice(0)) done(frames.map(() => undefined))
    if (this.#running) this.onRoom?.()
  }

  #spawnLater(clock: Clock): void {
    const pause = clock.setTimer(
      PAUSE_MS,
      () => {
        this.#pauses.delete(pause)
        this.#spawn()
        this.onRoom?.()
      },
      { background: true },
    )
    this.#pauses.add(pause)
  }
}

function keysMessage({ primary, secondary }: SphinxKeys): PeelWorkerMessage {
  return { kind: 'keys', primary, secondary }
}

/** One thread and the batches it has. */
class PeelThread {
  readonly batches: Batch[] = []
  readonly ready: Promise<void>
  /** Whether it ever peeled a batch. */
  hasWorked = false
  readonly #worker: Worker

  constructor(
    workerData: PeelWorkerData,
    { answered, ended }: { answered(batch: Uint8Array): void; ended(reason: string): void },
  ) {
    this.#worker = new Worker(new URL('./peel-worker.js', import.meta.url), { workerData })
    let reason = 'it ended by itself'
    this.ready = new Promise((resolve, reject) => {
      this.#worker.once('message', () => resolve())
      this.#worker.once('error', reject)
      this.#worker.once('exit', () => reject(new Error(reason)))
    })
    this.ready.catch(() => {})
    this.#worker.on('message', (message: 'ready' | Uint8Array) => {
      if (message === 'ready') return
      this.hasWorked = true
      answered(message)
    })
    this.#worker.on('error', (error: Error) => {
      reason = error.message
    })
    this.#worker.once('exit', () => ended(reason))
  }

  post(message: PeelWorkerMessage, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer)
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate()
  }
}
