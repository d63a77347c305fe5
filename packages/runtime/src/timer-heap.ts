/**
 * The timers of a `VirtualClock`, earliest first: a binary heap in which each timer knows its place, so that one can be
 * taken out of the middle. Adding, removing and taking cost O(log n); a cancelled timer leaves nothing behind.
 */

export interface HeapTimer {
  /** Elapsed milliseconds at which it falls due. */
  readonly due: number
  /** Order of creation; decides between timers of the same due time. */
  readonly sequence: number
  readonly action: () => void
  /** Its place in the heap; -1 when it is in none. Kept by the heap. */
  place: number
}

export class TimerHeap {
  /** The timer at `i` is no later than those at `2i + 1` and `2i + 2`. */
  readonly #timers: HeapTimer[] = []

  get size(): number {
    return this.#timers.length
  }

  /** The earliest; undefined when there is none. */
  get first(): HeapTimer | undefined {
    return this.#timers[0]
  }

  add(timer: HeapTimer): void {
    this.#timers.push(timer)
    this.#rise(timer, this.#timers.length - 1)
  }

  /** Take a timer out, wherever it is; nothing happens when it is in no place. */
  remove(timer: HeapTimer): void {
    const { place } = timer
    if (place < 0) return
    timer.place = -1
    const last = this.#timers.pop()!
    if (last === timer) return
    // The last one fills the gap; it may belong above it as well as below.
    this.#rise(last, place)
    if (last.place === place) this.#sink(last, place)
  }

  #rise(timer: HeapTimer, from: number): void {
    let place = from
    while (place > 0) {
      const parent = this.#timers[(place - 1) >> 1]!
      if (isEarlier(parent, timer)) break
      this.#put(parent, place)
      place = (place - 1) >> 1
    }
    this.#put(timer, place)
  }

  #sink(timer: HeapTimer, from: number): void {
    const timers = this.#timers
    let place = from
    for (;;) {
      let child = 2 * place + 1
      if (child >= timers.length) break
      if (child + 1 < timers.length && isEarlier(timers[child + 1]!, timers[child]!)) child++
      if (isEarlier(timer, timers[child]!)) break
      this.#put(timers[child]!, place)
      place = child
    }
    this.#put(timer, place)
  }

  #put(timer: HeapTimer, place: number): void {
    this.#timers[place] = timer
    timer.place = place
  }
}

function isEarlier(a: HeapTimer, b: HeapTimer): boolean {
  return a.due < b.due || (a.due === b.due && a.sequence < b.sequence)
}
