import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, fromHex, toHex, utf8 } from '@mixwright/runtime'
import fc from 'fast-check'
import { decodeSdkPayload, encodeSdkPayload } from '../src/index.js'
import { loadVectors } from './vectors.js'

interface Vectors {
  cases: { mimeType: string; headers: string | null; payload: string; encoded: string }[]
  malformed: { bytes: string; accepted: boolean; mimeType?: string; headers?: string | null; payload?: string }[]
}

const vectors = loadVectors<Vectors>('client-npm-payload')

describe('client-npm-payload.json', () => {
  for (const { mimeType, headers, payload, encoded } of vectors.cases)
    it(`${mimeType || 'no type'} with headers ${headers}, both ways`, () => {
      const value = { mimeType, headers: headers ?? undefined, payload: fromHex(payload) }
      assert.equal(toHex(encodeSdkPayload(value)), encoded)
      assert.deepEqual(decodeSdkPayload(fromHex(encoded)), value)
    })

  for (const { bytes, accepted, mimeType, headers, payload } of vectors.malformed)
    it(`${accepted ? 'takes' : 'refuses'} ${bytes.slice(0, 40) || 'nothing'}`, () => {
      const expected = accepted ? { mimeType, headers: headers ?? undefined, payload: fromHex(payload!) } : undefined
      assert.deepEqual(decodeSdkPayload(fromHex(bytes)), expected)
    })
})

describe('the payload of the npm SDK', () => {
  const withMetadata = (metadata: Uint8Array) =>
    concatBytes(fromHex(metadata.length.toString(16).padStart(16, '0')), metadata)

  it('survives for any text and bytes', () => {
    const text = fc.string({ unit: 'grapheme' })
    fc.assert(
      fc.property(text, fc.option(text, { nil: undefined }), fc.uint8Array(), (mimeType, headers, payload) => {
        const value = { mimeType, headers, payload }
        assert.deepEqual(decodeSdkPayload(encodeSdkPayload(value)), value)
      }),
    )
  })

  it('refuses metadata that is no such JSON, and lengths beyond 2^53', () => {
    for (const json of ['null', '[]', '1', '{"mimeType":1}', '{"mimeType":"a","headers":1}', '{"mimeType":"a"}x', ''])
      assert.equal(decodeSdkPayload(withMetadata(utf8(json))), undefined, json)
    const notUtf8 = concatBytes(utf8('{"mimeType":"'), Uint8Array.of(0xff), utf8('"}'))
    assert.equal(decodeSdkPayload(withMetadata(notUtf8)), undefined)
    assert.equal(decodeSdkPayload(withMetadata(utf8('\ufeff{"mimeType":"a"}'))), undefined)
    assert.equal(decodeSdkPayload(fromHex('ffffffffffffffff7b7d')), undefined)
  })
})
