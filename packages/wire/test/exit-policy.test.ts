/** Exit policies in all their forms, and which addresses are the public internet's. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromHex, MixError, toHex } from '@mixwright/runtime'
import fc from 'fast-check'
import {
  evaluateExitPolicy,
  exitPolicyFromJson,
  exitPolicyJson,
  exitPolicySchema,
  formatExitPolicy,
  fromBincode,
  isGloballyRoutable,
  parseExitPolicy,
  toBincode,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

interface Evaluation {
  addr: string
  allows: boolean | null
}
interface ExitPolicyVectors {
  rules: { text: string; ok: boolean; display?: string; json?: unknown; bincode?: string }[]
  policies: { text: string; ok: boolean; canonical?: string; json?: unknown }[]
  sample: { text: string; canonical: string; json: unknown; bincode: string; evaluate: Evaluation[] }
  no_rule_matches: { text: string } & Evaluation
}

const vectors = loadVectors<ExitPolicyVectors>('sp-exit-policy')

function evaluate(text: string, target: string) {
  const [, ip, port] = /^\[?(.*?)\]?:(\d+)$/.exec(target)!
  return evaluateExitPolicy(parseExitPolicy(text), ip!, Number(port))
}

function assertForms(text: string, canonical: string, json: unknown, bincode?: string): void {
  const policy = parseExitPolicy(text)
  assert.equal(formatExitPolicy(policy), canonical)
  assert.equal(exitPolicyJson(policy), JSON.stringify(json))
  assert.deepEqual(parseExitPolicy(canonical), policy)
  assert.deepEqual(exitPolicyFromJson(json), policy)
  const bytes = toBincode(exitPolicySchema, policy, 'big')
  if (bincode !== undefined) assert.equal(toHex(bytes), bincode)
  assert.deepEqual(fromBincode(exitPolicySchema, bincode === undefined ? bytes : fromHex(bincode), 'big'), policy)
}

function assertRefused(text: string, line = 1): void {
  assert.throws(
    () => parseExitPolicy(text),
    (error) => error instanceof MixError && error.code === 'MIX_EXIT_POLICY' && error.data.line === line,
  )
}

describe('sp-exit-policy.json', () => {
  for (const { text, ok, display, json, bincode } of vectors.rules) {
    it(`rule: ${text}`, () => {
      if (ok) assertForms(`ExitPolicy ${text}`, `ExitPolicy ${display}`, { rules: [json] }, `01${bincode}`)
      else assertRefused(`ExitPolicy ${text}`)
    })
  }
  for (const { text, ok, canonical, json } of vectors.policies) {
    it(`policy: ${JSON.stringify(text)}`, () => {
      if (ok) assertForms(text, canonical!, json)
      else assertRefused(text)
    })
  }
  it('sample', () => {
    const { text, canonical, json, bincode } = vectors.sample
    assertForms(text, canonical, json, bincode)
  })
  for (const { addr, allows } of vectors.sample.evaluate) {
    it(`sample: ${addr}`, () => assert.equal(evaluate(vectors.sample.text, addr), allows ? 'accept' : 'reject'))
  }
  it('no rule matches', () => {
    assert.equal(evaluate(vectors.no_rule_matches.text, vectors.no_rule_matches.addr), 'no-match')
  })
})

describe('exit policy', () => {
  it('names the bad line, counted from 1', () => {
    assertRefused('# ours\n\nExitPolicy accept *:80\nExitPolicy accept example.com:80\nExitPolicy reject *:*', 4)
  })
  it('refuses a web page', () => assertRefused('<!doctype html>\n<title>404</title>'))
  it('matches by the bits of the mask and no others', () => {
    const policy = 'ExitPolicy accept 10.1.128.0/17:*\nExitPolicy accept 2001:db8::/33:*'
    assert.equal(evaluate(policy, '10.1.128.0:1'), 'accept')
    assert.equal(evaluate(policy, '10.1.255.255:1'), 'accept')
    assert.equal(evaluate(policy, '10.1.127.255:1'), 'no-match')
    assert.equal(evaluate(policy, '[2001:db8:7fff::1]:1'), 'accept')
    assert.equal(evaluate(policy, '[2001:db8:8000::]:1'), 'no-match')
  })
  it('has no answer for what is no IP address', () => {
    assert.equal(evaluateExitPolicy(parseExitPolicy('ExitPolicy accept *:*'), 'example.com', 80), 'no-match')
  })
  it('refuses JSON that is no policy', () => {
    const ports = { start: 1, end: 2 }
    const wrong = [
      null,
      {},
      { rules: [{}] },
      { rules: [{ action: 'Accept', pattern: { ip_pattern: '*', ports } }] },
      { rules: [{ action: 'accept', pattern: { ip_pattern: 'a', ports } }] },
      { rules: [{ action: 'accept', pattern: { ip_pattern: '*', ports: { start: 1, end: 65536 } } }] },
    ]
    for (const value of wrong) assert.throws(() => exitPolicyFromJson(value), { code: 'MIX_DOCUMENT' })
  })
  it('all forms of any policy say the same', () => {
    const port = fc.integer({ min: 1, max: 65535 })
    const ports = fc.oneof(
      fc.constant('*'),
      fc.nat({ max: 65535 }).map(String),
      fc.tuple(port, port).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
    )
    const pattern = fc.oneof(
      fc.constantFrom('*', '*4', '*6'),
      fc.tuple(fc.ipV4(), fc.nat({ max: 32 })).map(([ip, mask]) => `${ip}/${mask}`),
      fc.tuple(fc.ipV6(), fc.nat({ max: 128 })).map(([ip, mask]) => `[${ip}]/${mask}`),
    )
    const rule = fc
      .tuple(fc.constantFrom('accept', 'reject', 'accept6', 'reject6'), pattern, ports)
      .map(([action, pattern, ports]) => `ExitPolicy ${action} ${pattern}:${ports}`)
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 5 }), (rules) => {
        const policy = parseExitPolicy(rules.join('\n'))
        assertForms(rules.join('\n'), formatExitPolicy(policy), JSON.parse(exitPolicyJson(policy)))
      }),
      { numRuns: 500 },
    )
  })
  it('a mutated file is a policy or MIX_EXIT_POLICY', () => {
    const { text } = vectors.sample
    const edit = fc.tuple(fc.nat({ max: text.length }), fc.nat({ max: 3 }), fc.string({ maxLength: 3 }))
    let accepted = 0
    let refused = 0
    fc.assert(
      fc.property(edit, ([at, length, insert]) => {
        try {
          const policy = parseExitPolicy(text.slice(0, at) + insert + text.slice(at + length))
          accepted++
          assert.deepEqual(parseExitPolicy(formatExitPolicy(policy)), policy)
        } catch (error) {
          if (!(error instanceof MixError)) throw error
          refused++
          assert.equal(error.code, 'MIX_EXIT_POLICY')
        }
      }),
      { numRuns: 5000 },
    )
    assert.ok(accepted > 0 && refused > 0)
  })
})

describe('globally routable', () => {
  const yes = [
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.0.9',
    '192.0.0.10',
    '198.17.255.255',
    '198.20.0.0',
    '224.0.0.1',
    '239.255.255.255',
    '2606:4700::1111',
    '64:ff9b::1',
    '64:ff9b:2::',
    '100:0:0:1::',
    '2001:1::1',
    '2001:1::2',
    '2001:3:ffff::',
    '2001:4:112::1',
    '2001:20::',
    '2001:3f:ffff::',
    '2001:200::',
    '2003::',
    'fec0::1',
    'ff02::1',
  ]
  const no = [
    '',
    'localhost',
    '[2606:4700::1111]',
    '0.0.0.0',
    '0.255.255.255',
    '10.0.0.0',
    '10.255.255.255',
    '100.64.0.0',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.255',
    '169.254.169.254',
    '172.16.0.0',
    '172.31.255.255',
    '192.0.0.8',
    '192.0.0.11',
    '192.0.0.255',
    '192.0.2.1',
    '192.168.255.255',
    '198.18.0.0',
    '198.19.255.255',
    '198.51.100.1',
    '203.0.113.1',
    '240.0.0.0',
    '255.255.255.255',
    '::',
    '::1',
    '0:0:0:0:0:0:0:1',
    '::ffff:1.1.1.1',
    '64:ff9b:1::',
    '64:ff9b:1:ffff::',
    '100::',
    '2001::',
    '2001:1::3',
    '2001:4:111::',
    '2001:1f::',
    '2001:40::',
    '2001:1ff::',
    '2001:db8::1',
    '2002::1',
    'fc00::',
    'fdff::1',
    'fe80::1',
    'febf::1',
  ]
  for (const ip of yes) it(`${ip} is`, () => assert.equal(isGloballyRoutable(ip), true))
  for (const ip of no) it(`${ip || 'nothing'} is not`, () => assert.equal(isGloballyRoutable(ip), false))
})
