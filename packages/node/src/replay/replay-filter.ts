/**
 * The replay tags of one Sphinx key (05-mixnode §9; docs/decisions/0010): a set that never forgets one and takes
 * a fresh tag for a known one with probability n / M at most, n the tags in it, M the number of fingerprints.
 *
 * A keyed hash, which senders cannot foresee, makes of a tag a fingerprint, uniform below M. Pages share them out: it begins
 * with one, and a page that is full is split in the middle of its range, exactly, since pages keep whole fingerprints.
 * So memory follows the number of tags, and no call takes longer than a split, about a millisecond. What is on the disk is
 * the business of the journal.
 */
import type { CryptoProvider } from '@mixwright/sphinx'
import { FULL_PAGE_RANGE, fits, PAGE_BYTES, type PageShape, pageShape, QuotientPage } from './quotient-page.js'

/** Bytes of the secret that keys the fingerprints. */
export const SECRET_BYTES = 64
/** Tags in a page when the filter holds its capacity: homes are then 95.4 % full, and six standard deviations are left to the limit. */
const TAGS_PER_PAGE = 43_946
/** Fingerprints must fit into the 6 bytes of a journal entry. */
export const DEEPEST_CAPACITY = 15
/** A filter begins with pages of this many halvings fewer than at its capacity: remainders then have 30 bits. */
const HALVINGS_TO_CAPACITY = 12
/** Past its capacity a filter grows to 16 times of it, by splitting so many times more. Then full pages take nothing new. */
const HALVINGS_BEYOND = 4

/** The page with `index` among the 2^depth that would divide all fingerprints evenly. */
export interface PlacedPage {
  readonly depth: number
  readonly index: number
  readonly page: QuotientPage
}

/** The halvings of all fingerprints at which full pages hold `capacity` tags: it is rounded up to 43 946 · 2^n, 1.44 · 10^9 at most. */
export function capacityDepth(capacity: number): number {
  return Math.min(DEEPEST_CAPACITY, Math.max(0, Math.ceil(Math.log2(capacity / TAGS_PER_PAGE))))
}

export class ReplayFilter {
  readonly #crypto: CryptoProvider
  readonly #digest = new Uint8Array(32)
  readonly #shapes: PageShape[] = []
  /** Pages that cannot be split, whatever is added: tried once. */
  readonly #stuck = new WeakSet<PlacedPage>()
  /** 2^depth places; a page that was split less often stands in several. */
  #places: PlacedPage[] = []
  #depth = 0
  #pages = 0
  #size = 0
  readonly secret: Uint8Array
  readonly capacityDepth: number
  /** How many fingerprints there are: M. */
  readonly range: number

  /** An empty filter. `secret`: 64 random bytes; `capacityDepth`: see the function of this name. */
  constructor(crypto: CryptoProvider, secret: Uint8Array, capacityDepth: number) {
    this.#crypto = crypto
    this.secret = secret
    this.capacityDepth = capacityDepth
    this.range = FULL_PAGE_RANGE * 2 ** capacityDepth
    this.restore([])
  }

