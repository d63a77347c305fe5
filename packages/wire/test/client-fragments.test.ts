/** Fragments and how messages are cut: against official bytes, then the whole arithmetic by properties. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, fromHex, type Random, SeededRandom, toHex } from '@mixwright/runtime'
import fc from 'fast-check'
import {
  ChunkedMessage,
  COVER_FRAGMENT_IDENTIFIER,
  decodeFragment,
  decodeFragmentIdentifier,
  drawSetId,
  encodeFragmentIdentifier,
  requiredFragments,
  unpadMessage,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

interface FragmentVector {
  header: string
  payload_offset: number
  payload_len: number
  set_id: number
  total: number
  current: number
  previous_set_id: number | null
  next_set_id: number | null
  fragment_identifier: string
}
type Case =
  | {
      kind: 'plain_message_padded_and_split'
      message_len: number
      plaintext_per_packet: number
      padded_len: number
      fragments: FragmentVector[]
      fragment_bytes?: string[]
    }
  | {
      kind: 'raw_split'
      message_len: number
      plaintext_per_fragment: number
      sets: { set_id: number; fragments_in_set: number; first_two_and_last_two: FragmentVector[] }[]
      required_fragments: number
      space_left: number
    }
interface Vectors {
  cases: Case[]
  full_two_set_example: { message_len: number; plaintext_per_fragment: number; fragments: string[] }
  malformed: { bytes: string; why: string; official_accepts: boolean }[]
  required_fragments_table: { plaintext_per_packet: number; len: number; fragments: number; space_left: number }[]
}

const vectors = loadVectors<Vectors>('client-fragments')

/** The message bytes of the vectors. */
const messageOf = (length: number) => Uint8Array.from({ length }, (_, i) => (31 * i + 7 * (i >> 8) + 5) % 256)

const cutAll = (message: ChunkedMessage) => Array.from({ length: message.fragments }, (_, i) => message.fragment(i))

function assertFragment(chunked: ChunkedMessage, index: number, expected: FragmentVector): void {
  const bytes = chunked.fragment(index)
  const fragment = decodeFragment(bytes)!
  assert.equal(toHex(bytes.subarray(0, expected.header.length / 2)), expected.header)
  assert.equal(fragment.payload.length, bytes.length - expected.header.length / 2)
  assert.equal(fragment.setId, expected.set_id)
  assert.equal(fragment.total, expected.total)
  assert.equal(fragment.position, expected.current)
  assert.equal(fragment.previousSetId ?? null, expected.previous_set_id)
  assert.equal(fragment.nextSetId ?? null, expected.next_set_id)
  const identifier = fromHex(expected.fragment_identifier)
  assert.deepEqual(encodeFragmentIdentifier(chunked.identifier(index)), identifier)
  assert.deepEqual(decodeFragmentIdentifier(identifier), chunked.identifier(index))
}

