/** Acks, fragment keys and whole packets of official senders, opened down to the message; and the same built by us. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { concatBytes, fromHex, toHex, utf8 } from '@mixwright/runtime'
import {
  type CryptoProvider,
  loadCryptoProvider,
  PACKET_SIZES,
  type PacketSizeName,
  peel,
  useSurb,
} from '@mixwright/sphinx'
import {
  ACK_MESSAGE_BYTES,
  COVER_CONTENT,
  decodeFragment,
  decodeNymMessage,
  decodeReplySurb,
  deriveFragmentKey,
  encodeFragmentIdentifier,
  encodePacketPlaintext,
  fragmentSpace,
  isCover,
  openAck,
  replyKeyDigest,
  sealAck,
  splitPushedMessage,
  splitSurbAck,
  unpadMessage,
} from '../src/index.js'
import { loadVectors } from './vectors.js'

interface ClientKeys {
  identity_private: string
  encryption_private: string
  encryption_public: string
  ack_key: string
  address_bytes: string
}
interface NodeKeys {
  mix_host: string
  sphinx_private: string
}
interface CryptoVectors {
  client: ClientKeys
  nodes: NodeKeys[]
  acks: { set_id: number; position: number; identifier: string; iv: string; ack_content: string }[]
  ecdh: Record<
    'ephemeral_private' | 'ephemeral_public' | 'recipient_public' | 'dh' | 'key' | 'plaintext' | 'ciphertext',
    string
  >[]
  reply_keys: Record<'key' | 'digest' | 'plaintext' | 'ciphertext', string>[]
  payloads: {
    kind: string
    fragment: string
    payload_len: number
    ack_first_hop: string
    ack_packet: string
    ephemeral_public?: string
    surb_key?: string
    key_digest?: string
    encrypted_fragment: string
  }[]
  sizes: { name: PacketSizeName; fragment_space: number | null }[]
}
interface Opened {
  sphinx_version: number
  delays_nanos: number[]
  destination: string
  identifier: string
  plaintext: string
}
interface PacketVectors {
  a: ClientKeys
  b: ClientKeys
  nodes: NodeKeys[]
  packets: {
    kind: string
    packet: string
    legacy_sphinx_format: boolean
    fragment?: string
    fragment_identifier?: string
    surb_key?: string
    surb?: string
    decrypted_content?: string
    opened: Opened
    ack_opened: Opened
  }[]
}

const vectors = loadVectors<CryptoVectors>('client-crypto')
const packets = loadVectors<PacketVectors>('client-packets')
let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

describe('client-crypto.json', () => {
  for (const { set_id, position, identifier, iv, ack_content } of vectors.acks)
    it(`ack of ${set_id}/${position}, both ways`, () => {
      const id = { setId: set_id, position }
      const key = fromHex(vectors.client.ack_key)
      assert.equal(toHex(encodeFragmentIdentifier(id)), identifier)
      assert.equal(toHex(sealAck(key, fromHex(iv), id)), ack_content)
      assert.deepEqual(openAck(key, fromHex(ack_content)), id)
    })

  it('fragment keys and ciphertexts, from both sides', () => {
    for (const vector of vectors.ecdh) {
      const secret = fromHex(vector.ephemeral_private)
      assert.equal(toHex(crypto.x25519Base(secret)), vector.ephemeral_public)
      const sent = crypto.x25519(secret, fromHex(vector.recipient_public))!
      const seen = crypto.x25519(fromHex(vectors.client.encryption_private), fromHex(vector.ephemeral_public))!
      assert.equal(toHex(sent), vector.dh)
      assert.deepEqual(seen, sent)
      const key = deriveFragmentKey(sent)
      assert.equal(toHex(key), vector.key)
      assert.equal(toHex(crypto.aes128Ctr(key, fromHex(vector.plaintext))), vector.ciphertext)
    }
  })

  it('reply keys', () => {
    for (const { key, digest, plaintext, ciphertext } of vectors.reply_keys) {
      assert.equal(toHex(replyKeyDigest(fromHex(key))), digest)
      assert.equal(toHex(crypto.aes128Ctr(fromHex(key), fromHex(ciphertext))), plaintext)
    }
  })

  for (const vector of vectors.payloads)
    it(`plaintext of a ${vector.kind} packet, both ways`, () => {
      const keyField = fromHex((vector.ephemeral_public ?? vector.key_digest)!)
      const ephemeral = vectors.ecdh.find(({ ephemeral_public }) => ephemeral_public === vector.ephemeral_public)
      const key = fromHex((vector.surb_key ?? ephemeral?.key)!)
      const ciphertext = fromHex(vector.encrypted_fragment)
      assert.equal(toHex(crypto.aes128Ctr(key, fromHex(vector.fragment))), vector.encrypted_fragment)
      const official = concatBytes(fromHex(vector.ack_first_hop), fromHex(vector.ack_packet), keyField, ciphertext)
      assert.equal(official.length, vector.payload_len)
      const { ack, message } = splitSurbAck(official)!
      assert.deepEqual(splitPushedMessage(message), { keyField, ciphertext })
      assert.deepEqual(encodePacketPlaintext(ack, keyField, ciphertext), official)
    })

  it('fragment space of every packet size', () => {
    for (const { name, fragment_space } of vectors.sizes)
      if (fragment_space !== null) assert.equal(fragmentSpace(PACKET_SIZES[name]), fragment_space)
  })
})

/** Take all four layers off and compare what each hop read. */
function open(packet: Uint8Array, expected: Opened): Uint8Array {
  let current = packet
  for (const [hop, node] of packets.nodes.entries()) {
    const outcome = peel(crypto, fromHex(node.sphinx_private), current)
    if (outcome.kind === 'drop') assert.fail(`dropped at hop ${hop}: ${outcome.reason}`)
    assert.equal(outcome.version, expected.sphinx_version)
    if (outcome.kind === 'final') {
      assert.equal(hop, 3)
      assert.equal(toHex(outcome.destination), expected.destination)
      assert.equal(toHex(outcome.identifier), expected.identifier)
      assert.equal(toHex(outcome.message), expected.plaintext)
      return outcome.message
    }
    assert.equal(`${outcome.nextHop.host}:${outcome.nextHop.port}`, packets.nodes[hop + 1]!.mix_host)
    assert.equal(outcome.delayNanos, BigInt(expected.delays_nanos[hop]!))
    current = outcome.packet
  }
  assert.fail('no final hop')
}

