/**
 * Rounds of authorities without sockets: every honest one comes to the same document, whatever a minority sends to whom and
 * when.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { utf8 } from '@mixwright/runtime'
import { type CryptoProvider, loadCryptoProvider } from '@mixwright/sphinx'
import {
  type CheckedVote,
  checkVote,
  type DocumentSignature,
  defaultThreshold,
  documentHash,
  documentKind,
  type NetworkDocument,
  signHash,
  signVote,
  type VotedNode,
  verifyConsensus,
  withReceipts,
} from '@mixwright/wire'
import fc from 'fast-check'
import { ConsensusRound, type RoundAction } from '../src/consensus/consensus-round.js'
import { tally } from '../src/consensus/tally.js'
import { authorityKey, authoritySeed, networkView, SCHEDULE } from './consensus-network.js'

let crypto: CryptoProvider
let view: VotedNode[]
before(async () => {
  crypto = await loadCryptoProvider()
  view = networkView(crypto)
})

function roundOf(index: number, authorities: number, threshold: number): ConsensusRound {
  return new ConsensusRound({
    crypto,
    authorities: Array.from({ length: authorities }, (_, each) => authorityKey(crypto, each)),
    threshold,
    authority: authorityKey(crypto, index),
    seed: authoritySeed(index),
    epochId: 1,
    round: 0,
    tally: (votes) =>
      tally({
        votes,
        authorities,
        epochId: 1,
        round: 0,
        schedule: SCHEDULE,
        previous: undefined,
        isGenuine: () => true,
      }),
  })
}

/** A vote of an authority; with another score, another vote. */
function voteOf(index: number, score = 100, epoch_id = 1): CheckedVote {
  const nodes = view.map(({ descriptor }) => ({ descriptor, score }))
  const authority = authorityKey(crypto, index)
  const vote = {
    version: 'mixwright-1',
    epoch_id,
    round: 0,
    authority,
    schedule: SCHEDULE,
    previous: null,
    nodes,
  } as const
  return signVote(crypto, { ...vote, nodes }, authoritySeed(index))
}

function signatureOf(index: number, sha256: string, epoch_id = 1): DocumentSignature {
  const signed = signHash(crypto, documentKind({ epoch_id, round: 0 }), sha256, authoritySeed(index))
  return { epoch_id, round: 0, sha256, ...signed }
}

/** Honest authorities that hear each other at once, or when `deliver` is called; a hostile one is whoever is left out. */
class Assembly {
  #waiting: (() => void)[] = []
  readonly rounds = new Map<string, ConsensusRound>()
  readonly actions = new Map<string, RoundAction[]>()

  constructor(
    honest: readonly number[],
    authorities: number,
    threshold: number,
    private readonly slow = false,
  ) {
    for (const index of honest) {
      const key = authorityKey(crypto, index)
      this.rounds.set(key, roundOf(index, authorities, threshold))
      this.actions.set(key, [])
    }
    for (const index of honest) {
      const key = authorityKey(crypto, index)
      // Scores differ, so that each vote that is counted or not moves the median.
      this.#do(key, this.rounds.get(key)!.start(voteOf(index, 50 + 5 * index)))
    }
  }

  vote(to: number, vote: CheckedVote): void {
    const key = authorityKey(crypto, to)
    this.#do(key, this.rounds.get(key)!.voteReceived(vote))
  }

  signature(to: number, signature: DocumentSignature): void {
    const key = authorityKey(crypto, to)
    this.#do(key, this.rounds.get(key)!.signatureReceived(signature))
  }

  phaseEnded(): void {
    for (const [key, round] of this.rounds) this.#do(key, round.phaseEnded())
  }

  finish(): void {
    const [first] = this.rounds.values()
    for (let phase = 0; phase < first!.phases; phase++) this.phaseEnded()
  }

  /** What was sent before arrives; what is sent for that has to wait for the next call. */
  deliver(): void {
    const arriving = this.#waiting
    this.#waiting = []
    for (const arrive of arriving) arrive()
  }

