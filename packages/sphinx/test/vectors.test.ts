/** Every Sphinx vector in both directions, with each crypto provider: opened hop by hop, and built again byte for byte. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { fromHex, toHex } from '@mixwright/runtime'
import {
  buildPacket,
  type CryptoProvider,
  createSurb,
  openHeaders,
  type PeelOutcome,
  peel,
  surbFromBytes,
  surbToBytes,
  useSurb,
} from '../src/index.js'
import { expandHopKeys } from '../src/keys.js'
import { lionessDecrypt, lionessEncrypt } from '../src/lioness.js'
import { routeKeys, sharedSecretsByChain } from '../src/route-secrets.js'
import {
  type KeyCase,
  type LionessCase,
  type PacketCase,
  providers,
  readVectors,
  type SurbCase,
  socketText,
} from './vectors.js'

const keys = readVectors<{
  cases: KeyCase[]
  unknown_versions: { version: number; packet: string }[]
}>('sphinx-keys')
const lioness = readVectors<{ cases: LionessCase[] }>('sphinx-lioness').cases
const packets = ['ack', 'regular'].flatMap(
  (size) => readVectors<{ cases: PacketCase[] }>(`sphinx-packets-${size}`).cases,
)
const surbFile = readVectors<{ cases: SurbCase[]; regular: SurbCase }>('sphinx-surb')
const surbs = [...surbFile.cases, surbFile.regular]
const spoken = (version: number): version is 258 | 259 => version === 258 || version === 259

/** Randomness that must not be asked for: everything random is given by the vector. */
const noRandom = {
  bytes(): Uint8Array {
    throw new Error('a vector has nothing random')
  },
  fork: () => noRandom,
}

function headerOptions(vector: PacketCase, version: 258 | 259) {
  return {
    route: vector.node_addresses.map((address, i) => ({
      address: fromHex(address),
      publicKey: fromHex(vector.hops[i]!.node_public),
    })),
    delaysNanos: vector.delays_nanos.map(BigInt),
    destination: fromHex(vector.destination),
    identifier: fromHex(vector.identifier),
    version,
    initialSecret: fromHex(vector.initial_secret),
    finalHopPadding: fromHex(vector.final_hop_padding),
  }
}

/** Process a packet at every hop and compare all that the hop sees. */
function followHops(crypto: CryptoProvider, vector: PacketCase): void {
  let packet = fromHex(vector.packet)
  vector.hops.forEach((hop, i) => {
    const before = toHex(packet)
    const outcome = peel(crypto, fromHex(hop.node_secret), packet)
    assert.equal(toHex(packet), before, 'the packet that came is left as it is')
    assert.notEqual(outcome.kind, 'drop', `hop ${i + 1}`)
    if (outcome.kind === 'drop') return
    assert.equal(outcome.version, hop.version)
    assert.equal(toHex(outcome.replayTag), hop.expanded.replay_tag)
    assert.equal(outcome.kind, hop.type)
    if (outcome.kind === 'forward') {
      assert.equal(outcome.delayNanos, BigInt(hop.delay_nanos!))
      assert.equal(toHex(outcome.packet), hop.packet_out)
      packet = outcome.packet
    } else {
      assert.equal(toHex(outcome.destination), vector.destination)
      assert.equal(toHex(outcome.identifier), vector.identifier)
      assert.equal(toHex(outcome.message), vector.recovered_plaintext)
    }
  })
}

