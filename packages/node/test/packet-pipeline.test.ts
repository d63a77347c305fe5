import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { before, describe, it } from 'node:test'
import { fromHex, SeededRandom, toHex, uniform } from '@mixwright/runtime'
import { buildPacket, type CryptoProvider, encodeNodeAddress, loadCryptoProvider } from '@mixwright/sphinx'
import { encodeFrame, type Frame, FrameDecoder, type KeyRotation } from '@mixwright/wire'
import { type SphinxKey, SphinxKeys } from '../src/keys/sphinx-keys.js'
import { PacketPipeline } from '../src/peel/packet-pipeline.js'

interface ForwardVectors {
  cases: {
    name: string
    key_rotation: KeyRotation
    hops: {
      kind: 'forward' | 'final'
      node_private_key: string
      frame_in: string
      next_hop?: string
      delay_nanos?: number
      packet_out_sha256?: string
      destination?: string
      message_len?: number
      message_sha256?: string
      forward_ack?: { packet_type: number; key_rotation: KeyRotation; next_hop: string; packet: string } | null
    }[]
  }[]
}

const vectors: ForwardVectors = JSON.parse(
  readFileSync(new URL('../../../../vectors/mixnode-forward.json', import.meta.url), 'utf8'),
)
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const BOTH_ROLES = { forwardHops: true, finalHops: true }

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

function oneFrame(bytes: Uint8Array): Frame {
  let found: Frame | undefined
  const error = new FrameDecoder().push(bytes, (frame) => {
    found = frame
  })
  assert.equal(error, undefined)
  assert.ok(found)
  return found
}

function key(rotationId: number, fill: number): SphinxKey {
  const secret = new Uint8Array(32).fill(fill)
  return { rotationId, secret, publicKey: crypto.x25519Base(secret) }
}

function text({ family, host, port }: { family: 4 | 6; host: string; port: number }): string {
  return family === 4 ? `${host}:${port}` : `[${host}]:${port}`
}

describe('the pipeline on mixnode-forward.json', () => {
  for (const vector of vectors.cases) {
    it(vector.name, () => {
      for (const hop of vector.hops) {
        const secret = fromHex(hop.node_private_key)
        const keys = new SphinxKeys({ rotationId: vector.key_rotation, secret, publicKey: crypto.x25519Base(secret) })
        const outcome = new PacketPipeline(crypto, keys, BOTH_ROLES).process([oneFrame(fromHex(hop.frame_in))])[0]!
        assert.equal(outcome.kind, hop.kind)
        if (outcome.kind === 'forward') {
          assert.equal(text(outcome.mixPacket.nextHop), hop.next_hop)
          assert.equal(outcome.delayNanos, BigInt(hop.delay_nanos!))
          assert.equal(sha256(outcome.mixPacket.packet), hop.packet_out_sha256)
          assert.equal(outcome.mixPacket.rotation, vector.key_rotation)
        }
        if (outcome.kind === 'final') {
          assert.equal(toHex(outcome.destination), hop.destination)
          assert.equal(sha256(outcome.message), hop.message_sha256)
          const ack = outcome.ack && {
            packet_type: 0,
            key_rotation: outcome.ack.rotation,
            next_hop: text(outcome.ack.nextHop),
            packet: toHex(outcome.ack.packet),
          }
          assert.deepEqual(ack ?? null, hop.forward_ack)
        }
      }
    })
  }
})

describe('roles, keys and bad packets', () => {
  const random = new SeededRandom('pipeline')

  /** A frame for one hop with `target`'s key; forwarded to nowhere, or final with `message`. */
  function frameFor(
    target: SphinxKey,
    options: { final: boolean; rotation?: KeyRotation; message?: Uint8Array; version?: 7 | 8 },
  ): Frame {
    const address = encodeNodeAddress({ family: 4, host: '127.0.0.1', port: 9 }, 32)
    const hops = options.final ? [target] : [target, key(0, 99)]
    const packet = buildPacket(crypto, random, {
      route: hops.map(({ publicKey }) => ({ address, publicKey })),
      delaysNanos: hops.map(() => 1_000_000n),
      destination: new Uint8Array(32).fill(5),
      payloadBytes: 2065,
      message: options.message ?? new Uint8Array(2048),
    })
    return oneFrame(encodeFrame(packet, options.rotation ?? 0, options.version ?? 8))
  }

  const reasonOf = (pipeline: PacketPipeline, frame: Frame) => {
    const outcome = pipeline.process([frame])[0]!
    return outcome.kind === 'drop' ? outcome.reason : outcome.kind
  }

  it('a mix node never delivers, a gateway is never a middle hop', () => {
    const own = key(1, 1)
    const mix = new PacketPipeline(crypto, new SphinxKeys(own), { forwardHops: true, finalHops: false })
    const gateway = new PacketPipeline(crypto, new SphinxKeys(own), { forwardHops: false, finalHops: true })
    assert.equal(reasonOf(mix, frameFor(own, { final: false })), 'forward')
    assert.equal(reasonOf(mix, frameFor(own, { final: true })), 'final-hop-disabled')
    assert.equal(reasonOf(gateway, frameFor(own, { final: false })), 'forward-hop-disabled')
  })

  it('tries both keys for an unknown rotation, and only the right one else', () => {
    const odd = key(7, 1)
    const even = key(8, 2)
    const pipeline = new PacketPipeline(crypto, new SphinxKeys(even, odd), BOTH_ROLES)
    for (const target of [odd, even]) {
      assert.equal(reasonOf(pipeline, frameFor(target, { final: false, version: 7 })), 'forward')
      assert.equal(reasonOf(pipeline, frameFor(target, { final: false, rotation: 0 })), 'forward')
      const [right, wrong] = target === odd ? ([1, 2] as const) : ([2, 1] as const)
      assert.equal(reasonOf(pipeline, frameFor(target, { final: false, rotation: right })), 'forward')
      assert.equal(reasonOf(pipeline, frameFor(target, { final: false, rotation: wrong })), 'header-mac')
    }
    const alone = new PacketPipeline(crypto, new SphinxKeys(even), BOTH_ROLES)
    assert.equal(reasonOf(alone, frameFor(odd, { final: false, rotation: 1 })), 'expired-key')
  })

  it('a message without a readable SURB-ack is dropped whole', () => {
    const own = key(1, 1)
    const pipeline = new PacketPipeline(crypto, new SphinxKeys(own), BOTH_ROLES)
    assert.equal(reasonOf(pipeline, frameFor(own, { final: true, message: new Uint8Array(404) })), 'surb-ack')
    assert.equal(reasonOf(pipeline, frameFor(own, { final: true, message: new Uint8Array(2048) })), 'surb-ack')
  })

  it('mutated frames always end in an outcome', (t) => {
    const own = key(1, 1)
    const pipeline = new PacketPipeline(crypto, new SphinxKeys(own), BOTH_ROLES)
    const good = frameFor(own, { final: false })
    const reasons = new Map<string, number>()
    const runs = 2000
    for (let run = 0; run < runs; run++) {
      const packet = good.packet.slice()
      const at = Math.floor(uniform(random) * packet.length)
      packet[at]! ^= 1 << Math.floor(uniform(random) * 8)
      const reason = reasonOf(pipeline, { ...good, packet })
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    }
    t.diagnostic(`${runs} mutated packets: ${JSON.stringify(Object.fromEntries(reasons))}`)
    assert.ok((reasons.get('header-mac') ?? 0) > 0)
    // The payload carries no MAC at a middle hop: a change there is seen by the last hop only.
    assert.ok((reasons.get('forward') ?? 0) > 0)
  })
})
