/**
 * A directory authority among others (03-directory §18): when rounds are held and what comes of them. The round itself is
 * `consensus-round.ts`, the counting `tally.ts`, what is told about whoever tried something `misconduct.ts`, HTTP is in
 * `authority-peers.ts` and `authority-routes.ts`.
 *
 * An epoch has ten slots. The last one makes the document of the next epoch. While there is no valid document at all, at the
 * beginning or after everybody was away, every other slot tries to make one for the epoch that runs; between them an authority that
 * is behind asks the others for what it missed.
 */
import { type Clock, type Logger, type Metrics, MixError, type Timer } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import {
  type CheckedVote,
  type Consensus,
  canonicalJson,
  checkAuthorities,
  checkVote,
  consensusSchema,
  DocumentChain,
  type DocumentSignature,
  documentSignatureSchema,
  encodeBase58,
  type Fetch,
  FULL_SCORE,
  identityOf,
  isFairDescriptor,
  type NodeDescriptor,
  parseCanonical,
  type Schedule,
  scheduledEpoch,
  signVote,
  type VerifiedDocument,
  type VotedNode,
  verifyConsensus,
  verifyHostInformation,
} from '@mixwright/wire'
import type { EpochSchedule } from '../epoch.js'
import { type AuthorityAddress, AuthorityPeers } from './authority-peers.js'
import { ConsensusRound, type RoundAction } from './consensus-round.js'
import { ConsensusState } from './consensus-state.js'
import { type EquivocationProof, Misconduct } from './misconduct.js'
import { descriptorHash, isSameSchedule, linkTo, tally } from './tally.js'

/** Slots of an epoch; the last is the round for the next one. */
const SLOTS = 10
/** Documents that are served by their epoch. */
const KEPT_DOCUMENTS = 8
/** Longest signature message, bytes. */
const MAX_SIGNATURE_BYTES = 1024
/** Longest wait for another authority, milliseconds; shorter in short epochs. */
const LONGEST_REQUEST_MS = 10_000

export interface AuthorityOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly crypto: CryptoProvider
  /** Ed25519 seed of this authority, 32 bytes. Its key is one of `authorities`. */
  readonly seed: Uint8Array
  /** All of them, this one included, the same at each. */
  readonly authorities: readonly AuthorityAddress[]
  /** Signatures that make a document valid, the same for everybody. @default more than two thirds */
  readonly threshold?: number | undefined
  readonly schedule: EpochSchedule
  /** What this authority knows of nodes now. */
  readonly view: () => readonly VotedNode[]
  /** The document in force has changed, or the epoch has: `epochId` runs, and is later than the document's in the grace. */
  readonly onDocument: (verified: VerifiedDocument, epochId: number) => void
  /** File for what must survive a restart. @default memory only */
  readonly statePath?: string | undefined
  /** @default the platform's */
  readonly fetch?: Fetch | undefined
}

export class Authority {
  /** Base58. */
  readonly key: string
  readonly #options: AuthorityOptions
  readonly #keys: readonly string[]
  readonly #threshold: number
  readonly #schedule: Schedule
  readonly #peers: AuthorityPeers
  readonly #state: ConsensusState
  readonly #chain = new DocumentChain()
  /** By epoch, the newest last. */
  readonly #kept = new Map<number, VerifiedDocument>()
  readonly #misconduct: Misconduct
  readonly #inFlight = new Set<Promise<unknown>>()
  #round: ConsensusRound | undefined
  #genuine = new Map<string, boolean>()
  #timers: Timer[] = []
  #slotTimer: Timer | undefined
  #slot = -1
  #closed = false

  /** Errors: `MIX_OPTIONS` when the keys, ours among them, or the threshold are wrong; `MIX_CONSENSUS_STATE`. */
  constructor(options: AuthorityOptions) {
    this.#options = options
    const { authorities, threshold, crypto, seed, clock, metrics, schedule, fetch, statePath } = options
    this.#keys = authorities.map(({ key }) => key)
    this.#threshold = checkAuthorities(this.#keys, threshold)
    this.key = encodeBase58(crypto.ed25519PublicKey(seed))
    if (!this.#keys.includes(this.key)) throw notListed(this.key)
    this.#schedule = {
      genesis_ms: schedule.genesisMs,
      duration_ms: schedule.durationMs,
      validity_epochs: schedule.validityEpochs,
    }
    this.#peers = new AuthorityPeers({
      peers: authorities.filter(({ key }) => key !== this.key),
      clock,
      metrics,
      deadlineMs: Math.min(LONGEST_REQUEST_MS, this.#slotMs / 2),
      fetch,
    })
    this.#state = new ConsensusState(statePath)
    this.#misconduct = new Misconduct(options.logger, metrics)
    metrics.gauge(
      'mixwright_consensus_age_epochs',
      'Epochs since the one of the document in force; -1 without any',
      {},
      () => (this.current === undefined ? -1 : this.#epochNow() - this.current.document.epoch_id),
    )
    metrics.gauge('mixwright_consensus_alarm', '1 while no document of the running epoch is in force', {}, () =>
      this.current?.document.epoch_id === this.#epochNow() ? 0 : 1,
    )
  }

