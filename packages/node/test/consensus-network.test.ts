/** A node with pinned keys learns the network from what the authorities signed, and from nothing else. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { silentLogger, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  canonicalJson,
  consensusSchema,
  documentHash,
  documentKind,
  encodeBase58,
  type NetworkDocument,
  signHash,
  signHostInformation,
} from '@mixwright/wire'
import { ConsensusNetwork } from '../src/network/consensus-network.js'
import { NetworkView } from '../src/network/network-view.js'

const EPOCH_MS = 60_000
const authoritySeed = new Uint8Array(32).fill(200)
let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

function documentOf(): NetworkDocument {
  const nodes = [1, 2, 3, 0].map((layer, index) => {
    const seed = new Uint8Array(32).fill(index + 1)
    const key = encodeBase58(crypto.x25519Base(seed))
    const data = {
      ip_address: [`192.0.2.${index + 1}`, `2001:db8::${index + 1}`],
      hostname: null,
      keys: {
        ed25519_identity: encodeBase58(crypto.ed25519PublicKey(seed)),
        x25519_sphinx: key,
        primary_x25519_sphinx_key: { rotation_id: 2, public_key: key },
        pre_announced_x25519_sphinx_key: null,
        x25519_versioned_noise: index === 0 ? { supported_version: 1, x25519_pubkey: key } : null,
      },
    }
    const build = ['binary_name', 'build_timestamp', 'build_version', 'commit_sha', 'commit_timestamp']
    const rest = ['commit_branch', 'rustc_version', 'rustc_channel', 'cargo_profile', 'cargo_triple']
    return {
      node_id: index + 1,
      layer,
      score: 98,
      descriptor: {
        host_information: signHostInformation(crypto, data, seed),
        declared_role: { mixnode: layer > 0, entry: layer === 0, exit_nr: false, exit_ipr: false },
        mixnet_websockets: { ws_port: 9000, wss_port: null },
        network_requester: null,
        auxiliary_details: {
          location: null,
          announce_ports: { verloc_port: null, mix_port: index === 0 ? 1700 : null },
          accepted_operator_terms_and_conditions: true,
        },
        build_information: Object.fromEntries([...build, ...rest].map((name) => [name, 'x'])) as never,
      },
    }
  })
  const schedule = { genesis_ms: 0, duration_ms: EPOCH_MS, validity_epochs: 4 }
  return { version: 'mixwright-1', epoch_id: 10, round: 0, schedule, previous: null, next_node_id: 5, nodes }
}

function networkOf(answer: () => string, clock = new VirtualClock(10 * EPOCH_MS + 5_000)): ConsensusNetwork {
  return new ConsensusNetwork({
    baseUrls: ['http://a/'],
    authorities: [encodeBase58(crypto.ed25519PublicKey(authoritySeed))],
    clock,
    crypto,
    logger: silentLogger,
    fetch: async (input) => {
      assert.equal(String(input), 'http://a/v1/mixwright/consensus')
      return new Response(answer())
    },
    announceTo: { announce: async () => {} },
  })
}

function signed(document: NetworkDocument, seed = authoritySeed): string {
  const signatures = [signHash(crypto, documentKind(document), documentHash(document), seed)]
  return canonicalJson(consensusSchema, { document, signatures })
}

describe('a network by consensus', () => {
  it('has peers, keys, addresses and rotations of the signed document', async () => {
    const network = networkOf(() => signed(documentOf()))
    const { peers, routable } = await network.topology()
    assert.equal(routable, true)
    const view = new NetworkView(peers)
    assert.ok(view.knows('192.0.2.4') && view.knows('2001:db8::1') && !view.knows('192.0.2.5'))
    assert.ok(view.speaksNoise('192.0.2.1') && !view.speaksNoise('192.0.2.2'))
    assert.deepEqual(
      peers.map(({ mixPort }) => mixPort),
      [1700, 1789, 1789, 1789],
    )
    assert.deepEqual(await network.known(['192.0.2.2', '192.0.2.9']), new Set(['192.0.2.2']))
    const { validityEpochs, initialEpochId, epochMs, epochId, epochStartMs } = await network.keyRotation()
    assert.deepEqual([validityEpochs, initialEpochId, epochMs], [4, 0, EPOCH_MS])
    assert.deepEqual([epochId, epochStartMs], [10, 10 * EPOCH_MS])
  })

  it('goes by the clock in the grace', async () => {
    const network = networkOf(() => signed(documentOf()), new VirtualClock(12 * EPOCH_MS + 5_000))
    const { epochId, epochStartMs } = await network.keyRotation()
    assert.deepEqual([epochId, epochStartMs], [12, 12 * EPOCH_MS])
  })

  it('believes nobody else', async () => {
    const network = networkOf(() => signed(documentOf(), new Uint8Array(32).fill(201)))
    for (const ask of [() => network.topology(), () => network.keyRotation(), () => network.known(['192.0.2.1'])])
      await assert.rejects(ask(), { code: 'MIX_DIRECTORY_UNVERIFIED' })
  })
})
