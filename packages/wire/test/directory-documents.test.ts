import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { fromHex, SeededRandom, toHex, uniform } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { performance } from '../src/directory/performance.js'
import * as atoms from '../src/directory/schema.js'

const integers = { u8: atoms.u8, u16: atoms.u16, u32: atoms.u32, u64: atoms.u64 }

import * as wire from '../src/index.js'
import { loadVectors } from './vectors.js'

interface Body {
  bincode?: string
  json: string
}
interface Endpoints {
  endpoints: { path: string; response: Body }[]
}

const {
  cachedNodesSchema,
  describedNodeV1Schema,
  describedNodeV2Schema,
  fromBincode,
  fromJson,
  keyRotationInfoSchema,
  paginated,
  rewardedSetSchema,
  semiSkimmedNodesSchema,
  skimmedNodesSchema,
  skimmedNodesV1Schema,
  toBincode,
} = wire

/** JSON → value → bincode and JSON, bincode → value: all four the official bytes. */
function bothEncodings(schema: wire.Schema<unknown>, { bincode, json }: Body): void {
  const value = fromJson(schema, JSON.parse(json))
  assert.equal(JSON.stringify(value), json)
  if (bincode === undefined) return
  assert.equal(toHex(toBincode(schema, value)), bincode)
  assert.deepEqual(fromBincode(schema, fromHex(bincode)), JSON.parse(json))
}

const schemaOf = (path: string): unknown => {
  if (path.startsWith('/v2/unstable/nym-nodes/semi-skimmed')) return semiSkimmedNodesSchema
  if (path.startsWith('/v2/unstable/nym-nodes/skimmed')) return skimmedNodesSchema
  if (path.startsWith('/v1/unstable/nym-nodes/skimmed')) return skimmedNodesV1Schema
  if (path.startsWith('/v1/unstable/nym-nodes/')) return cachedNodesSchema
  if (path === '/v1/nym-nodes/described') return paginated(describedNodeV1Schema)
  if (path === '/v2/nym-nodes/described') return paginated(describedNodeV2Schema)
  return undefined
}

describe('directory lists', () => {
  for (const file of ['directory-skimmed', 'directory-semi-skimmed', 'directory-described']) {
    for (const { path, response } of loadVectors<Endpoints>(file).endpoints) {
      const schema = schemaOf(path)
      // The third version of the semi-skimmed list is called by nobody yet.
      if (schema === undefined) continue
      it(`${path}, both encodings and directions`, () => bothEncodings(schema as wire.Schema<unknown>, response))
    }
  }
})

describe('directory-misc.json', () => {
  const misc = loadVectors<Record<string, { response: Body }>>('directory-misc')
  const cases: [string, unknown][] = [
    ['rewarded_set', rewardedSetSchema],
    ['health', wire.healthSchema],
    ['build_information', wire.buildInformationSchema],
    ['key_rotation_info', keyRotationInfoSchema],
  ]
  for (const [name, schema] of cases) {
    it(name, () => bothEncodings(schema as wire.Schema<unknown>, misc[name]!.response))
  }
  it('by_addresses', () => {
    const bodies = loadVectors<{ by_addresses: Record<string, Body | string> }>('directory-misc').by_addresses
    for (const name of ['response_known', 'response_unknown', 'response_ipv6'])
      bothEncodings(wire.nodesByAddressesSchema as wire.Schema<unknown>, bodies[name] as Body)
  })
  it('refresh_described, its signed text', async () => {
    const crypto = await loadCryptoProvider()
    const { body_json, signed_plaintext, signature } = loadVectors<{ refresh_described: Record<string, string> }>(
      'directory-misc',
    ).refresh_described
    const body = fromJson(wire.nodeRefreshSchema, JSON.parse(body_json!))
    const identity = wire.decodeBase58(body.node_identity, 32)!
    const text = wire.nodeRefreshText(identity, body.request_timestamp)
    assert.equal(toHex(text), signed_plaintext)
    assert.equal(toHex(Uint8Array.from(body.signature)), signature)
    assert.ok(crypto.ed25519Verify(Uint8Array.from(body.signature), text, identity))
  })
  it('epoch_current is optional', () =>
    bothEncodings(atoms.optional(wire.intervalSchema) as wire.Schema<unknown>, misc.epoch_current!.response))
})

