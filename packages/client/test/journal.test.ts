import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MixError, VirtualClock } from '@mixwright/runtime'
import fc from 'fast-check'
import type { ClientStore, StoreChange, StoreTable } from '../src/store/client-store.js'
import { Journal } from '../src/store/journal.js'
import { memoryStore } from '../src/store/memory-store.js'
import { isStoreError } from './store-compliance.js'

/** A store whose writes last until the test ends them. What it holds is what a crash would leave. */
class SlowStore implements ClientStore {
  readonly persistent = true
  readonly disk = new Map<string, number>()
  /** Sizes of the batches, in order. */
  readonly batches: number[] = []
  #writing: { changes: readonly StoreChange[]; resolve: () => void; reject: (error: unknown) => void } | undefined

  write(changes: readonly StoreChange[]): Promise<void> {
    assert.equal(this.#writing, undefined, 'two writes at a time')
    this.batches.push(changes.length)
    return new Promise((resolve, reject) => {
      this.#writing = { changes, resolve, reject }
    })
  }

  get busy(): boolean {
    return this.#writing !== undefined
  }

  async succeed(): Promise<void> {
    const { changes, resolve } = this.#take()
    for (const { table, key, value } of changes) {
      if (value === undefined) this.disk.delete(`${table} ${key}`)
      else this.disk.set(`${table} ${key}`, value[0]!)
    }
    resolve()
    await turn()
  }

  async fail(error: unknown = new MixError('MIX_STORE', 'disk full', { kind: 'local' })): Promise<void> {
    this.#take().reject(error)
    await turn()
  }

  #take() {
    const writing = this.#writing
    assert.ok(writing, 'nothing is being written')
    this.#writing = undefined
    return writing
  }

  async load(): Promise<Map<string, Uint8Array>> {
    return new Map()
  }

  async close(): Promise<void> {}
}

/** Let every promise that is ready run. */
const turn = () => new Promise((resolve) => setImmediate(resolve))
const byte = (value: number) => Uint8Array.of(value)

function setUp() {
  const clock = new VirtualClock()
  const store = new SlowStore()
  const failures: MixError[] = []
  const journal = new Journal(store, clock, (error) => failures.push(error))
  return { clock, store, failures, journal }
}

/** Watches a promise without waiting for it. */
function outcomeOf(promise: Promise<void>) {
  const watched: { state: 'pending' | 'resolved' | 'rejected'; error?: unknown } = { state: 'pending' }
  promise.then(
    () => {
      watched.state = 'resolved'
    },
    (error) => {
      watched.state = 'rejected'
      watched.error = error
    },
  )
  return watched
}