/** Of the reply, whose vector does not name it: set id b2d5dddd without its flag, position 1. */
const REPLY_IDENTIFIER = '32d5dddd01'

describe('client-packets.json', () => {
  for (const vector of packets.packets) {
    const version = vector.legacy_sphinx_format ? 258 : 259
    const isReply = vector.surb_key !== undefined
    const isLoop = vector.decrypted_content !== undefined
    const [sender, receiver] = isReply
      ? [packets.b, packets.a]
      : isLoop
        ? [packets.a, packets.a]
        : [packets.a, packets.b]

    it(`${vector.kind}, Sphinx ${version}, ${vector.fragment_identifier ?? ''}`, () => {
      assert.equal(vector.opened.sphinx_version, version)
      const { ack, message } = splitSurbAck(open(fromHex(vector.packet), vector.opened))!

      // The ack, at the sender.
      const identifier = openAck(fromHex(sender.ack_key), open(ack.packet, vector.ack_opened))!
      const expected = isLoop ? '0000000000' : (vector.fragment_identifier ?? REPLY_IDENTIFIER)
      assert.equal(toHex(encodeFragmentIdentifier(identifier)), expected)

      // The message, at the receiver.
      const { keyField, ciphertext } = splitPushedMessage(message)!
      let key: Uint8Array
      if (isReply) {
        key = fromHex(vector.surb_key!)
        assert.deepEqual(replyKeyDigest(key), keyField)
      } else key = deriveFragmentKey(crypto.x25519(fromHex(receiver.encryption_private), keyField)!)
      const plaintext = crypto.aes128Ctr(key, ciphertext)
      assert.equal(toHex(plaintext), vector.fragment ?? vector.decrypted_content)
      assert.equal(isCover(plaintext), isLoop)
      if (isLoop) {
        assert.equal(toHex(unpadMessage(plaintext)!), toHex(COVER_CONTENT))
        assert.equal(decodeFragment(plaintext), undefined)
        return
      }
      const { setId, position } = decodeFragment(plaintext)!
      assert.deepEqual({ setId, position }, identifier)

      // And the same plaintext again, put together by us.
      assert.equal(toHex(encodePacketPlaintext(ack, keyField, ciphertext)), vector.opened.plaintext)
    })
  }

  it('fragments join to the messages that were sent', () => {
    const content = (kind: string, legacy: boolean) =>
      concatBytes(
        ...packets.packets
          .filter((vector) => vector.kind.startsWith(kind) && vector.legacy_sphinx_format === legacy)
          .map(({ fragment }) => decodeFragment(fromHex(fragment!))!.payload),
      )
    const expected = (length: number) => Uint8Array.from({ length }, (_, i) => (31 * i + 7 * (i >> 8) + 5) % 256)
    for (const legacy of [false, true]) {
      const plain = unpadMessage(content('plain', legacy))!
      assert.deepEqual(
        decodeNymMessage(plain, () => true),
        { kind: 'plain', data: expected(2000) },
      )
      const reply = unpadMessage(content('reply', legacy))!
      assert.deepEqual(
        decodeNymMessage(reply, () => true),
        { kind: 'reply', content: { kind: 'data', data: expected(300) } },
      )
    }
  })

  it('a reply over the SURB of an official client is the packet that the official peer built', () => {
    for (const vector of packets.packets.filter(({ surb }) => surb !== undefined)) {
      const { encryptionKey, surb } = decodeReplySurb(fromHex(vector.surb!))!
      assert.equal(toHex(encryptionKey), vector.surb_key)
      const message = fromHex(vector.opened.plaintext)
      const { packet, nextHop } = useSurb(crypto, surb, { message, payloadBytes: PACKET_SIZES.regular.payloadBytes })
      assert.equal(nextHop.host, '10.0.0.1')
      assert.equal(toHex(packet), vector.packet)
    }
  })
})

describe('acks and pushed messages that are none', () => {
  const key = fromHex(packets.a.ack_key)
  it('acks: every other length, and identifiers with the top bit set', () => {
    const ack = sealAck(key, new Uint8Array(16).fill(3), { setId: 9, position: 2 })
    assert.equal(ack.length, ACK_MESSAGE_BYTES)
    for (let length = 0; length < ack.length; length++) assert.equal(openAck(key, ack.subarray(0, length)), undefined)
    assert.equal(openAck(key, concatBytes(ack, Uint8Array.of(0))), undefined)
    ack[16]! ^= 0x80
    assert.equal(openAck(key, ack), undefined)
  })

  it('pushed messages shorter than the key field; plaintexts that are not quite cover', () => {
    assert.equal(splitPushedMessage(new Uint8Array(31)), undefined)
    assert.equal(splitPushedMessage(new Uint8Array(32))?.ciphertext.length, 0)
    assert.equal(isCover(utf8('The cake is a lie!')), true)
    assert.equal(isCover(utf8('The cake is a lie')), false)
    assert.equal(isCover(utf8('The cake is a lie?')), false)
  })
})
