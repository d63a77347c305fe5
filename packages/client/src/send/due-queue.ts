/** Things with a time at which they fall due, earliest first: a binary heap. What was cancelled is skipped by its owner. */

export class DueQueue<T> {
  readonly #heap: { readonly dueMs: number; readonly item: T }[] = []

  get size(): number {
    return this.#heap.length
  }

  /** When the earliest falls due; undefined when there is none. */
  get nextDueMs(): number | undefined {
    return this.#heap[0]?.dueMs
  }

  add(dueMs: number, item: T): void {
    const heap = this.#heap
    const entry = { dueMs, item }
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent]!.dueMs <= dueMs) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  /** Remove and return the earliest if it is due at `nowMs`. */
  takeDue(nowMs: number): T | undefined {
    const heap = this.#heap
    if (heap.length === 0 || heap[0]!.dueMs > nowMs) return undefined
    const { item } = heap[0]!
    const last = heap.pop()!
    if (heap.length > 0) {
      let at = 0
      for (;;) {
        let child = 2 * at + 1
        if (child >= heap.length) break
        if (child + 1 < heap.length && heap[child + 1]!.dueMs < heap[child]!.dueMs) child++
        if (heap[child]!.dueMs >= last.dueMs) break
        heap[at] = heap[child]!
        at = child
      }
      heap[at] = last
    }
    return item
  }
}
