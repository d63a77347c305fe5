/** Requests to network requesters and their answers: the official vectors, round trips, and what ours add. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromHex, toHex, utf8 } from '@mixwright/runtime'
import fc from 'fast-check'
import {
  CURRENT_VERSIONS,
  decodeProviderRequest,
  decodeProviderResponse,
  encodeProviderRequest,
  encodeProviderResponse,
  formatExitPolicy,
  joinRemote,
  type ProviderRequest,
  type ProviderResponse,
  type ProviderVersion,
  type ProviderVersions,
  parseExitPolicy,
  parseRecipient,
  RECIPIENT_BYTES,
  splitRemote,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

type Fields = Record<string, never>
interface MessageVectors {
  encode: { name: string; versions: string; fields: Fields; bytes: string }[]
  decode: { bytes: string; result: { ok: boolean; interface?: string; content?: string } }[]
}

const requests = loadVectors<MessageVectors>('sp-socks5-requests')
const responses = loadVectors<MessageVectors>('sp-socks5-responses')
const anyKey = () => true

function versionOf(text: string): ProviderVersion {
  return text === 'legacy' ? 'legacy' : Number(/^versioned\((\d+)\)$/.exec(text)![1])
}

function versionsOf(text: string): ProviderVersions {
  const [outer, inner] = text.split('/')
  return { interface: versionOf(outer!), socks5: versionOf(inner!) }
}

function requestOf({ name, versions: text, fields }: MessageVectors['encode'][number]): ProviderRequest {
  if (name.startsWith('control_')) {
    const request = ({ health: 'health', binary_info: 'binary-info' } as const)[name.slice(8)]
    return { kind: 'control', interfaceVersion: 3, request: request ?? 'supported-request-versions' }
  }
  const versions = versionsOf(text)
  if (name.startsWith('query_')) {
    return { kind: 'query', versions, query: name.slice(6).replace('_', '-') as 'open-proxy' }
  }
  const connectionId = BigInt(fields.conn_id!)
  if (name.startsWith('send_')) {
    const { seq, local_closed: closed, data } = fields
    return { kind: 'send', versions, connectionId, sequence: BigInt(seq!), closed: closed!, data: fromHex(data!) }
  }
  const { remote, return_address: address } = fields
  const returnAddress = address === null ? undefined : parseRecipient(address!, anyKey)
  return { kind: 'connect', versions, connectionId, remote: remote!, returnAddress }
}

function responseOf({ name, versions: text, fields }: MessageVectors['encode'][number]): ProviderResponse {
  const json = fields.json === undefined ? undefined : JSON.parse(fields.json)
  const control = { kind: 'control', interfaceVersion: 3 } as const
  const query = { kind: 'query', versions: CURRENT_VERSIONS } as const
  switch (name) {
    case 'control_health':
      return { ...control, answer: { kind: 'health' } }
    case 'control_binary_info': {
      const { binary_name: binaryName, build_information: build } = json
      return { ...control, answer: { kind: 'binary-info', binaryName, build } }
    }
    case 'control_supported_versions': {
      const { interface_version: interfaceVersion, provider_version: providerVersion } = json
      return { ...control, answer: { kind: 'supported-request-versions', interfaceVersion, providerVersion } }
    }
    case 'query_open_proxy':
      return { ...query, answer: { kind: 'open-proxy', open: fields.open_proxy! } }
    case 'query_description':
      return { ...query, answer: { kind: 'description', text: fields.description! } }
    case 'query_error':
      return { ...query, answer: { kind: 'error', message: fields.message! } }
  }
  if (name.startsWith('query_exit_policy')) {
    const policy = fields.policy === null ? undefined : parseExitPolicy(fields.policy!)
    const { enabled, upstream } = fields
    return { ...query, answer: { kind: 'exit-policy', enabled: enabled!, upstream: upstream!, policy } }
  }
  const versions = versionsOf(text)
  const connectionId = BigInt(fields.conn_id!)
  if (name === 'connection_error') {
    return { kind: 'connection-error', versions, connectionId, message: fields.message! }
  }
  const { seq, closed, data } = fields
  return { kind: 'data', versions, connectionId, sequence: BigInt(seq!), closed: closed!, data: fromHex(data!) }
}

/** What the official parser's debug text says, in the parts that every kind of message has. */
function assertSame(message: ProviderRequest | ProviderResponse, expected: { interface?: string; content?: string }) {
  const debug = (version: ProviderVersion) => (version === 'legacy' ? 'Legacy' : `Versioned(${version})`)
  const isControl = message.kind === 'control'
  assert.equal(debug(isControl ? message.interfaceVersion : message.versions.interface), expected.interface)
  const content = expected.content!
  assert.equal(isControl, content.startsWith('Control('))
  if (isControl) return
  assert.ok(content.includes(`protocol_version: ${debug(message.versions.socks5)}`), content)
  if ('connectionId' in message) {
    assert.match(content, new RegExp(`conn(ection)?_id: ${message.connectionId}\\b`))
  }
  if ('data' in message) {
    assert.ok(content.includes(`seq: ${message.sequence},`), content)
    assert.ok(content.includes(`local_socket_closed: ${message.closed}`), content)
    assert.ok(content.includes(`data: [${message.data.join(', ')}]`), content)
  }
}

