/** The whole of an IndexedDB as data, and back: fake-indexeddb lives in memory, a client must outlive its process. */
import type { StoredDatabases } from './official-client-protocol.js'

export async function dumpDatabases(): Promise<StoredDatabases> {
  const databases = await indexedDB.databases()
  return Promise.all(
    databases.map(async ({ name, version }) => {
      const database = await settled(indexedDB.open(name!))
      const stores = await Promise.all(
        [...database.objectStoreNames].map(async (store) => {
          const objects = database.transaction(store).objectStore(store)
          const [keys, values] = await Promise.all([settled(objects.getAllKeys()), settled(objects.getAll())])
          const entries = keys.map((key, i) => ({ key, value: values[i] as unknown }))
          return { name: store, keyPath: objects.keyPath, autoIncrement: objects.autoIncrement, entries }
        }),
      )
      database.close()
      return { name: name!, version: version!, stores }
    }),
  )
}

export async function restoreDatabases(databases: StoredDatabases): Promise<void> {
  for (const { name, version, stores } of databases) {
    const opening = indexedDB.open(name, version)
    opening.onupgradeneeded = () => {
      for (const { name: store, keyPath, autoIncrement, entries } of stores) {
        const objects = opening.result.createObjectStore(store, { keyPath, autoIncrement })
        for (const { key, value } of entries) objects.put(value, keyPath === null ? key : undefined)
      }
    }
    ;(await settled(opening)).close()
  }
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}
