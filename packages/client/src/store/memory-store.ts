/**
 * A store that lasts as long as the object. `connect` takes one when it is given none: a new address each time. Tests say
 * `persistent` and hand the same object to a second client, which is then the first one restarted.
 */
import { type ClientStore, STORE_TABLES, type StoreChange, type StoreTable } from './client-store.js'

/** Entries are copied on their way in and out. Outlives `close()`. @default not persistent */
export function memoryStore(options: { readonly persistent?: boolean } = {}): ClientStore {
  return new MemoryStore(options.persistent ?? false)
}

class MemoryStore implements ClientStore {
  readonly persistent: boolean
  readonly #tables = new Map(STORE_TABLES.map((table) => [table, new Map<string, Uint8Array>()]))

  constructor(persistent: boolean) {
    this.persistent = persistent
  }

  async load(table: StoreTable): Promise<Map<string, Uint8Array>> {
    // Keys differ: that an order of equals is missing does no harm.
    const entries = [...this.#tables.get(table)!].sort(([a], [b]) => (a < b ? -1 : 1))
    return new Map(entries.map(([key, value]) => [key, new Uint8Array(value)]))
  }

  async write(changes: readonly StoreChange[]): Promise<void> {
    // All copies before the first change: what cannot be copied takes all with it. Not by `slice`, which is a view of a Buffer.
    const copies = changes.map(({ table, key, value }) => ({ table, key, value: value && new Uint8Array(value) }))
    for (const { table, key, value } of copies) {
      if (value === undefined) this.#tables.get(table)!.delete(key)
      else this.#tables.get(table)!.set(key, value)
    }
  }

  async close(): Promise<void> {}
}
