import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, fromHex, SeededRandom, toHex, uniform } from '@mixwright/runtime'
import {
  decodeMixPacket,
  encodeMixPacket,
  encodeSurbAck,
  type KeyRotation,
  rotationOfId,
  splitSurbAck,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

interface MixPacketVectors {
  mix_packets: {
    key_rotation: KeyRotation
    sphinx_len: number
    v1_len: number
    v1_prefix: string
    v2_len: number
    v2_prefix: string
  }[]
}

const { mix_packets: vectors } = loadVectors<MixPacketVectors>('gateway-mix-packet')

describe('mix packets of gateway-mix-packet.json', () => {
  for (const vector of vectors) {
    it(`${vector.v2_prefix}, ${vector.sphinx_len} bytes, both layouts and directions`, () => {
      const packet = new Uint8Array(vector.sphinx_len).fill(0xa5)
      for (const version of [1, 2] as const) {
        const prefix = version === 1 ? vector.v1_prefix : vector.v2_prefix
        const bytes = concatBytes(fromHex(prefix), packet)
        assert.equal(bytes.length, version === 1 ? vector.v1_len : vector.v2_len)
        const decoded = decodeMixPacket(bytes, version)
        assert.equal(decoded.kind, 'ok')
        if (decoded.kind !== 'ok') return
        assert.equal(decoded.mixPacket.rotation, version === 1 ? 0 : vector.key_rotation)
        assert.equal(toHex(encodeMixPacket(decoded.mixPacket, version)), toHex(bytes))
      }
    })
  }
})

describe('malformed mix packets', () => {
  const good = concatBytes(fromHex(vectors[0]!.v2_prefix), new Uint8Array(2413))
  const changed = (at: number, value: number) => {
    const bytes = good.slice()
    bytes[at] = value
    return bytes
  }
  const cases: [string, Uint8Array, string][] = [
    ['nothing', new Uint8Array(0), 'too-short'],
    ['only the type', Uint8Array.of(0), 'too-short'],
    ['Outfox', changed(0, 2), 'packet-type'],
    ['the retired type', changed(0, 1), 'packet-type'],
    ['rotation 3', changed(1, 3), 'key-rotation'],
    ['address family 5', changed(2, 5), 'next-hop-address'],
    ['a cut address', good.subarray(0, 6), 'next-hop-address'],
    ['one byte less', good.subarray(0, good.length - 1), 'packet-size'],
    ['one byte more', concatBytes(good, Uint8Array.of(0)), 'packet-size'],
    ['no packet', good.subarray(0, 9), 'packet-size'],
  ]
  for (const [name, bytes, error] of cases) {
    it(name, () => assert.deepEqual(decodeMixPacket(bytes, 2), { kind: 'error', error }))
  }

  it('never throws on noise', (t) => {
    const random = new SeededRandom('mix packet fuzz')
    let accepted = 0
    const runs = 20_000
    for (let run = 0; run < runs; run++) {
      const bytes = run % 2 === 0 ? good.slice() : random.bytes(Math.floor(uniform(random) * 40))
      if (run % 2 === 0) bytes[Math.floor(uniform(random) * 12)] = random.bytes(1)[0]!
      if (decodeMixPacket(bytes, run % 4 < 2 ? 1 : 2).kind === 'ok') accepted++
    }
    t.diagnostic(`${runs} mutated mix packets, ${accepted} still acceptable`)
    assert.ok(accepted > 0 && accepted < runs / 2)
  })
})

describe('the rotation byte', () => {
  it('follows the parity of the id, with 0 and 2³²−1 unknown', () => {
    assert.deepEqual([0, 1, 2, 3, 0xffff_fffe, 0xffff_ffff].map(rotationOfId), [0, 1, 2, 1, 2, 0])
  })
})

describe('the SURB-ack', () => {
  const ack = { firstHop: { family: 4, host: '127.0.0.1', port: 1789 } as const, packet: new Uint8Array(386).fill(7) }

  it('is cut off as it was put on', () => {
    const message = Uint8Array.of(1, 2, 3)
    const split = splitSurbAck(concatBytes(encodeSurbAck(ack), message))
    assert.deepEqual(split?.ack.firstHop, ack.firstHop)
    assert.deepEqual(split?.ack.packet, ack.packet)
    assert.deepEqual(split?.message, message)
  })

  it('is refused when short or without a readable address', () => {
    assert.equal(splitSurbAck(new Uint8Array(404)), undefined)
    assert.equal(splitSurbAck(new Uint8Array(500)), undefined)
    assert.equal(splitSurbAck(encodeSurbAck(ack))?.message.length, 0)
  })
})
