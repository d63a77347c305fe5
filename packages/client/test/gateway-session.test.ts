/** The client's side of a gateway connection as a state machine: the official vectors, and every wrong answer at every step. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { concatBytes, fromHex, MixError, type Random, SeededRandom, toHex } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  decodeMixPacket,
  encodeServerResponse,
  type MixPacket,
  openBinaryFrame,
  PUSHED_MIX_MESSAGE,
  sealBinaryFrame,
} from '@mixwright/wire'
import { GatewaySession, type GatewaySessionOptions, type SessionAction } from '../src/gateway/gateway-session.js'
import { loadVectors } from './vectors.js'

interface HandshakeVectors {
  handshakes: ({ messages: { from: string; websocket_text: string }[]; protocol_version: number } & Record<
    `${'client' | 'gateway'}_${string}` | 'hkdf_salt' | 'shared_key',
    string
  >)[]
}
interface AuthenticationVectors {
  shared_key: string
  client_identity_seed: string
  authenticate_v2: {
    protocol_version: number
    nonce: string
    request_unix_timestamp: number
    websocket_text: string
  }[]
}
interface MessageVectors {
  messages: Record<string, { websocket_text: string }>
}

const handshake = loadVectors<HandshakeVectors>('gateway-handshake').handshakes.find(
  (vector) => vector.protocol_version === 6,
)!
const authentication = loadVectors<AuthenticationVectors>('gateway-authenticate')
const { messages } = loadVectors<MessageVectors>('gateway-json-messages')
const [init, material, confirmation, done] = handshake.messages.map(({ websocket_text }) => websocket_text)
const sharedKey = fromHex(authentication.shared_key)

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

/** Gives these byte strings, in this order. */
function scripted(...hex: string[]): Random {
  const left = hex.map(fromHex)
  const random: Random = {
    bytes(length) {
      const next = left.shift()
      assert.equal(next?.length, length)
      return next!
    },
    fork: () => random,
  }
  return random
}

/** The client of the handshake vectors; registered, where a key is given. */
function open(options: Partial<GatewaySessionOptions> = {}): GatewaySession {
  const { client_ephemeral_private: secret, hkdf_salt: salt, client_nonce: nonce } = handshake
  const session = new GatewaySession({
    crypto,
    random: options.sharedKey ? new SeededRandom('session') : scripted(secret!, salt!, nonce!),
    identitySeed: fromHex(handshake.client_identity_seed!),
    gatewayIdentity: fromHex(handshake.gateway_identity_public!),
    sharedKey: undefined,
    requestTime: () => 1_700_000_000,
    ...options,
  })
  assert.deepEqual(said(session.onOpen()), ['{"type":"supportedProtocol"}'])
  return session
}

const said = (actions: readonly SessionAction[]) => actions.map((action) => action.kind === 'say' && action.text)
const version = (number: number) => encodeServerResponse({ type: 'supportedProtocol', version: number })
const registered = (protocolVersion: number) => encodeServerResponse({ type: 'register', protocolVersion })
const authenticated = (protocolVersion: number, bandwidthRemaining: number) =>
  encodeServerResponse({ type: 'authenticate', protocolVersion, bandwidthRemaining })
const BANDWIDTH = encodeServerResponse({ type: 'bandwidth', availableTotal: 68_719_476_736 })
const SEND = encodeServerResponse({ type: 'send', remainingBandwidth: 68_719_476_736 })
const CLAIM = '{"type":"claimFreeTestnetBandwidth"}'
const push = (key: Uint8Array, message: Uint8Array, kind = PUSHED_MIX_MESSAGE) =>
  sealBinaryFrame(key, kind, new Uint8Array(12).fill(7), message)
const mixPacket: MixPacket = {
  nextHop: { family: 4, host: '127.0.0.1', port: 1789 },
  rotation: 2,
  packet: new Uint8Array(2413).fill(3),
}

/** A session that was authenticated and is live. */
function live(protocolVersion = 6): GatewaySession {
  const session = open({ sharedKey })
  session.onText(version(6))
  assert.deepEqual(session.onText(authenticated(protocolVersion, 50_000_000)), [{ kind: 'live' }])
  assert.equal(session.awaits, undefined)
  return session
}

