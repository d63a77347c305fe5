/**
 * The side that was given reply blocks (04-client §4.13.2, §4.13.3): a pool for each sender tag. Which block may be used for
 * what, when to ask for more, when to stop hoping, and what a rotation of keys does to them. Pure: it sends nothing; time is
 * handed in. In the store, so that a killed client can still answer.
 */
import { concatBytes } from '@mixwright/runtime'
import { decodeReplySurb, encodeReplySurb, isKeyRotation, type KeyRotation, type ReplySurb } from '@mixwright/wire'
import type { ClientStore } from '../store/client-store.js'
import type { Journal } from '../store/journal.js'

/** Reply blocks of one tag, in hand and asked for, at which no more are asked for. */
const ENOUGH = 400
/** Fewest and most blocks of one request. */
const SMALLEST_REQUEST = 10
const LARGEST_REQUEST = 50
/** Bounds against a peer that floods: blocks of one tag, of all tags, and tags. The oldest go first. */
const MOST_OF_A_TAG = 1000
const MOST_IN_ALL = 50_000
const MOST_TAGS = 10_000
/** After a rotation, tags whose blocks are asked for anew: those that got or gave one last. Others have theirs for one epoch more. */
const MOST_RENEWED = 500
/** With replies waiting and nothing received for so long, ask again. */
const ASK_AGAIN_MS = 10_000
const MOST_REQUESTS_IN_VAIN = 5
/** After so long without any reply block, waiting replies are given up. */
const GIVE_UP_MS = 5 * 60_000

/** What a block is wanted for. */
export type SurbPurpose = 'data' | 'surb-request'

/** A block in hand. */
export interface PooledSurb {
  readonly surb: ReplySurb
  readonly rotation: KeyRotation
  readonly receivedAtMs: number
  /** Key of its store entry. */
  readonly id: string
}

interface Pool {
  /** Oldest first. */
  fresh: PooledSurb[]
  /** Made before the last rotation: used when nothing else is there. */
  stale: PooledSurb[]
  /** Asked for and not here yet. */
  requested: number
  lastReceivedMs: number
  /** For how long replies have waited and nothing has come, while it could have; undefined when none wait. */
  silentMs: number | undefined
  requestsInVain: number
}

/** What is to be done about a tag with waiting replies. */
export type PoolAdvice =
  | { readonly kind: 'request'; readonly senderTag: string; readonly amount: number }
  | { readonly kind: 'give-up'; readonly senderTag: string }

export class SurbPools {
  readonly #kept: number
  readonly #journal: Journal
  /** By base58 tag; those that got or gave a block last are at the end. One may be empty, and known only by a reply that waits. */
  readonly #pools = new Map<string, Pool>()
  #surbs = 0
  #nextId = 0

  /** `kept`: blocks of each tag that only requests may use. */
  constructor(kept: number, journal: Journal) {
    this.#kept = kept
    this.#journal = journal
  }

  /** Take over what an earlier process stored; what is malformed is left out. */
  async restore(store: ClientStore): Promise<void> {
    for (const [id, value] of await store.load('reply-surbs')) {
      const [senderTag, number] = id.split(' ')
      const rotation = value[0]
      const surb = value.length > 9 ? decodeReplySurb(value.subarray(9)) : undefined
      if (senderTag === undefined || number === undefined || surb === undefined || !isKeyRotation(rotation)) continue
      const receivedAtMs = Number(new DataView(value.buffer, value.byteOffset).getBigUint64(1))
      const pool = this.#pool(senderTag, receivedAtMs)
      pool.lastReceivedMs = Math.max(pool.lastReceivedMs, receivedAtMs)
      pool.fresh.push({ surb, rotation, receivedAtMs, id })
      this.#surbs++
      this.#nextId = Math.max(this.#nextId, Number.parseInt(number, 36) + 1 || 0)
    }
  }

