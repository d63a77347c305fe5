/**
 * What authorities and strangers tried (03-directory §18): counted, logged with the key of whoever it was, and proofs of double
 * statements kept to be shown. Nothing is decided here.
 */
import type { Logger, Metrics } from '@mixwright/runtime'
import type { NetworkDocument, Vote } from '@mixwright/wire'
import type { ConsensusRound, RoundAction } from './consensus-round.js'
import { countsFor } from './tally.js'
import { reviewVote } from './vote-review.js'

/** Proofs that are kept; the oldest go first. */
const KEPT_PROOFS = 8
/** What may be posted in a slot that no authority has signed: to find that out of a long vote takes a second of the processor. */
const MOST_UNSIGNED = 64

/** Two votes, or two signatures of documents, of one authority for the same round. */
export interface EquivocationProof {
  readonly authority: string
  readonly what: 'vote' | 'document'
  readonly hashes: readonly [string, string]
  /** Both signed statements, canonical JSON. */
  readonly statements: readonly string[]
}

export class Misconduct {
  readonly #logger: Logger
  readonly #metrics: Metrics
  readonly #proofs: EquivocationProof[] = []
  /** What was posted in this slot and is no authority's. */
  #unsigned = 0
  /** What was complained of in this slot. */
  readonly #complaints = new Set<string>()

  constructor(logger: Logger, metrics: Metrics) {
    this.#logger = logger
    this.#metrics = metrics
  }

  /** The newest last. */
  get proofs(): readonly EquivocationProof[] {
    return this.#proofs
  }

  /** Whether strangers have posted so much in this slot that nothing more is to be looked at. */
  get isPestered(): boolean {
    return this.#unsigned >= MOST_UNSIGNED
  }

  postedByStranger(): void {
    this.#unsigned++
  }

  slotBegan(): void {
    this.#complaints.clear()
    this.#unsigned = 0
  }

  /** What a vote said that the document made of all votes does not bear out. */
  review(vote: Vote, document: NetworkDocument): void {
    const { epoch_id, round, schedule, previous } = document
    if (!countsFor(vote, epoch_id, round, schedule, previous)) {
      this.#disputed(vote.authority, 'previous')
      const facts = { authority: vote.authority, previous: vote.previous?.sha256, schedule: vote.schedule }
      return this.#logger.warn(facts, 'a vote has another past or other epochs than ours, and was not counted')
    }
    const { authority, ...counts } = reviewVote(vote, document)
    if (Object.values(counts).every((count) => count === 0)) return
    for (const [what, count] of Object.entries(counts)) if (count > 0) this.#disputed(authority, what, count)
    this.#logger.warn({ epoch: document.epoch_id, authority, ...counts }, 'a vote was not borne out by the others')
  }

  /** An authority signed another document than ours. */
  disagreed(authority: string, sha256: string): void {
    this.#disputed(authority, 'document')
    this.#logger.warn({ authority, sha256 }, 'an authority signed another network document')
  }

  #disputed(authority: string, what: string, count = 1): void {
    const help = 'What authorities said alone, against the others'
    this.#metrics.counter('mixwright_consensus_disputed_total', help, { authority, what }).increment(count)
  }

  /** An authority said two different things; both are in `round`. */
  prove(
    { authority, what, hashes }: Extract<RoundAction, { type: 'equivocation' }>,
    round: ConsensusRound | undefined,
  ): void {
    const help = 'Authorities caught saying two different things in one round'
    this.#metrics.counter('mixwright_consensus_equivocations_total', help, { authority, what }).increment()
    this.#logger.warn({ authority, what, sha256: hashes[0], otherSha256: hashes[1] }, 'an authority equivocates')
    const statements =
      what === 'vote'
        ? round?.votes.filter(({ vote }) => vote.authority === authority).map(({ signed }) => JSON.stringify(signed))
        : round?.signatures.filter((one) => one.authority === authority).map((one) => JSON.stringify(one))
    this.#proofs.push({ authority, what, hashes, statements: statements ?? [] })
    if (this.#proofs.length > KEPT_PROOFS) this.#proofs.shift()
  }

  /** Something was not taken; `from` is the authority that sent it. Always false. */
  refuse(what: string, reason: string, from?: string): boolean {
    this.#metrics
      .counter('mixwright_consensus_refused_total', 'Votes, signatures and documents that were not taken', {
        what,
        reason,
      })
      .increment()
    // What strangers send fills no log, and nobody's repetitions do.
    const complaint = `${from} ${what} ${reason}`
    if (from === undefined || this.#complaints.has(complaint)) this.#logger.debug({ what, reason }, 'refused')
    else this.#logger.warn({ authority: from, what, reason }, 'what an authority sent is refused')
    this.#complaints.add(complaint)
    return false
  }
}