function failure(actions: readonly SessionAction[]): MixError {
  const [action, ...more] = actions
  assert.deepEqual(more, [])
  assert.ok(action?.kind === 'failed', JSON.stringify(action))
  assert.ok(action.error instanceof MixError)
  return action.error
}

describe('registration', () => {
  it('says, byte for byte, what the official client says, and goes on over the same connection', () => {
    const session = open()
    assert.equal(session.awaits, 'supportedProtocol')
    assert.deepEqual(said(session.onText(version(6))), [init])
    assert.deepEqual(said(session.onText(material!)), [confirmation])
    assert.equal(session.awaits, 'handshake')
    assert.deepEqual(session.onText(done!), [])
    assert.equal(session.awaits, 'register')
    const key = fromHex(handshake.shared_key)
    assert.deepEqual(session.onText(messages['response/register']!.websocket_text), [
      { kind: 'registered', sharedKey: key, protocolVersion: 6 },
      { kind: 'say', text: CLAIM },
    ])
    assert.equal(session.awaits, 'claim')
    assert.deepEqual(session.onText(BANDWIDTH), [{ kind: 'live' }])
  })

  it('delivers what is pushed as soon as there is a key, and before the answer', () => {
    const session = open()
    session.onText(version(6))
    session.onText(material!)
    const message = new Uint8Array(1643).fill(1)
    const received = [{ kind: 'received', message }]
    assert.deepEqual(session.onBinary(push(fromHex(handshake.shared_key), message)), received)
    session.onText(done!)
    assert.deepEqual(session.onBinary(push(fromHex(handshake.shared_key), message)), received)
  })

  it('is refused to whoever is not the gateway that was meant', () => {
    const session = open({ gatewayIdentity: fromHex(handshake.client_identity_public!) })
    session.onText(version(6))
    assert.equal(failure(session.onText(material!)).code, 'MIX_GATEWAY_IDENTITY')
    assert.deepEqual(session.onText(done!), [])
  })

  it('is refused when any part of the gateway’s message was changed', () => {
    const data = (JSON.parse(material!) as { data: number[] }).data
    for (const at of [0, 31, 32, 100, 112, 123]) {
      const changed = Uint8Array.from(data)
      changed[at]! ^= 1
      const session = open()
      session.onText(version(6))
      const answer = encodeServerResponse({ type: 'handshakePayload', protocolVersion: 6, data: changed })
      assert.equal(failure(session.onText(answer)).code, 'MIX_GATEWAY_IDENTITY', `byte ${at}`)
    }
  })

  it('is refused with a low-order key, which agrees with every secret on the same', () => {
    const session = open()
    session.onText(version(6))
    const answer = encodeServerResponse({ type: 'handshakePayload', protocolVersion: 6, data: new Uint8Array(124) })
    assert.equal(failure(session.onText(answer)).code, 'MIX_GATEWAY_IDENTITY')
  })
})

describe('authentication', () => {
  for (const vector of authentication.authenticate_v2) {
    it(`says, byte for byte, what the official client says in version ${vector.protocol_version}`, () => {
      const session = open({
        sharedKey,
        identitySeed: fromHex(authentication.client_identity_seed),
        random: scripted(vector.nonce),
        requestTime: () => vector.request_unix_timestamp,
      })
      assert.deepEqual(said(session.onText(version(vector.protocol_version))), [vector.websocket_text])
      assert.equal(session.awaits, 'authenticate')
    })
  }

  it('claims below 40 MB, and only there', () => {
    for (const [bandwidth, claims] of [
      [39_999_999, true],
      [-1, true],
      [40_000_000, false],
    ] as const) {
      const session = open({ sharedKey })
      session.onText(version(6))
      const actions = session.onText(authenticated(6, bandwidth))
      assert.deepEqual(actions, claims ? [{ kind: 'say', text: CLAIM }] : [{ kind: 'live' }])
    }
  })

  it('delivers the stored messages that official gateways push before the answer', () => {
    const session = open({ sharedKey })
    session.onText(version(6))
    const message = new Uint8Array(21).fill(4)
    assert.deepEqual(session.onBinary(push(sharedKey, message)), [{ kind: 'received', message }])
    assert.equal(session.awaits, 'authenticate')
  })

  it('tells a lost registration from other refusals', () => {
    for (const [text, code] of [
      ['the client is not registered', 'MIX_GATEWAY_UNREGISTERED'],
      ['failed to verify provided address ciphertext', 'MIX_GATEWAY_UNREGISTERED'],
      ['There is already an open connection to this client', 'MIX_GATEWAY_REFUSED'],
      ['the provided request timestamp is excessively skewed', 'MIX_GATEWAY_REFUSED'],
    ] as const) {
      const session = open({ sharedKey })
      session.onText(version(6))
      const error = failure(session.onText(encodeServerResponse({ type: 'error', message: text })))
      assert.equal(error.code, code)
      assert.deepEqual(error.data, { step: 'authenticate', message: text })
    }
  })
})

