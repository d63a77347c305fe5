/** Mutated bytes and texts for every decoder of the client: a value or undefined, never an exception. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, fromHex } from '@mixwright/runtime'
import fc from 'fast-check'
import {
  decodeFragment,
  decodeFragmentIdentifier,
  decodeNymMessage,
  decodeReplySurb,
  decodeReplySurbs,
  decodeReplySurbsV1,
  decodeSdkPayload,
  decodeWebsocketRequest,
  decodeWebsocketResponse,
  encodeNymMessage,
  encodeReplySurb,
  encodeReplySurbs,
  encodeSdkPayload,
  encodeWebsocketRequest,
  encodeWebsocketResponse,
  formatWebsocketRequest,
  formatWebsocketResponse,
  isCover,
  openAck,
  parseSenderTag,
  parseWebsocketRequest,
  parseWebsocketResponse,
  splitPushedMessage,
  unpadMessage,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

/** Every text of a vector file that is hexadecimal, or that is not. */
function textsOf(name: string): { hex: string[]; text: string[] } {
  const found = { hex: [] as string[], text: [] as string[] }
  const walk = (value: unknown): void => {
    if (typeof value === 'string') found[/^(?:[0-9a-f]{2})*$/.test(value) ? 'hex' : 'text'].push(value)
    else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) walk(inner)
  }
  walk(loadVectors(name))
  return found
}

const files = ['client-fragments', 'client-messages', 'client-crypto', 'client-npm-payload', 'client-websocket']
const seeds = files.map(textsOf)
const textSeeds = seeds.flatMap(({ text }) => text)
const byteSeeds = seeds.map(({ hex }) => hex.map(fromHex))
// And what follows the content tag of every repliable message: lists of SURBs.
byteSeeds.push(byteSeeds.flatMap((all) => all.filter((bytes) => bytes[0] === 1).map((bytes) => bytes.subarray(18))))

/** Byte values that are lengths, tags and flags somewhere. */
const telling = fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 0x7f, 0x80, 0xff), fc.integer({ min: 0, max: 255 }))
const mutatedBytes = fc
  .record({
    seed: fc.oneof(...byteSeeds.map((seeds) => fc.constantFrom(...seeds))),
    edits: fc.array(fc.tuple(fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 5000 })), telling), { maxLength: 4 }),
    cut: fc.option(fc.nat({ max: 5000 })),
    tail: fc.uint8Array({ maxLength: 20 }),
  })
  .map(({ seed, edits, cut, tail }) => {
    const bytes = concatBytes(cut === null ? seed : seed.subarray(0, cut), tail)
    for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value
    return bytes
  })
const mutatedText = fc
  .record({
    seed: fc.constantFrom(...textSeeds),
    at: fc.nat({ max: 400 }),
    length: fc.nat({ max: 3 }),
    insert: fc.string(),
  })
  .map(({ seed, at, length, insert }) => seed.slice(0, at) + insert + seed.slice(at + length))

const anyPoint = (key: Uint8Array) => key[0]! < 200
const key = new Uint8Array(16)

describe('mutation fuzz', () => {
  const decoders: Record<string, (bytes: Uint8Array) => unknown> = {
    decodeFragment,
    decodeFragmentIdentifier,
    decodeReplySurbs,
    decodeReplySurbsV1,
    isCover,
    splitPushedMessage,
    unpadMessage,
    decodeNymMessage: (bytes) => decodeNymMessage(bytes, anyPoint),
    openAck: (bytes) => openAck(key, bytes),
  }
  for (const [name, decoder] of Object.entries(decoders))
    it(name, () =>
      fc.assert(
        fc.property(mutatedBytes, (bytes) => void decoder(Buffer.from(bytes))),
        { numRuns: 20_000 },
      ),
    )

  it('what is read is written as it was, where the form is the one we write', () => {
    const accepted = { message: 0, surb: 0, surbs: 0, payload: 0, request: 0, response: 0 }
    fc.assert(
      fc.property(mutatedBytes, (bytes) => {
        const message = decodeNymMessage(bytes, anyPoint)
        const isV1 = bytes[0] === 1 && bytes[17]! < 3
        if (message !== undefined && !isV1) {
          accepted.message++
          assert.deepEqual(decodeNymMessage(encodeNymMessage(message), anyPoint), message)
        }
        const surb = decodeReplySurb(bytes)
        if (surb !== undefined) {
          accepted.surb++
          assert.deepEqual(encodeReplySurb(surb), bytes)
        }
        const list = decodeReplySurbs(bytes)
        if (list !== undefined && list.replySurbs.surbs.length > 0) {
          accepted.surbs++
          assert.deepEqual(concatBytes(encodeReplySurbs(list.replySurbs), list.rest), bytes)
        }
        const payload = decodeSdkPayload(bytes)
        if (payload !== undefined) {
          accepted.payload++
          assert.deepEqual(decodeSdkPayload(encodeSdkPayload(payload)), payload)
        }
        const request = decodeWebsocketRequest(bytes, anyPoint)
        if (request.kind !== 'error' && request.kind !== 'self-address') {
          accepted.request++
          assert.deepEqual(encodeWebsocketRequest(request), bytes)
        }
        const response = decodeWebsocketResponse(bytes, anyPoint)
        if (response.kind !== 'error') {
          accepted.response++
          assert.deepEqual(encodeWebsocketResponse(response), bytes)
        }
      }),
      { numRuns: 60_000 },
    )
    for (const [what, times] of Object.entries(accepted)) assert.notEqual(times, 0, `no ${what} was ever accepted`)
  })

  it('texts', () => {
    let accepted = 0
    fc.assert(
      fc.property(mutatedText, (text) => {
        parseSenderTag(text)
        const request = parseWebsocketRequest(text, anyPoint)
        if (request.kind !== 'error') {
          accepted++
          assert.deepEqual(parseWebsocketRequest(formatWebsocketRequest(request), anyPoint), request)
        }
        const response = parseWebsocketResponse(text, anyPoint)
        assert.deepEqual(parseWebsocketResponse(formatWebsocketResponse(response), anyPoint), response)
      }),
      { numRuns: 20_000 },
    )
    assert.notEqual(accepted, 0)
  })

  it('JSON is accepted exactly where JSON.parse accepts it', () => {
    const around = (json: string) => `{"type":"selfAddress","x":${json}}`
    const isJson = (text: string) => {
      try {
        JSON.parse(text)
        return true
      } catch {
        return false
      }
    }
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      'n',
      '0',
      '-',
      '1.5',
      'e',
      '+',
      'true',
      'null',
      '"a":',
      ' ',
      '\n',
      '\u0001',
    )
    const json = fc.oneof(
      fc.array(pieces, { maxLength: 8 }).map((parts) => parts.join('')),
      fc.json(),
      fc.json().chain((text) => fc.nat({ max: text.length }).map((at) => text.slice(0, at) + text.slice(at + 1))),
    )
    fc.assert(
      fc.property(json, (text) => {
        const fake = text.includes('"type"') || text.includes('"x"')
        const request = parseWebsocketRequest(around(text), anyPoint)
        if (!fake) assert.equal(request.kind === 'self-address', isJson(around(text)), text)
      }),
      { numRuns: 10_000 },
    )
  })
})
