/** NymMessages, reply SURBs and padding: against official bytes in both directions, then the refusals. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, fromHex, toHex } from '@mixwright/runtime'
import {
  decodeNymMessage,
  decodeReplySurb,
  decodeReplySurbs,
  decodeReplySurbsV1,
  EVEN_ROTATION,
  encodeNymMessage,
  encodeReplySurb,
  encodeReplySurbs,
  formatRecipient,
  formatSenderTag,
  type NymMessage,
  parseSenderTag,
  type RepliableContent,
  type ReplySurbs,
  replyKeyDigest,
  UNKNOWN_ROTATION,
  unpadMessage,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

interface MessageVector {
  name: string
  nym_message: string
  message?: string
  recipient?: string
  amount?: number
  sender_tag?: string
  reply_surbs?: { encryption_key: string; key_digest?: string; surb: string }[]
}
interface Vectors {
  messages: MessageVector[]
  unpadding: { padded: string; why: string; accepted: boolean; kind: string; data: string }[]
}

const vectors = loadVectors<Vectors>('client-messages')
const anyPoint = () => true
const read = (hex: string) => decodeNymMessage(fromHex(hex), anyPoint)
const vectorNamed = (name: string) => vectors.messages.find((vector) => vector.name === name)!
const V1 = / v1 /

/** The data of whatever message has some. */
function dataOf(message: NymMessage): Uint8Array | undefined {
  if (message.kind === 'plain') return message.data
  return message.content.kind === 'data' ? message.content.data : undefined
}

describe('client-messages.json', () => {
  for (const vector of vectors.messages) {
    it(`reads: ${vector.name}`, () => {
      const message = read(vector.nym_message)!
      assert.equal(message.kind, vector.name.split(' ')[0])
      const data = dataOf(message)
      assert.equal(data && toHex(data), vector.message)
      if (message.kind === 'reply' && message.content.kind === 'surb-request') {
        assert.equal(formatRecipient(message.content.recipient), vector.recipient)
        assert.equal(message.content.amount, vector.amount)
      }
      if (message.kind !== 'repliable') return
      assert.equal(toHex(message.senderTag), vector.sender_tag)
      assert.equal(message.content.kind, vector.name.includes('additional') ? 'additional-surbs' : 'data')
      const { surbs, rotation } = message.content.surbs
      assert.equal(rotation, V1.test(vector.name) || surbs.length === 0 ? UNKNOWN_ROTATION : 1)
      assert.equal(surbs.length, vector.reply_surbs!.length)
      for (const [index, expected] of vector.reply_surbs!.entries()) {
        const surb = surbs[index]!
        assert.equal(toHex(surb.encryptionKey), expected.encryption_key)
        assert.equal(toHex(encodeReplySurb(surb)), expected.surb)
        assert.deepEqual(decodeReplySurb(fromHex(expected.surb)), surb)
        if (expected.key_digest) assert.equal(toHex(replyKeyDigest(surb.encryptionKey)), expected.key_digest)
      }
    })
    if (V1.test(vector.name)) continue
    it(`writes: ${vector.name}`, () =>
      assert.equal(toHex(encodeNymMessage(read(vector.nym_message)!)), vector.nym_message))
  }

  for (const { padded, why, accepted, kind, data } of vectors.unpadding)
    it(`unpads: ${why}`, () => {
      const bytes = unpadMessage(fromHex(padded))
      const message = bytes && decodeNymMessage(bytes, anyPoint)
      assert.equal(message !== undefined, accepted)
      if (message === undefined) return
      assert.equal(message.kind, kind)
      assert.equal(toHex(dataOf(message)!), data)
    })
})