describe('sp-socks5-requests.json', () => {
  for (const vector of requests.encode) {
    it(`${vector.name}, ${vector.versions}, both directions`, () => {
      const request = requestOf(vector)
      assert.equal(toHex(encodeProviderRequest(request)), vector.bytes)
      assert.deepEqual(decodeProviderRequest(fromHex(vector.bytes), anyKey), request)
    })
  }
  for (const { bytes, result } of requests.decode) {
    it(`${result.ok ? 'reads' : 'refuses'} ${bytes || 'nothing'}`, () => {
      const request = decodeProviderRequest(fromHex(bytes), anyKey)
      assert.equal(request.kind !== 'malformed', result.ok)
      if (request.kind !== 'malformed') assertSame(request, result)
    })
  }
})

describe('sp-socks5-responses.json', () => {
  for (const vector of responses.encode) {
    it(`${vector.name}, ${vector.versions}, both directions`, () => {
      const response = responseOf(vector)
      assert.equal(toHex(encodeProviderResponse(response)), vector.bytes)
      assert.deepEqual(decodeProviderResponse(fromHex(vector.bytes)), response)
    })
  }
  for (const { bytes, result } of responses.decode) {
    it(`${result.ok ? 'reads' : 'refuses'} ${bytes || 'nothing'}`, () => {
      const response = decodeProviderResponse(fromHex(bytes))
      assert.equal(response.kind !== 'malformed', result.ok)
      if (response.kind !== 'malformed') assertSame(response, result)
    })
  }
})

/** Plain objects, as the decoders make them. */
function record<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<T>
}

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const byte = fc.integer({ min: 3, max: 255 })
const versions = record({
  interface: fc.oneof(fc.constant('legacy' as const), byte),
  socks5: fc.constantFrom('legacy' as const, 3),
})
const bytes = fc.uint8Array({ maxLength: 60 }).map((array) => Uint8Array.from(array))
const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((array) => Uint8Array.from(array))
const policyText = fc.constantFrom(
  '',
  'ExitPolicy accept *:*',
  'ExitPolicy reject6 [::1]:25\nExitPolicy accept *4:80-81',
)

const request: fc.Arbitrary<ProviderRequest> = fc.oneof(
  record({
    kind: fc.constant('control' as const),
    interfaceVersion: byte,
    request: fc.constantFrom('health' as const, 'binary-info' as const, 'supported-request-versions' as const),
  }),
  record({
    kind: fc.constant('connect' as const),
    versions,
    connectionId: u64,
    remote: text,
    returnAddress: fc.option(record({ identity: key, encryption: key, gateway: key }), { nil: undefined }),
  }),
  record({
    kind: fc.constant('send' as const),
    versions,
    connectionId: u64,
    sequence: u64,
    closed: fc.boolean(),
    data: bytes,
  }),
  record({
    kind: fc.constant('query' as const),
    versions,
    query: fc.constantFrom('open-proxy' as const, 'description' as const, 'exit-policy' as const),
  }),
  record({ kind: fc.constant('credit' as const), versions, connectionId: u64, limit: u64 }),
)

