/** The network document: what is believed, and that nothing else is, however it is cut, bent or signed. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { MixError, silentLogger, utf8, VirtualClock } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import fc from 'fast-check'
import {
  ConsensusSource,
  canonicalJson,
  checkVote,
  consensusSchema,
  DocumentChain,
  defaultThreshold,
  documentHash,
  documentKind,
  encodeBase58,
  majority,
  type NetworkDocument,
  type NodeDescriptor,
  rewardedSetOf,
  signHash,
  signHostInformation,
  signVote,
  skimmedNode,
  type VerifiedDocument,
  verifyConsensus,
  withReceipts,
} from '../src/index.js'

let crypto: CryptoProvider
let keys: string[]
before(async () => {
  crypto = await loadCryptoProvider()
  keys = Array.from({ length: 4 }, (_, index) => keyOf(index))
})

const seedOf = (index: number) => new Uint8Array(32).fill(index + 1)
const keyOf = (index: number) => encodeBase58(crypto.ed25519PublicKey(seedOf(index)))
const SCHEDULE = { genesis_ms: 0, duration_ms: 60_000, validity_epochs: 4 }

function descriptor(fill: number, entry: boolean): NodeDescriptor {
  const seed = new Uint8Array(32).fill(fill)
  const key = encodeBase58(crypto.x25519Base(seed))
  const next = encodeBase58(crypto.x25519Base(new Uint8Array(32).fill(fill + 100)))
  const data = {
    ip_address: ['192.0.2.1'],
    hostname: null,
    keys: {
      ed25519_identity: encodeBase58(crypto.ed25519PublicKey(seed)),
      x25519_sphinx: key,
      primary_x25519_sphinx_key: { rotation_id: 2, public_key: key },
      pre_announced_x25519_sphinx_key: { rotation_id: 3, public_key: next },
      x25519_versioned_noise: null,
    },
  }
  const words = ['binary_name', 'build_timestamp', 'build_version', 'commit_sha', 'commit_timestamp', 'commit_branch']
  const build = [...words, 'rustc_version', 'rustc_channel', 'cargo_profile', 'cargo_triple']
  return {
    host_information: signHostInformation(crypto, data, seed),
    declared_role: { mixnode: !entry, entry, exit_nr: false, exit_ipr: false },
    mixnet_websockets: { ws_port: 9000, wss_port: null },
    network_requester: null,
    auxiliary_details: {
      location: null,
      announce_ports: { verloc_port: null, mix_port: 1789 },
      accepted_operator_terms_and_conditions: true,
    },
    build_information: Object.fromEntries(build.map((name) => [name, 'x'])) as NodeDescriptor['build_information'],
  }
}

function documentOf(changes: Partial<NetworkDocument> = {}): NetworkDocument {
  const nodes = [1, 2, 3, 0].map((layer, index) => ({
    node_id: index + 1,
    layer,
    score: 97,
    descriptor: descriptor(index + 10, layer === 0),
  }))
  return {
    version: 'mixwright-1',
    epoch_id: 10,
    round: 0,
    schedule: SCHEDULE,
    previous: null,
    next_node_id: 5,
    nodes,
    ...changes,
  }
}

function signedBy(signers: readonly number[], document: NetworkDocument): Uint8Array {
  const sha256 = documentHash(document)
  const signatures = signers.map((index) => signHash(crypto, documentKind(document), sha256, seedOf(index)))
  return utf8(canonicalJson(consensusSchema, { document, signatures }))
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

function verified(document: NetworkDocument): VerifiedDocument {
  const result = verifyConsensus(crypto, signedBy([0, 1, 2], document), keys)
  assert.ok(typeof result !== 'string', String(result))
  return result
}

describe('verifying a network document', () => {
  it('needs more than two thirds of the authorities, and more than half of them to list a node', () => {
    assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(defaultThreshold), [1, 2, 3, 3, 4, 5, 5])
    assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(majority), [1, 2, 2, 3, 3, 4, 4])
  })

  it('takes enough signatures, and no fewer, for each number of authorities', () => {
    for (let count = 1; count <= 7; count++) {
      const pinned = Array.from({ length: count }, (_, index) => keyOf(index))
      for (let signers = 0; signers <= count; signers++) {
        const bytes = signedBy([...Array(signers).keys()], documentOf())
        const result = verifyConsensus(crypto, bytes, pinned)
        assert.equal(typeof result !== 'string', signers >= defaultThreshold(count), `${signers} of ${count}`)
      }
    }
  })

  it('counts nobody twice, and no strangers', () => {
    const document = documentOf()
    assert.equal(verifyConsensus(crypto, signedBy([0, 0, 0, 1], document), keys), 'too-few-signatures')
    assert.equal(verifyConsensus(crypto, signedBy([0, 1, 7, 8], document), keys), 'too-few-signatures')
    assert.notEqual(typeof verifyConsensus(crypto, signedBy([0, 1, 7, 8, 2], document), keys), 'string')
    assert.equal(verifyConsensus(crypto, signedBy([0, 1], document), keys, 0), 'too-few-signatures')
  })

  it('takes no signature of another document, epoch, round or kind', () => {
    const document = documentOf()
    const sha256 = documentHash(document)
    for (const kind of ['vote', 'receipt', 'document 11 0', 'document 10 1'] as const) {
      const signatures = [0, 1, 2].map((index) => signHash(crypto, kind, sha256, seedOf(index)))
      const bytes = utf8(canonicalJson(consensusSchema, { document, signatures }))
      assert.equal(verifyConsensus(crypto, bytes, keys), 'too-few-signatures', kind)
    }
  })

  it('refuses what is not canonical', () => {
    const good = text(signedBy([0, 1, 2], documentOf()))
    const bent = [
      ` ${good}`,
      `${good}\n`,
      good.replace(':', ': '),
      good.replace('"round":0', '"round":0,"extra":1'),
      good.replace('"round":0', '"round":0.0'),
      good.replace('"round":0', '"round":0,"round":0'),
      good.replace('"round":0,', ''),
      good.replace('mixwright-1', 'mixwright-2'),
      `\ufeff${good}`,
      '[]',
      'null',
      '',
      '['.repeat(100_000),
    ]
    for (const one of bent) assert.equal(verifyConsensus(crypto, utf8(one), keys), 'malformed', one.slice(0, 40))
  })

  it('refuses documents that contradict themselves, whoever signed them', () => {
    const { nodes } = documentOf()
    const bent: Partial<NetworkDocument>[] = [
      { nodes: [...nodes].reverse() },
      { nodes: [nodes[0]!, nodes[0]!] },
      { next_node_id: 4 },
      { nodes: [{ ...nodes[0]!, layer: 4 }] },
      { nodes: [{ ...nodes[0]!, score: 101 }] },
      { schedule: { ...SCHEDULE, duration_ms: 0 } },
      { schedule: { ...SCHEDULE, validity_epochs: 0 } },
      { previous: { epoch_id: 10, sha256: '0'.repeat(64) } },
    ]
    for (const changes of bent)
      assert.equal(verifyConsensus(crypto, signedBy([0, 1, 2, 3], documentOf(changes)), keys), 'malformed')
  })

  it('refuses it cut at any length, and with any byte changed, and never throws', () => {
    const good = signedBy([0, 1, 2], documentOf())
    for (let length = 0; length < good.length; length++)
      assert.equal(verifyConsensus(crypto, good.subarray(0, length), keys), 'malformed')
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bent = good.slice()
        bent[at]! ^= flip
        assert.equal(typeof verifyConsensus(crypto, bent, keys), 'string')
      }),
      { numRuns: 500 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        assert.equal(verifyConsensus(crypto, bytes, keys), 'malformed')
      }),
    )
  })
})

describe('the chain of documents', () => {
  const at = (epoch: number) => epoch * 60_000 + 1000

  it('goes forward only, and not past what was seen', () => {
    const chain = new DocumentChain()
    const first = verified(documentOf())
    assert.equal(chain.refusal(first, at(10)), undefined)
    chain.follow(first)
    const link = { epoch_id: 10, sha256: first.sha256 }
    const other = { epoch_id: 10, sha256: 'ab'.repeat(32) }
    const refusal = (changes: Partial<NetworkDocument>, epoch = 11) =>
      chain.refusal(verified(documentOf(changes)), at(epoch))
    assert.equal(refusal({}), undefined)
    assert.equal(refusal({ epoch_id: 11, previous: link }), undefined)
    assert.equal(refusal({ epoch_id: 11, previous: other }), 'leaves-the-chain')
    assert.equal(refusal({ epoch_id: 12, previous: { ...other, epoch_id: 9 } }), 'leaves-the-chain')
    assert.equal(refusal({ epoch_id: 11 }), 'leaves-the-chain')
    assert.equal(refusal({ epoch_id: 12, previous: { ...other, epoch_id: 11 } }, 12), undefined, 'one was missed')
    assert.equal(refusal({ epoch_id: 9 }), 'goes-backwards')
    assert.equal(refusal({ next_node_id: 6 }), 'contradicts-another')
    assert.equal(refusal({ next_node_id: 6 }, 14), 'stale')
  })

  it('ends with the grace: then any valid document is taken again', () => {
    const chain = new DocumentChain()
    chain.follow(verified(documentOf()))
    assert.ok(chain.current(at(13)))
    assert.equal(chain.current(at(14)), undefined)
    assert.equal(chain.refusal(verified(documentOf({ epoch_id: 14 })), at(14)), undefined)
  })

  it('takes the document of the next epoch, and none of a later one', () => {
    const chain = new DocumentChain()
    assert.equal(chain.refusal(verified(documentOf()), at(9)), undefined)
    assert.equal(chain.refusal(verified(documentOf()), at(8)), 'from-the-future')
    assert.equal(chain.refusal(verified(documentOf()), at(14)), 'stale')
  })
})

describe('votes', () => {
  const vote = () =>
    signVote(
      crypto,
      {
        version: 'mixwright-1',
        epoch_id: 10,
        round: 0,
        authority: keyOf(0),
        schedule: SCHEDULE,
        previous: null,
        nodes: documentOf()
          .nodes.map(({ score, descriptor }) => ({ score, descriptor }))
          .sort((a, b) => (identity(a) < identity(b) ? -1 : 1)),
      },
      seedOf(0),
    )
  const identity = ({ descriptor }: { descriptor: NodeDescriptor }) =>
    descriptor.host_information.data.keys.ed25519_identity
  const bytesOf = (signed: unknown) => utf8(JSON.stringify(signed))

  it('are checked with everybody who vouches for them', () => {
    const own = vote()
    const vouched = withReceipts(crypto, withReceipts(crypto, own, own, seedOf(1)), own, seedOf(2))
    const checked = checkVote(crypto, bytesOf(vouched.signed), keys)
    assert.ok(typeof checked !== 'string', String(checked))
    assert.deepEqual([...checked.signers], [keyOf(0), keyOf(1), keyOf(2)])
    // An author does not vouch for its own vote.
    assert.equal(withReceipts(crypto, own, own, seedOf(0)).signers.size, 1)
  })

  it('are refused with a wrong author, signature, receipt or order', () => {
    const { signed } = vote()
    const receipt = signHash(crypto, 'receipt', vote().sha256, seedOf(1))
    const refused = (changes: object) => checkVote(crypto, bytesOf({ ...signed, ...changes }), keys)
    assert.equal(refused({ signature: { ...signed.signature, authority: keyOf(1) } }), 'unknown-authority')
    assert.equal(checkVote(crypto, bytesOf(signed), keys.slice(1)), 'unknown-authority')
    assert.equal(refused({ vote: { ...signed.vote, epoch_id: 11 } }), 'bad-signature')
    assert.equal(refused({ receipts: [receipt, receipt] }), 'malformed')
    assert.equal(refused({ receipts: [{ ...receipt, authority: keyOf(2) }] }), 'bad-signature')
    assert.equal(refused({ receipts: [{ ...receipt, authority: keyOf(6) }] }), 'malformed')
    const { nodes } = signed.vote
    for (const bent of [[...nodes].reverse(), [nodes[0]!, nodes[0]!], [{ ...nodes[0]!, score: 101 }]]) {
      const other = signVote(crypto, { ...signed.vote, nodes: bent }, seedOf(0))
      assert.equal(checkVote(crypto, bytesOf(other.signed), keys), 'malformed')
    }
  })

  it('never throw, however they are bent', () => {
    const good = bytesOf(vote().signed)
    for (let length = 0; length < good.length; length += 7)
      assert.equal(checkVote(crypto, good.subarray(0, length), keys), 'malformed')
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bent = good.slice()
        bent[at]! ^= flip
        assert.equal(typeof checkVote(crypto, bent, keys), 'string')
      }),
      { numRuns: 300 },
    )
  })
})

describe('the lists of a document', () => {
  it('show the key of the rotation, and the roles', () => {
    const document = documentOf()
    const [mixnode, , , gateway] = document.nodes
    const keysOf = mixnode!.descriptor.host_information.data.keys
    assert.equal(skimmedNode(mixnode!, 2).x25519_sphinx_pubkey, keysOf.x25519_sphinx)
    assert.equal(skimmedNode(mixnode!, 3).x25519_sphinx_pubkey, keysOf.pre_announced_x25519_sphinx_key!.public_key)
    assert.equal(skimmedNode(mixnode!, 4).x25519_sphinx_pubkey, keysOf.x25519_sphinx, 'late nodes keep their old key')
    assert.deepEqual(skimmedNode(mixnode!, 2).role, { Mixnode: { layer: 1 } })
    assert.equal(skimmedNode(gateway!, 2).role, 'EntryGateway')
    assert.equal(skimmedNode(gateway!, 2).performance, '0.97')
    const { layer1, layer2, layer3, entry_gateways } = rewardedSetOf(document, 10)
    assert.deepEqual([layer1, layer2, layer3, entry_gateways], [[1], [2], [3], [4]])
  })
})

describe('reading from several directories', () => {
  const clock = new VirtualClock(10 * 60_000 + 1000)
  const lines: { url: unknown; reason: unknown }[] = []
  const logger = {
    ...silentLogger,
    warn: (fields: Readonly<Record<string, unknown>>) => {
      lines.push({ url: fields.url, reason: fields.reason })
    },
  }
  type Answer = Uint8Array | 'silent' | 'dead'
  const sourceOf = (answers: Readonly<Record<string, Answer>>, deadlineMs?: number) =>
    new ConsensusSource({
      baseUrls: Object.keys(answers),
      authorities: keys,
      clock,
      crypto,
      logger,
      deadlineMs,
      fetch: async (input, init) => {
        const answer = answers[String(input).split('/v1/')[0]!]!
        if (answer === 'dead') throw new TypeError('fetch failed', { cause: { code: 'ECONNREFUSED' } })
        if (answer !== 'silent') return new Response(answer as Uint8Array<ArrayBuffer>)
        return await new Promise((_resolve, reject) =>
          init!.signal!.addEventListener('abort', () => reject(init!.signal!.reason)),
        )
      },
    })
  const good = () => signedBy([0, 1, 2], documentOf())

  it('is content with two that agree, though a third is silent', async () => {
    const { document } = await sourceOf({ 'http://a': good(), 'http://b': 'silent', 'http://c': good() }).read()
    assert.equal(document.epoch_id, 10)
  })

  it('passes over liars, laggards and nonsense, and says whom', async () => {
    lines.length = 0
    const source = sourceOf({
      'http://lies': signedBy([0], documentOf({ next_node_id: 9 })),
      'http://lags': signedBy([0, 1, 2], documentOf({ epoch_id: 6 })),
      'http://garbage': utf8('<html>'),
      'http://dead': 'dead',
      'http://good': good(),
    })
    assert.equal((await source.read()).sha256, documentHash(documentOf()))
    const said = Object.fromEntries(lines.map(({ url, reason }) => [url, reason]))
    assert.deepEqual(said, {
      'http://lies': 'too-few-signatures',
      'http://lags': 'stale',
      'http://garbage': 'malformed',
      'http://dead': 'ECONNREFUSED',
    })
  })

  it('fails with a typed error when nobody is to be believed', async () => {
    await assert.rejects(sourceOf({ 'http://a': utf8('x'), 'http://b': 'dead' }).read(), {
      code: 'MIX_DIRECTORY_UNVERIFIED',
      retry: true,
    })
    await assert.rejects(sourceOf({ 'http://a': 'dead' }).read(), { code: 'MIX_DIRECTORY_UNREACHABLE' })
    await assert.rejects(sourceOf({}).read(), MixError)
    const waiting = sourceOf({ 'http://a': 'silent' }, 500).read()
    clock.advance(500)
    await assert.rejects(waiting, { code: 'MIX_DIRECTORY_UNREACHABLE' })
  })

  it('refuses both when two valid documents contradict each other', async () => {
    const source = sourceOf({ 'http://a': good(), 'http://b': signedBy([1, 2, 3], documentOf({ next_node_id: 9 })) })
    await assert.rejects(source.read(), (error: MixError) => error.data.reason === 'contradicts-another')
  })

  it('ends with the signal, and refuses keys that are none', async () => {
    const controller = new AbortController()
    const reading = sourceOf({ 'http://a': 'silent' }).read(controller.signal)
    controller.abort(new Error('enough'))
    await assert.rejects(reading, /enough/)
    const options = { baseUrls: [], clock, crypto, logger: silentLogger }
    for (const authorities of [[], ['x'], [keyOf(0), keyOf(0)]])
      assert.throws(() => new ConsensusSource({ ...options, authorities }), { code: 'MIX_OPTIONS' })
    assert.throws(() => new ConsensusSource({ ...options, authorities: keys, threshold: 5 }), { code: 'MIX_OPTIONS' })
  })
})
