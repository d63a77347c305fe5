import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { concatBytes, fromHex, toHex } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import { deriveFragmentKey, encodeFragmentIdentifier, replyKeyDigest, sealAck } from '@mixwright/wire'
import fc from 'fast-check'
import { openMessage, type TakeReplyKey } from '../src/receive/message-opener.js'
import { type OfficialClient, officialClient, officialPackets, type PacketVector } from './official-clients.js'

const SURB_ACK_BYTES = 405
const never = () => undefined
let crypto: CryptoProvider
let alice: OfficialClient
let bob: OfficialClient

before(async () => {
  crypto = await loadCryptoProvider()
  alice = officialClient('a', crypto)
  bob = officialClient('b', crypto)
})

/** What its gateway pushes to the recipient of a packet. */
const pushed = ({ opened }: PacketVector) => fromHex(opened.plaintext).subarray(SURB_ACK_BYTES)

/** Encrypted to Alice by somebody. */
function sealed(plaintext: Uint8Array): Uint8Array {
  const secret = new Uint8Array(32).fill(7)
  const key = deriveFragmentKey(crypto.x25519(secret, alice.keys.encryptionKey)!)
  return concatBytes(crypto.x25519Base(secret), crypto.aes128Ctr(key, plaintext))
}

describe('what official clients send', () => {
  for (const vector of officialPackets)
    it(`${vector.kind}, Sphinx ${vector.opened.sphinx_version}, ${vector.fragment_identifier ?? ''}`, () => {
      const isReply = vector.surb_key !== undefined
      const isLoop = vector.decrypted_content !== undefined
      const [sender, receiver] = isReply ? [bob, alice] : isLoop ? [alice, alice] : [alice, bob]
      let taken = 0
      const takeReplyKey: TakeReplyKey = (digest) => {
        if (!isReply) return undefined
        const key = fromHex(vector.surb_key!)
        assert.deepEqual(new Uint8Array(digest), replyKeyDigest(key))
        taken++
        return { key, givenTo: 'a service' }
      }
      const opened = openMessage(crypto, receiver.keys, takeReplyKey, pushed(vector))
      assert.equal(taken, isReply ? 1 : 0)
      if (isLoop) assert.deepEqual(opened, { kind: 'cover' })
      else {
        assert.ok(opened.kind === 'fragment')
        assert.equal(opened.givenTo, isReply ? 'a service' : undefined)
        assert.ok(vector.fragment!.endsWith(toHex(opened.fragment.payload)))
      }

      const ack = openMessage(crypto, sender.keys, never, fromHex(vector.ack_opened.plaintext))
      if (isLoop) assert.deepEqual(ack, { kind: 'cover-ack' })
      else {
        assert.ok(ack.kind === 'ack')
        if (vector.fragment_identifier)
          assert.equal(toHex(encodeFragmentIdentifier(ack.identifier)), vector.fragment_identifier)
      }
    })
})

describe('what is dropped', () => {
  const reasonOf = (bytes: Uint8Array) => {
    const opened = openMessage(crypto, alice.keys, never, bytes)
    return opened.kind === 'dropped' ? opened.reason : opened.kind
  }

  it('an ack with the top bit of its set id set', () => {
    assert.equal(reasonOf(sealAck(alice.keys.ackKey, new Uint8Array(16), { setId: -1, position: 1 })), 'invalid-ack')
    assert.equal(reasonOf(sealAck(alice.keys.ackKey, new Uint8Array(16), { setId: 1, position: 1 })), 'ack')
  })

  it('less than the key field, of any length but that of an ack', () => {
    for (let length = 0; length < 32; length++)
      assert.equal(reasonOf(new Uint8Array(length)), length === 21 ? reasonOf(new Uint8Array(21)) : 'too-short')
  })

  it('a key of low order, and a key with nothing behind it', () => {
    assert.equal(reasonOf(new Uint8Array(1643)), 'low-order-key')
    assert.equal(reasonOf(sealed(new Uint8Array(0))), 'no-fragment')
    assert.equal(reasonOf(sealed(new Uint8Array(6))), 'no-fragment')
  })

  it('a fragment without the top bit in its set id', () => {
    const bytes = new Uint8Array(1611)
    bytes.set([0x80, 0, 0, 1, 1, 1, 0])
    assert.equal(reasonOf(sealed(bytes)), 'fragment')
    bytes[0] = 0
    assert.equal(reasonOf(sealed(bytes)), 'no-fragment')
  })

  it('bytes of any kind: nothing is thrown, and a reply key is asked for at most once', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200, size: 'max' }), fc.boolean(), (bytes, isReply) => {
        let asked = 0
        openMessage(
          crypto,
          alice.keys,
          () => {
            asked++
            return isReply ? { key: new Uint8Array(16), givenTo: undefined } : undefined
          },
          bytes,
        )
        assert.ok(asked <= 1)
      }),
    )
  })
})