for (const crypto of await providers()) {
  describe(`Sphinx vectors with ${crypto.name}`, () => {
    for (const [i, vector] of keys.cases.entries())
      it(`keys, case ${i}`, () => {
        assert.equal(toHex(crypto.x25519Base(fromHex(vector.x))), vector.alpha)
        assert.equal(toHex(crypto.x25519Base(fromHex(vector.node_secret))), vector.node_public)
        const shared = crypto.x25519(fromHex(vector.node_secret), fromHex(vector.alpha))
        assert.equal(toHex(shared!), vector.shared_secret)
        const hop = expandHopKeys(crypto, [shared!])[0]!
        assert.equal(toHex(hop.expanded), vector.expanded_288)
        assert.equal(toHex(hop.stream), vector.expanded.stream_cipher_key)
        assert.equal(toHex(hop.mac), vector.expanded.header_mac_key)
        assert.equal(toHex(hop.fullPayload), vector.expanded.payload_key_full)
        assert.equal(toHex(hop.blinding), vector.expanded.blinding_factor_raw)
        assert.equal(toHex(hop.replayTag), vector.expanded.replay_tag)
        const seed = fromHex(vector.expanded.payload_key_seed!)
        assert.equal(toHex(crypto.payloadKeys([seed])[0]!), vector.expanded.payload_key_from_seed)
        assert.equal(toHex(crypto.x25519(hop.blinding, fromHex(vector.alpha))!), vector.next_alpha_x25519)
        const [derived] = routeKeys(crypto, fromHex(vector.x), [fromHex(vector.node_public)])
        assert.ok(vector.expanded_288.startsWith(toHex(derived!.expanded)))
      })

    for (const vector of lioness)
      it(`LIONESS of ${vector.len} bytes`, () => {
        const block = fromHex(vector.plaintext)
        lionessEncrypt(crypto, fromHex(vector.key), block)
        assert.equal(toHex(block), vector.ciphertext)
        lionessDecrypt(crypto, fromHex(vector.key), block)
        assert.equal(toHex(block), vector.plaintext)
        lionessDecrypt(crypto, fromHex(vector.key), block)
        assert.equal(toHex(block), vector.decrypt_of_plaintext)
      })

    for (const vector of packets) {
      const { version } = vector
      if (!spoken(version)) {
        it(`${vector.name} is refused by name`, () => {
          const outcome = peel(crypto, fromHex(vector.hops[0]!.node_secret), fromHex(vector.packet))
          assert.deepEqual(outcome, { kind: 'drop', reason: 'unsupported-version' } satisfies PeelOutcome)
        })
        continue
      }
      it(`${vector.name} opens hop by hop`, () => followHops(crypto, vector))
      it(`${vector.name} is built byte for byte`, () => {
        const options = headerOptions(vector, version)
        const message = fromHex(vector.message)
        const packet = buildPacket(crypto, noRandom, { ...options, payloadBytes: vector.payload_size, message })
        assert.equal(toHex(packet), vector.packet)
      })
      it(`${vector.name}: one multiplication per hop gives the chain's keys`, () => {
        const publicKeys = vector.hops.map((hop) => fromHex(hop.node_public))
        const secret = fromHex(vector.initial_secret)
        const short = routeKeys(crypto, secret, publicKeys)
        sharedSecretsByChain(crypto, secret, publicKeys).forEach((shared, i) => {
          assert.equal(toHex(shared), vector.hops[i]!.shared_secret)
          const { expanded } = short[i]!
          assert.deepEqual(expanded, expandHopKeys(crypto, [shared])[0]!.expanded.subarray(0, expanded.length))
        })
      })
    }

    for (const vector of surbs) {
      const { version } = vector
      if (!spoken(version)) continue
      it(`${vector.name}: made, read, used and followed`, () => {
        const made = createSurb(crypto, noRandom, headerOptions(vector, version))
        assert.equal(toHex(surbToBytes(made)), vector.surb)
        const read = surbFromBytes(fromHex(vector.surb))
        assert.deepEqual(read, made)
        assert.equal(read!.form, vector.uses_key_seeds ? 'key-seeds' : 'full-keys')
        const message = fromHex(vector.message)
        const used = useSurb(crypto, read!, { payloadBytes: vector.payload_size, message })
        assert.equal(toHex(used.packet), vector.packet)
        followHops(crypto, vector)
      })
    }

    it('unknown version numbers are processed as 259', () => {
      for (const { version, packet } of keys.unknown_versions) {
        const secrets = keys.cases.map((vector) => fromHex(vector.node_secret))
        const outcome = secrets
          .map((secret) => peel(crypto, secret, fromHex(packet)))
          .find(({ kind }) => kind !== 'drop')
        assert.ok(outcome !== undefined && outcome.kind !== 'drop', `version ${version}`)
        assert.equal(outcome.version, version)
      }
    })

    it('mixnode-forward, hop by hop', () => {
      for (const { hops } of readVectors<{ cases: { hops: ForwardHop[] }[] }>('mixnode-forward').cases)
        for (const hop of hops) {
          const outcome = peel(crypto, fromHex(hop.node_private_key), fromHex(hop.frame_in).subarray(4))
          assert.ok(outcome.kind !== 'drop')
          assert.equal(toHex(outcome.replayTag), hop.replay_tag)
          assert.equal(outcome.kind, hop.kind)
          if (outcome.kind === 'forward') {
            assert.equal(outcome.delayNanos, BigInt(hop.delay_nanos))
            assert.equal(socketText(outcome.nextHop), hop.next_hop)
            assert.equal(createHash('sha256').update(outcome.packet).digest('hex'), hop.packet_out_sha256)
          } else {
            assert.equal(toHex(outcome.destination), hop.destination)
            const rest = hop.forward_ack === null ? outcome.message : outcome.message.subarray(405)
            assert.equal(rest.length, hop.message_len)
            assert.equal(createHash('sha256').update(rest).digest('hex'), hop.message_sha256)
          }
        }
    })

    it('packets and acks of an official client open at every hop', () => {
      const file = readVectors<{ nodes: { sphinx_private: string }[]; packets: ClientPacket[] }>('client-packets')
      const secrets = file.nodes.map((node) => fromHex(node.sphinx_private))
      for (const vector of file.packets) {
        const message = openAll(crypto, secrets, fromHex(vector.packet), vector.opened)
        openAll(crypto, secrets, message.subarray(19, 405), vector.ack_opened)
      }
    })

    it('SURBs of an official client give its replies', () => {
      for (const vector of readVectors<{ packets: ClientPacket[] }>('client-packets').packets) {
        if (vector.surb === undefined) continue
        const surb = surbFromBytes(fromHex(vector.surb).subarray(16))
        assert.equal(surb!.form, vector.legacy_sphinx_format ? 'full-keys' : 'key-seeds')
        const message = fromHex(vector.opened.plaintext)
        const used = useSurb(crypto, surb!, { payloadBytes: 2065, message })
        assert.equal(toHex(used.packet), vector.packet)
        assert.equal(socketText(used.nextHop), vector.next_hop)
      }
    })
  })
}