describe('client-fragments.json', () => {
  for (const vector of vectors.cases) {
    it(`${vector.kind} of ${vector.message_len} bytes`, () => {
      const message = messageOf(vector.message_len)
      if (vector.kind === 'plain_message_padded_and_split') {
        const nymMessage = concatBytes(Uint8Array.of(0), message)
        const setIds = [vector.fragments[0]!.set_id]
        const chunked = ChunkedMessage.resume(nymMessage, vector.plaintext_per_packet, setIds)
        assert.equal(chunked.fragments, vector.fragments.length)
        const padded = concatBytes(...cutAll(chunked).map((bytes) => decodeFragment(bytes)!.payload))
        assert.equal(padded.length, vector.padded_len)
        assert.deepEqual(unpadMessage(padded), nymMessage)
        for (const [index, expected] of vector.fragments.entries()) {
          assertFragment(chunked, index, expected)
          const { payload_offset: offset, payload_len: length } = expected
          assert.deepEqual(decodeFragment(chunked.fragment(index))!.payload, padded.slice(offset, offset + length))
        }
        if (vector.fragment_bytes !== undefined) assert.deepEqual(cutAll(chunked).map(toHex), vector.fragment_bytes)
        return
      }
      // Split without padding: ours differ in the last byte (the marker) and in that the last fragment is full.
      const { sets, plaintext_per_fragment: space } = vector
      const setIds = sets.map((set) => set.set_id)
      const chunked = ChunkedMessage.resume(message.subarray(0, -1), space, setIds)
      assert.equal(chunked.fragments, vector.required_fragments)
      assert.deepEqual(requiredFragments(vector.message_len, space), {
        fragments: vector.required_fragments,
        spaceLeft: vector.space_left,
      })
      for (const [set, { first_two_and_last_two: listed }] of sets.entries())
        for (const expected of listed) {
          const index = 255 * set + expected.current - 1
          assertFragment(chunked, index, expected)
          const { payload_offset: offset, payload_len: length } = expected
          const payload = decodeFragment(chunked.fragment(index))!.payload.slice(0, length)
          const official = message.slice(offset, offset + length)
          if (offset + length === message.length) official[length - 1] = 1
          assert.deepEqual(payload, official)
        }
    })
  }

  it('one message of two sets, every byte', () => {
    const { message_len, plaintext_per_fragment, fragments } = vectors.full_two_set_example
    const ids = [0, 255].map((index) => decodeFragment(fromHex(fragments[index]!))!.setId)
    const chunked = ChunkedMessage.resume(messageOf(message_len - 1), plaintext_per_fragment, ids)
    const ours = cutAll(chunked).map(toHex)
    const last = ours.length - 1
    assert.deepEqual(ours.slice(0, last), fragments.slice(0, last))
    const officialLast = fragments[last]!
    assert.equal(ours[last]!.slice(0, officialLast.length - 2), officialLast.slice(0, -2))
  })

  for (const { bytes, why, official_accepts } of vectors.malformed)
    it(`${official_accepts ? 'takes' : 'refuses'}: ${why}`, () =>
      assert.equal(decodeFragment(fromHex(bytes)) !== undefined, official_accepts))

  it('table of required fragments', () => {
    for (const { plaintext_per_packet, len, fragments, space_left } of vectors.required_fragments_table)
      assert.deepEqual(requiredFragments(len, plaintext_per_packet), { fragments, spaceLeft: space_left })
  })
})

/** The sums of §4.5.2 as the book writes them, case by case. */
function requiredByTheBook(n: number, space: number): { fragments: number; spaceLeft: number } {
  const [U, L] = [space - 7, space - 10]
  const S1 = 255 * U
  const [E, M] = [S1 - 3, S1 - 6]
  const sets = n <= S1 ? 1 : n <= 2 * E ? 2 : Math.ceil((n - 2 * E) / M) + 2
  if (sets === 1)
    return n < U ? { fragments: 1, spaceLeft: U - n } : { fragments: Math.ceil(n / U), spaceLeft: (U - (n % U)) % U }
  const full = 255 * (sets - 1)
  const linkedFull = 2 * sets - 3
  const last = n - linkedFull * L - (full - linkedFull) * U
  if (last <= L) return { fragments: full + 1, spaceLeft: L - last }
  const rest = last - L
  return { fragments: full + 1 + Math.ceil(rest / U), spaceLeft: (U - (rest % U)) % U }
}

/** Lengths at and around every border of the arithmetic. */
const spaceAndLength = fc.integer({ min: 12, max: 40 }).chain((space) => {
  const S1 = 255 * (space - 7)
  const borders = [0, space - 10, space - 7, S1 - 6, S1 - 3, S1, 2 * S1 - 6, 3 * S1 - 12, 4 * S1 - 18]
  const near = fc.tuple(fc.constantFrom(...borders), fc.integer({ min: -3, max: 3 })).map(([at, d]) => at + d)
  const length = fc.oneof(near, fc.integer({ min: 0, max: 4 * S1 })).map((n) => Math.max(0, n))
  return length.map((n) => ({ space, length: n }))
})