  #send(arrive: () => void): void {
    if (this.slow) this.#waiting.push(arrive)
    else arrive()
  }

  /** Actions of one kind, by all. */
  all<T extends RoundAction['type']>(type: T): Extract<RoundAction, { type: T }>[] {
    return [...this.actions.values()].flat().filter((action) => action.type === type) as never
  }

  /** What each published last. */
  published(): NetworkDocument[] {
    return [...this.actions.values()].flatMap((actions) => {
      const last = actions.findLast((action) => action.type === 'publish')
      return last?.type === 'publish' ? [last.consensus.document] : []
    })
  }

  #do(by: string, actions: readonly RoundAction[]): void {
    this.actions.get(by)!.push(...actions)
    for (const action of actions) {
      if (action.type === 'send-vote')
        for (const to of action.to) {
          const round = this.rounds.get(to)
          const arrived = checkVote(crypto, utf8(JSON.stringify(action.vote.signed)), keysOf(9))
          assert.ok(typeof arrived !== 'string')
          if (round !== undefined) this.#send(() => this.#do(to, round.voteReceived(arrived)))
        }
      if (action.type === 'send-signature')
        for (const [to, round] of this.rounds)
          if (to !== by) this.#send(() => this.#do(to, round.signatureReceived(action.signature)))
    }
  }
}

const keysOf = (count: number) => Array.from({ length: count }, (_, index) => authorityKey(crypto, index))

describe('a round of honest authorities', () => {
  it('ends in one document that all have signed, for any number of them', () => {
    for (let count = 1; count <= 7; count++) {
      const assembly = new Assembly([...Array(count).keys()], count, defaultThreshold(count))
      assembly.finish()
      const published = assembly.published()
      assert.equal(published.length, count)
      assert.equal(new Set(published.map(documentHash)).size, 1)
      for (const { consensus } of assembly.all('publish'))
        assert.notEqual(typeof verifyConsensus(crypto, utf8(JSON.stringify(consensus)), keysOf(count)), 'string')
      assert.equal(assembly.all('publish').at(-1)!.consensus.signatures.length, count)
      assert.deepEqual(assembly.all('alarm'), [])
      assert.deepEqual(assembly.all('refused'), [])
    }
  })

  it('succeeds with as many as the threshold says, and raises an alarm with one fewer', () => {
    for (let count = 2; count <= 7; count++) {
      const threshold = defaultThreshold(count)
      const enough = new Assembly([...Array(threshold).keys()], count, threshold)
      enough.finish()
      assert.equal(enough.published().length, threshold, `${threshold} of ${count}`)
      const few = new Assembly([...Array(threshold - 1).keys()], count, threshold)
      few.finish()
      assert.equal(few.published().length, 0, `${threshold - 1} of ${count}`)
      assert.equal(few.all('alarm').length, threshold - 1)
    }
  })

  it('alone waits for nobody', () => {
    const actions = roundOf(0, 1, 1).start(voteOf(0))
    assert.equal(actions.at(-1)?.type, 'publish')
  })
})

