import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromHex, toHex } from '@mixwright/runtime'
import { decodeRecipient, encodeRecipient, formatRecipient, parseRecipient } from '../src/index.js'
import { loadVectors } from './vectors.js'

interface RecipientVectors {
  invalid: { string: string }[]
  recipients: { bytes: string; string: string; identity_public: string }[]
}

const vectors = loadVectors<RecipientVectors>('gateway-recipient')
const anyPoint = () => true

describe('gateway-recipient.json', () => {
  for (const vector of vectors.recipients) {
    it(`${vector.string.slice(0, 16)}…, both forms and directions`, () => {
      const recipient = parseRecipient(vector.string, anyPoint)
      assert.equal(toHex(encodeRecipient(recipient!)), vector.bytes)
      assert.equal(formatRecipient(decodeRecipient(fromHex(vector.bytes), anyPoint)!), vector.string)
      assert.equal(toHex(recipient!.identity), vector.identity_public)
    })
  }
  for (const { string } of vectors.invalid) {
    it(`refuses ${string}`, () => assert.equal(parseRecipient(string, anyPoint), undefined))
  }
  it('refuses keys that are no curve points, and other lengths', () => {
    const { bytes, string } = vectors.recipients[0]!
    assert.equal(
      parseRecipient(string, () => false),
      undefined,
    )
    assert.equal(decodeRecipient(fromHex(bytes).subarray(1), anyPoint), undefined)
    assert.equal(parseRecipient(`${string}111111`, anyPoint), undefined)
  })
})