describe('directory-encodings.json', () => {
  const vectors = loadVectors<{
    integers: { value: string; u8?: string; u16?: string; u32?: string; u64?: string }[]
    ip: { bincode: string; json: string }[]
    roles: { bincode: string; json: string }[]
    performance: { accepted: boolean; round_to_integer: number | null; text: string }[]
    time_parsing: { text: string; unix_nanos: string }[]
    times: { json: string }[]
  }>('directory-encodings')

  it('integers', () => {
    for (const { value, ...encodings } of vectors.integers) {
      const number = Number(value)
      if (!Number.isSafeInteger(number)) continue
      for (const name of ['u8', 'u16', 'u32', 'u64'] as const) {
        const hex = encodings[name]
        if (typeof hex !== 'string') continue
        assert.equal(toHex(toBincode(integers[name], number)), hex, `${name} ${value}`)
        assert.equal(fromBincode(integers[name], fromHex(hex)), number)
      }
    }
  })

  it('IP addresses', () => {
    for (const body of vectors.ip) bothEncodings(atoms.ipAddress as wire.Schema<unknown>, body)
  })

  it('performance, accepted and refused', () => {
    for (const { accepted, round_to_integer, text } of vectors.performance) {
      assert.equal(wire.performancePercent(text), round_to_integer ?? undefined, text)
      if (accepted) assert.equal(fromJson(performance, text), text)
      else assert.throws(() => fromJson(performance, text), { code: 'MIX_DOCUMENT' })
    }
    assert.throws(() => fromJson(performance, 1), { code: 'MIX_DOCUMENT' })
    assert.deepEqual([1, 0, 0.5, 0.499999, 2, -1, Number.NaN].map(wire.formatPerformance), [
      '1',
      '0',
      '0.5',
      '0.499999',
      '1',
      '0',
      '0',
    ])
  })

  it('times as official readers read them', () => {
    for (const { text, unix_nanos } of vectors.time_parsing) {
      assert.equal(wire.parseHumanTime(text), Number(BigInt(unix_nanos) / 1_000_000n), text)
    }
    for (const { json } of vectors.times) {
      const text = JSON.parse(json) as string
      // Ours are UTC with milliseconds.
      if (text.endsWith('+00:00:00') && !text.includes('123456789')) {
        assert.equal(wire.formatHumanTime(wire.parseHumanTime(text)), text)
      }
    }
    assert.equal(wire.formatRfc3339(Date.UTC(2026, 4, 16, 11, 30)), '2026-05-16T11:30:00Z')
  })
})

describe('directory-key-rotation.json', () => {
  const { cases } = loadVectors<{ cases: Record<string, number>[] }>('directory-key-rotation')
  it(`${cases.length} cases`, () => {
    for (const { epoch, initial_epoch_id, validity_epochs, ...expected } of cases) {
      const state = { initialEpochId: initial_epoch_id!, validityEpochs: validity_epochs! }
      assert.deepEqual(
        {
          next_rotation_start_epoch: wire.nextRotationStart(state, epoch!),
          rotation_id: wire.rotationIdAt(state, epoch!),
          rotation_start_epoch: wire.rotationStart(state, epoch!),
        },
        expected,
      )
    }
  })
})

