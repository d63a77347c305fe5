import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { SeededRandom, toHex } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { loadOrCreateNodeKeys, SPHINX_KEY_FILE } from '../src/keys/node-keys.js'
import { SphinxKeyFile } from '../src/keys/sphinx-key-file.js'

const scratch = mkdtempSync(join(tmpdir(), 'mixwright-keys-'))
after(() => rmSync(scratch, { recursive: true, force: true }))
let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

describe("a node's keys", () => {
  it('are drawn once, and nobody else may read them', () => {
    const path = join(mkdtempSync(join(scratch, 'new-')), 'keys.json')
    const first = loadOrCreateNodeKeys(path, crypto, new SeededRandom('first'))
    assert.deepEqual(loadOrCreateNodeKeys(path, crypto, new SeededRandom('second')), first)
    assert.equal(statSync(path).mode & 0o777, 0o600)
  })

  it('of a release before key rotation are kept: the identity, and the Sphinx key in its own file', () => {
    const directory = mkdtempSync(join(scratch, 'old-'))
    const path = join(directory, 'keys.json')
    const identitySeed = '11'.repeat(32)
    const sphinx = { rotationId: 3, secret: '22'.repeat(32) }
    writeFileSync(path, JSON.stringify({ identitySeed, sphinx }))
    const keys = loadOrCreateNodeKeys(path, crypto, new SeededRandom('upgrade'))
    assert.equal(toHex(keys.identitySeed), identitySeed)
    const { primary, secondary } = new SphinxKeyFile(join(directory, SPHINX_KEY_FILE), crypto).read()!
    assert.deepEqual([primary.rotationId, toHex(primary.secret), secondary], [3, sphinx.secret, undefined])
    assert.equal('sphinx' in JSON.parse(readFileSync(path, 'utf8')), false)
    // From then on everything stays, the Noise key too.
    assert.deepEqual(loadOrCreateNodeKeys(path, crypto, new SeededRandom('again')), keys)
  })

  it('that were moved by a start that was cut short are not moved over newer ones', () => {
    const directory = mkdtempSync(join(scratch, 'cut-'))
    const path = join(directory, 'keys.json')
    const file = new SphinxKeyFile(join(directory, SPHINX_KEY_FILE), crypto)
    const newer = file.create(new SeededRandom('newer'), 9)
    writeFileSync(
      path,
      JSON.stringify({ identitySeed: '11'.repeat(32), sphinx: { rotationId: 3, secret: '22'.repeat(32) } }),
    )
    loadOrCreateNodeKeys(path, crypto, new SeededRandom('cut'))
    assert.equal(file.read()!.primary.rotationId, newer.primary.rotationId)
  })
})
