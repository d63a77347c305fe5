/** The state machine of the SOCKS door: what each message means, whatever cut it comes in. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concatBytes, fromHex, toHex, utf8 } from '@mixwright/runtime'
import fc from 'fast-check'
import { SocksHandshake, type SocksRefusal, type SocksRequest } from '../src/socks5/handshake.js'

interface Seen {
  readonly answer: string
  readonly outcome: SocksRequest | SocksRefusal | undefined
}

/** Push the parts; what comes after the outcome is data, too. */
function play(parts: readonly Uint8Array[]): Seen {
  const handshake = new SocksHandshake()
  let answer = ''
  for (const [index, part] of parts.entries()) {
    const step = handshake.push(part)
    answer += toHex(step.answer)
    const { outcome } = step
    if (outcome?.kind === 'connect')
      return { answer, outcome: { ...outcome, rest: concatBytes(outcome.rest, ...parts.slice(index + 1)) } }
    if (outcome) return { answer, outcome }
  }
  return { answer, outcome: undefined }
}

const hex = (...parts: readonly (string | Uint8Array)[]) =>
  concatBytes(...parts.map((part) => (typeof part === 'string' ? fromHex(part.replaceAll(' ', '')) : part)))
const text = (value: string) => concatBytes(Uint8Array.of(value.length), utf8(value))
const NONE = '05 01 00'
const EXAMPLE = hex('05 01 00 03', text('example.org'), '01 bb')

const requests: readonly (readonly [string, Uint8Array, string, number, string])[] = [
  ['a name', hex(NONE, EXAMPLE), 'example.org', 443, '0500'],
  ['IPv4', hex(NONE, '05 01 00 01 c0 00 02 07 00 50'), '192.0.2.7', 80, '0500'],
  [
    'IPv6',
    hex(NONE, '05 01 00 04 2001 0db8 0000 0000 0000 0000 0000 0001 ffff'),
    '2001:db8:0:0:0:0:0:1',
    65535,
    '0500',
  ],
  ['a name of 255 bytes', hex(NONE, '05 01 ff 03', text('x'.repeat(255)), '00 01'), 'x'.repeat(255), 1, '0500'],
  ['many methods', hex('05 03 01 00 80', EXAMPLE), 'example.org', 443, '0500'],
  ['SOCKS4', hex('04 01 00 50 c0 00 02 07', utf8('me'), '00'), '192.0.2.7', 80, ''],
  ['SOCKS4 without an address', hex('04 01 00 50 00 00 00 00 00'), '0.0.0.0', 80, ''],
  ['SOCKS4a', hex('04 01 01 bb 00 00 00 01 00', utf8('example.org'), '00'), 'example.org', 443, ''],
]

const refusals: readonly (readonly [string, Uint8Array, SocksRefusal['reason'], string])[] = [
  ['HTTP', utf8('GET / HTTP/1.1\r\n'), 'not-socks', ''],
  ['no known method', hex('05 02 01 80'), 'no-method', '05ff'],
  ['no method at all', hex('05 00'), 'no-method', '05ff'],
  ['BIND', hex(NONE, '05 02 00 01 c0000207 0050'), 'command', '050005070001 7f000001 0000'],
  ['UDP ASSOCIATE', hex(NONE, '05 03 00 03', text('x'), '0050'), 'command', '050005070001 7f000001 0000'],
  ['an unknown type', hex(NONE, '05 01 00 02 c0000207 0050'), 'address-type', '050005080001 7f000001 0000'],
  ['an empty name', hex(NONE, '05 01 00 03 00 0050'), 'malformed', '050005010001 7f000001 0000'],
  ['a blank in a name', hex(NONE, '05 01 00 03', text('a b'), '0050'), 'malformed', '050005010001 7f000001 0000'],
  ['a line in a name', hex(NONE, '05 01 00 03', text('a\nb'), '0050'), 'malformed', '050005010001 7f000001 0000'],
  ['no UTF-8', hex(NONE, '05 01 00 03 01 ff 0050'), 'malformed', '050005010001 7f000001 0000'],
  ['another version behind', hex(NONE, '04 01 00 01 c0000207 0050'), 'malformed', '050005010001 7f000001 0000'],
  ['another log-in', hex('05 01 02', '02 01 61 01 62'), 'malformed', '05020101'],
  ['SOCKS4 BIND', hex('04 02 0050 c0000207 00'), 'command', '005b0000 7f000001'],
  ['a long user id', hex('04 01 0050 c0000207', utf8('x'.repeat(256)), '00'), 'malformed', '005b0000 7f000001'],
  ['a long name in SOCKS4a', hex('04 01 0050 00000001 00', utf8('x'.repeat(256))), 'malformed', '005b0000 7f000001'],
  ['an empty name in SOCKS4a', hex('04 01 0050 00000001 00 00'), 'malformed', '005b0000 7f000001'],
]