const versioned = record({ interface: byte, socks5: fc.constant(3) })
const response: fc.Arbitrary<ProviderResponse> = fc.oneof(
  record({
    kind: fc.constant('control' as const),
    interfaceVersion: byte,
    answer: fc.oneof(
      record({ kind: fc.constant('health' as const) }),
      record({ kind: fc.constant('error' as const), message: text }),
      record({
        kind: fc.constant('supported-request-versions' as const),
        interfaceVersion: text,
        providerVersion: text,
      }),
    ),
  }),
  record({
    kind: fc.constant('data' as const),
    versions: versions.filter(readable),
    connectionId: u64,
    sequence: u64,
    closed: fc.boolean(),
    data: bytes,
  }),
  record({
    kind: fc.constant('connection-error' as const),
    versions: versions.filter(readable),
    connectionId: u64,
    message: text,
  }),
  record({
    kind: fc.constant('query' as const),
    versions: versioned,
    answer: fc.oneof(
      record({ kind: fc.constant('open-proxy' as const), open: fc.boolean() }),
      record({ kind: fc.constant('description' as const), text }),
      record({ kind: fc.constant('error' as const), message: text }),
      record({
        kind: fc.constant('exit-policy' as const),
        enabled: fc.boolean(),
        upstream: text,
        policy: fc.option(policyText.map(parseExitPolicy), { nil: undefined }),
      }),
    ),
  }),
  record({ kind: fc.constant('credit' as const), versions: versioned, connectionId: u64, limit: u64 }),
)

/** A versioned socks5 message in the legacy interface looks like a versioned interface; nobody sends that. */
function readable({ interface: outer, socks5 }: ProviderVersions): boolean {
  return outer !== 'legacy' || socks5 === 'legacy'
}

describe('round trips', () => {
  it('every request', () => {
    const sendable = request.filter((value) => value.kind === 'control' || readable(value.versions))
    fc.assert(
      fc.property(sendable, (value) =>
        assert.deepEqual(decodeProviderRequest(encodeProviderRequest(value), anyKey), value),
      ),
      { numRuns: 2000 },
    )
  })
  it('every response', () => {
    fc.assert(
      fc.property(response, (value) => assert.deepEqual(decodeProviderResponse(encodeProviderResponse(value)), value)),
      { numRuns: 2000 },
    )
  })
})

