import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { fromHex, SeededRandom, toHex } from '@mixwright/runtime'
import { type CryptoProvider, HEADER_BYTES, loadCryptoProvider } from '@mixwright/sphinx'
import {
  ChunkedMessage,
  COVER_CONTENT,
  COVER_FRAGMENT_IDENTIFIER,
  decodeReplySurb,
  type FragmentIdentifier,
  isCover,
  openAck,
  replyKeyDigest,
  splitPushedMessage,
  splitSurbAck,
} from '@mixwright/wire'
import type { Topology } from '../src/directory/topology.js'
import { type BuiltPacket, FRAGMENT_SPACE, PacketBuilder } from '../src/packet/packet-builder.js'
import { PROFILES, type Profile } from '../src/profile.js'
import { openMessage } from '../src/receive/message-opener.js'
import { type OfficialClient, officialClient, officialPackets, officialTopology, peelAll } from './official-clients.js'

const IDENTIFIER: FragmentIdentifier = { setId: 0x12345678, position: 3 }
/** Rotation 3 is odd. */
const topology = officialTopology(3)
const [gateway] = topology.gateways.values()
let crypto: CryptoProvider
let alice: OfficialClient
let bob: OfficialClient

before(async () => {
  crypto = await loadCryptoProvider()
  alice = officialClient('a', crypto)
  bob = officialClient('b', crypto)
})

function builderOf({ keys, recipient }: OfficialClient, profile: Profile = PROFILES.default): PacketBuilder {
  return new PacketBuilder(crypto, new SeededRandom('builder'), keys, recipient, gateway!.identity, profile)
}

/** Whatever a packet holds, its two Sphinx packets look the same to every mix; what its last hop and its client find in it. */
function open({ mixPacket, expectedRttMs }: BuiltPacket, sender: OfficialClient) {
  const { packet, nextHop } = mixPacket
  assert.equal(packet.length, 2413)
  assert.deepEqual(nextHop, { family: 4, host: '10.0.0.1', port: 1789 })
  const { versions, delayMs, final } = peelAll(crypto, packet)
  assert.deepEqual(versions, [259, 259, 259, 259])
  assert.equal(final.message.length, 2048)
  assert.deepEqual(final.identifier, new Uint8Array(16))
  const { ack, message } = splitSurbAck(final.message)!
  assert.equal(message.length, 1643)
  assert.equal(ack.packet.length, 386)
  assert.deepEqual(ack.firstHop, nextHop)
  const ackPeeled = peelAll(crypto, ack.packet)
  assert.deepEqual(ackPeeled.versions, [259, 259, 259, 259])
  assert.deepEqual(ackPeeled.final.destination, sender.recipient.identity)
  assert.equal(ackPeeled.final.message.length, 21)
  return {
    destination: final.destination,
    message,
    ackOf: openAck(sender.keys.ackKey, ackPeeled.final.message),
    delayMs,
    ackDelayMs: ackPeeled.delayMs,
    expectedRttMs,
  }
}

const fragment = () => ChunkedMessage.cut(new Uint8Array(3), FRAGMENT_SPACE, new SeededRandom('fragment')).fragment(0)
const never = () => undefined

describe('a packet for an address', () => {
  it('is opened by its recipient, and acknowledged to its sender', () => {
    const packet = builderOf(alice).forward(topology, bob.recipient, gateway!, fragment(), IDENTIFIER)
    assert.equal(packet.mixPacket.rotation, 1)
    const opened = open(packet, alice)
    assert.deepEqual(opened.destination, bob.recipient.identity)
    assert.deepEqual(opened.ackOf, IDENTIFIER)
    const message = openMessage(crypto, bob.keys, never, opened.message)
    assert.equal(message.kind, 'fragment')
    const { keyField, ciphertext } = splitPushedMessage(opened.message)!
    assert.equal(ciphertext.length, 1611)
    assert.notEqual(toHex(ciphertext), toHex(fragment()))
    assert.equal(keyField.length, 32)
  })

  it('can be expected to be acknowledged after the delays that were drawn for it', () => {
    const builder = builderOf(alice)
    for (let number = 0; number < 10; number++) {
      const packet = builder.forward(topology, bob.recipient, gateway!, fragment(), IDENTIFIER)
      const { delayMs, ackDelayMs, expectedRttMs } = open(packet, alice)
      assert.ok(delayMs > 0 && ackDelayMs > 0)
      assert.ok(Math.abs(delayMs + ackDelayMs - expectedRttMs) < 1e-6)
    }
  })

  it('is held nowhere in a profile without delays', () => {
    const packet = builderOf(alice, PROFILES.local).forward(topology, bob.recipient, gateway!, fragment(), IDENTIFIER)
    const { delayMs, ackDelayMs, expectedRttMs } = open(packet, alice)
    assert.deepEqual([delayMs, ackDelayMs, expectedRttMs], [0, 0, 0])
  })

  it('is new in every part when it is sent again, but for the fragment', () => {
    const builder = builderOf(alice)
    const [first, second] = [1, 2].map(() =>
      open(builder.forward(topology, bob.recipient, gateway!, fragment(), IDENTIFIER), alice),
    )
    assert.notDeepEqual(first!.message.subarray(0, 32), second!.message.subarray(0, 32), 'another ephemeral key')
    assert.notEqual(first!.delayMs, second!.delayMs)
    assert.deepEqual(
      openMessage(crypto, bob.keys, never, first!.message),
      openMessage(crypto, bob.keys, never, second!.message),
    )
  })

  it('carries the parity of the rotation, none in rotation 0', () => {
    const rotation = (id: number) =>
      builderOf(alice).forward(officialTopology(id), bob.recipient, gateway!, fragment(), IDENTIFIER).mixPacket.rotation
    assert.deepEqual([0, 1, 2, 3].map(rotation), [0, 1, 2, 1])
  })

  it('cannot be made for a key of low order', () => {
    const recipient = { ...bob.recipient, encryption: new Uint8Array(32) }
    assert.throws(() => builderOf(alice).forward(topology, recipient, gateway!, fragment(), IDENTIFIER), {
      code: 'MIX_ADDRESS',
    })
  })
})

