/** A queue: what came first goes first, in constant time on average, which `Array.shift` does not promise. */

/** Places in front that may be empty before the rest moves down. */
const MOST_EMPTY = 32

export class Fifo<T> implements Iterable<T> {
  #items: (T | undefined)[] = []
  /** How many places in front are empty. */
  #empty = 0

  get size(): number {
    return this.#items.length - this.#empty
  }

  /** The oldest; undefined when there is none. */
  get first(): T | undefined {
    return this.#items[this.#empty]
  }

  push(item: T): void {
    this.#items.push(item)
  }

  /** Remove and return the oldest; undefined when there is none. */
  shift(): T | undefined {
    if (this.size === 0) return undefined
    const item = this.first
    this.#items[this.#empty++] = undefined
    if (this.#empty > MOST_EMPTY && 2 * this.#empty > this.#items.length) {
      this.#items = this.#items.slice(this.#empty)
      this.#empty = 0
    }
    return item
  }

  /** Remove all that `keep` refuses. */
  retain(keep: (item: T) => boolean): void {
    this.#items = [...this].filter(keep)
    this.#empty = 0
  }

  /** Remove and return all, oldest first. */
  drain(): T[] {
    const items = [...this]
    this.#items = []
    this.#empty = 0
    return items
  }

  /** Oldest first; nothing may be removed meanwhile. */
  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (let at = this.#empty; at < this.#items.length; at++) yield this.#items[at] as T
  }
}
