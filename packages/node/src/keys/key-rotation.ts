/**
 * Rotating the Sphinx key (05-mixnode §10, 03-directory §7). Which step is due follows from the keys at hand and the
 * directory's epoch alone; the steps change one small file, written atomically, so that a crash at any moment leaves the
 * state before or after.
 *
 * | epoch within rotation R | primary | secondary |
 * |---|---|---|
 * | first (overlap) | R | R − 1 |
 * | middle | R | – |
 * | last | R | R + 1, pre-announced |
 *
 * Official nodes swap by their own clock; ours by the directory's epoch, and by the clock only while no directory answers.
 * A late swap costs nothing: the secondary is tried too.
 */
import type { Clock, Logger, Metrics, Random, Timer } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { type KeyRotationState, nextRotationStart, rotationIdAt, rotationStart } from '@mixwright/wire'
import { logFailure, type NetworkSource, type RotationInfo } from '../network/network-source.js'
import type { SphinxKeyFile } from './sphinx-key-file.js'
import { type SphinxKey, SphinxKeys } from './sphinx-keys.js'

export type RotationStep =
  | { readonly kind: 'pre-announce'; readonly rotationId: number }
  | { readonly kind: 'swap' }
  | { readonly kind: 'forget'; readonly rotationId: number }

/** Epochs and rotations are counted in 32 bits. */
const LAST_EPOCH = 0xffff_ffff
const LAST_ROTATION = 0xffff_ffff

/** The step that is due in `epochId`, if any. After each step the next may be due at once. */
export function rotationStep(
  { primary, secondary }: { readonly primary: number; readonly secondary: number | undefined },
  epochId: number,
  state: KeyRotationState,
): RotationStep | undefined {
  const current = rotationIdAt(state, epochId)
  const first = epochId === rotationStart(state, epochId)
  const last = epochId === nextRotationStart(state, epochId) - 1
  if (secondary === undefined) {
    // A node that was away for long, or whose directory began anew: the key of today first.
    if (primary !== current) return { kind: 'pre-announce', rotationId: current }
    return last && current < LAST_ROTATION ? { kind: 'pre-announce', rotationId: current + 1 } : undefined
  }
  if (primary !== current) return secondary === current ? { kind: 'swap' } : { kind: 'forget', rotationId: secondary }
  // The next key, also one announced too early: a directory may have read it.
  if (secondary === current + 1) return undefined
  return secondary === current - 1 && first ? undefined : { kind: 'forget', rotationId: secondary }
}

export interface KeyRotationOptions {
  readonly source: NetworkSource
  readonly file: SphinxKeyFile
  readonly clock: Clock
  readonly random: Random
  readonly crypto: CryptoProvider
  readonly logger: Logger
  readonly metrics: Metrics
  /** Before a key may be used: its replay filter is made. */
  prepare(rotationId: number): Promise<void>
  /** The keys changed; those that are gone need nothing of theirs any more. */
  changed(keys: SphinxKeys): Promise<void>
}

/** Longest wait between two looks at the directory, milliseconds (05-mixnode §10). */
const LONGEST_WAIT_MS = 4 * 3_600_000
/** Shortest; a sixtieth of an epoch if that is more. */
const SHORTEST_WAIT_MS = 500
/** After the moment in which an epoch should begin, so that the directory has begun it. */
const GRACE_MS = 50

export class KeyRotation {
  readonly #options: KeyRotationOptions
  #keys: SphinxKeys
  /** What the directory said last, and when on the monotonic clock. */
  #known: { readonly info: RotationInfo; readonly atMs: number } | undefined
  #timer: Timer | undefined
  #turning: Promise<void> | undefined
  #stepping: Promise<void> | undefined
  #closed = false

  constructor(options: KeyRotationOptions, keys: SphinxKeys) {
    this.#options = options
    this.#keys = keys
    options.metrics.gauge('mixwright_sphinx_key_rotation', 'Rotation of the primary Sphinx key', {}, () => {
      return this.#keys.primary.rotationId
    })
  }

  get keys(): SphinxKeys {
    return this.#keys
  }