describe('provider messages', () => {
  const connectionId = 2n ** 63n + 5n

  it('a credit has flag 10, in both directions', () => {
    const credit = { kind: 'credit', versions: CURRENT_VERSIONS, connectionId: 1n, limit: 1048576n } as const
    const body = '00000000000000010000000000100000'
    assert.equal(toHex(encodeProviderRequest(credit)), `03010310${body}`)
    assert.equal(toHex(encodeProviderResponse(credit)), `03010310${body}`)
    for (const length of [15, 17]) {
      const bytes = new Uint8Array(4 + length)
      bytes.set([3, 1, 3, 0x10])
      assert.equal(decodeProviderRequest(bytes, anyKey).kind, 'malformed')
      assert.equal(decodeProviderResponse(bytes).kind, 'malformed')
    }
  })

  it('a query that was asked in the legacy socks5 version is answered in the current one', () => {
    const answer = { kind: 'open-proxy', open: true } as const
    const asked: ProviderVersions = { interface: 3, socks5: 'legacy' }
    const bytes = encodeProviderResponse({ kind: 'query', versions: asked, answer })
    assert.deepEqual(decodeProviderResponse(bytes), { kind: 'query', versions: CURRENT_VERSIONS, answer })
  })

  it('refuses a return address of keys that are none', () => {
    const connect = requests.encode.find(({ name }) => name === 'connect_explicit')!
    const refused = decodeProviderRequest(fromHex(connect.bytes), () => false)
    assert.deepEqual(refused, { kind: 'malformed', reason: 'bad-return-address' })
    const long = decodeProviderRequest(fromHex(`${connect.bytes}00`), anyKey)
    assert.deepEqual(long, { kind: 'malformed', reason: 'bad-return-address' })
  })

  it('reads a remote that is no UTF-8', () => {
    const plain = { kind: 'connect', versions: CURRENT_VERSIONS, connectionId, returnAddress: undefined } as const
    const bytes = encodeProviderRequest({ ...plain, remote: 'abc' })
    bytes[bytes.length - 2] = 0xff
    assert.deepEqual(decodeProviderRequest(bytes, anyKey), { ...plain, remote: 'a�c' })
  })

  it('throws for a remote that no length can say', () => {
    const connect = { kind: 'connect', versions: CURRENT_VERSIONS, connectionId, returnAddress: undefined } as const
    const longest = encodeProviderRequest({ ...connect, remote: 'a'.repeat(65535) })
    assert.equal((decodeProviderRequest(longest, anyKey) as { remote?: string }).remote?.length, 65535)
    assert.throws(() => encodeProviderRequest({ ...connect, remote: 'a'.repeat(65536) }), RangeError)
  })

  it('reads build information that does not say the target', () => {
    const vector = responses.encode.find(({ name }) => name === 'control_binary_info')!
    const info = JSON.parse(vector.fields.json!)
    delete info.build_information.cargo_triple
    const bytes = Buffer.concat([Uint8Array.of(3, 0, 1), utf8(JSON.stringify(info))])
    const read = decodeProviderResponse(bytes)
    assert.ok(read.kind === 'control' && read.answer.kind === 'binary-info')
    assert.equal(read.answer.build.cargo_triple, 'unknown')
    assert.equal(read.answer.build.build_version, info.build_information.build_version)
  })

  it('refuses control answers whose JSON is none, or another', () => {
    for (const json of ['', '{', 'null', '[]', '{"build_information":null}', '{"message":1}', '\u0000']) {
      for (const tag of [1, 2, 0xff]) {
        const answer = decodeProviderResponse(Buffer.concat([Uint8Array.of(3, 0, tag), utf8(json)]))
        assert.deepEqual(answer, { kind: 'malformed', reason: 'bad-content' }, json)
      }
    }
  })

  it('refuses a policy of a foreign pattern in an answer, and brings others to canonical form', () => {
    const answerWith = (pattern: string) =>
      decodeProviderResponse(
        Buffer.concat([
          fromHex('03010303020100010100'),
          Uint8Array.of(pattern.length),
          utf8(pattern),
          fromHex('01fbffff'),
        ]),
      )
    const read = answerWith('[FC00::]/7')
    assert.ok(read.kind === 'query' && read.answer.kind === 'exit-policy' && read.answer.policy)
    assert.equal(formatExitPolicy(read.answer.policy), 'ExitPolicy accept fc00::/7:*')
    assert.equal(answerWith('example.com').kind, 'malformed')
  })
})