describe('the journal', () => {
  it('writes 20 ms after the first change, the last change of each key', async () => {
    const { clock, store, journal } = setUp()
    journal.put('outbox', 'a', byte(1))
    journal.put('inbox', 'a', byte(2))
    clock.advance(19)
    journal.put('outbox', 'a', byte(3))
    journal.put('outbox', 'b', byte(4))
    journal.delete('outbox', 'b')
    await turn()
    assert.equal(store.busy, false)
    clock.advance(1)
    await turn()
    await store.succeed()
    assert.deepEqual(store.batches, [3])
    assert.deepEqual(Object.fromEntries(store.disk), { 'outbox a': 3, 'inbox a': 2 })
    assert.equal(clock.pending, 0)
    assert.equal(journal.pressure, 0)
  })

  it('writes a deletion though the entry was put before the writing: the store may hold an older one', async () => {
    const { store, journal } = setUp()
    store.disk.set('outbox a', 1)
    journal.put('outbox', 'a', byte(2))
    journal.delete('outbox', 'a')
    journal.flush()
    await turn()
    await store.succeed()
    assert.deepEqual(store.disk, new Map())
  })

  it('writes at once from 500 changes on, and what is put in one turn stays together', async () => {
    const { clock, store, journal } = setUp()
    for (let i = 0; i < 499; i++) journal.put('outbox', String(i), byte(1))
    await turn()
    assert.deepEqual(store.batches, [])
    for (let i = 499; i < 700; i++) journal.put('outbox', String(i), byte(1))
    assert.deepEqual(store.batches, [])
    await turn()
    assert.deepEqual(store.batches, [700])
    journal.put('outbox', 'later', byte(1))
    await store.succeed()
    assert.deepEqual(store.batches, [700])
    clock.advance(20)
    await turn()
    assert.deepEqual(store.batches, [700, 1])
  })

  it('flushes what was put before, and what is put in the same turn', async () => {
    const { clock, store, journal } = setUp()
    journal.put('outbox', 'a', byte(1))
    const first = outcomeOf(journal.flush())
    journal.put('outbox', 'b', byte(1))
    await turn()
    assert.deepEqual(store.batches, [2])
    journal.put('outbox', 'c', byte(1))
    const second = outcomeOf(journal.flush())
    const third = outcomeOf(journal.flush())
    await turn()
    assert.deepEqual([first.state, second.state], ['pending', 'pending'])
    await store.succeed()
    assert.deepEqual([first.state, second.state], ['resolved', 'pending'])
    await store.succeed()
    assert.deepEqual([second.state, third.state], ['resolved', 'resolved'])
    assert.deepEqual(store.batches, [2, 1])
    assert.equal(clock.pending, 0)
  })

  it('flushes what is in the store’s hands, and nothing when there is nothing', async () => {
    const { clock, store, journal } = setUp()
    await journal.flush()
    journal.put('outbox', 'a', byte(1))
    clock.advance(20)
    await turn()
    const flush = outcomeOf(journal.flush())
    await turn()
    assert.equal(flush.state, 'pending')
    await store.succeed()
    assert.equal(flush.state, 'resolved')
    await journal.flush()
    assert.deepEqual(store.batches, [1])
  })

  it('tells how full it is, until the store has everything', async () => {
    const { store, journal } = setUp()
    for (let i = 0; i < 5_000; i++) journal.put('outbox', String(i), byte(1))
    assert.equal(journal.pressure, 0.5)
    await turn()
    for (let i = 0; i < 5_000; i++) journal.put('outbox', String(i), byte(1))
    assert.equal(journal.pressure, 1)
    await store.succeed()
    assert.equal(journal.pressure, 0.5)
    for (let i = 0; i < 3; i++) journal.put('inbox', 'large', new Uint8Array(32 * 1024 * 1024))
    assert.ok(journal.pressure > 1 && journal.pressure < 1.1, 'a value that was replaced does not count')
    journal.put('inbox', 'large', byte(1))
    assert.ok(journal.pressure < 0.6)
    journal.flush()
    await turn()
    while (store.busy) await store.succeed()
    assert.equal(journal.pressure, 0)
  })

  describe('when the store fails', () => {
    it('rejects flushes, tells once, keeps the changes and tries again, ever more rarely', async () => {
      const { clock, store, failures, journal } = setUp()
      journal.put('outbox', 'a', byte(1))
      const flush = outcomeOf(journal.flush())
      await turn()
      await store.fail()
      assert.equal(flush.state, 'rejected')
      assert.ok(isStoreError(flush.error))
      assert.equal(journal.failure, flush.error)
      assert.deepEqual(failures, [flush.error])
      // 100 ms, 200, 400, …, 30 s, 30 s: changes that come do not hurry it.
      for (let pause = 100, tries = 0; tries < 12; tries++, pause = Math.min(2 * pause, 30_000)) {
        journal.put('outbox', `try ${tries}`, byte(1))
        clock.advance(pause - 1)
        await turn()
        assert.equal(store.busy, false)
        clock.advance(1)
        await turn()
        journal.put('outbox', `meanwhile ${tries}`, byte(1))
        clock.advance(50)
        await store.fail()
        assert.equal(store.busy, false)
      }
      assert.equal(failures.length, 1)
      clock.advance(30_000)
      await turn()
      await store.succeed()
      assert.equal(store.disk.size, 1 + 2 * 12)
      assert.equal(journal.failure, undefined)
      assert.equal(journal.pressure, 0)
      assert.equal(clock.pending, 0)
    })

    it('puts what was refused under what came since', async () => {
      const { store, journal } = setUp()
      store.disk.set('outbox b', 7)
      journal.put('outbox', 'a', byte(1))
      journal.delete('outbox', 'b')
      journal.put('outbox', 'c', byte(1))
      journal.flush().catch(() => {})
      await turn()
      journal.put('outbox', 'a', byte(2))
      journal.delete('outbox', 'c')
      await store.fail()
      assert.equal(journal.pressure, 3 / 10_000)
      const flush = journal.flush()
      await turn()
      await store.succeed()
      await flush
      assert.deepEqual(Object.fromEntries(store.disk), { 'outbox a': 2 })
      assert.equal(journal.pressure, 0)
    })

    it('writes what came during the try that succeeds', async () => {
      const { clock, store, failures, journal } = setUp()
      journal.put('outbox', 'a', byte(1))
      clock.advance(20)
      await turn()
      await store.fail()
      clock.advance(100)
      await turn()
      journal.put('outbox', 'b', byte(2))
      await store.succeed()
      clock.advance(20)
      await turn()
      await store.succeed()
      assert.deepEqual(Object.fromEntries(store.disk), { 'outbox a': 1, 'outbox b': 2 })
      // A new failure is told anew, and begins with the short pause.
      journal.put('outbox', 'c', byte(3))
      clock.advance(20)
      await turn()
      await store.fail()
      assert.equal(failures.length, 2)
      clock.advance(100)
      await turn()
      await store.succeed()
      assert.equal(store.disk.get('outbox c'), 3)
    })

    it('resolves a flush that waited for the batch after the one that failed, when that one goes through', async () => {
      const { store, journal } = setUp()
      journal.put('outbox', 'a', byte(1))
      const first = outcomeOf(journal.flush())
      await turn()
      journal.put('outbox', 'b', byte(2))
      const second = outcomeOf(journal.flush())
      await store.fail()
      await store.succeed()
      assert.deepEqual([first.state, second.state], ['rejected', 'resolved'])
      assert.deepEqual(Object.fromEntries(store.disk), { 'outbox a': 1, 'outbox b': 2 })
    })

    it('makes a MixError of whatever a store of somebody else throws, at once or later', async () => {
      const clock = new VirtualClock()
      const store: ClientStore = {
        ...memoryStore(),
        persistent: true,
        write: () => {
          throw new TypeError('not a promise')
        },
      }
      const journal = new Journal(store, clock, () => {})
      journal.put('outbox', 'a', byte(1))
      await assert.rejects(journal.flush(), isStoreError)
      await assert.rejects(journal.flush(), isStoreError)
      await assert.rejects(journal.close(), isStoreError)
    })
  })

  describe('when closed', () => {
    it('flushes, and takes nothing more', async () => {
      const { clock, store, journal } = setUp()
      journal.put('outbox', 'a', byte(1))
      const closing = outcomeOf(journal.close())
      journal.put('outbox', 'b', byte(1))
      await turn()
      await store.succeed()
      assert.equal(closing.state, 'resolved')
      journal.put('outbox', 'c', byte(1))
      await journal.close()
      assert.deepEqual([...store.disk.keys()], ['outbox a'])
      assert.equal(clock.pending, 0)
    })

    it('rejects when it cannot, and leaves no timer', async () => {
      const { clock, store, journal } = setUp()
      journal.put('outbox', 'a', byte(1))
      clock.advance(20)
      await turn()
      await store.fail()
      const closing = outcomeOf(journal.close())
      await turn()
      await store.fail()
      assert.equal(closing.state, 'rejected')
      assert.equal(clock.pending, 0)
    })
  })

  it('costs nothing over a store that does not persist', async () => {
    const clock = new VirtualClock()
    const journal = new Journal(memoryStore(), clock, () => {})
    for (let i = 0; i < 1_000; i++) journal.put('outbox', String(i), byte(1))
    journal.delete('outbox', '1')
    assert.equal(journal.pressure, 0)
    assert.equal(clock.pending, 0)
    await journal.flush()
    await journal.close()
  })

  it('leaves, at a crash at any moment, the changes up to some moment after the last flush, and none later', async () => {
    const step = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          table: fc.constantFrom<StoreTable>('outbox', 'inbox'),
          key: fc.constantFrom('a', 'b', 'c', 'd'),
          value: fc.option(fc.nat(255), { nil: undefined }),
        }),
      },
      { weight: 2, arbitrary: fc.constant('flush' as const) },
      { weight: 3, arbitrary: fc.constant('succeed' as const) },
      { weight: 1, arbitrary: fc.constant('fail' as const) },
      { weight: 3, arbitrary: fc.constantFrom('turn' as const, 1, 20, 500, 30_000) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { clock, store, journal } = setUp()
        const text = (disk: ReadonlyMap<string, number>) => JSON.stringify([...disk].sort())
        const model = new Map<string, number>()
        /** What the store would hold after each change. */
        const history = [text(model)]
        let durable = 0
        const check = () => {
          // The latest moment that fits: the same content may come again.
          const moment = history.lastIndexOf(text(store.disk))
          assert.ok(moment >= durable, `${text(store.disk)} is not what was there at ${durable} or later`)
        }
        for (const step of steps) {
          if (step === 'flush') {
            const upTo = history.length - 1
            journal.flush().then(
              () => {
                durable = Math.max(durable, upTo)
              },
              (error) => assert.ok(isStoreError(error)),
            )
          } else if (step === 'succeed' || step === 'fail') {
            if (store.busy) await store[step]()
          } else if (step === 'turn') {
            await turn()
          } else if (typeof step === 'number') {
            clock.advance(step)
          } else {
            const { table, key, value } = step
            if (value === undefined) model.delete(`${table} ${key}`)
            else model.set(`${table} ${key}`, value)
            history.push(text(model))
            if (value === undefined) journal.delete(table, key)
            else journal.put(table, key, byte(value))
          }
          check()
        }
        // Whatever happened: a store that works again gets everything.
        const closing = journal.close().catch(() => {})
        for (let i = 0; i < 3; i++) {
          await turn()
          if (store.busy) await store.succeed()
        }
        await closing
        assert.equal(text(store.disk), history.at(-1))
        assert.equal(journal.pressure, 0)
        assert.equal(clock.pending, 0)
      }),
      { numRuns: 500 },
    )
  })
})
