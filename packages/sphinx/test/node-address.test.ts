/** Node addresses: the vectors in all three forms, the spellings of IPv6, and that nothing makes the decoder throw. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromHex, MixError, toHex } from '@mixwright/runtime'
import fc from 'fast-check'
import { decodeNodeAddress, encodeNodeAddress, nodeAddress } from '../src/index.js'
import { readVectors, socketText } from './vectors.js'

interface AddressVectors {
  readonly cases: {
    readonly ok: { socket: string; unpadded: string; padded_19: string; node_address_32: string }[]
    readonly errors: { bytes: string; why: string }[]
  }
}

const vectors = readVectors<AddressVectors>('sphinx-addresses').cases

describe('node addresses', () => {
  for (const vector of vectors.ok)
    it(vector.socket, () => {
      for (const form of [vector.unpadded, vector.padded_19, vector.node_address_32]) {
        const decoded = decodeNodeAddress(fromHex(form))
        assert.equal(socketText(decoded!.address), vector.socket)
        assert.equal(decoded!.length, vector.unpadded.length / 2)
      }
      const { address } = decodeNodeAddress(fromHex(vector.unpadded))!
      assert.equal(toHex(encodeNodeAddress(address)), vector.unpadded)
      assert.equal(toHex(encodeNodeAddress(address, 19)), vector.padded_19)
      assert.equal(toHex(encodeNodeAddress(address, 32)), vector.node_address_32)
      assert.deepEqual(nodeAddress(address.host, address.port), address)
    })

  for (const { bytes, why } of vectors.errors)
    it(`refuses: ${why}`, () => assert.equal(decodeNodeAddress(fromHex(bytes)), undefined))

  it('ignores what follows the used bytes', () => {
    const decoded = decodeNodeAddress(fromHex('0406fd01020304ffffffff'))
    assert.deepEqual(decoded, { address: { family: 4, host: '1.2.3.4', port: 1789 }, length: 7 })
  })

  it('writes IPv6 as RFC 5952 says', () => {
    const spellings = [
      ['2001:0DB8:0:0:0:0:0:1', '2001:db8::1'],
      ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
      ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
      ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
      ['0:0:0:0:0:0:0:0', '::'],
      ['1:0:0:0:0:0:0:0', '1::'],
      ['::ffff:c000:0201', '::ffff:192.0.2.1'],
      ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ] as const
    for (const [spelling, canonical] of spellings) assert.equal(nodeAddress(spelling, 1)?.host, canonical)
  })

  it('takes no host names, zones, brackets or sloppy numbers', () => {
    const refused = ['', 'localhost', '1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4.5', ':::', '1::2::3', '1:2:3:4:5:6:7']
    refused.push(
      '1:2:3:4:5:6:7:8:9',
      '1:2:3:4:5:6:7::8',
      'fe80::1%eth0',
      '[::1]',
      '::12345',
      '1.2.3.4::',
      ' ::1',
      ':1::',
    )
    for (const host of refused) assert.equal(nodeAddress(host, 1), undefined, host)
    for (const port of [-1, 65536, 1.5, Number.NaN]) assert.equal(nodeAddress('::1', port), undefined)
  })

  it('encoding what is no address throws', () => {
    const bad = [
      { family: 4, host: '::1', port: 1 },
      { family: 6, host: '1.2.3.4', port: 1 },
      { family: 4, host: 'localhost', port: 1 },
      { family: 4, host: '1.2.3.4', port: 65536 },
    ] as const
    for (const address of bad)
      assert.throws(
        () => encodeNodeAddress(address),
        (error) => error instanceof MixError && error.code === 'MIX_NODE_ADDRESS',
      )
  })

  it('encode ∘ decode is the identity on every address', () => {
    const octets = (length: number) =>
      fc.array(fc.oneof(fc.constant(0), fc.nat(255)), { minLength: length, maxLength: length })
    fc.assert(
      fc.property(fc.nat(65535), fc.oneof(octets(4), octets(16)), (port, ip) => {
        const bytes = Uint8Array.from([ip.length === 4 ? 4 : 6, port >> 8, port & 0xff, ...ip])
        assert.deepEqual(encodeNodeAddress(decodeNodeAddress(bytes)!.address), bytes)
      }),
      { numRuns: 1000 },
    )
  })

  it('never throws on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void decodeNodeAddress(bytes)),
      { numRuns: 1000 },
    )
  })
})