describe('chunking', () => {
  it('counts as the book does', () => {
    fc.assert(
      fc.property(spaceAndLength, ({ space, length }) => {
        assert.deepEqual(requiredFragments(length, space), requiredByTheBook(length, space))
      }),
      { numRuns: 2000 },
    )
  })

  it('gives fragments of the full space whose payloads are the message, the marker and zeros', () => {
    fc.assert(
      fc.property(spaceAndLength, fc.string(), ({ space, length }, seed) => {
        const message = new SeededRandom(seed).bytes(length)
        const chunked = ChunkedMessage.cut(message, space, new SeededRandom(seed))
        const { fragments, spaceLeft } = requiredFragments(length + 1, space)
        assert.equal(chunked.fragments, fragments)
        assert.equal(new Set(chunked.setIds).size, Math.ceil(fragments / 255))
        const payloads: Uint8Array[] = []
        for (let index = 0; index < fragments; index++) {
          const bytes = chunked.fragment(index)
          assert.equal(bytes.length, space)
          const { payload, ...header } = decodeFragment(bytes)!
          payloads.push(payload)
          const set = Math.floor(index / 255)
          assert.deepEqual({ setId: header.setId, position: header.position }, chunked.identifier(index))
          assert.equal(header.total, Math.min(255, fragments - 255 * set))
          assert.equal(header.previousSetId, index % 255 === 0 ? chunked.setIds[set - 1] : undefined)
          assert.equal(header.nextSetId, index % 255 === 254 ? chunked.setIds[set + 1] : undefined)
        }
        const padded = concatBytes(...payloads)
        assert.deepEqual(padded, concatBytes(message, Uint8Array.of(1), new Uint8Array(spaceLeft)))
        if (length > 0) assert.deepEqual(unpadMessage(padded), message)
      }),
      { numRuns: 60 },
    )
  })

  it('resumes to the same fragments, and refuses a wrong number of ids and fragments that are not there', () => {
    const message = new SeededRandom('m').bytes(5000)
    const chunked = ChunkedMessage.cut(message, 20, new SeededRandom('ids'))
    assert.equal(chunked.setIds.length, 2)
    assert.deepEqual(cutAll(ChunkedMessage.resume(message, 20, chunked.setIds)), cutAll(chunked))
    assert.throws(() => ChunkedMessage.resume(message, 20, [1]), RangeError)
    for (const index of [-1, chunked.fragments, 0.5]) {
      assert.throws(() => chunked.fragment(index), RangeError)
      assert.throws(() => chunked.identifier(index), RangeError)
    }
  })

  it('draws distinct set ids from randomness that repeats', () => {
    const words = [7, 7, -7, 9]
    const chunked = ChunkedMessage.cut(new Uint8Array(3400), 20, words32(words))
    assert.deepEqual(chunked.setIds, [7, 9])
  })
})

/** Randomness that says these 32-bit words. */
function words32(words: number[]): Random {
  const random: Random = {
    bytes(length) {
      assert.equal(length, 4)
      const out = new Uint8Array(4)
      new DataView(out.buffer).setInt32(0, words.shift()!)
      return out
    },
    fork: () => random,
  }
  return random
}

describe('set ids and identifiers', () => {
  it('are absolute values, drawn again where that is no id', () => {
    assert.equal(drawSetId(words32([5])), 5)
    assert.equal(drawSetId(words32([-5])), 5)
    assert.equal(drawSetId(words32([0, -(2 ** 31), -(2 ** 31) + 1])), 0x7fff_ffff)
  })

  it('survive both ways, cover too; other lengths and the top bit are refused', () => {
    for (const id of [COVER_FRAGMENT_IDENTIFIER, { setId: 0x7fff_ffff, position: 255 }, { setId: 256, position: 1 }])
      assert.deepEqual(decodeFragmentIdentifier(encodeFragmentIdentifier(id)), id)
    for (const bytes of ['', '00000001', '000000010101', '8000000101'])
      assert.equal(decodeFragmentIdentifier(fromHex(bytes)), undefined)
  })

  it('an unlinked fragment of 7 bytes has an empty payload, and a Buffer is read as it is', () => {
    assert.equal(decodeFragment(fromHex('80000001010100'))?.payload.length, 0)
    assert.equal(decodeFragment(Buffer.from('80000001ffff80000002aa', 'hex'))?.nextSetId, 2)
  })
})