describe('versions', () => {
  it('proposes the gateway’s, but at most 6, and gives up below 4', () => {
    for (const [announced, proposed] of [
      [4, 4],
      [5, 5],
      [6, 6],
      [7, 6],
      [255, 6],
    ] as const) {
      const [text] = said(open({ sharedKey }).onText(version(announced)))
      assert.match(text as string, new RegExp(`"protocolVersion":${proposed},`))
    }
    const error = failure(open().onText(version(3)))
    assert.equal(error.code, 'MIX_GATEWAY_PROTOCOL')
    assert.deepEqual(error.data, { version: 3 })
  })

  it('gives up when the gateway answers with one that nobody proposed', () => {
    const registering = open()
    registering.onText(version(6))
    registering.onText(material!)
    registering.onText(done!)
    assert.equal(failure(registering.onText(registered(7))).code, 'MIX_GATEWAY_PROTOCOL')
    const authenticating = open({ sharedKey })
    authenticating.onText(version(6))
    assert.equal(failure(authenticating.onText(authenticated(7, 0))).code, 'MIX_GATEWAY_PROTOCOL')
  })

  it('sends the rotation of the keys from version 5 on', () => {
    for (const [negotiated, layout, rotation] of [
      [4, 1, 0],
      [5, 2, 2],
      [6, 2, 2],
    ] as const) {
      const frame = openBinaryFrame(sharedKey, live(negotiated).sealPacket(mixPacket)!)
      assert.ok(frame.kind === 'opened')
      assert.equal(frame.frameKind, layout)
      assert.deepEqual(decodeMixPacket(frame.plaintext, layout), { kind: 'ok', mixPacket: { ...mixPacket, rotation } })
    }
  })
})

