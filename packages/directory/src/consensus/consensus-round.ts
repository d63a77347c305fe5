/**
 * One round of the authorities (03-directory §18) as a state machine: phases, votes and signatures in, actions out.
 * Sending, timers and disks are left to `authority.ts`.
 *
 * Votes are passed on for as many phases as there may be faulty authorities, and one more. In phase p a vote is taken only
 * if p authorities vouch for it, its author included. So a vote that is shown late, or to some only, is either taken by every
 * honest authority or by none (the broadcast of Dolev and Strong), as long as a message takes less than a phase. An author
 * with two votes has none: everybody sees both.
 */
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  type AuthoritySignature,
  type CheckedVote,
  type Consensus,
  type DocumentSignature,
  documentHash,
  documentKind,
  isRoutable,
  type NetworkDocument,
  signHash,
  type Vote,
  verifyHash,
  withReceipts,
} from '@mixwright/wire'

export interface RoundOptions {
  readonly crypto: CryptoProvider
  /** Base58 keys of all authorities, ours included. */
  readonly authorities: readonly string[]
  readonly threshold: number
  /** Ours, base58, and its 32-byte seed. */
  readonly authority: string
  readonly seed: Uint8Array
  readonly epochId: number
  readonly round: number
  /** The document of these votes. */
  readonly tally: (votes: readonly Vote[]) => NetworkDocument
}

/** Why something from another authority was not taken. */
export type RoundRefusal = 'wrong-epoch' | 'late' | 'unvouched' | 'surplus' | 'bad-signature' | 'unknown-authority'

export type RoundAction =
  /** Send the vote to these authorities. */
  | { readonly type: 'send-vote'; readonly vote: CheckedVote; readonly to: readonly string[] }
  /** Keep the signature, then send it to all others. */
  | { readonly type: 'send-signature'; readonly signature: DocumentSignature }
  /** Enough have signed. */
  | { readonly type: 'publish'; readonly consensus: Consensus; readonly sha256: string }
  /** The votes are counted; those that were not, with the reason, are in `votes` no more. */
  | { readonly type: 'counted'; readonly document: NetworkDocument; readonly votes: readonly Vote[] }
  /** An authority has signed two different things for one round. */
  | {
      readonly type: 'equivocation'
      readonly authority: string
      readonly what: 'vote' | 'document'
      readonly hashes: readonly [string, string]
    }
  /** Another authority signed another document than we. */
  | { readonly type: 'disagreement'; readonly authority: string; readonly sha256: string }
  /** There is nothing to sign, or too few have signed. */
  | { readonly type: 'alarm'; readonly reason: 'unroutable' | 'too-few-signatures'; readonly signatures: number }
  | {
      readonly type: 'refused'
      readonly what: 'vote' | 'signature'
      /** Who sent it, as far as that is proven. */
      readonly from: string | undefined
      readonly reason: RoundRefusal
    }

/** Different votes of one author that are kept: two prove what is to be proven. */
const MOST_VOTES = 2

export class ConsensusRound {
  readonly #options: RoundOptions
  /** Phases in which votes are taken. */
  readonly votingPhases: number
  /** By author; its different votes, by hash. */
  readonly #votes = new Map<string, Map<string, CheckedVote>>()
  /** By author; its first signature. A second one for another hash is a proof. */
  readonly #signatures = new Map<string, DocumentSignature>()
  readonly #doubleSigners = new Map<string, DocumentSignature>()
  #phase = 1
  #document: { readonly document: NetworkDocument; readonly sha256: string } | undefined
  #published = 0
  #counted = false

  constructor(options: RoundOptions) {
    this.#options = options
    const { authorities, threshold } = options
    this.votingPhases = authorities.length - threshold + 1
  }

  /** Phases in all; the last is for signatures. */
  get phases(): number {
    return this.votingPhases + 1
  }

  get epochId(): number {
    return this.#options.epochId
  }

  get round(): number {
    return this.#options.round
  }

