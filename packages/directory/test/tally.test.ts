/** Counting votes: the same votes give the same document, and no minority has its way. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  documentHash,
  identityOf,
  isRoutable,
  type NetworkDocument,
  type Vote,
  type VotedNode,
  verifyHostInformation,
} from '@mixwright/wire'
import fc from 'fast-check'
import { linkTo, tally } from '../src/consensus/tally.js'
import { reviewVote } from '../src/consensus/vote-review.js'
import { authorityKey, descriptorOf, networkView, SCHEDULE, sortedNodes } from './consensus-network.js'

let crypto: CryptoProvider
before(async () => {
  crypto = await loadCryptoProvider()
})

function voteOf(author: number, nodes: readonly VotedNode[], changes: Partial<Vote> = {}): Vote {
  return {
    version: 'mixwright-1',
    epoch_id: 1,
    round: 0,
    authority: authorityKey(crypto, author),
    schedule: SCHEDULE,
    previous: null,
    nodes: sortedNodes(nodes),
    ...changes,
  }
}

function count(votes: readonly Vote[], authorities: number, previous?: NetworkDocument, epochId = 1): NetworkDocument {
  return tally({
    votes,
    authorities,
    epochId,
    round: 0,
    schedule: SCHEDULE,
    previous,
    isGenuine: ({ host_information }) => verifyHostInformation(crypto, host_information),
  })
}

const node = (number: number, score = 100, options = {}): VotedNode => ({
  descriptor: descriptorOf(crypto, number, options),
  score,
})
const gateway = (score = 100) => node(90, score, { entry: true })
const scoreOf = (document: NetworkDocument, { descriptor }: VotedNode) =>
  document.nodes.find((listed) => identityOf(listed.descriptor) === identityOf(descriptor))?.score

describe('tally', () => {
  it('does not depend on the order of votes', () => {
    const pool = [1, 2, 3, 4, 5, 6].map((number) => node(number))
    const votesOf = fc.array(fc.array(fc.tuple(fc.nat(5), fc.nat(100)), { maxLength: 8 }), {
      minLength: 1,
      maxLength: 7,
    })
    fc.assert(
      fc.property(votesOf, fc.infiniteStream(fc.nat()), (drawn, numbers) => {
        const votes = drawn.map((nodes, author) => {
          const scores = new Map(nodes)
          return voteOf(
            author,
            [...scores].map(([index, score]) => ({ ...pool[index]!, score })),
          )
        })
        const orderly = documentHash(count(votes, 7))
        const keyed = votes.map((vote) => [numbers.next().value!, vote] as const).sort(([a], [b]) => a - b)
        assert.equal(
          documentHash(
            count(
              keyed.map(([, vote]) => vote),
              7,
            ),
          ),
          orderly,
        )
      }),
      { numRuns: 60 },
    )
  })

  it('lists a node that more than half of all authorities list', () => {
    for (let authorities = 1; authorities <= 7; authorities++)
      for (let listing = 0; listing <= authorities; listing++) {
        const votes = Array.from({ length: authorities }, (_, author) =>
          voteOf(author, author < listing ? [node(1)] : []),
        )
        const silent = votes.slice(0, listing)
        const expected = listing > authorities / 2 ? 1 : 0
        assert.equal(count(votes, authorities).nodes.length, expected, `${listing} of ${authorities}`)
        assert.equal(count(silent, authorities).nodes.length, expected, 'the silent count as not listing')
      }
  })

  it('takes the median of the scores, the lower of two', () => {
    const scored = (...scores: number[]) =>
      scoreOf(
        count(
          scores.map((score, author) => voteOf(author, [node(1, score)])),
          scores.length,
        ),
        node(1),
      )
    assert.equal(scored(90), 90)
    assert.equal(scored(90, 96), 90)
    assert.equal(scored(0, 90, 96), 90)
    assert.equal(scored(100, 1, 90, 96), 90)
    assert.equal(scored(100, 100, 7, 0, 0), 7)
  })

  it('takes the descriptor that most have seen, whatever one says', () => {
    const moved = { address: '192.0.2.66' }
    const document = count([voteOf(0, [node(1)]), voteOf(1, [node(1, 100, moved)]), voteOf(2, [node(1)])], 3)
    assert.deepEqual(document.nodes[0]!.descriptor, node(1).descriptor)
  })

  it('of as many votes takes the descriptor with the key that is needed', () => {
    const late = descriptorOf(crypto, 1, { rotation: 0 })
    const ready = descriptorOf(crypto, 1, { rotation: 1 })
    const votes = [late, ready].map((descriptor, author) =>
      voteOf(author, [{ descriptor, score: 100 }], { epoch_id: 4 }),
    )
    assert.deepEqual(count(votes, 2, undefined, 4).nodes[0]!.descriptor, ready)
    assert.deepEqual(count(votes.toReversed(), 2, undefined, 4).nodes[0]!.descriptor, ready)
  })

  it('lists nothing that its node has not signed, however many vote for it', () => {
    const { descriptor } = node(1)
    const data = { ...descriptor.host_information.data, ip_address: ['192.0.2.66'] }
    const forged = { ...descriptor, host_information: { ...descriptor.host_information, data } }
    const votes = [0, 1, 2].map((author) => voteOf(author, [{ descriptor: forged, score: 100 }]))
    assert.deepEqual(count(votes, 3).nodes, [])
  })

  it('counts no vote for another epoch, round, schedule or past', () => {
    const elsewhere = { epoch_id: 0, sha256: '0'.repeat(64) }
    const others: Partial<Vote>[] = [
      { epoch_id: 2 },
      { round: 1 },
      { schedule: { ...SCHEDULE, validity_epochs: 5 } },
      { previous: elsewhere },
    ]
    for (const changes of others)
      assert.deepEqual(
        count([voteOf(0, [node(1)]), voteOf(1, [node(1)], changes)], 2).nodes,
        [],
        JSON.stringify(changes),
      )
  })

  it('numbers nodes once and for all', () => {
    const all = [node(1), node(2), node(3), gateway()]
    const first = count([voteOf(0, all)], 1)
    const previous = linkTo(first)
    const numbers = (document: NetworkDocument) =>
      new Map(document.nodes.map(({ node_id, descriptor }) => [identityOf(descriptor), node_id]))
    const kept = all.slice(1)
    const second = count([voteOf(0, [...kept, node(4)], { epoch_id: 2, previous })], 1, first, 2)
    for (const { descriptor } of kept)
      assert.equal(numbers(second).get(identityOf(descriptor)), numbers(first).get(identityOf(descriptor)))
    assert.equal(numbers(second).get(identityOf(node(4).descriptor)), 5, 'no number is given twice')
    assert.equal(second.next_node_id, 6)
  })

  it('leaves the layers of a small network alone, and deals those of a large one anew', () => {
    const layersOf = ({ nodes }: NetworkDocument) => nodes.map(({ node_id, layer }) => `${node_id} ${layer}`).join()
    const twice = (mixnodes: number) => {
      const view = networkView(crypto, mixnodes)
      const first = count([voteOf(0, view)], 1)
      const second = count([voteOf(0, view, { epoch_id: 2, previous: linkTo(first) })], 1, first, 2)
      assert.ok(isRoutable(first) && isRoutable(second))
      return layersOf(first) === layersOf(second)
    }
    assert.equal(twice(3), true)
    assert.equal(twice(8), true)
    assert.equal(twice(30), false)
  })

  it('gives layers to nodes that work, as long as they suffice', () => {
    const layerOf = (document: NetworkDocument, number: number) =>
      document.nodes.find(({ descriptor }) => identityOf(descriptor) === identityOf(node(number).descriptor))!.layer
    const weak = count([voteOf(0, [node(1), node(2), node(3), node(4, 20), gateway()])], 1)
    assert.equal(layerOf(weak, 4), 0)
    assert.ok(isRoutable(weak))
    const needed = count([voteOf(0, [node(1), node(2), node(3, 20), gateway()])], 1)
    assert.ok(layerOf(needed, 3) > 0)
    const keyless = voteOf(0, [node(1), node(2), node(3), node(4, 100, { rotation: 1 }), gateway()])
    assert.equal(layerOf(count([keyless], 1), 4), 0)
  })
})

describe('the review of a vote', () => {
  it('counts what nobody bears out', () => {
    const honest = [node(1), node(2), node(3), gateway()]
    const lie = [node(1, 0), node(2, 100, { address: '192.0.2.66' }), gateway(), node(7), node(8)]
    const votes = [voteOf(0, honest), voteOf(1, honest), voteOf(2, lie)]
    const document = count(votes, 3)
    const silence = { unsupported: 0, missing: 0, otherDescriptors: 0, oddScores: 0 }
    assert.deepEqual(reviewVote(votes[0]!, document), { authority: authorityKey(crypto, 0), ...silence })
    assert.deepEqual(reviewVote(votes[2]!, document), {
      authority: authorityKey(crypto, 2),
      unsupported: 2,
      missing: 1,
      otherDescriptors: 1,
      oddScores: 1,
    })
  })
})
