import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SeededRandom, VirtualClock } from '@mixwright/runtime'
import { type Recipient, replyKeyDigest } from '@mixwright/wire'
import { SurbIssuer } from '../src/replies/surb-issuer.js'
import type { ClientStore } from '../src/store/client-store.js'
import { Journal } from '../src/store/journal.js'
import { memoryStore } from '../src/store/memory-store.js'
import { stubSurb } from './stub-surbs.js'

const HOUR = 3_600_000

function scene(store: ClientStore = memoryStore()) {
  const journal = new Journal(store, new VirtualClock(), () => {})
  return { issuer: new SurbIssuer(new SeededRandom('issuer'), journal), journal }
}

function recipient(number: number): Recipient {
  const identity = new Uint8Array(32)
  new DataView(identity.buffer).setUint32(0, number)
  return { identity, encryption: new Uint8Array(32), gateway: new Uint8Array(32) }
}

const digest = (number: number) => replyKeyDigest(stubSurb(number).encryptionKey)

describe('a reply block that was given out', () => {
  it('is recognised by the digest of its key, once', () => {
    const { issuer } = scene()
    issuer.given(stubSurb(1), 'gateway', 0)
    issuer.given(stubSurb(2), 'gateway', 0)
    assert.equal(issuer.take(digest(3)), undefined)
    assert.deepEqual(issuer.take(digest(1))?.key, stubSurb(1).encryptionKey)
    assert.equal(issuer.take(digest(1)), undefined)
    assert.equal(issuer.outstanding, 1)
  })

  it('is forgotten after a day', () => {
    const { issuer } = scene()
    for (const hour of [0, 1, 2]) issuer.given(stubSurb(hour), 'gateway', hour * HOUR)
    issuer.purge(24 * HOUR - 1)
    assert.equal(issuer.outstanding, 3)
    issuer.purge(25 * HOUR)
    assert.equal(issuer.outstanding, 1)
    assert.ok(issuer.take(digest(2)))
  })

  it('is forgotten when there are too many, the oldest first', () => {
    const { issuer } = scene()
    for (let number = 0; number < 200_010; number++) issuer.given(stubSurb(number), 'gateway', 0)
    assert.equal(issuer.outstanding, 200_000)
    assert.equal(issuer.take(digest(9)), undefined)
    assert.ok(issuer.take(digest(10)))
  })
})

describe('the tag towards a recipient', () => {
  it('is always the same, and another one for each', () => {
    const { issuer } = scene()
    const tag = issuer.tagFor(recipient(1))
    assert.equal(tag.length, 16)
    assert.notDeepEqual(issuer.tagFor(recipient(2)), tag)
    assert.deepEqual(issuer.tagFor(recipient(1)), tag)
    assert.deepEqual(issuer.knownTag(recipient(1)), tag)
    assert.equal(issuer.knownTag(recipient(3)), undefined, 'a stranger has none')
  })

  it('is forgotten when there are too many, the one used longest ago first', () => {
    const { issuer } = scene()
    for (let number = 0; number < 20_000; number++) issuer.tagFor(recipient(number))
    const tag = issuer.tagFor(recipient(0))
    issuer.tagFor(recipient(20_000))
    assert.deepEqual(issuer.knownTag(recipient(0)), tag)
    assert.equal(issuer.knownTag(recipient(1)), undefined)
  })
})

describe('the store', () => {
  it('gives the next process the tags, and the keys that are not used', async () => {
    const store = memoryStore({ persistent: true })
    const first = scene(store)
    const tag = first.issuer.tagFor(recipient(1))
    // Out of order, as after a step of the wall clock; and a fraction of a millisecond, as clocks have.
    first.issuer.given(stubSurb(1), 'gateway', 10 * HOUR + 0.5)
    first.issuer.given(stubSurb(2), 'gateway', 9 * HOUR)
    first.issuer.given(stubSurb(3), 'gateway', 8 * HOUR)
    first.issuer.take(digest(3))
    await first.journal.close()
    await store.write([
      { table: 'sent-reply-keys', key: 'garbage', value: new Uint8Array(3) },
      { table: 'sender-tags', key: 'garbage', value: new Uint8Array(3) },
    ])

    const second = scene(store)
    await second.issuer.restore(store)
    assert.deepEqual(second.issuer.knownTag(recipient(1)), tag)
    assert.deepEqual(second.issuer.tagFor(recipient(1)), tag)
    assert.equal(second.issuer.outstanding, 2)
    second.issuer.purge(33 * HOUR)
    assert.equal(second.issuer.outstanding, 1, 'purged in order of their age')
    assert.deepEqual(second.issuer.take(digest(1))?.key, stubSurb(1).encryptionKey)
    await second.journal.close()
    const keys = await store.load('sent-reply-keys')
    assert.deepEqual([...keys.keys()], ['garbage'])
  })
})
