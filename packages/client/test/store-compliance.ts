/** What every store must do, run against each of them by its own test file. */
import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { MixError } from '@mixwright/runtime'
import fc from 'fast-check'
import { type ClientStore, STORE_TABLES, type StoreChange } from '../src/store/client-store.js'

/** Where a store is kept: opened again after a `close()`, it holds what was written. */
export interface StorePlace {
  open(): Promise<ClientStore>
  remove(): void | Promise<void>
}

export const isStoreError = (error: unknown) => error instanceof MixError && error.code === 'MIX_STORE'

const put = (key: string, ...bytes: number[]): StoreChange => ({
  table: 'outbox',
  key,
  value: Uint8Array.from(bytes),
})
const remove = (key: string): StoreChange => ({ table: 'outbox', key, value: undefined })

/** Keys that an encoding could confuse, put out of order, lose or cut. */
const AWKWARD_KEYS = [
  ...['', 'a', 'A', 'aa', 'a/b', 'a\0b', 'a\0', '\0', "'; --", 'é', 'e\u0301', '\ud83d\ude00', '\uffff', '\ufeffbom'],
  ...['\ud800', '\udc00x', '__proto__', 'constructor', '10', '9', 'x'.repeat(2_000)],
  String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i)),
]

export function storeCompliance(newPlace: () => StorePlace): void {
  describe('as every store', () => {
    let place: StorePlace
    let store: ClientStore
    const reopen = async () => {
      await store.close()
      store = await place.open()
    }

    beforeEach(async () => {
      place = newPlace()
      store = await place.open()
    })
    afterEach(async () => {
      await store.close()
      await place.remove()
    })

    it('is empty at first', async () => {
      for (const table of STORE_TABLES) assert.deepEqual(await store.load(table), new Map())
    })

    it('keeps tables apart, and places', async () => {
      await store.write(STORE_TABLES.map((table, i) => ({ table, key: 'same', value: Uint8Array.of(i) })))
      await store.write([{ table: 'outbox', key: 'same', value: undefined }])
      await reopen()
      for (const [i, table] of STORE_TABLES.entries()) {
        const expected = table === 'outbox' ? [] : [['same', Uint8Array.of(i)]]
        assert.deepEqual([...(await store.load(table))], expected)
      }
      const elsewhere = newPlace()
      const other = await elsewhere.open()
      assert.deepEqual(await other.load('identity'), new Map())
      await other.close()
      await elsewhere.remove()
    })

    it('gives any key back as it was, in order of UTF-16 code units', async () => {
      await store.write(AWKWARD_KEYS.map((key, i) => put(key, i)))
      await reopen()
      const loaded = await store.load('outbox')
      assert.deepEqual([...loaded.keys()], [...AWKWARD_KEYS].sort())
      for (const [i, key] of AWKWARD_KEYS.entries()) assert.deepEqual(loaded.get(key), Uint8Array.of(i))
      await store.write(AWKWARD_KEYS.slice(1).map(remove))
      assert.deepEqual([...(await store.load('outbox')).keys()], [AWKWARD_KEYS[0]])
    })

    it('gives values back as plain Uint8Arrays with nothing behind them: none, all bytes, views, Buffers, 10 MB', async () => {
      const all = Uint8Array.from({ length: 256 }, (_, i) => i)
      const large = Uint8Array.from({ length: 10_000_000 }, (_, i) => i * 7)
      const values = { none: new Uint8Array(0), all, view: all.subarray(3, 9), buffer: Buffer.from('abc'), large }
      await store.write(Object.entries(values).map(([key, value]) => ({ table: 'inbox', key, value })))
      await reopen()
      const loaded = await store.load('inbox')
      assert.equal(loaded.size, 5)
      for (const [key, value] of Object.entries(values)) {
        const found = loaded.get(key)!
        assert.equal(Object.getPrototypeOf(found), Uint8Array.prototype)
        assert.equal(found.buffer.byteLength, value.length, key)
        assert.ok(Buffer.from(value).equals(found), key)
      }
    })

    it('holds copies: later changes of what was written or read do not reach it', async () => {
      const mine = Uint8Array.of(1, 2, 3)
      await store.write([{ table: 'identity', key: 'a', value: mine }])
      mine.fill(9)
      const read = await store.load('identity')
      read.get('a')!.fill(8)
      read.clear()
      assert.deepEqual(await store.load('identity'), new Map([['a', Uint8Array.of(1, 2, 3)]]))
    })

    it('applies the changes of a call in order, and takes empty calls and deletions of nothing', async () => {
      await store.write([])
      await store.write([remove('never')])
      await store.write([put('a', 1), put('b', 1), remove('a'), put('b', 2), remove('c'), put('c', 3), put('d', 4)])
      await store.write([remove('d'), put('d', 5), put('c', 6), remove('c')])
      const expected = new Map([
        ['b', Uint8Array.of(2)],
        ['d', Uint8Array.of(5)],
      ])
      assert.deepEqual(await store.load('outbox'), expected)
    })

    it('applies overlapping calls in the order in which they were made, and reads what was written before', async () => {
      const order: number[] = []
      const writes = Array.from({ length: 300 }, (_, i) => {
        // Of different tables too: one may not overtake the other.
        const table = i % 2 === 0 ? 'outbox' : 'inbox'
        const changes: StoreChange[] = [put('last', i % 256, i >> 8), { table, key: `${i}`, value: Uint8Array.of(1) }]
        if (i > 0) changes.push({ table: i % 2 === 0 ? 'inbox' : 'outbox', key: `${i - 1}`, value: undefined })
        return store.write(changes).then(() => order.push(i))
      })
      const loaded = await store.load('outbox')
      assert.deepEqual(loaded, new Map([['last', Uint8Array.of(299 % 256, 1)]]))
      await Promise.all(writes)
      assert.deepEqual(
        order,
        Array.from({ length: 300 }, (_, i) => i),
      )
      assert.deepEqual([...(await store.load('inbox')).keys()], ['299'])
    })

    it('applies all changes of a call or none', async () => {
      await store.write([put('a', 1)])
      const impossible = Symbol('no bytes') as unknown as Uint8Array
      const changes = [put('b', 1), remove('a'), { table: 'inbox', key: 'c', value: impossible } as const, put('d', 1)]
      await assert.rejects(store.write(changes))
      await store.write([{ table: 'gateway', key: 'later', value: Uint8Array.of(1) }])
      await reopen()
      assert.equal((await store.load('gateway')).size, 1)
      assert.deepEqual(await store.load('outbox'), new Map([['a', Uint8Array.of(1)]]))
      assert.deepEqual(await store.load('inbox'), new Map())
      await store.write([put('a', 2)])
      assert.deepEqual(await store.load('outbox'), new Map([['a', Uint8Array.of(2)]]))
    })

    it('shows no call half done', async () => {
      const loads: Promise<Map<string, Uint8Array>>[] = []
      const writes: Promise<void>[] = []
      for (let i = 0; i < 50; i++) {
        writes.push(store.write([put('a', i), put('b', i), i % 2 === 0 ? put('even', i) : remove('even')]))
        loads.push(store.load('outbox'))
        if (i % 5 === 0) await writes.at(-1)
      }
      for (const [i, load] of loads.entries()) {
        const loaded = await load
        assert.deepEqual([...loaded.get('a')!, ...loaded.get('b')!], [i, i])
        assert.equal(loaded.has('even'), i % 2 === 0)
      }
      await Promise.all(writes)
    })

    it('finishes, when closed, what it was told before, and closes twice', async () => {
      const writes = Array.from({ length: 20 }, (_, i) => store.write([put(`${i}`, i)]))
      await Promise.all([store.close(), store.close(), ...writes])
      await store.close()
      store = await place.open()
      assert.equal((await store.load('outbox')).size, 20)
    })

    it('is a map of maps, whatever is done to it', async () => {
      const changes = fc.array(
        fc.record({
          table: fc.constantFrom('outbox' as const, 'inbox' as const),
          key: fc.oneof(fc.constantFrom('a', 'b', 'c'), fc.string({ unit: 'binary', maxLength: 3 })),
          value: fc.option(fc.uint8Array({ maxLength: 20 }), { nil: undefined }),
        }),
        { maxLength: 12 },
      )
      const steps = fc.array(fc.oneof({ weight: 4, arbitrary: changes }, fc.constant('reopen' as const)), {
        maxLength: 12,
      })
      await fc.assert(
        fc.asyncProperty(steps, async (steps) => {
          const place = newPlace()
          let store = await place.open()
          const model = { outbox: new Map<string, Uint8Array>(), inbox: new Map<string, Uint8Array>() }
          for (const step of steps) {
            if (step === 'reopen') {
              await store.close()
              store = await place.open()
            } else {
              // Not awaited: closing and loading come after it all the same.
              void store.write(step)
              for (const { table, key, value } of step) {
                if (value === undefined) model[table].delete(key)
                else model[table].set(key, value)
              }
            }
          }
          for (const table of ['outbox', 'inbox'] as const) {
            const expected = [...model[table]].sort(([a], [b]) => (a < b ? -1 : 1))
            assert.deepEqual([...(await store.load(table))], expected)
          }
          await store.close()
          await place.remove()
        }),
        { numRuns: 40 },
      )
    })
  })
}
