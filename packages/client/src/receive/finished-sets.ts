/**
 * The sets whose messages were whole, in the store: a packet whose ack was lost comes again, perhaps to the next process,
 * which would take a message in one packet for a new one. In memory `reassembly.ts` remembers more of them.
 */
import { Fifo } from '../fifo.js'
import type { ClientStore } from '../store/client-store.js'
import type { Journal } from '../store/journal.js'

/** Beyond: the oldest are forgotten. */
const MOST_SETS = 10_000

export class FinishedSets {
  readonly #journal: Journal
  /** Keys of the entries, oldest first. */
  readonly #keys = new Fifo<string>()
  #nextKey = 0

  constructor(journal: Journal) {
    this.#journal = journal
  }

  /** Ids of an earlier process, oldest first. */
  async restore(store: ClientStore): Promise<number[]> {
    const setIds: number[] = []
    for (const [key, value] of await store.load('finished-sets')) {
      this.#nextKey = Math.max(this.#nextKey, (Number.parseInt(key, 36) || 0) + 1)
      this.#keys.push(key)
      if (value.length === 4) setIds.push(new DataView(value.buffer, value.byteOffset).getUint32(0))
    }
    return setIds
  }

  add(setId: number): void {
    const key = (this.#nextKey++).toString(36).padStart(10, '0')
    const value = new Uint8Array(4)
    new DataView(value.buffer).setUint32(0, setId)
    this.#journal.put('finished-sets', key, value)
    this.#keys.push(key)
    if (this.#keys.size > MOST_SETS) this.#journal.delete('finished-sets', this.#keys.shift()!)
  }
}