describe('cover', () => {
  it('that loops comes home, and is told from data by its owner alone', () => {
    const { destination, message, ackOf, expectedRttMs } = open(builderOf(alice).cover(topology), alice)
    assert.deepEqual(destination, alice.recipient.identity)
    assert.deepEqual(ackOf, COVER_FRAGMENT_IDENTIFIER)
    assert.ok(expectedRttMs > 0)
    assert.deepEqual(openMessage(crypto, alice.keys, never, message), { kind: 'cover' })
    assert.notEqual(openMessage(crypto, bob.keys, never, message).kind, 'cover')
  })

  it('that loops has the content of an official one', () => {
    const official = officialPackets.find(({ decrypted_content }) => decrypted_content !== undefined)!
    const { message } = open(builderOf(alice).cover(topology), alice)
    // The key is the owner's to derive: opened by hand, to see the padding too.
    const opened = openPlaintext(message)
    assert.equal(toHex(opened), official.decrypted_content)
    assert.ok(isCover(opened))
    assert.equal(opened[COVER_CONTENT.length], 1)
  })

  it('that is dropped looks the same to mixes, and its last hop finds no ack in it', () => {
    const { mixPacket } = builderOf(alice).drop(topology)
    assert.equal(mixPacket.packet.length, 2413)
    const { versions, final } = peelAll(crypto, mixPacket.packet)
    assert.deepEqual(versions, [259, 259, 259, 259])
    assert.equal(splitSurbAck(final.message), undefined)
    assert.notDeepEqual(final.destination, alice.recipient.identity)
  })
})

/** Decrypt what loop cover holds, by an opener that says what it was handed. */
function openPlaintext(message: Uint8Array): Uint8Array {
  let plaintext: Uint8Array | undefined
  const spy: CryptoProvider = Object.assign(Object.create(crypto), {
    aes128Ctr: (key: Uint8Array, data: Uint8Array) => {
      plaintext = crypto.aes128Ctr(key, data)
      return plaintext
    },
  })
  openMessage(spy, alice.keys, never, message)
  return plaintext!
}

describe('a reply block', () => {
  it('leads home; what is sent by it is opened by its key', () => {
    const replySurb = builderOf(alice).surb(topology)
    assert.equal(replySurb.surb.form, 'key-seeds')
    assert.equal(replySurb.surb.keys.length, 4)
    const packet = builderOf(bob).reply(topology, replySurb, 2, fragment(), IDENTIFIER)
    assert.equal(packet.mixPacket.rotation, 2, "the block's rotation, not the network's")
    const opened = open(packet, bob)
    assert.deepEqual(opened.destination, alice.recipient.identity)
    assert.deepEqual(opened.ackOf, IDENTIFIER)
    // Of its own way only its maker knows the delays: three means of 15 ms.
    assert.ok(Math.abs(opened.expectedRttMs - 45 - opened.ackDelayMs) < 1e-6)
    const takeKey = (digest: Uint8Array) =>
      toHex(digest) === toHex(replyKeyDigest(replySurb.encryptionKey))
        ? { key: replySurb.encryptionKey, givenTo: undefined }
        : undefined
    const message = openMessage(crypto, alice.keys, takeKey, opened.message)
    assert.ok(message.kind === 'fragment')
    assert.equal(message.fragment.total, 1)
  })

  it('of an official client makes the packet that an official client makes of it, but for the ack inside', () => {
    for (const vector of officialPackets.filter(
      ({ surb, opened }) => surb !== undefined && opened.sphinx_version === 259,
    )) {
      const replySurb = decodeReplySurb(fromHex(vector.surb!))!
      const built = builderOf(bob).reply(topology, replySurb, 1, fromHex(vector.fragment!), IDENTIFIER)
      const header = (packet: Uint8Array) => toHex(packet.subarray(0, HEADER_BYTES))
      assert.equal(header(built.mixPacket.packet), header(fromHex(vector.packet)))
      const { message } = open(built, bob)
      assert.equal(toHex(message), vector.opened.plaintext.slice(2 * 405))
    }
  })
})

describe('a network that does not list our own gateway', () => {
  it('is of no use: nothing would come home', () => {
    const other: Topology = { ...topology, gateways: new Map([['other', { ...gateway!, identity: 'other' }]]) }
    const builder = builderOf(alice)
    assert.deepEqual([builder.isUsable(topology), builder.isUsable(other)], [true, false])
    const attempts: (() => unknown)[] = [
      () => builder.cover(other),
      () => builder.surb(other),
      () => builder.forward(other, bob.recipient, gateway!, fragment(), IDENTIFIER),
    ]
    for (const attempt of attempts) assert.throws(attempt, { code: 'MIX_GATEWAY_GONE', retry: true })
  })
})