describe('a live session', () => {
  it('seals every packet under a nonce of its own, and none before it is live', () => {
    const session = live()
    const nonces = new Set(Array.from({ length: 50 }, () => toHex(session.sealPacket(mixPacket)!.subarray(2, 14))))
    assert.equal(nonces.size, 50)
    const early = open({ sharedKey })
    assert.equal(early.sealPacket(mixPacket), undefined)
    early.onText(version(6))
    assert.equal(early.sealPacket(mixPacket), undefined)
  })

  it('claims again when packets are refused for want of bandwidth, once for all that were under way', () => {
    const session = live()
    const refused = messages['response/typedError/out_of_bandwidth']!.websocket_text
    assert.deepEqual(said(session.onText(refused)), [CLAIM])
    assert.equal(session.awaits, 'claim')
    assert.deepEqual(session.onText(refused), [])
    assert.deepEqual(session.onText(BANDWIDTH), [])
    assert.equal(session.awaits, undefined)
    assert.deepEqual(said(session.onText(refused)), [CLAIM])
  })

  it('claims before it comes to that', () => {
    const session = live()
    assert.deepEqual(session.onText(SEND), [])
    const low = encodeServerResponse({ type: 'send', remainingBandwidth: 39_999_999 })
    assert.deepEqual(said(session.onText(low)), [CLAIM])
    assert.deepEqual(session.onText(low), [])
  })

  it('ends when the claim is refused', () => {
    const session = live()
    session.onText(messages['response/typedError/out_of_bandwidth']!.websocket_text)
    const error = failure(session.onText(encodeServerResponse({ type: 'error', message: 'only zk-nyms here' })))
    assert.equal(error.code, 'MIX_GATEWAY_BANDWIDTH')
  })

  it('ends by an error text, which it keeps short and printable', () => {
    const session = live()
    const message = `\u001b[2Jgo\n${'away '.repeat(100)}`
    const error = failure(session.onText(encodeServerResponse({ type: 'error', message })))
    assert.equal(error.code, 'MIX_GATEWAY_REFUSED')
    assert.equal(error.data.step, 'live')
    assert.match(error.data.message as string, /^ \[2Jgo away [a-z ]{100,189}$/)
    assert.equal(session.sealPacket(mixPacket), undefined)
    assert.deepEqual(session.onBinary(push(sharedKey, new Uint8Array(21))), [])
  })

  it('takes a spent ticket for an error', () => {
    const text = messages['response/typedError/ticket_replay']!.websocket_text
    assert.equal(failure(live().onText(text)).code, 'MIX_GATEWAY_REFUSED')
  })

  it('skips texts that mean nothing to it', () => {
    const session = live()
    for (const text of ['', '{', 'null', '[]', '{"type":"somethingNew"}', version(6), registered(5), BANDWIDTH, SEND]) {
      assert.deepEqual(session.onText(text), [], text)
    }
    assert.deepEqual(session.onText(messages['response/encryptedResponse']!.websocket_text), [])
  })

  it('asks for a sign of life with a question that every gateway answers', () => {
    assert.deepEqual(said(live().probe()), ['{"type":"supportedProtocol"}'])
    assert.deepEqual(open().probe(), [])
  })

  it('ends by a push that it cannot read: reconnecting shows whether the key is still the same', () => {
    const message = new Uint8Array(1643)
    const changed = push(sharedKey, message)
    changed[500]! ^= 1
    const plain = concatBytes(Uint8Array.of(1, 0), new Uint8Array(12), message)
    for (const data of [
      new Uint8Array(0),
      new Uint8Array(13),
      plain,
      changed,
      push(sharedKey, message, 9),
      push(sharedKey, new Uint8Array(300_000)),
    ]) {
      assert.equal(failure(live().onBinary(data)).code, 'MIX_GATEWAY_ANSWER')
    }
  })
})

describe('a wrong answer', () => {
  const steps: [name: string, awaits: string, reach: () => GatewaySession][] = [
    ['to the first question', 'supportedProtocol', () => open()],
    [
      'to the handshake',
      'handshake',
      () => {
        const session = open()
        session.onText(version(6))
        return session
      },
    ],
    [
      'to the proof',
      'handshake',
      () => {
        const session = open()
        session.onText(version(6))
        session.onText(material!)
        return session
      },
    ],
    [
      'after the handshake',
      'register',
      () => {
        const session = open()
        for (const text of [version(6), material!, done!]) session.onText(text)
        return session
      },
    ],
    [
      'to the authentication',
      'authenticate',
      () => {
        const session = open({ sharedKey })
        session.onText(version(6))
        return session
      },
    ],
    [
      'to the claim',
      'claim',
      () => {
        const session = open({ sharedKey })
        session.onText(version(6))
        session.onText(authenticated(6, 0))
        return session
      },
    ],
  ]
  const garbage = ['', '{', 'null', '{"type":"nope"}', '{"type":"register","protocol_version":5,"status":false}']
  garbage.push('{"type":"typedError","error":{"out_of_bandwidth":{"required":1,"available":0}}}')
  garbage.push('{"type":"handshakePayload","protocol_version":6,"data":[0]}')

  for (const [name, awaits, reach] of steps) {
    it(`${name} ends the session with a typed error`, () => {
      assert.equal(reach().awaits, awaits)
      for (const text of garbage) {
        const session = reach()
        const error = failure(session.onText(text))
        assert.equal(error.code, 'MIX_GATEWAY_ANSWER', text)
        assert.equal(error.data.step, awaits)
        assert.equal(session.awaits, undefined)
      }
      for (const type of ['error', 'handshakeError'] as const) {
        const error = failure(reach().onText(encodeServerResponse({ type, message: 'no' })))
        assert.equal(error.code, awaits === 'claim' ? 'MIX_GATEWAY_BANDWIDTH' : 'MIX_GATEWAY_REFUSED')
        assert.deepEqual(error.data, { step: awaits, message: 'no' })
      }
      const late = failure(reach().onDeadline())
      assert.equal(late.code, 'MIX_GATEWAY_TIMEOUT')
      assert.deepEqual(late.data, { step: awaits })
    })
  }

  it('is every binary message while there is no key', () => {
    for (const [, , reach] of steps.slice(0, 2)) {
      assert.equal(failure(reach().onBinary(push(sharedKey, new Uint8Array(21)))).code, 'MIX_GATEWAY_ANSWER')
    }
  })
})