interface ForwardHop {
  readonly node_private_key: string
  readonly frame_in: string
  readonly replay_tag: string
  readonly kind: 'forward' | 'final'
  readonly delay_nanos: number
  readonly next_hop: string
  readonly packet_out_sha256: string
  readonly destination: string
  readonly forward_ack: object | null
  readonly message_len: number
  readonly message_sha256: string
}

interface OpenedVector {
  readonly sphinx_version: number
  readonly delays_nanos: readonly number[]
  readonly destination: string
  readonly identifier: string
  readonly plaintext: string
}

interface ClientPacket {
  readonly packet: string
  readonly next_hop: string
  readonly legacy_sphinx_format: boolean
  readonly surb?: string
  readonly opened: OpenedVector
  readonly ack_opened: OpenedVector
}

function openAll(
  crypto: CryptoProvider,
  secrets: readonly Uint8Array[],
  packet: Uint8Array,
  vector: OpenedVector,
): Uint8Array {
  let current = packet
  const delays: bigint[] = []
  for (const secret of secrets) {
    assert.equal(openHeaders(crypto, secret, [current])[0]?.kind, 'opened')
    const outcome = peel(crypto, secret, current)
    assert.ok(outcome.kind !== 'drop')
    assert.equal(outcome.version, vector.sphinx_version)
    if (outcome.kind === 'forward') {
      delays.push(outcome.delayNanos)
      current = outcome.packet
      continue
    }
    assert.deepEqual(delays, vector.delays_nanos.map(BigInt))
    assert.equal(toHex(outcome.destination), vector.destination)
    assert.equal(toHex(outcome.identifier), vector.identifier)
    assert.equal(toHex(outcome.message), vector.plaintext)
    return outcome.message
  }
  throw new assert.AssertionError({ message: 'the packet never reached its final hop' })
}
