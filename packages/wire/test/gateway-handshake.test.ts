import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { fromHex, toHex } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { decodeLegacyAuthentication, parseClientRequest } from '../src/gateway/client-request-parser.js'
import {
  authenticatedProtocol,
  authenticationSignedBytes,
  decodeGatewayMaterial,
  decodeHandshakeInit,
  deriveSharedKey,
  encodeGatewayMaterial,
  encodeHandshakeInit,
  HANDSHAKE_DONE,
  handshakeProtocol,
  handshakeSignedBytes,
  openSignature,
  parseServerResponse,
  provesSharedKey,
  registeredProtocol,
  sealSignature,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

interface HandshakeVectors {
  handshakes: ({
    messages: { data: string; from: 'client' | 'gateway'; websocket_text: string }[]
    protocol_version: number
  } & Record<`${'client' | 'gateway'}_${string}` | 'hkdf_salt' | 'shared_key' | 'x25519_shared_secret', string>)[]
}

interface AuthenticationVectors {
  shared_key: string
  client_identity_public: string
  client_identity_seed: string
  authenticate_v2: { protocol_version: number; signature: string; signed_payload: string; websocket_text: string }[]
  authenticate_v1: { websocket_text: string }
}

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

describe('gateway-handshake.json', () => {
  for (const vector of loadVectors<HandshakeVectors>('gateway-handshake').handshakes) {
    it(`protocol version ${vector.protocol_version}: every byte from the private keys, and read back`, () => {
      const hex = (name: keyof typeof vector) => fromHex(vector[name] as string)
      const [init, material, clientMaterial, done] = vector.messages
      const agreed = crypto.x25519(hex('client_ephemeral_private'), hex('gateway_ephemeral_public'))
      assert.deepEqual(agreed, crypto.x25519(hex('gateway_ephemeral_private'), hex('client_ephemeral_public')))
      assert.equal(toHex(agreed!), vector.x25519_shared_secret)
      const key = deriveSharedKey(agreed!, hex('hkdf_salt'))
      assert.equal(toHex(key), vector.shared_key)

      const decodedInit = decodeHandshakeInit(fromHex(init!.data))
      assert.equal(toHex(encodeHandshakeInit(decodedInit!)), init!.data)
      assert.deepEqual(decodedInit?.identity, hex('client_identity_public'))

      for (const [own, peer, message] of [
        ['gateway', 'client', material],
        ['client', 'gateway', clientMaterial],
      ] as const) {
        const signed = handshakeSignedBytes(hex(`${own}_ephemeral_public`), hex(`${peer}_ephemeral_public`))
        const signature = crypto.ed25519Sign(signed, hex(`${own}_identity_seed`))
        assert.equal(toHex(signature), vector[`${own}_signature`])
        const sealed = sealSignature(key, hex(`${own}_nonce`), signature)
        const whole = own === 'gateway' ? encodeGatewayMaterial(hex('gateway_ephemeral_public'), sealed) : sealed
        assert.equal(toHex(whole), message!.data)
        const back = own === 'gateway' ? decodeGatewayMaterial(whole)!.sealedSignature : whole
        const opened = openSignature(key, back)
        assert.ok(crypto.ed25519Verify(opened!, signed, hex(`${own}_identity_public`)))
      }
      assert.equal(toHex(HANDSHAKE_DONE), done!.data)
      for (const { from, data, websocket_text } of vector.messages) {
        const parsed = from === 'client' ? parseClientRequest(websocket_text) : parseServerResponse(websocket_text)
        assert.equal(parsed?.type === 'handshakePayload' && toHex(parsed.data), data)
      }
    })
  }

  it('refuses every other length and a changed signature', () => {
    for (let length = 0; length < 160; length++) {
      const data = new Uint8Array(length)
      assert.equal(decodeHandshakeInit(data) !== undefined, length === 80)
      assert.equal(decodeGatewayMaterial(data) !== undefined, length === 124)
      assert.equal(openSignature(new Uint8Array(32), data), undefined)
    }
  })
})

describe('gateway-authenticate.json', () => {
  const vectors = loadVectors<AuthenticationVectors>('gateway-authenticate')
  const key = fromHex(vectors.shared_key)

  for (const vector of vectors.authenticate_v2) {
    it(`authenticateV2, protocol version ${vector.protocol_version}`, () => {
      const request = parseClientRequest(vector.websocket_text)
      assert.equal(request?.type, 'authenticateV2')
      if (request?.type !== 'authenticateV2') return
      const signed = authenticationSignedBytes(request)
      assert.equal(toHex(signed!), vector.signed_payload)
      assert.equal(toHex(crypto.ed25519Sign(signed!, fromHex(vectors.client_identity_seed))), vector.signature)
      assert.ok(crypto.ed25519Verify(request.requestSignature, signed!, request.clientIdentity))
      assert.ok(provesSharedKey(key, request))
      assert.equal(provesSharedKey(new Uint8Array(32), request), false)
      assert.equal(authenticationSignedBytes({ ...request, nonce: request.nonce.subarray(1) }), undefined)
    })
  }

  it('the legacy form', () => {
    const request = parseClientRequest(vectors.authenticate_v1.websocket_text)
    assert.equal(request?.type, 'authenticate')
    if (request?.type !== 'authenticate') return
    const { address, addressCiphertext, nonce } = decodeLegacyAuthentication(request)!
    assert.equal(toHex(address), vectors.client_identity_public)
    assert.ok(provesSharedKey(key, { clientIdentity: address, addressCiphertext, nonce }))
    assert.equal(decodeLegacyAuthentication({ ...request, iv: '0OIl' }), undefined)
  })
})

describe('protocol versions', () => {
  it('are answered by generation', () => {
    assert.deepEqual([3, 5, 6, 7, 255].map(handshakeProtocol), [3, 5, 6, 6, 6])
    assert.deepEqual([0, 3, 4, 5, 6, 9].map(registeredProtocol), [0, 5, 5, 5, 6, 6])
    assert.deepEqual([0, 3, 4, 5, 6, 9].map(authenticatedProtocol), [undefined, undefined, 5, 5, 6, 6])
  })
})
