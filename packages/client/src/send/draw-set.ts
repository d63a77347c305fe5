/** A set out of which an item can be drawn, each with the same probability, in constant time. */
import { type Random, uniform } from '@mixwright/runtime'

export class DrawSet<T> {
  readonly #items: T[] = []
  readonly #places = new Map<T, number>()

  get size(): number {
    return this.#items.length
  }

  add(item: T): void {
    if (this.#places.has(item)) return
    this.#places.set(item, this.#items.length)
    this.#items.push(item)
  }

  delete(item: T): void {
    const place = this.#places.get(item)
    if (place === undefined) return
    this.#places.delete(item)
    const last = this.#items.pop()!
    if (last === item) return
    this.#items[place] = last
    this.#places.set(last, place)
  }

  /** One of them, which stays; undefined when there is none. */
  draw(random: Random): T | undefined {
    return this.#items.length < 2 ? this.#items[0] : this.#items[Math.floor(uniform(random) * this.#items.length)]
  }
}
