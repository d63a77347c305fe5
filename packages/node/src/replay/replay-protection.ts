/**
 * Replay protection (05-mixnode §9, §10): no packet passes a node twice. One filter of replay tags for each Sphinx key, kept
 * through restarts in files beside the key; the caller asks once per packet, after its MAC was found good, on one thread. A crash
 * forgets the tags of its last second; a disk that fails is logged and counted, and the filters in memory go on.
 */
import type { Clock, Counter, Logger, Metrics, Random } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { ReplayDirectory } from './replay-directory.js'
import { capacityDepth, ReplayFilter, SECRET_BYTES } from './replay-filter.js'
import { ReplayJournal } from './replay-journal.js'

export interface ReplayProtectionOptions {
  /** Where the files are kept, beside others; made if missing. Undefined: memory only, and a restart forgets. */
  readonly directory: string | undefined
  readonly clock: Clock
  readonly random: Random
  readonly crypto: CryptoProvider
  readonly logger: Logger
  readonly metrics: Metrics
  /**
   * Packets per key up to which a fresh one is taken for a replay with probability 7.3e-6 at most, in 480 MB for 180 million.
   * Memory is taken as packets come; past the capacity it grows on, up to 16 times. Rounded up to 43 946 · 2^n. Holds for new filters.
   * @default 180000000 (2 000 packets a second for 25 hours)
   */
  readonly capacity?: number | undefined
}

export type ReplayVerdict = 'fresh' | 'replayed' | 'unknown-key'

interface ProtectedKey {
  readonly filter: ReplayFilter
  /** Absent: memory only. */
  readonly journal: ReplayJournal | undefined
}

const DEFAULT_CAPACITY = 180_000_000

export class ReplayProtection {
  readonly #options: ReplayProtectionOptions
  readonly #directory: ReplayDirectory | undefined
  readonly #keys = new Map<number, ProtectedKey>()
  /** Filters are loaded and removed one after the other. */
  #changing: Promise<void> = Promise.resolve()
  readonly #full: Counter
  readonly #failures: Counter
  readonly #damages: Counter

  /** No key is protected yet; what an earlier run left is read when its key is. */
  static async open(options: ReplayProtectionOptions): Promise<ReplayProtection> {
    return new ReplayProtection(options)
  }

  private constructor(options: ReplayProtectionOptions) {
    const { directory, metrics } = options
    this.#options = options
    this.#directory = directory === undefined ? undefined : new ReplayDirectory(directory)
    this.#full = metrics.counter(
      'mixwright_replay_full_total',
      'Packets refused because the replay filter takes no more',
    )
    this.#failures = metrics.counter('mixwright_replay_write_failures_total', 'Writes of replay files that failed')
    this.#damages = metrics.counter('mixwright_replay_damages_total', 'Parts of replay files that could not be read')
    const sum = (part: (filter: ReplayFilter) => number) => () =>
      [...this.#keys.values()].reduce((sum, { filter }) => sum + part(filter), 0)
    metrics.gauge(
      'mixwright_replay_filter_bytes',
      'Memory of the replay filters of all keys',
      {},
      sum((f) => f.bytes),
    )
    metrics.gauge(
      'mixwright_replay_filter_tags',
      'Tags in the replay filters of all keys',
      {},
      sum((f) => f.size),
    )
    metrics.gauge(
      'mixwright_replay_false_positive_rate',
      'Probability that a fresh packet is taken for a replay, of the key where it is highest',
      {},
      () => Math.max(0, ...[...this.#keys.values()].map(({ filter }) => filter.falsePositiveRate)),
    )
  }

  /** Load the filter of a key, or begin one; nothing if there is one. Until then its packets are of an unknown key. Never rejects. */
  protect(rotationId: number): Promise<void> {
    return this.#change(async () => {
      if (this.#keys.has(rotationId)) return
      const { clock, logger, random, crypto, capacity = DEFAULT_CAPACITY } = this.#options
      const makeFilter = (earlier?: { secret: Uint8Array; capacityDepth: number }) =>
        new ReplayFilter(
          crypto,
          earlier?.secret ?? random.bytes(SECRET_BYTES),
          earlier?.capacityDepth ?? capacityDepth(capacity),
        )
      const directory = this.#directory
      if (directory === undefined) {
        this.#keys.set(rotationId, { filter: makeFilter(), journal: undefined })
        return
      }
      const counters = { failures: this.#failures, damages: this.#damages }
      const journal = await ReplayJournal.open({ directory, rotationId, clock, logger, makeFilter, ...counters })
      this.#keys.set(rotationId, { filter: journal.filter, journal })
    })
  }

  /**
   * Whether the packet with this tag, 32 bytes, may pass: each tag is `fresh` once. `unknown-key`: the key is not protected, and the
   * packet must not pass. Only packets whose MAC is good may be asked for, since each that is fresh is remembered.
   */
  check(rotationId: number, tag: Uint8Array): ReplayVerdict {
    const key = this.#keys.get(rotationId)
    if (key === undefined) return 'unknown-key'
    const fingerprint = key.filter.fingerprint(tag)
    const outcome = key.filter.insert(fingerprint)
    if (outcome === 'fresh') {
      key.journal?.append(fingerprint)
      return 'fresh'
    }
    if (outcome === 'full') this.#full.increment()
    return 'replayed'
  }

  /** The key is gone: drop its filter and its files. Never rejects. */
  forget(rotationId: number): Promise<void> {
    return this.#remove((id) => id === rotationId)
  }

  /** Forget every key but these, also what earlier runs left of others. Called at start and after each rotation. Never rejects. */
  keepOnly(rotationIds: readonly number[]): Promise<void> {
    const kept = new Set(rotationIds)
    return this.#remove((id) => !kept.has(id))
  }

  /** Resolves when every tag so far is on the disk, or its failure counted. */
  async flush(): Promise<void> {
    await Promise.all([...this.#keys.values()].map(({ journal }) => journal?.flush()))
  }

  /** Write what is left. Every key is unknown afterwards. */
  async close(): Promise<void> {
    await this.#change(async () => {
      const keys = [...this.#keys.values()]
      this.#keys.clear()
      await Promise.all(keys.map(({ journal }) => journal?.close()))
    })
  }

  #remove(which: (rotationId: number) => boolean): Promise<void> {
    return this.#change(async () => {
      for (const [rotationId, { journal }] of this.#keys) {
        if (!which(rotationId)) continue
        this.#keys.delete(rotationId)
        await journal?.discard()
      }
      try {
        await this.#directory?.remove((name) => which(name.rotationId))
      } catch (error) {
        this.#failures.increment()
        this.#options.logger.error({ reason: (error as Error).message }, 'replay files could not be removed')
      }
    })
  }

  #change(action: () => Promise<void>): Promise<void> {
    const done = this.#changing.then(action)
    // What could not be done (no memory for a filter, say) is one change's failure, and not that of all after it.
    this.#changing = done.catch(() => {})
    return done
  }
}