describe('NymMessage', () => {
  const tag = '11'.repeat(16)
  const content = (name: string) => (read(vectorNamed(name).nym_message) as { content: RepliableContent }).content
  const twoSurbs = content('repliable data v2 with 2 surbs').surbs
  const fullKeys = content('repliable data v1 with 2 surbs').surbs

  it('refuses what is cut anywhere before its data, and unknown tags', () => {
    for (const { name, nym_message } of vectors.messages.filter(({ message }) => message === undefined))
      for (let length = 0; length < nym_message.length; length += 2)
        assert.equal(read(nym_message.slice(0, length)), undefined, `${name}, ${length / 2} bytes`)
    for (const hex of ['', '03', '0202', `01${tag}06000000`, `01${tag}ff000000`]) assert.equal(read(hex), undefined)
  })

  it('reads heartbeats of both versions, and what follows SURBs without data is ignored', () => {
    for (const hex of [`01${tag}0200000000`, `01${tag}0500000000`, `01${tag}0500000000aabb`]) {
      const message = read(hex)
      assert.deepEqual(message?.kind === 'repliable' && message.content, {
        kind: 'heartbeat',
        surbs: { rotation: UNKNOWN_ROTATION, surbs: [] },
      })
    }
    const heartbeat: NymMessage = {
      kind: 'repliable',
      senderTag: fromHex(tag),
      content: { kind: 'heartbeat', surbs: twoSurbs },
    }
    const bytes = encodeNymMessage(heartbeat)
    assert.equal(bytes[17], 5)
    assert.deepEqual(decodeNymMessage(bytes, anyPoint), heartbeat)
  })

  it('refuses a SURB request of another length, or whose address is none', () => {
    const { nym_message } = vectorNamed('reply surb request')
    assert.equal(read(`${nym_message}00`), undefined)
    assert.equal(
      decodeNymMessage(fromHex(nym_message), () => false),
      undefined,
    )
  })

  it('does not write an empty reply, nor a tag of another length', () => {
    const nothing = new Uint8Array(0)
    assert.throws(() => encodeNymMessage({ kind: 'reply', content: { kind: 'data', data: nothing } }), RangeError)
    const content: RepliableContent = { kind: 'data', surbs: { rotation: 1, surbs: [] }, data: nothing }
    assert.throws(() => encodeNymMessage({ kind: 'repliable', senderTag: nothing, content }), RangeError)
  })

  it('keeps no view of tags and SURBs', () => {
    const bytes = Buffer.from(vectorNamed('repliable data v2 with 1 surbs').nym_message, 'hex')
    const message = decodeNymMessage(bytes, anyPoint)!
    const before = toHex(encodeNymMessage(message)).slice(0, -8)
    bytes.fill(0)
    assert.equal(toHex(encodeNymMessage(message)).slice(0, -8), before)
  })

  it('sender tags as text', () => {
    const bytes = fromHex('22'.repeat(16))
    assert.equal(formatSenderTag(bytes), '5DU2L2vQsyTXuu9NEUKT3f')
    assert.deepEqual(parseSenderTag('5DU2L2vQsyTXuu9NEUKT3f'), bytes)
    for (const text of ['', 'abc', '0', '5DU2L2vQsyTXuu9NEUKT3f5DU2L2vQsyTXuu9NEUKT3f'])
      assert.equal(parseSenderTag(text), undefined)
  })

  describe('lists of reply SURBs', () => {
    it('carry rotation and hops once, and leave what follows', () => {
      const even: ReplySurbs = { ...twoSurbs, rotation: EVEN_ROTATION }
      const bytes = encodeReplySurbs(even)
      assert.equal(toHex(bytes.subarray(0, 4)), '00020402')
      assert.equal(bytes.length, 4 + 2 * 460)
      const list = decodeReplySurbs(concatBytes(bytes, Uint8Array.of(1, 2, 3)))!
      assert.deepEqual(list.replySurbs, even)
      assert.deepEqual(list.rest, Uint8Array.of(1, 2, 3))
      assert.equal(toHex(encodeReplySurbs({ rotation: EVEN_ROTATION, surbs: [] })), '00000000')
    })

    it('refuse rotations above 2, first hops that are none, hops beyond 5, and counts beyond what is there', () => {
      const bytes = encodeReplySurbs(twoSurbs)
      const mutated = (at: number, value: number) => {
        const copy = Uint8Array.from(bytes)
        copy[at] = value
        return copy
      }
      assert.notEqual(decodeReplySurbs(mutated(3, 2)), undefined)
      assert.equal(decodeReplySurbs(mutated(3, 3)), undefined)
      assert.equal(decodeReplySurbs(mutated(4 + 460 + 364, 5)), undefined)
      assert.equal(decodeReplySurbs(mutated(1, 3)), undefined)
      assert.equal(decodeReplySurbs(mutated(2, 0)), undefined)
      // Twelve seeds and one full key have the same 192 bytes.
      const twelve = new Uint8Array(4 + 396 + 192)
      twelve.set([0, 1, 12, 1])
      twelve[4 + 364] = 4
      assert.equal(decodeReplySurbs(twelve), undefined)
      assert.equal(decodeReplySurbsV1(fromHex('ffffffff00')), undefined)
    })

    it('are not written with full keys, mixed routes, or more than a u16 counts', () => {
      assert.throws(() => encodeReplySurbs(fullKeys), RangeError)
      const short = { ...twoSurbs.surbs[0]!, surb: { ...twoSurbs.surbs[0]!.surb, keys: [new Uint8Array(16)] } }
      assert.throws(() => encodeReplySurbs({ rotation: 1, surbs: [twoSurbs.surbs[0]!, short] }), RangeError)
      const many = new Array(65536).fill(short)
      assert.throws(() => encodeReplySurbs({ rotation: 1, surbs: many }), RangeError)
      assert.equal(encodeReplySurbs({ rotation: 1, surbs: [short] }).length, 4 + 396 + 16)
    })
  })
})