  /** Every vote held, for authorities that ask. */
  get votes(): readonly CheckedVote[] {
    return [...this.#votes.values()].flatMap((votes) => [...votes.values()])
  }

  /** Every signature held, likewise; of one who signed twice both. */
  get signatures(): readonly DocumentSignature[] {
    return [...this.#signatures.values(), ...this.#doubleSigners.values()]
  }

  /** Begin with our own vote. Alone, an authority has nobody to wait for. */
  start(own: CheckedVote): RoundAction[] {
    const actions = this.voteReceived(own)
    return this.#options.authorities.length === 1 ? [...actions, ...this.#count()] : actions
  }

  /** A vote came, checked. */
  voteReceived(vote: CheckedVote): RoundAction[] {
    const { epochId, round, crypto, seed, authority: own, authorities } = this.#options
    const { authority } = vote.vote
    const refused = (reason: RoundRefusal): RoundAction[] => [
      { type: 'refused', what: 'vote', from: authority, reason },
    ]
    if (vote.vote.epoch_id !== epochId || vote.vote.round !== round) return refused('wrong-epoch')
    const known = this.#votes.get(authority) ?? new Map<string, CheckedVote>()
    const held = known.get(vote.sha256)
    if (held !== undefined) {
      known.set(vote.sha256, withReceipts(crypto, held, vote))
      return []
    }
    if (this.#phase > this.votingPhases) return refused('late')
    if (vote.signers.size < this.#phase) return refused('unvouched')
    if (known.size >= MOST_VOTES) return refused('surplus')
    const taken = withReceipts(crypto, vote, vote, seed)
    known.set(vote.sha256, taken)
    this.#votes.set(authority, known)
    const to = authorities.filter((other) => other !== own && !taken.signers.has(other))
    const actions: RoundAction[] = to.length === 0 ? [] : [{ type: 'send-vote', vote: taken, to }]
    if (known.size === MOST_VOTES) {
      const [first, second] = [...known.keys()] as [string, string]
      actions.push({ type: 'equivocation', authority, what: 'vote', hashes: [first, second] })
    }
    return actions
  }

  /** The time of a phase is over. */
  phaseEnded(): RoundAction[] {
    if (this.#phase > this.phases) return []
    this.#phase++
    if (this.#phase === this.phases) return this.#count()
    if (this.#phase <= this.phases) return []
    if (this.#published > 0 || this.#document === undefined) return []
    return [{ type: 'alarm', reason: 'too-few-signatures', signatures: this.#agreeing().length }]
  }

  /** A signature came; `from` is who was asked for it. */
  signatureReceived(signature: DocumentSignature, from?: string): RoundAction[] {
    const { epochId, round, crypto, authorities } = this.#options
    const { authority, sha256 } = signature
    const refused = (reason: RoundRefusal, by = from): RoundAction[] => [
      { type: 'refused', what: 'signature', from: by, reason },
    ]
    if (!authorities.includes(authority)) return refused('unknown-authority')
    const first = this.#signatures.get(authority)
    const second = this.#doubleSigners.get(authority)
    if (first?.signature === signature.signature || second?.signature === signature.signature) return []
    if (!verifyHash(crypto, documentKind(signature), sha256, signature)) return refused('bad-signature')
    if (signature.epoch_id !== epochId || signature.round !== round) return refused('wrong-epoch', authority)
    if (first?.sha256 === sha256 || second?.sha256 === sha256) return []
    if (second !== undefined) return refused('surplus', authority)
    if (first !== undefined) {
      this.#doubleSigners.set(authority, signature)
      const equivocation = {
        type: 'equivocation',
        authority,
        what: 'document',
        hashes: [first.sha256, sha256],
      } as const
      return [equivocation, ...this.#publish()]
    }
    this.#signatures.set(authority, signature)
    return [...this.#disagreement(signature), ...this.#publish()]
  }

  /** Count the votes, once. */
  #count(): RoundAction[] {
    if (this.#counted) return []
    this.#counted = true
    const { tally, crypto, seed, epochId, round } = this.#options
    const votes = [...this.#votes.values()].flatMap((votes) => (votes.size === 1 ? [...votes.values()] : []))
    const counted = votes.map(({ vote }) => vote)
    const document = tally(counted)
    const actions: RoundAction[] = [{ type: 'counted', document, votes: counted }]
    if (!isRoutable(document)) return [...actions, { type: 'alarm', reason: 'unroutable', signatures: 0 }]
    const sha256 = documentHash(document)
    this.#document = { document, sha256 }
    const early = [...this.#signatures.values()].flatMap((signature) => this.#disagreement(signature))
    const own = { epoch_id: epochId, round, sha256, ...signHash(crypto, documentKind(document), sha256, seed) }
    return [...actions, ...early, { type: 'send-signature', signature: own }, ...this.signatureReceived(own)]
  }

  #disagreement({ authority, sha256 }: DocumentSignature): RoundAction[] {
    const isOther = this.#document !== undefined && this.#document.sha256 !== sha256
    return isOther ? [{ type: 'disagreement', authority, sha256 }] : []
  }

  /** Signatures of our document, by whoever signed it, be it beside another. */
  #agreeing(): AuthoritySignature[] {
    return this.signatures
      .filter(({ sha256 }) => sha256 === this.#document?.sha256)
      .map(({ authority, signature }) => ({ authority, signature }))
      .sort((a, b) => (a.authority < b.authority ? -1 : 1))
  }

  /** Publish with each signature that comes, once there are enough: readers with fewer keys may need the others. */
  #publish(): RoundAction[] {
    if (this.#document === undefined) return []
    const signatures = this.#agreeing()
    if (signatures.length < this.#options.threshold || signatures.length === this.#published) return []
    this.#published = signatures.length
    const { document, sha256 } = this.#document
    return [{ type: 'publish', consensus: { document, signatures }, sha256 }]
  }
}