describe('signed host information', () => {
  let crypto: CryptoProvider
  before(async () => {
    crypto = await loadCryptoProvider()
  })
  const directory = loadVectors<{
    nodes: (Record<`legacy_v${1 | 2 | 3}_signed_text` | 'signed_text' | 'signature_hex', string> & { response: Body })[]
  }>('directory-hostinfo')
  const network = loadVectors<{ nodes: { secrets: { ed25519_secret_seed: string } }[] }>('directory-network')
  const node = loadVectors<{
    cases: {
      name: string
      response_body: string
      signed_string: string
      legacy_accepted_by_verifiers: { form: string; signature_base58: string; signed_string: string }[]
    }[]
  }>('mixnode-host-information')

  for (const [index, vector] of directory.nodes.entries()) {
    it(`directory-hostinfo.json, node ${index + 1}: text, signature, older layouts, bincode`, () => {
      const signed = wire.parseHostInformation(JSON.parse(vector.response.json))
      assert.equal(wire.hostInformationText(signed.data), vector.signed_text)
      assert.deepEqual(wire.legacyTexts(signed.data), [
        vector.legacy_v3_signed_text,
        vector.legacy_v2_signed_text,
        vector.legacy_v1_signed_text,
      ])
      assert.ok(wire.verifyHostInformation(crypto, signed))
      const seed = fromHex(network.nodes[index]!.secrets.ed25519_secret_seed)
      assert.equal(JSON.stringify(wire.signHostInformation(crypto, signed.data, seed)), vector.response.json)
      bothEncodings(wire.signedHostInformationSchema as wire.Schema<unknown>, vector.response)
    })
  }

  for (const vector of node.cases) {
    it(`mixnode-host-information.json, ${vector.name}: present and older signatures`, () => {
      const signed = wire.parseHostInformation(JSON.parse(vector.response_body))
      assert.equal(wire.hostInformationText(signed.data), vector.signed_string)
      assert.ok(wire.verifyHostInformation(crypto, signed))
      for (const { form, signature_base58, signed_string } of vector.legacy_accepted_by_verifiers) {
        const accepted = wire.verifyHostInformation(crypto, { ...signed, signature: signature_base58 })
        assert.equal(accepted, wire.legacyTexts(signed.data).includes(signed_string), form)
        assert.ok(accepted, form)
      }
    })
  }

  it('survives reordered and extra fields in transit, but no changed value', () => {
    const body = JSON.parse(node.cases[0]!.response_body)
    const reordered = {
      signature: body.signature,
      extra: 1,
      data: { ...Object.fromEntries(Object.entries(body.data).reverse()), more: true },
    }
    assert.ok(wire.verifyHostInformation(crypto, wire.parseHostInformation(reordered)))
    for (const data of [
      { ...body.data, hostname: 'other.example' },
      { ...body.data, ip_address: [...body.data.ip_address].reverse() },
      { ...body.data, keys: { ...body.data.keys, x25519_sphinx: body.data.keys.ed25519_identity } },
    ]) {
      assert.equal(wire.verifyHostInformation(crypto, wire.parseHostInformation({ ...body, data })), false)
    }
    assert.equal(
      wire.verifyHostInformation(crypto, wire.parseHostInformation({ ...body, signature: '1'.repeat(64) })),
      false,
    )
  })

  it('reads a node that predates tagged keys', () => {
    const body = JSON.parse(node.cases[0]!.response_body)
    const { primary_x25519_sphinx_key: _, ...keys } = body.data.keys
    const { data } = wire.parseHostInformation({ ...body, data: { ...body.data, keys } })
    assert.deepEqual(data.keys.primary_x25519_sphinx_key, { rotation_id: 0xffff_ffff, public_key: keys.x25519_sphinx })
  })
})

describe('malformed documents', () => {
  it('mutated bincode is refused with a typed error, and allocates nothing for a huge count', (t) => {
    const random = new SeededRandom('bincode fuzz')
    const good = fromHex(loadVectors<Endpoints>('directory-skimmed').endpoints[0]!.response.bincode!)
    const runs = 20_000
    let accepted = 0
    for (let run = 0; run < runs; run++) {
      const bytes = good.slice(0, run % 3 === 0 ? Math.floor(uniform(random) * good.length) : good.length)
      if (bytes.length > 0) bytes[Math.floor(uniform(random) * bytes.length)] = random.bytes(1)[0]!
      try {
        fromBincode(skimmedNodesSchema, bytes)
        accepted++
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'MIX_BINCODE')
      }
    }
    t.diagnostic(`${runs} mutated documents, ${accepted} still acceptable`)
    assert.ok(accepted < runs)
    assert.throws(() => fromBincode(atoms.list(atoms.u8), fromHex('fdffffffffffff1f00')), { code: 'MIX_BINCODE' })
    assert.throws(() => fromBincode(atoms.u8, fromHex('0000')), { code: 'MIX_BINCODE' })
  })

  it('JSON of the wrong kind is refused, naming the field', () => {
    const good = JSON.parse(loadVectors<Endpoints>('directory-skimmed').endpoints[1]!.response.json)
    const broken: [string, (document: typeof good) => void][] = [
      ['metadata.absolute_epoch_id', (document) => (document.metadata.absolute_epoch_id = -1)],
      ['nodes.data[0].mix_port', (document) => (document.nodes.data[0].mix_port = 70_000)],
      ['nodes.data[0].performance', (document) => (document.nodes.data[0].performance = 1)],
      ['nodes.data[0].x25519_sphinx_pubkey', (document) => (document.nodes.data[0].x25519_sphinx_pubkey = '111')],
      ['nodes.data[0].ip_addresses[0]', (document) => (document.nodes.data[0].ip_addresses = ['localhost'])],
      ['nodes.data[0].role', (document) => (document.nodes.data[0].role = 'King')],
    ]
    for (const [path, change] of broken) {
      const document = structuredClone(good)
      change(document)
      assert.throws(
        () => fromJson(skimmedNodesSchema, document),
        (error: { code: string; data: { path: string } }) => {
          assert.equal(error.code, 'MIX_DOCUMENT')
          assert.equal(error.data.path, path)
          return true
        },
      )
    }
    for (const value of [null, 1, 'x', [], undefined])
      assert.throws(() => fromJson(skimmedNodesSchema, value), { code: 'MIX_DOCUMENT' })
  })
})
