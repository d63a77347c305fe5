import 'fake-indexeddb/auto'
import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { MixError } from '@mixwright/runtime'
import { deleteDB, openDB } from 'idb'
import { indexedDbStore } from '../src/store/indexed-db-store.js'
import { isStoreError, storeCompliance } from './store-compliance.js'

const isLocked = (error: unknown) => error instanceof MixError && error.code === 'MIX_STORE_LOCKED'
const change = (key: string, value: Uint8Array) => ({ table: 'outbox', key, value }) as const

let places = 0
const newName = () => `store ${places++}`

/** What tabs of one origin share: Web Locks, as far as the store uses them. */
class Locks {
  readonly held = new Set<string>()

  async request(
    name: string,
    _options: { ifAvailable: true },
    body: (lock: { name: string } | null) => Promise<void>,
  ): Promise<void> {
    if (this.held.has(name)) return body(null)
    this.held.add(name)
    try {
      await body({ name })
    } finally {
      this.held.delete(name)
    }
  }
}

function giveNavigator(value: unknown): void {
  Object.defineProperty(globalThis, 'navigator', { value, configurable: true, writable: true })
}

describe('the store in IndexedDB', () => {
  const original = Object.getOwnPropertyDescriptor(globalThis, 'navigator')
  let locks: Locks
  beforeEach(() => {
    locks = new Locks()
    giveNavigator({ locks })
  })
  afterEach(() => {
    if (original === undefined) Reflect.deleteProperty(globalThis, 'navigator')
    else Object.defineProperty(globalThis, 'navigator', original)
  })

  storeCompliance(() => {
    const name = newName()
    return { open: () => indexedDbStore(name), remove: () => deleteDB(`mixwright:${name}`) }
  })

  it('keeps a second tab out until the first has closed, and other names are free', async () => {
    const name = newName()
    const store = await indexedDbStore(name)
    await assert.rejects(indexedDbStore(name), (error: MixError) => {
      assert.equal(error.code, 'MIX_STORE_LOCKED')
      assert.equal(error.kind, 'usage')
      assert.ok(error.message.includes(name))
      return true
    })
    await (await indexedDbStore(newName())).close()
    await assert.rejects(indexedDbStore(name), isLocked)
    await store.close()
    await (await indexedDbStore(name)).close()
    assert.equal(locks.held.size, 0)
  })

  it('gives the lock away only when what it was told is written', async () => {
    const name = newName()
    const store = await indexedDbStore(name)
    const settled: string[] = []
    const write = store.write([change('a', new Uint8Array(100_000))]).then(() => settled.push('written'))
    await store.close()
    settled.push('closed')
    await write
    assert.deepEqual(settled, ['written', 'closed'])
  })

  it('works without Web Locks and without a navigator, where nobody checks', async () => {
    for (const navigator of [{}, undefined]) {
      giveNavigator(navigator)
      const name = newName()
      const [one, two] = [await indexedDbStore(name), await indexedDbStore(name)]
      await one.write([change('a', Uint8Array.of(1))])
      assert.equal((await two.load('outbox')).size, 1)
      await one.close()
      await two.close()
    }
  })

  it('says so when locks are forbidden to the page', async () => {
    giveNavigator({ locks: { request: async () => Promise.reject(new DOMException('no', 'SecurityError')) } })
    await assert.rejects(indexedDbStore(newName()), isStoreError)
  })

  it('refuses a database of a newer release, and lets the lock go', async () => {
    const name = newName()
    const newer = await openDB(`mixwright:${name}`, 99)
    newer.close()
    await assert.rejects(indexedDbStore(name), isStoreError)
    assert.equal(locks.held.size, 0)
  })

  it('fails with a reason where there is no IndexedDB', async (t) => {
    const { indexedDB } = globalThis
    t.after(() => Object.assign(globalThis, { indexedDB }))
    Object.assign(globalThis, { indexedDB: undefined })
    await assert.rejects(indexedDbStore(newName()), isStoreError)
    assert.equal(locks.held.size, 0)
  })

  it('refuses after closing', async () => {
    const store = await indexedDbStore(newName())
    await store.close()
    await assert.rejects(store.load('outbox'), isStoreError)
    await assert.rejects(store.write([change('a', Uint8Array.of(1))]), isStoreError)
  })

  it('takes nothing of a call whose transaction the browser aborts', async (t) => {
    const store = await indexedDbStore(newName())
    await store.write([change('a', Uint8Array.of(1))])
    const original = IDBObjectStore.prototype.put
    t.after(() => {
      IDBObjectStore.prototype.put = original
    })
    IDBObjectStore.prototype.put = function (this: IDBObjectStore, value: unknown, key?: IDBValidKey) {
      const request = original.call(this, value, key)
      // As when there is no space left.
      if (key === 'full') this.transaction.abort()
      return request
    }
    const failing = store.write([change('a', Uint8Array.of(2)), change('full', Uint8Array.of(3))])
    const after = store.write([change('b', Uint8Array.of(4))])
    await assert.rejects(failing, isStoreError)
    await after
    const expected = [
      ['a', Uint8Array.of(1)],
      ['b', Uint8Array.of(4)],
    ]
    assert.deepEqual([...(await store.load('outbox'))], expected)
    await store.close()
  })
})
