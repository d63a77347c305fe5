/**
 * Joining fragments to messages (04-client §4.5.3): a state machine of fragments in, messages out, in memory that nobody
 * can grow beyond its limits. Stricter than official clients: a fragment that contradicts its set is dropped, and sets are
 * joined only where each names the other.
 *
 * A set that is whole becomes part of a run of whole sets; the first and the last of a run know each other, so runs grow
 * together in constant time, and a message is whole when its run has neither a set before nor one after.
 *
 * Not here: decrypting, parsing the message, and keeping fragments over a restart.
 */
import { type Fragment, unpadMessage } from '@mixwright/wire'

export interface ReassemblyLimits {
  /** Sets of which something is kept. Beyond: the set that was touched least recently is dropped. @default 4096 */
  readonly openSets?: number
  /** Bytes kept, 128 counted for each fragment beside its payload. Beyond: as above. @default 64 MiB */
  readonly bufferedBytes?: number
  /** Ids of sets whose messages were whole, so that late duplicates are known. Beyond: the oldest are forgotten. @default 100000 */
  readonly rememberedSetIds?: number
  /**
   * A set that gets no fragment for so long is dropped. Much longer than official clients wait: what came is acknowledged and
   * not sent again, so a sender that slept between two fragments would lose its message unawares. @default 3 days
   */
  readonly staleAfterMs?: number
}

const DEFAULTS: Required<ReassemblyLimits> = {
  openSets: 4096,
  bufferedBytes: 64 * 1024 * 1024,
  rememberedSetIds: 100_000,
  staleAfterMs: 3 * 24 * 3_600_000,
}

/** What a kept fragment costs beside its payload: else a million empty ones would cost nothing. */
const FRAGMENT_OVERHEAD_BYTES = 128

export type ReassemblyOutcome = (
  | { readonly kind: 'kept' }
  /** We have it, or had its message. */
  | { readonly kind: 'duplicate' }
  /** Its total is another than that of its set. */
  | { readonly kind: 'inconsistent' }
  /** A message without its padding, and the sets that it was in, in order. */
  | { readonly kind: 'complete'; readonly message: Uint8Array; readonly setIds: readonly number[] }
  /** All fragments are there, but no padding in them, or nothing before it. */
  | { readonly kind: 'malformed'; readonly setIds: readonly number[] }
) & {
  /** Sets that were dropped, stale or for room: least recently touched first, sets that hang together at once. May name the set just kept. */
  readonly evicted: readonly number[]
}

interface OpenSet {
  readonly id: number
  readonly total: number
  /** Own copies, by position − 1. */
  readonly payloads: (Uint8Array | undefined)[]
  /** Fragments still to come. */
  missing: number
  bytes: number
  previousSetId?: number | undefined
  nextSetId?: number | undefined
  touchedMs: number
  /** Of the run that a whole set belongs to; right only at the run's two ends. */
  runFirst?: OpenSet
  runLast?: OpenSet
}

export class Reassembly {
  readonly #limits: Required<ReassemblyLimits>
  /** In order of the last touch. */
  readonly #open = new Map<number, OpenSet>()
  #bufferedBytes = 0
  readonly #remembered = new Set<number>()
  /** The same ids, a ring from `#oldestRemembered` on. */
  readonly #rememberedRing: number[] = []
  #oldestRemembered = 0

  constructor(limits: ReassemblyLimits = {}) {
    this.#limits = { ...DEFAULTS, ...limits }
  }

  /** Sets of which something is kept. */
  get openSets(): number {
    return this.#open.size
  }

