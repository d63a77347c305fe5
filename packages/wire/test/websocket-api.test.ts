/** The local websocket of nym-client: official frames in both directions and the exact errors, then our own additions. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromHex, toHex, utf8 } from '@mixwright/runtime'
import fc from 'fast-check'
import {
  type ApiError,
  decodeWebsocketRequest,
  decodeWebsocketResponse,
  encodeWebsocketRequest,
  encodeWebsocketResponse,
  formatWebsocketRequest,
  formatWebsocketResponse,
  parseRecipient,
  parseWebsocketRequest,
  parseWebsocketResponse,
  type WebsocketRequest,
  type WebsocketResponse,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

interface Vectors {
  address: string
  requests: { name: string; binary: string }[]
  responses: { name: string; binary: string; text: string }[]
  text_requests: {
    text: string
    accepted: boolean
    as_binary?: string
    error_response_text?: string
    error_response_binary?: string
  }[]
  malformed_binary: { binary: string; accepted: boolean; as_binary?: string; error_response_binary?: string }[]
}

const vectors = loadVectors<Vectors>('client-websocket')
const anyPoint = () => true
const { address } = vectors
const recipient = parseRecipient(address, anyPoint)!

function accepted(request: WebsocketRequest | ApiError): WebsocketRequest {
  if (request.kind === 'error') assert.fail(request.message)
  return request
}
function refused(request: WebsocketRequest | ApiError): ApiError {
  if (request.kind !== 'error') assert.fail(`accepted: ${request.kind}`)
  return request
}
const parse = (text: string) => parseWebsocketRequest(text, anyPoint)
const decode = (bytes: Uint8Array) => decodeWebsocketRequest(bytes, anyPoint)

describe('client-websocket.json', () => {
  for (const { name, binary } of vectors.requests)
    it(`request, ${name}: both ways, and through text`, () => {
      const request = accepted(decode(fromHex(binary)))
      assert.equal(toHex(encodeWebsocketRequest(request)), binary)
      assert.deepEqual(accepted(parse(formatWebsocketRequest(request))), request)
    })

  for (const { name, binary, text } of vectors.responses)
    it(`response, ${name}: both ways in both forms`, () => {
      const response = decodeWebsocketResponse(fromHex(binary), anyPoint)
      assert.equal(toHex(encodeWebsocketResponse(response)), binary)
      assert.equal(formatWebsocketResponse(response), text)
      const fromText = parseWebsocketResponse(text, anyPoint)
      assert.equal(formatWebsocketResponse(fromText), text)
      if (!text.includes('\ufffd')) assert.deepEqual(fromText, response)
    })

  // Official daemons have no text form of these two; ours does.
  const ours = /closedConnection|getLaneQueueLength/
  for (const vector of vectors.text_requests)
    it(`text ${vector.text.slice(0, 60)}`, () => {
      if (ours.test(vector.text)) return void accepted(parse(vector.text))
      if (vector.accepted)
        return assert.equal(toHex(encodeWebsocketRequest(accepted(parse(vector.text)))), vector.as_binary)
      const error = refused(parse(vector.text))
      assert.equal(formatWebsocketResponse(error), vector.error_response_text)
      assert.equal(toHex(encodeWebsocketResponse(error)), vector.error_response_binary)
    })

  for (const vector of vectors.malformed_binary)
    it(`bytes ${vector.binary.slice(0, 60) || '(none)'}`, () => {
      const request = decode(fromHex(vector.binary))
      if (vector.accepted) return assert.equal(toHex(encodeWebsocketRequest(accepted(request))), vector.as_binary)
      assert.equal(toHex(encodeWebsocketResponse(refused(request))), vector.error_response_binary)
    })
})

describe('requests', () => {
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
  const message = { data: fc.string({ unit: 'grapheme' }).map(utf8), connectionId: fc.option(u64, { nil: undefined }) }
  const senderTag = fc.uint8Array({ minLength: 16, maxLength: 16 })
  const plain = { noNullPrototype: true }
  const anyRequest: fc.Arbitrary<WebsocketRequest> = fc.oneof(
    fc.record({ kind: fc.constant('send' as const), recipient: fc.constant(recipient), ...message }, plain),
    fc.record(
      {
        kind: fc.constant('send-anonymous' as const),
        recipient: fc.constant(recipient),
        replySurbs: fc.integer({ min: 0, max: 0xffff_ffff }),
        ...message,
      },
      plain,
    ),
    fc.record({ kind: fc.constant('reply' as const), senderTag, ...message }, plain),
    fc.constant({ kind: 'self-address' as const }),
    fc.record({ kind: fc.constantFrom('closed-connection', 'get-lane-queue-length'), connectionId: u64 }, plain),
  )

  it('survive in both forms, 64-bit numbers exactly', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        assert.deepEqual(parse(formatWebsocketRequest(request)), request)
        // In bytes 0 says "none", for messages.
        if ('data' in request && request.connectionId === 0n) return
        assert.deepEqual(decode(encodeWebsocketRequest(request)), request)
      }),
    )
  })

  it('text: connection 0 is one, null and absent are none, numbers above 2^53 are not rounded', () => {
    const withId = (id: string) => {
      const request = accepted(parse(`{"type":"send","message":"x","recipient":"${address}"${id}}`))
      return request.kind === 'send' && request.connectionId
    }
    assert.equal(withId(',"connectionId":0'), 0n)
    assert.equal(withId(',"connectionId":null'), undefined)
    assert.equal(withId(''), undefined)
    assert.equal(withId(',"connectionId":9007199254740993'), 9007199254740993n)
    assert.equal(withId(',"connectionId":18446744073709551615'), 2n ** 64n - 1n)
  })

  it('text: members in any order, escapes, white space, unknown members of any shape', () => {
    const text = ` {"extra" : {"type":["x",{"a":[]}, -1.5e+3, true, false, null]},\n\t"message":"a\\"b\\\\\\u00e9\\n",
      "recipient":"${address}", "type":"send"} \r\n`
    const request = accepted(parse(text))
    assert.deepEqual(request, { kind: 'send', recipient, data: utf8('a"b\\é\n'), connectionId: undefined })
  })

  it('text: data that is no UTF-8 becomes U+FFFD, a byte order mark stays', () => {
    const send = (data: Uint8Array) =>
      accepted(parse(formatWebsocketRequest({ kind: 'send', recipient, data, connectionId: undefined })))
    assert.deepEqual(send(Uint8Array.of(0xff, 0x41)), {
      kind: 'send',
      recipient,
      data: utf8('\ufffdA'),
      connectionId: undefined,
    })
    const marked = Uint8Array.of(0xef, 0xbb, 0xbf, 0x41)
    assert.deepEqual(send(marked), { kind: 'send', recipient, data: marked, connectionId: undefined })
  })

  it('text: what is refused, and where the fault is', () => {
    const reasons: [string, RegExp][] = [
      ['', /EOF while parsing a value at line 1 column 0$/],
      ['null', /missing field `type`/],
      ['{"type":1}', /invalid type: integer `1`, expected a string/],
      ['{"type":"selfAddress"', /expected `,` or `}` at line 1 column 21$/],
      ['{"type":"selfAddress"}x', /trailing characters at line 1 column 23$/],
      ['{"type":"selfAddress",}', /key must be a string at line 1 column 23$/],
      ['{\n"type":"nothing"}', /unknown variant `nothing`, expected one of `send`, .* at line 2 column 16$/],
      ['{"type" "send"}', /expected `:`/],
      ['{"type":"send}', /EOF while parsing a string/],
      ['{"type":"\\x"}', /invalid escape/],
      ['{"type":"a\nb"}', /control character/],
      ['{"type":"selfAddress","type":"send"}', /duplicate field `type`/],
      ['{"type":"selfAddress","a":[1 2]}', /expected `,` or `\]`/],
      ['{"type":"selfAddress","a":01}', /expected `,` or `}`/],
      ['{"type":"selfAddress","a":-}', /expected value/],
      ['{"type":"selfAddress","a":tru}', /expected ident/],
      ['{"type":"reply","message":"x","senderTag":"0OIl"}', /no base58/],
      ['{"type":"closedConnection"}', /missing field `connectionId`/],
      ['{"type":"getLaneQueueLength","connectionId":-1}', /invalid value: integer `-1`, expected u64/],
      ['{"type":"getLaneQueueLength","connectionId":18446744073709551616}', /floating point .*, expected u64/],
      ['{"type":"getLaneQueueLength","connectionId":1.0}', /floating point .*, expected u64/],
      [`{"type":"sendAnonymous","message":"","recipient":"${address}","replySurbs":4294967296}`, /expected u32/],
      [`{"type":"send","message":null,"recipient":"${address}"}`, /invalid type: null, expected a string/],
      [`{"type":"send","message":"","recipient":"0${address}"}`, /recipient is malformed/],
    ]
    for (const [text, reason] of reasons) {
      const error = refused(parse(text))
      assert.equal(error.error, 'malformed-request')
      assert.match(error.message, reason, text)
    }
  })

  it('text: nesting is bounded, and size costs linear time only', () => {
    const nested = (depth: number) => `{"type":"selfAddress","a":${'['.repeat(depth)}${']'.repeat(depth)}}`
    accepted(parse(nested(127)))
    assert.match(refused(parse(nested(128))).message, /recursion limit exceeded/)
    refused(parse('['.repeat(1_000_000)))
    for (const filler of ['\\"', '\\\\', 'é', '"', '\n', '9'])
      refused(parse(`{"type":"nothing","a":"${filler.repeat(500_000)}`))
    refused(parse(`{"type":"nothing","a":${'9'.repeat(1_000_000)}}`))
  })

  it('bytes: a recipient whose keys are no curve points', () => {
    const { binary } = vectors.requests[0]!
    const error = refused(decodeWebsocketRequest(fromHex(binary), () => false))
    assert.equal(error.error, 'malformed-request')
  })
})

describe('responses', () => {
  const parseAnswer = (text: string) => parseWebsocketResponse(text, anyPoint)
  const decodeAnswer = (bytes: Uint8Array) => decodeWebsocketResponse(bytes, anyPoint)

  it('every error kind survives in both forms', () => {
    for (const byte of [0x01, 0x02, 0x03, 0x04, 0x80, 0x81, 0x82, 0x83, 0xff]) {
      const bytes = fromHex(`00${byte.toString(16).padStart(2, '0')}00000000000000027061`)
      const error = decodeAnswer(bytes)
      assert.deepEqual(encodeWebsocketResponse(error), bytes)
      assert.deepEqual(parseAnswer(formatWebsocketResponse(error)), error)
      assert.equal(error.kind === 'error' && error.message, 'pa')
    }
    const foreign: WebsocketResponse = { kind: 'error', error: 'other', message: 'words without a kind' }
    assert.deepEqual(parseAnswer('{"type":"error","message":"words without a kind"}'), foreign)
  })

  it('64-bit numbers are exact in text', () => {
    const response: WebsocketResponse = { kind: 'lane-queue-length', lane: 2n ** 64n - 1n, queueLength: 2n ** 53n + 1n }
    assert.deepEqual(parseAnswer(formatWebsocketResponse(response)), response)
    assert.deepEqual(decodeAnswer(encodeWebsocketResponse(response)), response)
  })

  it('what cannot be read becomes an error of the kinds from 0x80 on', () => {
    const kindOf = (response: WebsocketResponse) => response.kind === 'error' && response.error
    assert.equal(kindOf(decodeAnswer(new Uint8Array(0))), 'empty-response')
    assert.equal(kindOf(decodeAnswer(Uint8Array.of(9))), 'unknown-response')
    for (const hex of ['00', '0004', '01', '0100', '0101', '02aa', '03', '0300'])
      assert.equal(kindOf(decodeAnswer(fromHex(hex))), 'too-short-response', hex)
    const malformed = ['00050000000000000000', '000400000000000000ff', '01000000000000000005aa', '02'.padEnd(20, '0')]
    for (const hex of malformed.slice(0, 3)) assert.equal(kindOf(decodeAnswer(fromHex(hex))), 'malformed-response', hex)
    assert.equal(kindOf(decodeAnswer(fromHex('01020000000000000000'))), 'malformed-response')
    for (const text of ['{}', '{"type":"x"}', 'x', '{"type":"received","message":"a","senderTag":"abc"}'])
      assert.equal(kindOf(parseAnswer(text)), 'malformed-response', text)
    assert.equal(kindOf(parseAnswer('{"type":"selfAddress","address":"x"}')), 'malformed-response')
    assert.equal(kindOf(parseAnswer('{"type":"laneQueueLength","lane":1}')), 'malformed-response')
  })
})
