import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromHex, SeededRandom, toHex, uniform } from '@mixwright/runtime'
import { parseClientRequest, parseSensitiveRequest } from '../src/gateway/client-request-parser.js'
import {
  encodeClientRequest,
  encodeServerResponse,
  open,
  openBinaryFrame,
  parseServerResponse,
  seal,
  sealBinaryFrame,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

interface MessageVectors {
  shared_key: string
  messages: Record<string, { websocket_text: string }>
  parser_results: { parser: 'ClientControlRequest' | 'ServerResponse'; result: string; text: string }[]
  encrypted_inner: { direction: string; plaintext: string; ciphertext: string; nonce: string; websocket_text: string }[]
}

interface FrameVectors {
  shared_key: string
  requests: { frame: string; kind: number; nonce: string; [plaintext: `plaintext_${string}`]: string }[]
  pushes: { frame: string; message: string; nonce: string }[]
  unencrypted: { frame: string }
}

const vectors = loadVectors<MessageVectors>('gateway-json-messages')
const frames = loadVectors<FrameVectors>('gateway-binary-frames')

/** Where JavaScript's numbers cannot tell apart what Rust's parser can, ours is the more tolerant one. */
const TOLERATED = ['"available_total":9223372036854776000', '"available_total":1e3']

describe('gateway-json-messages.json', () => {
  for (const [name, { websocket_text: text }] of Object.entries(vectors.messages)) {
    it(`${name}, both directions`, () => {
      if (name.startsWith('request/')) {
        const request = parseClientRequest(text)
        assert.ok(request)
        assert.equal(encodeClientRequest(request), text)
      } else if (name === 'response/typedError/ticket_replay') {
        assert.deepEqual(parseServerResponse(text), { type: 'error', message: 'ticket_replay' })
      } else {
        const response = parseServerResponse(text)
        assert.ok(response)
        assert.equal(encodeServerResponse(response), text)
      }
    })
  }

  for (const { parser, result, text } of vectors.parser_results) {
    it(`${parser}: ${text.slice(0, 70)}`, () => {
      const parse = parser === 'ClientControlRequest' ? parseClientRequest : parseServerResponse
      const expected = result.startsWith('ok') || TOLERATED.some((part) => text.includes(part))
      assert.equal(parse(text) !== undefined, expected)
    })
  }

  for (const vector of vectors.encrypted_inner) {
    it(`encrypted: ${vector.plaintext}`, () => {
      const key = fromHex(vectors.shared_key)
      const plaintext = open(key, fromHex(vector.nonce), fromHex(vector.ciphertext))
      assert.equal(new TextDecoder().decode(plaintext), vector.plaintext)
      assert.equal(toHex(seal(key, fromHex(vector.nonce), plaintext!)), vector.ciphertext)
      if (vector.direction === 'client-to-gateway') {
        assert.deepEqual(parseSensitiveRequest(plaintext!), JSON.parse(vector.plaintext))
        const request = parseClientRequest(vector.websocket_text)
        assert.equal(request?.type === 'encryptedRequest' && toHex(request.ciphertext), vector.ciphertext)
      } else {
        const response = parseServerResponse(vector.websocket_text)
        assert.equal(response?.type === 'encryptedResponse' && toHex(response.ciphertext), vector.ciphertext)
      }
    })
  }
})

describe('gateway-binary-frames.json', () => {
  const key = fromHex(frames.shared_key)
  const cases = [
    ...frames.requests.map((request) => {
      const plaintext =
        request.plaintext_mix_packet_v1 ?? request.plaintext_mix_packet_v2 ?? request.plaintext_mix_packet
      return { ...request, plaintext }
    }),
    ...frames.pushes.map((push) => ({ ...push, kind: 1, plaintext: push.message })),
  ]
  for (const { frame, kind, nonce, plaintext } of cases) {
    it(`kind ${kind}, ${frame.length / 2} bytes, both directions`, () => {
      const opened = openBinaryFrame(key, fromHex(frame))
      assert.equal(opened.kind, 'opened')
      if (opened.kind !== 'opened') return
      assert.equal(opened.frameKind, kind)
      assert.equal(toHex(opened.plaintext), plaintext)
      assert.equal(toHex(sealBinaryFrame(key, kind, fromHex(nonce), opened.plaintext)), frame)
    })
  }

  it('refuses plain frames, short ones, and every changed bit of a sealed one', () => {
    assert.deepEqual(openBinaryFrame(key, fromHex(frames.unencrypted.frame)), {
      kind: 'error',
      error: 'encryption-flag',
    })
    for (let length = 0; length < 14; length++) {
      assert.deepEqual(openBinaryFrame(key, new Uint8Array(length).fill(1)), { kind: 'error', error: 'too-short' })
    }
    const push = fromHex(frames.pushes[0]!.frame)
    assert.equal(openBinaryFrame(key, push.subarray(0, 14)).kind, 'error')
    for (let bit = 16; bit < push.length * 8; bit++) {
      const changed = push.slice()
      changed[bit >> 3]! ^= 1 << (bit & 7)
      assert.deepEqual(openBinaryFrame(key, changed), { kind: 'error', error: 'decryption' })
    }
  })
})

describe('mutated texts', () => {
  it('never make a parser throw', (t) => {
    const random = new SeededRandom('text fuzz')
    const texts = Object.values(vectors.messages).map(({ websocket_text }) => websocket_text)
    const runs = 20_000
    let accepted = 0
    for (let run = 0; run < runs; run++) {
      const text = texts[run % texts.length]!
      const at = Math.floor(uniform(random) * text.length)
      const insert = ['', '{', '"', '1e999', 'null', '[', '-1', '0.5', '\u0000', 'é'][Math.floor(uniform(random) * 10)]!
      const mutated = text.slice(0, at) + insert + text.slice(at + Math.floor(uniform(random) * 4))
      if (parseClientRequest(mutated) ?? parseServerResponse(mutated)) accepted++
    }
    t.diagnostic(`${runs} mutated texts, ${accepted} still acceptable`)
    assert.ok(accepted < runs / 2)
  })

  it('are refused when huge or nested', () => {
    assert.equal(parseClientRequest(`{"type":"supportedProtocol","x":"${'a'.repeat(300_000)}"}`), undefined)
    assert.equal(parseClientRequest('['.repeat(100_000)), undefined)
    assert.equal(parseClientRequest('{"type":"__proto__"}'), undefined)
  })
})
