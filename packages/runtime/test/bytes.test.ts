/** Joining, comparing and spelling bytes. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, equalBytes, fromHex, toHex, utf8 } from '@mixwright/runtime'
import fc from 'fast-check'

describe('byte functions', () => {
  it('turn bytes into hexadecimal text and back', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        assert.equal(toHex(bytes), Buffer.from(bytes).toString('hex'))
        assert.deepEqual(fromHex(toHex(bytes).toUpperCase()), bytes)
      }),
    )
    for (const bad of ['0', '0g', ' 00', '0x00', '00\n', 'é0']) assert.throws(() => fromHex(bad), TypeError, bad)
  })

  it('join, and compare', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        assert.deepEqual(concatBytes(a, b), Uint8Array.from([...a, ...b]))
        assert.equal(equalBytes(a, b), Buffer.compare(a, b) === 0)
        assert.equal(equalBytes(a, a.slice()), true)
      }),
    )
    assert.equal(equalBytes(fromHex('00ff'), fromHex('00fe')), false)
    assert.deepEqual(utf8('ñ'), fromHex('c3b1'))
  })
})
