/**
 * The store of a client in a browser: one IndexedDB database, an object store for each table. One tab at a time, held by a
 * Web Lock, which the browser frees when the tab goes.
 */
import { type IDBPDatabase, openDB } from 'idb'
import { type ClientStore, STORE_TABLES, type StoreChange, type StoreTable } from './client-store.js'
import { storeError, storeLocked } from './store-error.js'

/** Raised with every change of `STORE_TABLES`; IndexedDB refuses a database of a newer version by itself. */
const VERSION = 1

/**
 * Open the database of the client called `name`, or create it; it belongs to the page's origin. A browser short of space may
 * throw it away unless the page asked for `navigator.storage.persist()`.
 * Errors: `MIX_STORE_LOCKED` when another tab has it open (where the browser has no Web Locks, nobody checks); `MIX_STORE`
 * when the browser has no IndexedDB or forbids it, when there is no space, or when a newer release wrote it.
 */
export async function indexedDbStore(name: string): Promise<ClientStore> {
  const unlock = await lock(name)
  try {
    return new IndexedDbStore(
      name,
      await openDB(fullName(name), VERSION, {
        upgrade(db) {
          for (const table of STORE_TABLES) if (!db.objectStoreNames.contains(table)) db.createObjectStore(table)
        },
      }),
      unlock,
    )
  } catch (cause) {
    unlock()
    throw storeError(name, cause)
  }
}

class IndexedDbStore implements ClientStore {
  readonly persistent = true
  readonly #name: string
  readonly #database: IDBPDatabase
  readonly #unlock: () => void
  #closing: Promise<void> | undefined

  constructor(name: string, database: IDBPDatabase, unlock: () => void) {
    this.#name = name
    this.#database = database
    this.#unlock = unlock
  }

  async load(table: StoreTable): Promise<Map<string, Uint8Array>> {
    try {
      const entries = this.#database.transaction(table).store
      const [keys, values] = await Promise.all([entries.getAllKeys(), entries.getAll()])
      return new Map(keys.map((key, at) => [key as string, values[at] as Uint8Array]))
    } catch (cause) {
      throw storeError(this.#name, cause)
    }
  }

  async write(changes: readonly StoreChange[]): Promise<void> {
    try {
      // Copied, because a view would take the whole buffer behind it along; not by `slice`, which is a view of a Buffer.
      const copies = changes.map(({ table, key, value }) => ({ table, key, value: value && new Uint8Array(value) }))
      // Over all tables, so that each transaction waits for the one before.
      const transaction = this.#database.transaction([...STORE_TABLES], 'readwrite', { durability: 'strict' })
      const requests = copies.map(({ table, key, value }) => {
        const entries = transaction.objectStore(table)
        return value === undefined ? entries.delete(key) : entries.put(value, key)
      })
      await Promise.all([...requests, transaction.done])
    } catch (cause) {
      throw storeError(this.#name, cause)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#release()
    return this.#closing
  }

  async #release(): Promise<void> {
    // An empty transaction ends after all that were begun. If it fails, they have failed too, and said so.
    const last = this.write([]).catch(() => {})
    this.#database.close()
    await last
    this.#unlock()
  }
}

/** Of the database and of the lock, among what else the page's origin has. */
const fullName = (name: string) => `mixwright:${name}`

/** Take the Web Lock of a store or fail at once; gives the function that frees it. */
function lock(name: string): Promise<() => void> {
  const locks = globalThis.navigator?.locks as LockManager | undefined
  if (locks === undefined) return Promise.resolve(() => {})
  return new Promise((resolve, reject) => {
    locks
      .request(fullName(name), { ifAvailable: true }, (granted) => {
        if (granted === null) return reject(storeLocked(name, 'another tab'))
        return new Promise<void>((unlock) => resolve(unlock))
      })
      .catch((cause) => reject(storeError(name, cause)))
  })
}