  /** Take up where the state left off, ask the others, and hold rounds from now on. Call once. */
  start(): void {
    const stored = this.#state.consensus
    if (stored !== undefined)
      this.#take(verifyConsensus(this.#options.crypto, stored, this.#keys, this.#threshold), 'disk')
    this.#track(this.#catchUp())
    if (this.#isAlone && this.current?.document.epoch_id !== this.#epochNow())
      this.#hold(Math.max(1, this.#slotNow() % SLOTS))
    this.#armSlot()
  }

  /** The document in force: the newest whose epoch has begun. */
  get current(): VerifiedDocument | undefined {
    const now = this.#epochNow()
    return [...this.#kept.values()].findLast(({ document }) => document.epoch_id <= now)
  }

  /** The newest document, be it for the next epoch. */
  get latest(): VerifiedDocument | undefined {
    return this.#chain.last
  }

  /** The document of an epoch, if it is kept. */
  documentOf(epochId: number): VerifiedDocument | undefined {
    return this.#kept.get(epochId)
  }

  /** Proofs of double votes, the newest last. */
  get proofs(): readonly EquivocationProof[] {
    return this.#misconduct.proofs
  }

  /** The vote held of an author in the running round. */
  voteOf(epochId: number, round: number, author: string): CheckedVote | undefined {
    return this.#running(epochId, round)?.votes.find(({ vote }) => vote.authority === author)
  }

  /** Signatures held in the running round. */
  signaturesOf(epochId: number, round: number): readonly DocumentSignature[] | undefined {
    return this.#running(epochId, round)?.signatures
  }

  /** Whether strangers have posted so much that nothing more is taken in this slot; authorities fetch what they miss anyway. */
  get isPestered(): boolean {
    return this.#misconduct.isPestered
  }

  /** A vote came; `from` is who was asked for it. False: it was refused, counted and logged. */
  receiveVote(bytes: Uint8Array, from?: string): boolean {
    const vote = checkVote(this.#options.crypto, bytes, this.#keys)
    if (typeof vote === 'string') {
      if (from === undefined) this.#misconduct.postedByStranger()
      return this.#misconduct.refuse('vote', vote, from)
    }
    if (this.#round === undefined) return this.#misconduct.refuse('vote', 'wrong-epoch', vote.vote.authority)
    return this.#do(this.#round.voteReceived(vote))
  }

  /** A signature of a document came from somebody. False: it was refused, counted and logged. */
  receiveSignature(bytes: Uint8Array): boolean {
    const signature = parseCanonical(documentSignatureSchema, bytes, MAX_SIGNATURE_BYTES)
    if (signature === undefined) return this.#misconduct.refuse('signature', 'malformed')
    if (this.#round === undefined) return this.#misconduct.refuse('signature', 'wrong-epoch')
    return this.#do(this.#round.signatureReceived(signature))
  }

  /** Resolves when no request to another authority is under way. */
  async whenIdle(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.allSettled([...this.#inFlight])
  }

  /** Stop; idempotent. */
  close(): void {
    this.#closed = true
    this.#slotTimer?.cancel()
    for (const timer of this.#timers) timer.cancel()
    this.#peers.close()
  }

  get #isAlone(): boolean {
    return this.#keys.length === 1
  }

  get #slotMs(): number {
    return this.#options.schedule.durationMs / SLOTS
  }

  /** Slots since the genesis. */
  #slotNow(): number {
    return Math.max(0, Math.floor((this.#options.clock.now() - this.#schedule.genesis_ms) / this.#slotMs))
  }

  #epochNow(): number {
    return scheduledEpoch(this.#schedule, this.#options.clock.now())
  }

  #running(epochId: number, round: number): ConsensusRound | undefined {
    const running = this.#round
    return running?.epochId === epochId && running.round === round ? running : undefined
  }

  #armSlot(): void {
    const { clock } = this.#options
    const slot = this.#slotNow()
    const next = this.#schedule.genesis_ms + (slot + 1) * this.#slotMs
    this.#slotTimer = clock.setTimer(next - clock.now(), () => this.#slotBegan(), { background: true })
  }

  #slotBegan(): void {
    const slot = this.#slotNow()
    // A timer may come a trifle early by the time of day.
    if (slot !== this.#slot) {
      this.#slot = slot
      this.#misconduct.slotBegan()
      const place = slot % SLOTS
      if (place === 0) this.#epochBegan()
      if (place === SLOTS - 1) this.#hold(0)
      else if (place % 2 === 1 && this.#chain.current(this.#options.clock.now()) === undefined) this.#hold(place)
      else if (place % 2 === 0) this.#track(this.#catchUp())
    }
    this.#armSlot()
  }

  #epochBegan(): void {
    const { logger, onDocument } = this.#options
    const epochId = this.#epochNow()
    const { current } = this
    if (current === undefined) return logger.error({ epoch: epochId }, 'there is no network document')
    if (current.document.epoch_id < epochId) {
      const facts = { epoch: epochId, documentEpoch: current.document.epoch_id }
      if (this.#chain.current(this.#options.clock.now()) === undefined)
        logger.error(facts, 'the last network document is no longer valid')
      else logger.warn(facts, 'no new network document; the last one stays for now')
    }
    onDocument(current, epochId)
  }

  /** Hold a round: 0 for the next epoch, else for the one that runs. */
  #hold(round: number): void {
    const { clock, crypto, seed, view } = this.#options
    const epochId = this.#epochNow() + (round === 0 ? 1 : 0)
    try {
      if (!this.#state.begin({ epochId, round })) return
    } catch (error) {
      // Not voting harms nobody; voting twice after a crash would.
      return this.#options.logger.error({ reason: String(error) }, 'the round cannot be noted, so it is not begun')
    }
    const previous = this.#chain.last?.document
    const nodes = votable(view())
    // Our own reader has checked these.
    this.#genuine = new Map(nodes.map(({ descriptor }) => [descriptorHash(descriptor), true]))
    const running = new ConsensusRound({
      crypto,
      authorities: this.#keys,
      threshold: this.#threshold,
      authority: this.key,
      seed,
      epochId,
      round,
      tally: (votes) =>
        tally({
          votes,
          authorities: this.#keys.length,
          epochId,
          round,
          schedule: this.#schedule,
          previous,
          isGenuine: (descriptor) => this.#isGenuine(descriptor),
        }),
    })
    this.#round = running
    const vote = signVote(
      crypto,
      {
        version: 'mixwright-1',
        epoch_id: epochId,
        round,
        authority: this.key,
        schedule: this.#schedule,
        previous: previous === undefined ? null : linkTo(previous),
        nodes,
      },
      seed,
    )
    this.#do(running.start(vote))
    const phaseMs = this.#slotMs / running.phases
    const at = (delayMs: number, action: () => void) => clock.setTimer(delayMs, action, { background: true })
    this.#timers = Array.from({ length: running.phases }, (_, phase) => [
      at((phase + 0.5) * phaseMs, () => this.#track(this.#fetchMissing(running))),
      at((phase + 1) * phaseMs, () => this.#do(running.phaseEnded())),
    ]).flat()
  }

  /** What others may have and we do not: each asks, so that nothing depends on who could reach whom. */
  async #fetchMissing(running: ConsensusRound): Promise<void> {
    const name = { epochId: running.epochId, round: running.round }
    const known = new Set(running.votes.map(({ vote }) => vote.authority))
    const missing = this.#peers.keys.filter((key) => !known.has(key))
    await Promise.all(
      this.#peers.keys.map(async (peer) => {
        for (const author of missing) {
          const bytes = await this.#peers.vote(peer, name, author)
          if (bytes !== undefined && this.#round === running) this.receiveVote(bytes, peer)
        }
        const signatures = await this.#peers.signatures(peer, name)
        // Two of each authority at most; what is more is not looked at.
        for (const signature of signatures.slice(0, 2 * this.#keys.length))
          if (this.#round === running) this.#do(running.signatureReceived(signature, peer))
      }),
    )
  }

  /** Ask the others for their newest document, unless ours is of this epoch. */
  async #catchUp(): Promise<void> {
    const { crypto } = this.#options
    if ((this.#chain.last?.document.epoch_id ?? -1) >= this.#epochNow()) return
    await Promise.all(
      this.#peers.keys.map(async (peer) => {
        const bytes = await this.#peers.consensus(peer)
        if (bytes === undefined || this.#closed) return
        this.#take(verifyConsensus(crypto, bytes, this.#keys, this.#threshold), peer)
      }),
    )
  }

  /** Hold a document from elsewhere, if it may be. */
  #take(verified: VerifiedDocument | string, from: string): void {
    const { clock, logger } = this.#options
    if (typeof verified === 'string') return void this.#misconduct.refuse('consensus', verified, from)
    if (!isSameSchedule(verified.document.schedule, this.#schedule))
      return void this.#misconduct.refuse('consensus', 'other-schedule', from)
    // Our own, from before we were away, is what the next one follows, however old.
    const refusal = from === 'disk' ? undefined : this.#chain.refusal(verified, clock.now())
    if (refusal !== undefined) return void this.#misconduct.refuse('consensus', refusal, from)
    if (verified.sha256 === this.#chain.last?.sha256) return
    logger.info({ epoch: verified.document.epoch_id, sha256: verified.sha256, from }, 'network document taken over')
    this.#follow(verified)
  }

  #follow(verified: VerifiedDocument): void {
    const { logger, onDocument } = this.#options
    const before = this.current
    try {
      this.#state.follow(verified.consensus)
    } catch (error) {
      // It can be had from the others again after a restart.
      logger.error({ reason: String(error) }, 'the network document cannot be kept')
    }
    this.#chain.follow(verified)
    this.#kept.delete(verified.document.epoch_id)
    this.#kept.set(verified.document.epoch_id, verified)
    for (const epochId of this.#kept.keys()) if (this.#kept.size > KEPT_DOCUMENTS) this.#kept.delete(epochId)
    const { current } = this
    if (current !== undefined && current.sha256 !== before?.sha256) onDocument(current, this.#epochNow())
  }

  /** False when what came was refused. */
  #do(actions: readonly RoundAction[]): boolean {
    const { logger, metrics } = this.#options
    let taken = true
    for (const action of actions) {
      switch (action.type) {
        case 'send-vote':
          for (const to of action.to) this.#track(this.#peers.sendVote(to, action.vote.signed))
          break
        case 'send-signature':
          for (const to of this.#peers.keys) this.#track(this.#peers.sendSignature(to, action.signature))
          break
        case 'publish':
          this.#publish(action.consensus, action.sha256)
          break
        case 'counted':
          for (const vote of action.votes) this.#misconduct.review(vote, action.document)
          break
        case 'equivocation':
          this.#misconduct.prove(action, this.#round)
          break
        case 'disagreement':
          this.#misconduct.disagreed(action.authority, action.sha256)
          break
        case 'alarm': {
          const { reason, signatures } = action
          metrics
            .counter('mixwright_consensus_failures_total', 'Rounds that ended without a document', { reason })
            .increment()
          logger.error({ reason, signatures, needed: this.#threshold }, 'the round ended without a network document')
          break
        }
        case 'refused':
          taken = this.#misconduct.refuse(action.what, action.reason, action.from)
      }
    }
    return taken
  }

  #publish(consensus: Consensus, sha256: string): void {
    const { clock, logger, metrics } = this.#options
    const { document, signatures } = consensus
    const verified = { document, sha256, consensus }
    const refusal = this.#chain.refusal(verified, clock.now())
    if (refusal !== undefined) return void this.#misconduct.refuse('consensus', refusal, this.key)
    if (this.#chain.last?.sha256 !== sha256) {
      metrics.counter('mixwright_consensus_documents_total', 'Network documents that were agreed on').increment()
      const facts = { epoch: document.epoch_id, sha256, nodes: document.nodes.length, signatures: signatures.length }
      logger.info(facts, 'network document agreed on')
    }
    this.#follow(verified)
  }

  #isGenuine(descriptor: NodeDescriptor): boolean {
    const hash = descriptorHash(descriptor)
    let genuine = this.#genuine.get(hash)
    if (genuine === undefined) {
      genuine = verifyHostInformation(this.#options.crypto, descriptor.host_information)
      this.#genuine.set(hash, genuine)
    }
    return genuine
  }

  #track(work: Promise<unknown>): void {
    const tracked = work
      .catch((error) => this.#options.logger.error({ reason: String(error) }, 'the exchange of authorities failed'))
      .finally(() => this.#inFlight.delete(tracked))
    this.#inFlight.add(tracked)
  }
}

/** A vote's list: by identity, each once, nothing too long. */
function votable(view: readonly VotedNode[]): VotedNode[] {
  const byIdentity = new Map(view.map((node) => [identityOf(node.descriptor), node]))
  return [...byIdentity.keys()]
    .sort()
    .map((identity) => byIdentity.get(identity)!)
    .filter(({ descriptor }) => isFairDescriptor(descriptor))
    .map(({ descriptor, score }) => ({ score: Math.max(0, Math.min(FULL_SCORE, Math.round(score))), descriptor }))
}

/** A consensus as it is served. */
export function consensusText({ consensus }: VerifiedDocument): string {
  return canonicalJson(consensusSchema, consensus)
}

function notListed(key: string): MixError {
  const message = `The authority ${key} is not in its own list of authorities.`
  return new MixError('MIX_OPTIONS', message, { kind: 'usage', data: { option: 'authorities', key } })
}
