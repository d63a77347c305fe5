import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { memoryStore } from '../src/store/memory-store.js'
import { storeCompliance } from './store-compliance.js'

describe('the store in memory', () => {
  storeCompliance(() => {
    const store = memoryStore({ persistent: true })
    return { open: async () => store, remove: () => {} }
  })

  it('is not persistent unless it is told so', () => {
    assert.equal(memoryStore().persistent, false)
    assert.equal(memoryStore({ persistent: true }).persistent, true)
  })
})