  /** Take on the pages of an earlier filter with the same secret and capacity. Where one is missing, an empty one is made. */
  restore(pages: readonly PlacedPage[]): void {
    const shallowest = Math.max(this.capacityDepth - HALVINGS_TO_CAPACITY, 0)
    this.#depth = pages.reduce((deepest, { depth }) => Math.max(deepest, depth), shallowest)
    const places = new Array<PlacedPage | undefined>(2 ** this.#depth)
    for (const placed of pages) {
      const width = 2 ** (this.#depth - placed.depth)
      places.fill(placed, placed.index * width, (placed.index + 1) * width)
    }
    this.#places = Array.from(places, (placed, index) => placed ?? this.#emptyPage(this.#depth, index))
    const distinct = new Set(this.#places)
    this.#pages = distinct.size
    this.#size = 0
    for (const { page } of distinct) this.#size += page.size
  }

  /** Tags in the filter. */
  get size(): number {
    return this.#size
  }

  /** Memory of the pages. */
  get bytes(): number {
    return this.#pages * PAGE_BYTES
  }

  /** The probability with which a fresh tag is taken for a known one. */
  get falsePositiveRate(): number {
    return this.#size / this.range
  }

  /** How pages are laid out after so many halvings; undefined for depths that no page has. */
  shape(depth: number): PageShape | undefined {
    const { capacityDepth } = this
    if (depth < capacityDepth - HALVINGS_TO_CAPACITY || depth > capacityDepth + HALVINGS_BEYOND) return undefined
    this.#shapes[depth] ??= pageShape(this.range / 2 ** depth)
    return this.#shapes[depth]
  }

  /** The fingerprint of a tag of 32 bytes: an integer below `range`. */
  fingerprint(tag: Uint8Array): number {
    const digest = this.#digest
    this.#crypto.blake2bKeyed(this.secret, tag, digest)
    const high = digest[0]! * 2 ** 24 + ((digest[1]! << 16) | (digest[2]! << 8) | digest[3]!)
    const low = (digest[4]! << 12) | (digest[5]! << 4) | (digest[6]! >>> 4)
    // 52 bits: with one more, the product could be rounded up to the range itself.
    return Math.floor((high * 2 ** 20 + low) * (this.range / 2 ** 52))
  }

  /** Add a fingerprint. `full`: it was not there and cannot be added, since the filter is at 16 times its capacity. */
  insert(fingerprint: number): 'fresh' | 'known' | 'full' {
    for (;;) {
      const placed = this.pageOf(fingerprint)
      const { range } = placed.page.shape
      const outcome = placed.page.insert(fingerprint - placed.index * range)
      if (outcome === 'fresh') this.#size++
      if (outcome !== 'full' || !this.#split(placed)) return outcome
    }
  }

  /** The page that a fingerprint belongs to. */
  pageOf(fingerprint: number): PlacedPage {
    return this.#places[Math.floor((fingerprint / this.range) * this.#places.length)]!
  }

  /** Replace a page by two; the first keeps its memory. False when that is not possible. */
  #split(placed: PlacedPage): boolean {
    const { depth, index, page } = placed
    const shape = this.shape(depth + 1)
    if (shape === undefined || this.#stuck.has(placed)) return false
    const sorted = numbers.subarray(0, page.size)
    page.read(sorted)
    const middle = firstFrom(sorted, shape.range)
    const lower = sorted.subarray(0, middle)
    const upper = sorted.subarray(middle)
    for (let at = 0; at < upper.length; at++) upper[at]! -= shape.range
    // Chance never heaps fingerprints up like this; a damaged journal may.
    if (!fits(shape, lower) || !fits(shape, upper)) {
      this.#stuck.add(placed)
      return false
    }

    if (depth === this.#depth) {
      this.#places = this.#places.flatMap((placed) => [placed, placed])
      this.#depth++
    }
    const second = this.#emptyPage(depth + 1, 2 * index + 1)
    second.page.rebuild(shape, upper)
    page.rebuild(shape, lower)
    const width = 2 ** (this.#depth - depth - 1)
    this.#places.fill({ depth: depth + 1, index: 2 * index, page }, 2 * index * width, (2 * index + 1) * width)
    this.#places.fill(second, second.index * width, (second.index + 1) * width)
    this.#pages++
    return true
  }

  #emptyPage(depth: number, index: number): PlacedPage {
    return { depth, index, page: new QuotientPage(this.shape(depth)!) }
  }
}

/** Where the numbers of a page are while it is split: as many as a page of few remainder bits takes. One for all, since a split is one step. */
const numbers = new Float64Array(2 ** 16)

/** Index of the first number that is at least `bound`. */
function firstFrom(sorted: Float64Array, bound: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! < bound) low = middle + 1
    else high = middle
  }
  return low
}
