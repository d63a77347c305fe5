/** AES-256-GCM-SIV against noble's, against RFC 8452's own example, and in both forms of its block cipher. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromHex, SeededRandom } from '@mixwright/runtime'
import { gcmsiv } from '@noble/ciphers/aes.js'
import { encryptBlocks as inBrowser } from '../src/aes/blocks-browser.js'
import { encryptBlocks as inNode } from '../src/aes/blocks-node.js'
import { gcmSivDecrypt, gcmSivEncrypt } from '../src/aes/gcm-siv.js'

describe('AES-256-GCM-SIV', () => {
  const random = new SeededRandom('gcm-siv')

  it('gives the result of RFC 8452 C.2', () => {
    const key = fromHex(`01${'00'.repeat(31)}`)
    const nonce = fromHex(`03${'00'.repeat(11)}`)
    assert.deepEqual(gcmSivEncrypt(key, nonce, new Uint8Array(0)), fromHex('07f5f4169bbf55a8400cd47ea6fd400f'))
    const plaintext = fromHex('0100000000000000')
    assert.deepEqual(gcmSivEncrypt(key, nonce, plaintext), fromHex('c2ef328e5c71c83b843122130f7364b761e0b97427e3df28'))
  })

  it('equals noble at every length around blocks, and for frames', () => {
    for (const length of [...Array.from({ length: 66 }, (_, i) => i), 1643, 2422, 33_154]) {
      const [key, nonce, plaintext] = [random.bytes(32), random.bytes(12), random.bytes(length)]
      const sealed = gcmSivEncrypt(key, nonce, plaintext)
      assert.deepEqual(sealed, gcmsiv(key, nonce).encrypt(plaintext))
      assert.deepEqual(gcmSivDecrypt(key, nonce, sealed), plaintext)
    }
  })

  it('counts over the border of 32 bits as RFC 8452 C.3 does: the counter wraps, the rest of the block stays', () => {
    const key = fromHex(`${'00'.repeat(32)}`)
    const nonce = fromHex('000000000000000000000000')
    const plaintext = fromHex('000000000000000000000000000000004db923dc793ee6497c76dcc03a98e108')
    const expected = fromHex(
      'f3f80f2cf0cb2dd9c5984fcda908456cc537703b5ba70324a6793a7bf218d3eaffffffff000000000000000000000000',
    )
    assert.deepEqual(gcmSivEncrypt(key, nonce, plaintext), expected)
  })

  it('refuses every changed bit, what is too short, and a nonce of another length', () => {
    const [key, nonce] = [random.bytes(32), random.bytes(12)]
    const sealed = gcmSivEncrypt(key, nonce, random.bytes(21))
    for (let bit = 0; bit < 8 * sealed.length; bit++) {
      const changed = new Uint8Array(sealed)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      assert.equal(gcmSivDecrypt(key, nonce, changed), undefined)
    }
    assert.equal(gcmSivDecrypt(key, nonce, sealed.subarray(0, 15)), undefined)
    assert.equal(gcmSivDecrypt(key, random.bytes(11), sealed), undefined)
  })

  it('has the same blocks in browsers and in Node.js', () => {
    for (const keyBytes of [16, 32]) {
      const [key, blocks] = [random.bytes(keyBytes), random.bytes(160)]
      assert.deepEqual(new Uint8Array(inNode(key, blocks)), inBrowser(key, blocks))
    }
  })
})
