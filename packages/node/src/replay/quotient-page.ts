/**
 * One page of a replay filter: a set of distinct numbers below `shape.range`, kept exactly, in a fixed piece of memory
 * (05-mixnode §9; Bender et al., "Don't Thrash: How to Cache Your Hash on Flash", 2012). A quotient filter: the number divided by
 * `shape.divisor` is its home slot, only the remainder is stored, at home or, where homes crowd, a little behind, in
 * ascending order. Three bits per slot say whose remainders are where:
 *
 * | bit | is set when |
 * |---|---|
 * | occupied | this slot is the home of at least one number |
 * | used | a remainder is stored in this slot |
 * | continuation | the remainder here has the same home as the one before |
 *
 * So the numbers with one home are a run, which begins without continuation bit; the slots in use between two empty ones hold
 * the runs of exactly the occupied homes among them, in order. Each bit has a map of its own, and so have the remainders: what
 * is searched, counted or moved goes 32 bits at a time. Slots do not wrap around: some beyond the last home take what is
 * pushed there, and the very last stays empty. Which numbers a page gets, and when it is split, is up to the replay filter.
 */

/** 46 464 slots of 20 bits. */
const PAGE_WORDS = 29_040
/** Memory of a page. */
export const PAGE_BYTES = PAGE_WORDS * 4
/** Homes where remainders have 17 bits. */
const FULL_PAGE_HOMES = 46_080
/** How many numbers the range of a page has when its remainders have 17 bits: 45 · 2^27. */
export const FULL_PAGE_RANGE = FULL_PAGE_HOMES * 2 ** 17
/** Slots beyond the last home. At the highest load a run is pushed so far with probability e^-15. */
const TAIL_SLOTS = 384
/** Numbers per home. Above it slots in use grow together to stretches of thousands. */
const HIGHEST_LOAD = 0.98
const METADATA_BITS = 3
/** Runs are moved within words of 32 bits. */
const MOST_REMAINDER_BITS = 31

/** How a page lays out numbers below `range`. All pages with one range share it. */
export interface PageShape {
  readonly range: number
  readonly divisor: number
  readonly remainderBits: number
  readonly slots: number
  /** Numbers that a page takes. */
  readonly limit: number
}

/** The layout with the most slots for numbers below `range`, 45 · 2^40 at most. */
export function pageShape(range: number): PageShape {
  for (let remainderBits = 1; remainderBits <= MOST_REMAINDER_BITS; remainderBits++) {
    const slots = Math.floor(PAGE_WORDS / (METADATA_BITS + remainderBits)) * 32
    const homes = slots - TAIL_SLOTS
    const divisor = Math.ceil(range / homes)
    if (divisor <= 2 ** remainderBits)
      return { range, divisor, remainderBits, slots, limit: Math.floor(homes * HIGHEST_LOAD) }
  }
  throw new RangeError(`no page takes numbers up to ${range}`)
}

export class QuotientPage {
  readonly words: Uint32Array
  #shape: PageShape
  #size = 0
  // Where the maps begin, in words; that of the occupied bits is the first.
  #used = 0
  #continuation = 0
  #remainders = 0

  /** An empty page; or one with the `words` and the `size` of an earlier page of this shape. */
  constructor(shape: PageShape, words: Uint32Array = new Uint32Array(PAGE_WORDS), size = 0) {
    this.words = words
    this.#shape = shape
    this.#size = size
    this.#layOut()
  }

  get shape(): PageShape {
    return this.#shape
  }

  /** Numbers in the page. */
  get size(): number {
    return this.#size
  }