describe('a SOCKS handshake', () => {
  for (const [what, bytes, host, port, answer] of requests)
    it(`reads ${what}`, () => {
      const seen = play([bytes])
      assert.equal(seen.answer, answer)
      assert.ok(seen.outcome?.kind === 'connect')
      assert.deepEqual(seen.outcome.target, { host, port })
      assert.equal(seen.outcome.isolation, undefined)
      assert.equal(seen.outcome.version, bytes[0])
      for (let length = 0; length < bytes.length; length++)
        assert.equal(play([bytes.subarray(0, length)]).outcome, undefined, `${length} bytes are not enough`)
    })

  for (const [what, bytes, reason, answer] of refusals)
    it(`refuses ${what}`, () => {
      assert.deepEqual(play([bytes]), { answer: answer.replaceAll(' ', ''), outcome: { kind: 'refused', reason } })
    })

  it('takes any name and password, and keeps apart by both', () => {
    const keyOf = (user: string, password: string) => {
      const { answer, outcome } = play([hex('05 02 00 02 01', text(user), text(password), EXAMPLE)])
      assert.equal(answer, '05020100')
      assert.ok(outcome?.kind === 'connect')
      return outcome.isolation
    }
    const pairs = [
      ['a', 'b'],
      ['a', 'c'],
      ['b', 'a'],
      ['ab', ''],
      ['', 'ab'],
      ['a', ''],
    ] as const
    const keys = pairs.map(([user, password]) => keyOf(user, password))
    assert.equal(new Set(keys).size, pairs.length)
    assert.ok(keys.every((key) => key !== undefined && /^[0-9a-f]{32}$/.test(key)))
    assert.equal(keyOf('a', 'b'), keys[0])
    assert.equal(keyOf('', ''), undefined)
  })

  it('means the same in every cut, with the data behind it', () => {
    const whole = [
      ...requests.map(([, bytes]) => hex(bytes, utf8('data'))),
      ...refusals.map(([, bytes]) => bytes),
      hex('05 01 02 01', text('user'), text('password'), EXAMPLE, utf8('data')),
    ]
    fc.assert(
      fc.property(fc.constantFrom(...whole), fc.array(fc.nat(600)), (bytes, cuts) => {
        const places = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length]
        const parts = places.slice(1).map((end, index) => bytes.subarray(places[index], end))
        assert.deepEqual(play(parts), play([bytes]))
      }),
    )
    for (const bytes of whole) assert.deepEqual(play([...bytes].map((byte) => Uint8Array.of(byte))), play([bytes]))
  })

  it('never waits for more than a message can have, whatever comes', () => {
    fc.assert(
      fc.property(fc.constantFrom(4, 5), fc.uint8Array({ minLength: 1100, maxLength: 1100 }), (version, noise) => {
        // Greeting, log-in, request: 257 + 513 + 262 bytes at most.
        assert.notEqual(play([Uint8Array.of(version), noise]).outcome, undefined)
      }),
    )
  })
})