  /** Bytes kept, as `ReassemblyLimits.bufferedBytes` counts them. */
  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  /** Take a fragment. Its payload is copied where it has to be kept. `nowMs` never goes back. */
  take(fragment: Fragment, nowMs: number): ReassemblyOutcome {
    const evicted: number[] = []
    for (const oldest of this.#open.values()) {
      if (nowMs - oldest.touchedMs < this.#limits.staleAfterMs) break
      this.#evict(oldest, evicted)
    }
    if (this.#remembered.has(fragment.setId)) return { kind: 'duplicate', evicted }

    const set = this.#touch(fragment, nowMs)
    if (set.total !== fragment.total) return { kind: 'inconsistent', evicted }
    if (set.payloads[fragment.position - 1] !== undefined) return { kind: 'duplicate', evicted }
    this.#keep(set, fragment)
    if (set.missing === 0) {
      const run = this.#joinRuns(set)
      if (run.first.previousSetId === undefined && run.last.nextSetId === undefined)
        return { ...this.#finish(run.first), evicted }
    }

    for (const oldest of this.#open.values()) {
      if (this.#open.size <= this.#limits.openSets && this.#bufferedBytes <= this.#limits.bufferedBytes) break
      this.#evict(oldest, evicted)
    }
    return { kind: 'kept', evicted }
  }

  /** The set of a fragment, made if need be, as the most recently touched. A contradicting fragment does not touch it. */
  #touch({ setId, total }: Fragment, nowMs: number): OpenSet {
    let set = this.#open.get(setId)
    if (set === undefined) {
      const payloads = new Array<Uint8Array | undefined>(total)
      set = { id: setId, total, payloads, missing: total, bytes: 0, touchedMs: nowMs }
    } else if (set.total !== total) return set
    else this.#open.delete(setId)
    set.touchedMs = nowMs
    this.#open.set(setId, set)
    return set
  }

  #keep(set: OpenSet, { position, payload, previousSetId, nextSetId }: Fragment): void {
    set.payloads[position - 1] = new Uint8Array(payload)
    set.missing--
    const bytes = payload.length + FRAGMENT_OVERHEAD_BYTES
    set.bytes += bytes
    this.#bufferedBytes += bytes
    set.previousSetId ??= previousSetId
    set.nextSetId ??= nextSetId
  }

  /** Join a set that has just become whole with the runs on both sides. */
  #joinRuns(set: OpenSet): { readonly first: OpenSet; readonly last: OpenSet } {
    const first = this.#before(set)?.runFirst ?? set
    const last = this.#after(set)?.runLast ?? set
    first.runLast = last
    last.runFirst = first
    return { first, last }
  }

  /** The whole set before a set, where each names the other. */
  #before(set: OpenSet): OpenSet | undefined {
    const before = set.previousSetId === undefined ? undefined : this.#open.get(set.previousSetId)
    return before?.missing === 0 && before.nextSetId === set.id ? before : undefined
  }

  #after(set: OpenSet): OpenSet | undefined {
    const after = set.nextSetId === undefined ? undefined : this.#open.get(set.nextSetId)
    return after?.missing === 0 && after.previousSetId === set.id ? after : undefined
  }

  #finish(
    first: OpenSet,
  ): { kind: 'complete'; message: Uint8Array; setIds: number[] } | { kind: 'malformed'; setIds: number[] } {
    const sets: OpenSet[] = []
    let bytes = 0
    for (let set: OpenSet | undefined = first; set !== undefined; set = this.#after(set)) {
      sets.push(set)
      bytes += set.bytes - set.total * FRAGMENT_OVERHEAD_BYTES
    }
    const padded = new Uint8Array(bytes)
    let at = 0
    for (const set of sets) {
      for (const payload of set.payloads) {
        padded.set(payload!, at)
        at += payload!.length
      }
      this.#drop(set)
      this.remember(set.id)
    }
    const setIds = sets.map((set) => set.id)
    const message = unpadMessage(padded)
    return message === undefined ? { kind: 'malformed', setIds } : { kind: 'complete', message, setIds }
  }

  /** Drop a set and the whole sets that hang on it: their message can no longer become whole. */
  #evict(set: OpenSet, evicted: number[]): void {
    const doomed: (OpenSet | undefined)[] = [set]
    while (doomed.length > 0) {
      const next = doomed.pop()
      if (next === undefined || !this.#open.has(next.id)) continue
      doomed.push(this.#before(next), this.#after(next))
      this.#drop(next)
      evicted.push(next.id)
    }
  }

  #drop(set: OpenSet): void {
    this.#open.delete(set.id)
    this.#bufferedBytes -= set.bytes
  }

  /** From now on its fragments are duplicates; also for sets that another process finished. */
  remember(setId: number): void {
    this.#remembered.add(setId)
    if (this.#rememberedRing.length < this.#limits.rememberedSetIds) {
      this.#rememberedRing.push(setId)
      return
    }
    this.#remembered.delete(this.#rememberedRing[this.#oldestRemembered]!)
    this.#rememberedRing[this.#oldestRemembered] = setId
    this.#oldestRemembered = (this.#oldestRemembered + 1) % this.#rememberedRing.length
  }
}
