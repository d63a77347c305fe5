import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { utf8, VirtualClock } from '@mixwright/runtime'
import { Hold } from '../src/receive/hold.js'
import { Inbox, type InboxMessage } from '../src/receive/inbox.js'
import { Journal } from '../src/store/journal.js'
import { memoryStore } from '../src/store/memory-store.js'
import { stubTag } from './stub-surbs.js'

const MIB = 1024 ** 2

function scene(store = memoryStore()) {
  const clock = new VirtualClock()
  const journal = new Journal(store, clock, () => {})
  const full: boolean[] = []
  const inbox = new Inbox({ journal, persistent: store.persistent, onFull: (isFull) => full.push(isFull) })
  const add = (text: string, senderTag?: string) => inbox.add({ data: utf8(text), senderTag })
  const read = () => inbox.read(({ data }) => new TextDecoder().decode(data))
  const stored = async () => {
    await journal.flush()
    return (await store.load('inbox')).size
  }
  return { inbox, journal, full, add, read, stored }
}

const done = { done: true, value: undefined }
const given = (value: string) => ({ done: false, value })

/** Whether it has settled by now. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  return (await Promise.race([promise, new Promise((resolve) => setImmediate(resolve, pending))])) === pending
}

describe('a reader', () => {
  it('gets what waits, then what comes, in order', async () => {
    const { inbox, add, read } = scene()
    add('first')
    add('second')
    assert.deepEqual([inbox.messages, inbox.bytes], [2, 11])
    const reader = read()
    assert.deepEqual(await reader.next(), given('first'))
    assert.deepEqual(await reader.next(), given('second'))
    const asked = [reader.next(), reader.next()]
    assert.ok(await isPending(asked[0]!))
    add('third')
    add('fourth')
    add('fifth')
    assert.deepEqual(await Promise.all(asked), [given('third'), given('fourth')])
    assert.deepEqual([inbox.messages, inbox.bytes], [1, 5])
  })

  it('beside others gets each message alone: who asked first', async () => {
    const { add, read } = scene()
    const [one, other] = [read(), read()]
    const asked = [other.next(), one.next()]
    add('first')
    add('second')
    assert.deepEqual(await Promise.all(asked), [given('first'), given('second')])
  })

  it('that returns while it waits ends at once, and takes no message with it', async () => {
    const { add, read } = scene()
    const [leaving, staying] = [read(), read()]
    const asked = leaving.next()
    assert.deepEqual(await leaving.return!(), done)
    assert.deepEqual(await asked, done)
    add('message')
    assert.deepEqual(await leaving.next(), done)
    assert.deepEqual(await staying.next(), given('message'))
  })

  it('is what `for await` takes, and may be left by `break`', async () => {
    const { add, read } = scene()
    for (const text of ['first', 'second', 'third']) add(text)
    for await (const text of read()) if (text === 'second') break
    assert.deepEqual(await read().next(), given('third'))
  })

  it('gets what waits when the client closes, where nothing keeps it, and then ends', async () => {
    const { inbox, add, read } = scene()
    const [reader, waiting] = [read(), read()]
    const asked = waiting.next()
    add('to the one who waits')
    assert.deepEqual(await asked, given('to the one who waits'))
    const again = waiting.next()
    assert.ok(await isPending(again))
    inbox.close()
    assert.deepEqual(await again, done)
    assert.deepEqual(await reader.next(), done)

    const other = scene()
    other.add('waits')
    other.inbox.close()
    const late = other.read()
    assert.deepEqual([await late.next(), await late.next()], [given('waits'), done])
  })
})

describe('a message in a store that persists', () => {
  it('is there until the reader asks for the next one, or returns', async () => {
    const { add, read, stored } = scene(memoryStore({ persistent: true }))
    for (const text of ['first', 'second', 'third']) add(text)
    assert.equal(await stored(), 3)
    const reader = read()
    await reader.next()
    assert.equal(await stored(), 3)
    await reader.next()
    assert.equal(await stored(), 2)
    await reader.return!()
    assert.equal(await stored(), 1)
  })

  it('is there at the next start, with its tag, in order, and is not read after the client has closed', async () => {
    const store = memoryStore({ persistent: true })
    const first = scene(store)
    first.add('taken')
    first.add('given, not taken')
    first.add('')
    first.add('from a tag', stubTag(3))
    const reader = first.read()
    await reader.next()
    assert.deepEqual(await reader.next(), given('given, not taken'))
    first.inbox.close()
    assert.deepEqual(await reader.next(), done, 'else it would be delivered again')
    assert.deepEqual([first.inbox.messages, first.inbox.bytes], [0, 0])
    await first.journal.close()

    const second = scene(store)
    await second.inbox.restore(store)
    second.add('new')
    const messages: InboxMessage[] = []
    for await (const message of second.inbox.read((message) => message)) {
      messages.push(message)
      if (messages.length === 3) break
    }
    // What the reader asked for last was taken by that, a moment before the client closed.
    assert.deepEqual(
      messages.map(({ data, senderTag }) => [new TextDecoder().decode(data), senderTag]),
      [
        ['', undefined],
        ['from a tag', stubTag(3)],
        ['new', undefined],
      ],
    )
  })
})

describe('an inbox that nobody reads', () => {
  it('is full at 10 000 messages, and free again below half', async () => {
    const { add, full, read } = scene()
    for (let number = 0; number < 9_999; number++) add('')
    assert.deepEqual(full, [])
    add('')
    add('')
    assert.deepEqual(full, [true])
    const reader = read()
    for (let number = 0; number < 5001; number++) await reader.next()
    assert.deepEqual(full, [true])
    await reader.next()
    assert.deepEqual(full, [true, false])
  })

  it('is full at 64 MiB', async () => {
    const { inbox, full } = scene()
    const data = new Uint8Array(32 * MIB)
    inbox.add({ data, senderTag: undefined })
    assert.deepEqual(full, [])
    inbox.add({ data, senderTag: undefined })
    assert.deepEqual(full, [true])
    const reader = inbox.read(() => '')
    await reader.next()
    assert.deepEqual(full, [true], 'half is not below half')
    await reader.next()
    assert.deepEqual(full, [true, false])
  })
})

describe('a client hangs up', () => {
  function hold() {
    const clock = new VirtualClock()
    const state = { pressure: 0, writes: [] as { resolve(): void; reject(reason: unknown): void }[] }
    const journal = {
      get pressure() {
        return state.pressure
      },
      flush: () => new Promise<void>((resolve, reject) => state.writes.push({ resolve, reject })),
    } as unknown as Journal
    const told: string[] = []
    const hold = new Hold({
      clock,
      journal,
      onHold: () => told.push('hold'),
      onRelease: () => told.push('release'),
    })
    return { clock, state, hold, told }
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve))

  it('while the inbox is full', () => {
    const { hold: held, told } = hold()
    held.onWritten()
    held.onInboxFull(true)
    assert.ok(held.isHeld)
    held.onInboxFull(false)
    assert.deepEqual(told, ['hold', 'release'])
    assert.ok(!held.isHeld)
  })

  it('while the store does not keep up, and tries again while it fails', async () => {
    const { clock, state, hold: held, told } = hold()
    state.pressure = 1
    held.onWritten()
    held.onWritten()
    assert.equal(state.writes.length, 1)
    state.writes[0]!.reject(new Error('disk full'))
    await turn()
    assert.deepEqual(told, ['hold'])
    clock.advance(1000)
    state.writes[1]!.resolve()
    await turn()
    assert.deepEqual(told, ['hold', 'release'])
  })

  it('until both are well, and not again once it is closed', async () => {
    const { state, hold: held, told } = hold()
    state.pressure = 1
    held.onInboxFull(true)
    held.onWritten()
    held.onInboxFull(false)
    assert.deepEqual(told, ['hold'])
    held.close()
    state.writes[0]!.resolve()
    await turn()
    assert.deepEqual(told, ['hold'])
  })
})