  /** Add `number`. It was there before: `known`. There is no room for it, and it was not there before: `full`. */
  insert(number: number): 'fresh' | 'known' | 'full' {
    const { words } = this
    const { divisor, remainderBits, limit, slots } = this.#shape
    const home = Math.floor(number / divisor)
    const remainder = number - home * divisor
    const occupied = this.#bit(0, home)
    let slot = home
    let first = home
    if (this.#bit(this.#used, home)) {
      const start = this.#startOfStretch(home)
      // Where the run of this home is; if it has none, where the next run or the empty slot behind the stretch is.
      first = this.#startOfRun(start, this.#occupiedBetween(start, home) + 1)
      slot = first
      if (occupied)
        do {
          const stored = this.#remainder(slot)
          if (stored === remainder) return 'known'
          if (stored > remainder) break
          slot++
        } while (this.#bit(this.#continuation, slot))
    }
    if (this.#size >= limit) return 'full'
    const empty = this.#emptySlot(slot)
    if (empty === slots - 1) return 'full'

    moveUp(words, this.#continuation * 32 + slot, empty - slot, 1)
    moveUp(words, this.#remainders * 32 + slot * remainderBits, (empty - slot) * remainderBits, remainderBits)
    this.#setRemainder(slot, remainder)
    // What was first in its run follows the newcomer now, or the newcomer follows it.
    if (occupied) this.#setBit(this.#continuation, slot === first ? slot + 1 : slot)
    this.#setBit(this.#used, empty)
    this.#setBit(0, home)
    this.#size++
    return 'fresh'
  }

  /** Write all numbers into `sorted`, in ascending order. */
  read(sorted: Float64Array): void {
    const { divisor, slots } = this.#shape
    let index = 0
    let next = 0
    for (let word = 0; word < slots >>> 5; word++)
      for (let homes = this.words[word]!; homes !== 0; homes &= homes - 1) {
        const home = word * 32 + lowestBit(homes)
        let slot = Math.max(next, home)
        do sorted[index++] = home * divisor + this.#remainder(slot++)
        while (this.#bit(this.#continuation, slot))
        next = slot
      }
  }

  /** Forget everything and take on another shape, with the numbers of `sorted` in it: ascending, distinct, less than that `fits`. */
  rebuild(shape: PageShape, sorted: Float64Array): void {
    this.words.fill(0)
    this.#shape = shape
    this.#size = sorted.length
    this.#layOut()
    let next = 0
    let last = -1
    for (let index = 0; index < sorted.length; index++) {
      const home = Math.floor(sorted[index]! / shape.divisor)
      const slot = Math.max(next, home)
      this.#setRemainder(slot, sorted[index]! - home * shape.divisor)
      this.#setBit(this.#used, slot)
      if (home === last) this.#setBit(this.#continuation, slot)
      else this.#setBit(0, home)
      last = home
      next = slot + 1
    }
  }

  #layOut(): void {
    const mapWords = this.#shape.slots / 32
    this.#used = mapWords
    this.#continuation = 2 * mapWords
    this.#remainders = METADATA_BITS * mapWords
  }

  #bit(map: number, slot: number): boolean {
    return ((this.words[map + (slot >>> 5)]! >>> (slot & 31)) & 1) === 1
  }

  #setBit(map: number, slot: number): void {
    this.words[map + (slot >>> 5)]! |= 1 << (slot & 31)
  }

  #remainder(slot: number): number {
    const { remainderBits } = this.#shape
    const at = slot * remainderBits
    const word = this.#remainders + (at >>> 5)
    const offset = at & 31
    let value = this.words[word]! >>> offset
    if (offset + remainderBits > 32) value |= this.words[word + 1]! << (32 - offset)
    return value & (-1 >>> (32 - remainderBits))
  }

  #setRemainder(slot: number, value: number): void {
    const { words } = this
    const { remainderBits } = this.#shape
    const at = slot * remainderBits
    const word = this.#remainders + (at >>> 5)
    const offset = at & 31
    const mask = -1 >>> (32 - remainderBits)
    words[word] = (words[word]! & ~(mask << offset)) | (value << offset)
    const beyond = offset + remainderBits - 32
    if (beyond > 0) words[word + 1] = (words[word + 1]! & (-1 << beyond)) | (value >>> (remainderBits - beyond))
  }

  /** The first of the slots in use, without a gap, up to `slot`. */
  #startOfStretch(slot: number): number {
    let word = slot >>> 5
    let empty = ~this.words[this.#used + word]! & (-1 >>> (31 - (slot & 31)))
    while (empty === 0) {
      if (word === 0) return 0
      empty = ~this.words[this.#used + --word]!
    }
    return word * 32 + 32 - Math.clz32(empty)
  }

  /** The first empty slot from `slot` on; the last of the page is always empty. */
  #emptySlot(slot: number): number {
    let word = slot >>> 5
    let empty = ~this.words[this.#used + word]! & (-1 << (slot & 31))
    while (empty === 0) empty = ~this.words[this.#used + ++word]!
    return word * 32 + lowestBit(empty)
  }

  /** Occupied homes from `start` on and before `end`. */
  #occupiedBetween(start: number, end: number): number {
    const last = end >>> 5
    let count = 0
    let mask = -1 << (start & 31)
    for (let word = start >>> 5; word < last; word++) {
      count += bitsIn(this.words[word]! & mask)
      mask = -1
    }
    return count + bitsIn(this.words[last]! & mask & ~(-1 << (end & 31)))
  }

  /** The `count`th slot from `start` on without a continuation bit: the first of a run, or empty. */
  #startOfRun(start: number, count: number): number {
    let word = start >>> 5
    let starts = ~this.words[this.#continuation + word]! & (-1 << (start & 31))
    let left = count
    for (let here = bitsIn(starts); left > here; here = bitsIn(starts)) {
      left -= here
      starts = ~this.words[this.#continuation + ++word]!
    }
    while (--left > 0) starts &= starts - 1
    return word * 32 + lowestBit(starts)
  }
}

/** Whether a page of this shape has room for these numbers, ascending and distinct. Keyed fingerprints that half fill it always do. */
export function fits(shape: PageShape, sorted: Float64Array): boolean {
  let next = 0
  for (let index = 0; index < sorted.length; index++)
    next = Math.max(next, Math.floor(sorted[index]! / shape.divisor)) + 1
  return next < shape.slots && sorted.length <= shape.limit
}

/** Move `length` bits from bit `from` on by `by` places up, 31 at most. What was there is overwritten, the bits below remain. */
function moveUp(words: Uint32Array, from: number, length: number, by: number): void {
  if (length === 0) return
  const low = from + by
  const high = low + length - 1
  const first = low >>> 5
  const last = high >>> 5
  let mask = -1 >>> (31 - (high & 31))
  for (let word = last; word >= first; word--) {
    if (word === first) mask &= -1 << (low & 31)
    const moved = (words[word]! << by) | (words[word - 1]! >>> (32 - by))
    words[word] = (words[word]! & ~mask) | (moved & mask)
    mask = -1
  }
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word)
}

function bitsIn(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555)
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
}