describe('a hostile authority in a round', () => {
  it('that equivocates is seen by all, and has no vote', () => {
    const assembly = new Assembly([0, 1], 3, 2)
    assembly.vote(0, voteOf(2, 100))
    assembly.vote(1, voteOf(2, 0))
    assembly.finish()
    const seen = assembly.all('equivocation')
    assert.equal(seen.length, 2)
    for (const { authority, what, hashes } of seen) {
      assert.deepEqual([authority, what], [authorityKey(crypto, 2), 'vote'])
      assert.deepEqual([...hashes].sort(), [voteOf(2, 100).sha256, voteOf(2, 0).sha256].sort())
    }
    for (const { votes } of assembly.all('counted')) assert.equal(votes.length, 2)
    assert.equal(new Set(assembly.published().map(documentHash)).size, 1)
    assert.equal(assembly.published().length, 2)
  })

  it('that shows its vote late to one alone is not counted by anybody', () => {
    const assembly = new Assembly([0, 1], 3, 2)
    assembly.phaseEnded()
    assembly.vote(0, voteOf(2))
    assert.deepEqual(
      assembly.all('refused').map(({ reason }) => reason),
      ['unvouched'],
    )
    assembly.finish()
    for (const { votes } of assembly.all('counted')) assert.equal(votes.length, 2)
  })

  it('that shows it in time to one is counted by all', () => {
    const assembly = new Assembly([0, 1], 3, 2)
    assembly.vote(1, voteOf(2))
    assembly.finish()
    for (const { votes } of assembly.all('counted')) assert.equal(votes.length, 3)
  })

  it('that signs two documents is caught, and cannot be framed', () => {
    const assembly = new Assembly([0, 1], 3, 2)
    const [one, other] = ['11'.repeat(32), '22'.repeat(32)]
    // A signature of another epoch with this one's number written over it proves nothing.
    assembly.signature(0, { ...signatureOf(1, one, 0), epoch_id: 1 })
    assembly.signature(0, signatureOf(2, one, 0))
    assert.deepEqual(
      assembly.all('refused').map(({ reason, from }) => [reason, from]),
      [
        ['bad-signature', undefined],
        ['wrong-epoch', authorityKey(crypto, 2)],
      ],
    )
    assert.deepEqual(assembly.all('equivocation'), [])
    assembly.signature(0, signatureOf(2, one))
    assembly.signature(0, signatureOf(2, one))
    assert.deepEqual(assembly.all('equivocation'), [])
    assembly.signature(0, signatureOf(2, other))
    assert.deepEqual(
      assembly.all('equivocation').map(({ authority, what, hashes }) => [authority, what, hashes]),
      [[authorityKey(crypto, 2), 'document', [one, other]]],
    )
    assembly.signature(0, signatureOf(2, '33'.repeat(32)))
    assert.equal(assembly.all('refused').at(-1)?.reason, 'surplus')
    assembly.finish()
    assert.equal(assembly.published().length, 2)
    assert.ok(assembly.all('disagreement').length > 0)
  })

  it('that floods with votes is held to two', () => {
    const round = roundOf(0, 3, 2)
    round.start(voteOf(0))
    for (let score = 0; score < 50; score++) round.voteReceived(voteOf(2, score))
    assert.equal(round.votes.length, 3)
    const late = roundOf(0, 3, 2)
    late.start(voteOf(0))
    assert.deepEqual(
      late.voteReceived(voteOf(2, 100, 60)).map((action) => action.type === 'refused' && action.reason),
      ['wrong-epoch'],
    )
  })

  it('cannot make the honest disagree, whatever it sends to whom in which phase', () => {
    const send = fc.record({
      phase: fc.nat(3),
      to: fc.nat(4),
      by: fc.constantFrom(5, 6),
      score: fc.constantFrom(10, 90),
      vouchers: fc.subarray([5, 6]),
    })
    // Five honest of seven; the two hostile ones vouch for each other.
    fc.assert(
      fc.property(fc.array(send, { maxLength: 12 }), (plan) => {
        // Messages take almost a phase, and the hostile ones speak just before its end.
        const assembly = new Assembly([0, 1, 2, 3, 4], 7, 5, true)
        const [first] = assembly.rounds.values()
        for (let phase = 0; phase < first!.phases; phase++) {
          assembly.deliver()
          for (const { to, by, score, vouchers } of plan.filter((step) => step.phase === phase)) {
            let vote = voteOf(by, score)
            for (const voucher of vouchers) vote = withReceipts(crypto, vote, vote, authoritySeed(voucher))
            assembly.vote(to, vote)
          }
          assembly.phaseEnded()
        }
        const published = assembly.published()
        assert.equal(published.length, 5)
        assert.equal(new Set(published.map(documentHash)).size, 1)
      }),
      { numRuns: 100 },
    )
  })
})
