import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { describe, it } from 'node:test'
import { fromHex, SeededRandom, SystemRandom, toHex } from '@mixwright/runtime'
import { loadCryptoProvider } from '@mixwright/sphinx'
import { type ClientKeys, loadOrCreateClientKeys } from '../src/client-keys.js'
import type { ClientStore } from '../src/store/client-store.js'
import { memoryStore } from '../src/store/memory-store.js'
import { isStoreError } from './store-compliance.js'

const crypto = await loadCryptoProvider('noble')
const hex = (keys: ClientKeys) => Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, toHex(key)]))

/** What OpenSSL makes of a raw private key; the prefix is PKCS #8's for the curve. */
function publicKeyByOpenSsl(prefix: string, secret: Uint8Array): string {
  const key = createPrivateKey({ key: Buffer.from(prefix + toHex(secret), 'hex'), format: 'der', type: 'pkcs8' })
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex')
}

describe('the keys of a client', () => {
  it('are made once and are the same ever after, and no two are equal', async () => {
    const store = memoryStore({ persistent: true })
    const made = await loadOrCreateClientKeys(store, crypto, new SystemRandom())
    assert.deepEqual(
      Object.entries(made).map(([name, key]) => [name, key.length]),
      Object.entries({ identitySeed: 32, identityKey: 32, encryptionSecret: 32, encryptionKey: 32, ackKey: 16 }),
    )
    assert.equal(new Set(Object.values(hex(made))).size, 5)
    assert.deepEqual(hex(await loadOrCreateClientKeys(store, crypto, new SystemRandom())), hex(made))
  })

  it('are others for each client', async () => {
    const random = new SystemRandom()
    const one = hex(await loadOrCreateClientKeys(memoryStore(), crypto, random))
    const two = hex(await loadOrCreateClientKeys(memoryStore(), crypto, random))
    for (const name of Object.keys(one)) assert.notEqual(one[name], two[name])
  })

  it('have the public halves that OpenSSL gives them', async () => {
    const keys = await loadOrCreateClientKeys(memoryStore(), crypto, new SeededRandom('public halves'))
    assert.equal(toHex(keys.identityKey), publicKeyByOpenSsl('302e020100300506032b657004220420', keys.identitySeed))
    const encryptionKey = publicKeyByOpenSsl('302e020100300506032b656e04220420', keys.encryptionSecret)
    assert.equal(toHex(keys.encryptionKey), encryptionKey)
  })

  it('are read from the store as they are there', async () => {
    const store = memoryStore({ persistent: true })
    const stored = {
      'identity-seed': '11'.repeat(32),
      'encryption-secret': '22'.repeat(32),
      'ack-key': '33'.repeat(16),
    }
    await store.write(Object.entries(stored).map(([key, value]) => ({ table: 'identity', key, value: fromHex(value) })))
    const keys = hex(await loadOrCreateClientKeys(store, crypto, new SystemRandom()))
    assert.deepEqual([keys.identitySeed, keys.encryptionSecret, keys.ackKey], Object.values(stored))
  })

  it('are durable before they are returned, and go together', async () => {
    let finish = () => {}
    let calls = 0
    const store: ClientStore = {
      persistent: true,
      load: async () => new Map(),
      write: (changes) => {
        calls++
        assert.equal(changes.length, 3)
        return new Promise((resolve) => {
          finish = resolve
        })
      },
      close: async () => {},
    }
    let returned = false
    const loading = loadOrCreateClientKeys(store, crypto, new SystemRandom()).then(() => {
      returned = true
    })
    await new Promise(setImmediate)
    assert.deepEqual([calls, returned], [1, false])
    finish()
    await loading
  })

  it('are not returned when they could not be written', async () => {
    const store: ClientStore = {
      ...memoryStore(),
      persistent: true,
      load: async () => new Map(),
      write: async () => Promise.reject(new Error('no space')),
    }
    await assert.rejects(loadOrCreateClientKeys(store, crypto, new SystemRandom()), /no space/)
  })

  for (const [what, value] of [
    ['missing', undefined],
    ['cut', new Uint8Array(31)],
    ['too long', new Uint8Array(33)],
    ['empty', new Uint8Array(0)],
  ] as const) {
    for (const key of ['identity-seed', 'encryption-secret', 'ack-key']) {
      it(`with ${key} ${what} are an error, and are left as they are`, async () => {
        const store = memoryStore({ persistent: true })
        await loadOrCreateClientKeys(store, crypto, new SystemRandom())
        await store.write([{ table: 'identity', key, value }])
        const before = await store.load('identity')
        await assert.rejects(loadOrCreateClientKeys(store, crypto, new SystemRandom()), (error: Error) => {
          assert.ok(isStoreError(error))
          assert.ok(error.message.includes(key))
          return true
        })
        assert.deepEqual(await store.load('identity'), before)
      })
    }
  }
})