  /** Take all steps that are due, then again whenever one may be. Never rejects. */
  turn(): Promise<void> {
    this.#turning ??= this.#turn().finally(() => {
      this.#turning = undefined
    })
    return this.#turning
  }

  /** Resolves when no step is under way. A question to the directory may be: nobody waits for its answer. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#stepping?.catch(() => {})
  }

  async #turn(): Promise<void> {
    const { source, clock, logger, metrics } = this.#options
    this.#timer?.cancel()
    try {
      this.#known = { info: await source.keyRotation(), atMs: clock.monotonic() }
    } catch (error) {
      logFailure(logger, error, 'the key rotation could not be read')
    }
    if (this.#closed) return
    if (this.#known !== undefined) {
      try {
        this.#stepping = this.#takeSteps(this.#epochAt(this.#known).id, this.#known.info)
        await this.#stepping
      } catch (error) {
        // A disk that is full, say. The keys in memory and on disk are as before the step.
        metrics.counter('mixwright_key_rotation_failures_total', 'Steps of key rotation that failed').increment()
        logger.error({ reason: (error as Error).message }, 'the Sphinx key could not be rotated')
      }
    }
    if (!this.#closed) this.#timer = clock.setTimer(this.#wait(), () => void this.turn(), { background: true })
  }

  async #takeSteps(epochId: number, state: KeyRotationState): Promise<void> {
    for (;;) {
      const { primary, secondary } = this.#keys
      const ids = { primary: primary.rotationId, secondary: secondary?.rotationId }
      const step = rotationStep(ids, epochId, state)
      if (step === undefined || this.#closed) return
      await this.#take(step)
    }
  }

  async #take(step: RotationStep): Promise<void> {
    const { file, logger, metrics, prepare, changed } = this.#options
    const { primary, secondary } = this.#keys
    let next: SphinxKeys
    if (step.kind === 'pre-announce') {
      await prepare(step.rotationId)
      next = new SphinxKeys(primary, this.#draw(step.rotationId))
    } else if (step.kind === 'swap') next = new SphinxKeys(secondary!, primary)
    else next = new SphinxKeys(primary)
    file.write(next)
    this.#keys = next
    metrics.counter('mixwright_key_rotation_steps_total', 'Steps of key rotation', { step: step.kind }).increment()
    logger.info(
      { step: step.kind, primary: next.primary.rotationId, secondary: next.secondary?.rotationId },
      'Sphinx key rotation',
    )
    await changed(next)
    if (step.kind === 'forget') secondary!.secret.fill(0)
  }

  #draw(rotationId: number): SphinxKey {
    const secret = this.#options.random.bytes(32)
    return { rotationId, secret, publicKey: this.#options.crypto.x25519Base(secret) }
  }

  /** The directory's epoch, carried on by the monotonic clock since its last answer. */
  #epochAt({ info, atMs }: { info: RotationInfo; atMs: number }): { id: number; remainingMs: number } {
    const { clock } = this.#options
    const sinceAnswer = clock.monotonic() - atMs
    // Where in its epoch the directory was when it answered: our clock may be wrong, and its epoch may be overdue.
    const position = Math.min(Math.max(0, clock.now() - sinceAnswer - info.epochStartMs), info.epochMs - 1)
    const elapsed = position + sinceAnswer
    const passed = sinceAnswer === 0 ? 0 : Math.floor(elapsed / info.epochMs)
    return { id: Math.min(info.epochId + passed, LAST_EPOCH), remainingMs: info.epochMs - (elapsed % info.epochMs) }
  }

  /** Until the next epoch begins, and a little; a quarter of an epoch at most, since our clock may be wrong. */
  #wait(): number {
    if (this.#known === undefined) return SHORTEST_WAIT_MS * 4
    const { epochMs } = this.#known.info
    const wait = Math.min(this.#epochAt(this.#known).remainingMs + GRACE_MS, epochMs / 4, LONGEST_WAIT_MS)
    return Math.min(Math.max(wait, SHORTEST_WAIT_MS, epochMs / 60), LONGEST_WAIT_MS)
  }
}
