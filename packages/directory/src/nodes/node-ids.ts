/**
 * Numbers of nodes (03-directory §4, §18): one for each identity, the same as long as the directory lives, never given to
 * another. The table only grows up to its bound; then the numbers of those longest unknown are forgotten, and whoever of them
 * returns gets a new one.
 */

/** Gateways call themselves by this number (03-directory §4). */
const RESERVED_ID = 1_234_567_890
/** Identities that are remembered. */
export const MOST_IDENTITIES = 100_000

export class NodeIds {
  /** By identity, the one longest unasked for first. */
  readonly #ids: Map<string, number>
  readonly #taken: Set<number>
  #next: number

  constructor(next = 1, known: Iterable<readonly [identity: string, id: number]> = []) {
    this.#ids = new Map(known)
    this.#taken = new Set(this.#ids.values())
    this.#next = next
  }

  /** The number of an identity; given now when it has none, `wished` if that is free. */
  of(identity: string, wished?: number): number {
    const known = this.#ids.get(identity)
    this.#ids.delete(identity)
    const id =
      known ?? (wished !== undefined && wished !== RESERVED_ID && !this.#taken.has(wished) ? wished : this.#free())
    this.#ids.set(identity, id)
    this.#taken.add(id)
    this.#next = Math.max(this.#next, id < RESERVED_ID ? id + 1 : 0)
    if (this.#ids.size > MOST_IDENTITIES) this.#forgetOldest()
    return id
  }

  /** The next number that nobody has had. */
  get next(): number {
    return this.#next
  }

  entries(): [identity: string, id: number][] {
    return [...this.#ids]
  }

  #free(): number {
    while (this.#taken.has(this.#next) || this.#next === RESERVED_ID) this.#next++
    return this.#next
  }

  #forgetOldest(): void {
    const [identity, id] = this.#ids.entries().next().value!
    this.#ids.delete(identity)
    this.#taken.delete(id)
  }
}
