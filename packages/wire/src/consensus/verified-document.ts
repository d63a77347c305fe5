/**
 * Believing a network document (03-directory §18): enough signatures of the pinned authorities, an epoch that fits the
 * clock, and a chain that goes forward. Pure; fetching is left to `consensus-reader.ts`.
 */
import type { CryptoProvider } from '@mixwright/sphinx'
import { struct, type ValueOf } from '../directory/schema.js'
import { authoritySignaturesSchema, documentKind, verifyHash } from './authority-signature.js'
import { parseCanonical } from './canonical-json.js'
import {
  documentHash,
  FULL_SCORE,
  isUsableSchedule,
  MAX_DOCUMENT_BYTES,
  MAX_LISTED_NODES,
  type NetworkDocument,
  networkDocumentSchema,
  scheduledEpoch,
} from './network-document.js'

/** Epochs that a document stays valid after its own, when no later one comes about. */
export const GRACE_EPOCHS = 3
/** A signature takes this much at most, beside the document. */
const SIGNATURE_BYTES = 256
const MOST_AUTHORITIES = 64

/** What is served as `/v1/mixwright/consensus`, in canonical JSON. */
export const consensusSchema = struct({ document: networkDocumentSchema, signatures: authoritySignaturesSchema })
export type Consensus = ValueOf<typeof consensusSchema>

export const MAX_CONSENSUS_BYTES = MAX_DOCUMENT_BYTES + MOST_AUTHORITIES * SIGNATURE_BYTES

export interface VerifiedDocument {
  readonly document: NetworkDocument
  /** Hexadecimal. */
  readonly sha256: string
  readonly consensus: Consensus
}

/** Signatures that make a document valid where nothing else is agreed: more than two thirds of the authorities. */
export function defaultThreshold(authorities: number): number {
  return Math.floor((2 * authorities) / 3) + 1
}

/** Votes that list a node: more than half of all authorities, silent ones included. */
export function majority(authorities: number): number {
  return Math.floor(authorities / 2) + 1
}

/** Why a document is not believed. */
export type DocumentRefusal =
  | 'malformed'
  | 'too-few-signatures'
  | 'stale'
  | 'from-the-future'
  | 'goes-backwards'
  | 'leaves-the-chain'
  | 'contradicts-another'

/**
 * Check what `/v1/mixwright/consensus` served: canonical JSON of at most 16 MiB with valid signatures of `threshold` different pinned
 * authorities (base58 keys). Signatures of others, and invalid ones, count nothing. Never throws.
 */
export function verifyConsensus(
  crypto: CryptoProvider,
  bytes: Uint8Array,
  authorities: readonly string[],
  threshold: number = defaultThreshold(authorities.length),
): VerifiedDocument | DocumentRefusal {
  const consensus = parseCanonical(consensusSchema, bytes, MAX_CONSENSUS_BYTES)
  if (consensus === undefined || consensus.signatures.length > MOST_AUTHORITIES) return 'malformed'
  const { document, signatures } = consensus
  if (!isWellFormed(document)) return 'malformed'
  const sha256 = documentHash(document)
  const signers = new Set<string>()
  for (const signature of signatures) {
    const { authority } = signature
    if (!authorities.includes(authority) || signers.has(authority)) continue
    if (verifyHash(crypto, documentKind(document), sha256, signature)) signers.add(authority)
  }
  return signers.size >= threshold && threshold > 0 ? { document, sha256, consensus } : 'too-few-signatures'
}

function isWellFormed({ nodes, schedule, previous, epoch_id, next_node_id }: NetworkDocument): boolean {
  if (!isUsableSchedule(schedule) || nodes.length > MAX_LISTED_NODES) return false
  if (previous !== null && previous.epoch_id >= epoch_id) return false
  return nodes.every(({ node_id, layer, score }, index) => {
    const before = nodes[index - 1]
    const ascends = before === undefined || before.node_id < node_id
    return ascends && node_id < next_node_id && layer <= 3 && score <= FULL_SCORE
  })
}

/**
 * What one reader holds of the chain: the last document that it believed, and whether another may follow it. A document is
 * valid from its own epoch on, one epoch early because it is made before its time, and through the grace after it.
 */
export class DocumentChain {
  #last: VerifiedDocument | undefined

  /** The last document believed, if it is still valid at `nowMs`. */
  current(nowMs: number): VerifiedDocument | undefined {
    return this.#last !== undefined && staleness(this.#last, nowMs) === undefined ? this.#last : undefined
  }

  /** The last document believed, however old. */
  get last(): VerifiedDocument | undefined {
    return this.#last
  }

  /** Why `next` may not be believed now; undefined when it may. One that is held already may. */
  refusal(next: VerifiedDocument, nowMs: number): DocumentRefusal | undefined {
    const stale = staleness(next, nowMs)
    if (stale !== undefined) return stale
    // What is held and no longer valid binds nobody: a reader that was away begins anew, as if it had never been there.
    const last = this.current(nowMs)
    if (last === undefined || last.sha256 === next.sha256) return undefined
    const held = last.document
    const { epoch_id, previous } = next.document
    if (epoch_id < held.epoch_id) return 'goes-backwards'
    if (epoch_id === held.epoch_id) return 'contradicts-another'
    // Documents between may have been missed; but the chain must not pass by the one that we hold.
    if (previous === null || previous.epoch_id < held.epoch_id) return 'leaves-the-chain'
    if (previous.epoch_id === held.epoch_id && previous.sha256 !== last.sha256) return 'leaves-the-chain'
    return undefined
  }

  /** Hold a document that `refusal` let pass. */
  follow(next: VerifiedDocument): void {
    this.#last = next
  }
}

function staleness({ document }: VerifiedDocument, nowMs: number): DocumentRefusal | undefined {
  const now = scheduledEpoch(document.schedule, nowMs)
  if (document.epoch_id + GRACE_EPOCHS < now) return 'stale'
  return document.epoch_id > now + 1 ? 'from-the-future' : undefined
}