  /** Blocks in hand and asked for, by tag. */
  *counts(): Iterable<{ readonly senderTag: string; readonly surbs: number; readonly requested: number }> {
    for (const [senderTag, pool] of this.#pools)
      yield { senderTag, surbs: pool.fresh.length + pool.stale.length, requested: pool.requested }
  }

  /** Blocks in hand for a tag. */
  available(senderTag: string): number {
    const pool = this.#pools.get(senderTag)
    return pool === undefined ? 0 : pool.fresh.length + pool.stale.length
  }

  /** Whether we ever got a block under this tag. */
  isKnown(senderTag: string): boolean {
    return this.#pools.has(senderTag)
  }

  /** Blocks came. `answersRequest`: they were asked for. */
  received(
    senderTag: string,
    surbs: readonly ReplySurb[],
    rotation: KeyRotation,
    answersRequest: boolean,
    nowMs: number,
  ): void {
    const pool = this.#pool(senderTag, nowMs)
    if (answersRequest) pool.requested = Math.max(0, pool.requested - surbs.length)
    if (surbs.length > 0) {
      pool.lastReceivedMs = nowMs
      pool.requestsInVain = 0
      if (pool.silentMs !== undefined) pool.silentMs = 0
    }
    for (const surb of surbs) {
      const id = `${senderTag} ${(this.#nextId++).toString(36).padStart(9, '0')}`
      pool.fresh.push({ surb, rotation, receivedAtMs: nowMs, id })
      this.#surbs++
      this.#journal.put('reply-surbs', id, encodeEntry(surb, rotation, nowMs))
    }
    while (pool.fresh.length > MOST_OF_A_TAG) this.#drop(pool.fresh.shift()!)
    // Fresh ones replace stale ones, but for those kept back.
    for (const replaced of pool.stale.splice(0, Math.max(0, pool.fresh.length - this.#kept))) this.#drop(replaced)
    this.#touch(senderTag, pool)
    this.#makeRoom(senderTag)
  }

  /** Whether a block may be used for this. A lost request takes another block: who spent all on data could not ask again. */
  canTake(senderTag: string, purpose: SurbPurpose): boolean {
    return this.available(senderTag) > (purpose === 'surb-request' ? 0 : this.#kept)
  }

  /** Use one block up; undefined when there is none. */
  take(senderTag: string): PooledSurb | undefined {
    const pool = this.#pools.get(senderTag)
    const taken = pool?.fresh.shift() ?? pool?.stale.shift()
    if (pool === undefined || taken === undefined) return undefined
    this.#drop(taken)
    this.#touch(senderTag, pool)
    return taken
  }

  /**
   * How many blocks to ask for now, given the reply packets that wait; 0 for none. There must be one in hand to ask with.
   * The caller confirms by `requested` once the request is queued.
   */
  shortage(senderTag: string, waitingPackets: number): number {
    const pool = this.#pools.get(senderTag)
    if (pool === undefined) return 0
    if (waitingPackets === 0) {
      pool.silentMs = undefined
      return 0
    }
    pool.silentMs ??= 0
    if (pool.fresh.length + pool.stale.length === 0) return 0
    const coming = pool.requested + pool.fresh.length
    const wanted = waitingPackets + this.#kept
    if (coming >= ENOUGH || coming >= wanted) return 0
    // The request itself costs one.
    return Math.min(LARGEST_REQUEST, Math.max(SMALLEST_REQUEST, wanted + 1 - coming))
  }

  /** A request for so many was queued; a negative number when it failed for good. */
  requested(senderTag: string, amount: number): void {
    const pool = this.#pools.get(senderTag)
    if (pool !== undefined) pool.requested = Math.max(0, pool.requested + amount)
  }

  /**
   * Every few seconds in which the network was there: ask again, or stop hoping. `waiting`: for each tag with anything
   * queued, the reply packets that wait, 0 where these are only requests. `elapsedMs`: since the last time; hours without a
   * network do not count.
   */
  check(waiting: ReadonlyMap<string, number>, elapsedMs: number): PoolAdvice[] {
    const advice: PoolAdvice[] = []
    // Also a reply whose blocks are all gone, to a crash or to a peer that flooded us, ends in time.
    for (const senderTag of waiting.keys()) this.#pool(senderTag, 0)
    for (const [senderTag, pool] of this.#pools) {
      const packets = waiting.get(senderTag) ?? 0
      if (packets === 0) {
        pool.silentMs = undefined
        pool.requestsInVain = 0
        // Nothing is left to ask with, and nobody waits for the answer.
        if (waiting.has(senderTag) && this.available(senderTag) === 0) advice.push({ kind: 'give-up', senderTag })
        continue
      }
      if (this.canTake(senderTag, 'data')) {
        // They wait for slots, not for blocks.
        pool.silentMs = 0
        continue
      }
      pool.silentMs = (pool.silentMs ?? 0) + elapsedMs
      if (pool.silentMs > GIVE_UP_MS || pool.requestsInVain > MOST_REQUESTS_IN_VAIN) {
        pool.silentMs = undefined
        pool.requestsInVain = 0
        pool.requested = 0
        advice.push({ kind: 'give-up', senderTag })
        continue
      }
      if (pool.silentMs <= ASK_AGAIN_MS * (pool.requestsInVain + 1)) continue
      // What was asked for is not counted on any more, even though it may come yet.
      pool.requested = 0
      const amount = this.shortage(senderTag, packets)
      if (amount === 0) continue
      pool.requestsInVain++
      advice.push({ kind: 'request', senderTag, amount })
    }
    return advice
  }

  /** The network's keys have rotated: what is in hand becomes stale. Tells how many blocks each tag should ask for anew. */
  rotated(): PoolAdvice[] {
    const advice: PoolAdvice[] = []
    for (const [senderTag, pool] of this.#pools) {
      const amount = Math.min(LARGEST_REQUEST, pool.fresh.length)
      pool.stale.push(...pool.fresh)
      pool.fresh = []
      if (amount > 0) advice.push({ kind: 'request', senderTag, amount })
    }
    return advice.slice(-MOST_RENEWED)
  }

  /**
   * Drop blocks that no node opens any more: received before `oldestMs`, or `isDead` by their rotation, and by whether the
   * network's keys have rotated since they came.
   */
  purge(oldestMs: number, isDead: (surb: PooledSurb, isStale: boolean) => boolean): void {
    const keep = (isStale: boolean) => (pooled: PooledSurb) => {
      if (pooled.receivedAtMs >= oldestMs && !isDead(pooled, isStale)) return true
      this.#drop(pooled)
      return false
    }
    for (const [senderTag, pool] of this.#pools) {
      pool.fresh = pool.fresh.filter(keep(false))
      pool.stale = pool.stale.filter(keep(true))
      // What was asked for so long ago does not come any more.
      const isEmpty = pool.fresh.length + pool.stale.length === 0
      if (isEmpty && pool.silentMs === undefined && pool.lastReceivedMs < oldestMs) this.#pools.delete(senderTag)
    }
  }

  #pool(senderTag: string, nowMs: number): Pool {
    let pool = this.#pools.get(senderTag)
    if (pool === undefined) {
      pool = {
        fresh: [],
        stale: [],
        requested: 0,
        lastReceivedMs: nowMs,
        silentMs: undefined,
        requestsInVain: 0,
      }
      this.#pools.set(senderTag, pool)
    }
    return pool
  }

  #touch(senderTag: string, pool: Pool): void {
    this.#pools.delete(senderTag)
    this.#pools.set(senderTag, pool)
  }

  /** Whole pools go, the one touched longest ago first; never the one just touched, nor one with waiting replies. */
  #makeRoom(justTouched: string): void {
    if (this.#surbs <= MOST_IN_ALL && this.#pools.size <= MOST_TAGS) return
    for (const [senderTag, pool] of this.#pools) {
      if (this.#surbs <= MOST_IN_ALL && this.#pools.size <= MOST_TAGS) return
      if (senderTag === justTouched || pool.silentMs !== undefined) continue
      for (const pooled of [...pool.fresh, ...pool.stale]) this.#drop(pooled)
      this.#pools.delete(senderTag)
    }
  }

  #drop(pooled: PooledSurb): void {
    this.#surbs--
    this.#journal.delete('reply-surbs', pooled.id)
  }
}

/** rotation 1 ‖ received at, u64 ‖ reply block */
function encodeEntry(surb: ReplySurb, rotation: KeyRotation, receivedAtMs: number): Uint8Array {
  const head = new Uint8Array(9)
  head[0] = rotation
  new DataView(head.buffer).setBigUint64(1, BigInt(Math.floor(receivedAtMs)))
  return concatBytes(head, encodeReplySurb(surb))
}