describe('mutated messages', () => {
  const seeds = [requests, responses].flatMap(({ encode, decode }) =>
    [...encode, ...decode].map((vector) => fromHex(vector.bytes)),
  )
  const mutated = fc
    .record({
      seed: fc.constantFrom(...seeds),
      edits: fc.array(fc.tuple(fc.nat({ max: 150 }), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
      tail: fc.uint8Array({ maxLength: 20 }),
    })
    .map(({ seed, edits, tail }) => {
      const bytes = Uint8Array.from([...seed, ...tail])
      for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value
      return bytes
    })
  const someKeys = (candidate: Uint8Array) => candidate[0]! < 200

  /** Reads without an exception, and what is read can be written and read again. Says whether anything was read. */
  function check(message: Uint8Array): boolean {
    // As part of a larger buffer, as messages come.
    const bytes = Uint8Array.from([1, 2, 3, ...message]).subarray(3)
    const read = decodeProviderRequest(bytes, someKeys)
    if (read.kind === 'malformed') assert.match(read.reason, /^[a-z0-9]+(-[a-z0-9]+)*$/)
    else assert.deepEqual(decodeProviderRequest(encodeProviderRequest(read), someKeys), read)
    const answer = decodeProviderResponse(bytes)
    if (answer.kind === 'malformed') assert.match(answer.reason, /^[a-z0-9]+(-[a-z0-9]+)*$/)
    else if (answer.kind === 'control' || answer.versions.interface !== 'legacy') {
      assert.deepEqual(decodeProviderResponse(encodeProviderResponse(answer)), answer)
    }
    return read.kind !== 'malformed' && answer.kind !== 'malformed'
  }

  it('are read or refused, never an exception', () => {
    let accepted = 0
    fc.assert(
      fc.property(mutated, (bytes) => {
        if (check(bytes)) accepted++
      }),
      { numRuns: 20_000 },
    )
    assert.notEqual(accepted, 0)
  })

  it('so are those cut at any byte', () => {
    for (const seed of seeds) {
      for (let length = 0; length < seed.length; length++) check(seed.subarray(0, length))
    }
  })

  it('a Connect, cut, is another Connect only where its return address is cut away whole', () => {
    const whole = fromHex(requests.encode.find(({ name }) => name === 'connect_explicit')!.bytes)
    for (let length = 0; length < whole.length; length++) {
      const read = decodeProviderRequest(whole.subarray(0, length), anyKey)
      assert.equal(read.kind, length === whole.length - RECIPIENT_BYTES ? 'connect' : 'malformed')
    }
  })
})

describe('remote', () => {
  const split: [remote: string, host: string, port: number][] = [
    ['example.com:443', 'example.com', 443],
    ['1.2.3.4:80', '1.2.3.4', 80],
    ['2606:2800:220:1:248:1893:25c8:1946:443', '2606:2800:220:1:248:1893:25c8:1946', 443],
    ['[2001:db8::1]:65535', '2001:db8::1', 65535],
    ['::1:1', '::1', 1],
  ]
  for (const [remote, host, port] of split) {
    it(`splits ${remote}`, () => assert.deepEqual(splitRemote(remote), { host, port }))
  }
  const wrong = [
    '',
    ':80',
    'a',
    'a:',
    'a:0',
    'a:65536',
    'a:-1',
    'a:+1',
    'a: 1',
    'a:1e1',
    'a:b:80',
    '[a]:80',
    '[::1]',
    '[::1]80',
  ]
  for (const remote of [...wrong, '[1.2.3.4]:80', '[::1:80', '::1]:80', '1:2:3:4:5:6:7:8']) {
    it(`refuses ${remote || 'nothing'}`, () => assert.equal(splitRemote(remote), undefined))
  }
  it('joins IPv6 as eight groups without brackets, everything else as it is', () => {
    assert.equal(joinRemote('2001:db8::1', 443), '2001:db8:0:0:0:0:0:1:443')
    assert.equal(joinRemote('::ffff:1.2.3.4', 1), '0:0:0:0:0:ffff:102:304:1')
    assert.equal(joinRemote('example.com', 80), 'example.com:80')
    assert.equal(joinRemote('1.2.3.4', 80), '1.2.3.4:80')
  })
  it('what is joined can be split', () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain())
    fc.assert(
      fc.property(host, fc.integer({ min: 1, max: 65535 }), (host, port) => {
        const remote = joinRemote(host, port)
        const parts = splitRemote(remote)
        assert.equal(parts?.port, port)
        assert.equal(joinRemote(parts.host, port), remote)
      }),
    )
  })
})
