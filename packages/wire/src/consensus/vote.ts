/**
 * The vote of an authority (03-directory §18): the nodes that it knows, with what it thinks of them, signed. Authorities
 * pass votes on, each with its signature that it had the vote in time; so nobody can show a vote to some and hide it from others.
 */
import type { CryptoProvider } from '@mixwright/sphinx'
import { publicKey } from '../directory/key-text.js'
import { fromJson, list, optional, struct, u8, u32, type ValueOf } from '../directory/schema.js'
import { authoritySignatureSchema, authoritySignaturesSchema, signHash, verifyHash } from './authority-signature.js'
import { canonicalJson, parseCanonical } from './canonical-json.js'
import {
  consensusVersion,
  documentLinkSchema,
  FULL_SCORE,
  identityOf,
  MAX_DESCRIPTOR_LENGTH,
  MAX_DOCUMENT_BYTES,
  MAX_LISTED_NODES,
  nodeDescriptorSchema,
  scheduleSchema,
  textHash,
} from './network-document.js'

export const votedNodeSchema = struct({ score: u8, descriptor: nodeDescriptorSchema })
export type VotedNode = ValueOf<typeof votedNodeSchema>

export const voteSchema = struct({
  version: consensusVersion,
  epoch_id: u32,
  round: u8,
  authority: publicKey,
  schedule: scheduleSchema,
  /** The last document that this authority holds; votes on different ones are not counted together. */
  previous: optional(documentLinkSchema),
  /** By identity, ascending, each once. */
  nodes: list(votedNodeSchema),
})
export type Vote = ValueOf<typeof voteSchema>

export const signedVoteSchema = struct({
  vote: voteSchema,
  signature: authoritySignatureSchema,
  /** Of other authorities, each once. */
  receipts: authoritySignaturesSchema,
})
export type SignedVote = ValueOf<typeof signedVoteSchema>

/** A vote whose signatures have been checked. */
export interface CheckedVote {
  readonly signed: SignedVote
  readonly vote: Vote
  readonly sha256: string
  /** Who vouches for it: its author and those whose receipts it has. */
  readonly signers: ReadonlySet<string>
}

/** Sign a vote; its `authority` must be the key of `seed`, 32 bytes. */
export function signVote(crypto: CryptoProvider, unordered: Vote, seed: Uint8Array): CheckedVote {
  const vote = fromJson(voteSchema, unordered)
  const sha256 = textHash(canonicalJson(voteSchema, vote))
  const signature = signHash(crypto, 'vote', sha256, seed)
  return { signed: { vote, signature, receipts: [] }, vote, sha256, signers: new Set([vote.authority]) }
}

/** The same vote with the receipts of both, and with ours if `seed` is given. */
export function withReceipts(crypto: CryptoProvider, a: CheckedVote, b: CheckedVote, seed?: Uint8Array): CheckedVote {
  const receipts = new Map([...a.signed.receipts, ...b.signed.receipts].map((receipt) => [receipt.authority, receipt]))
  if (seed !== undefined) {
    const own = signHash(crypto, 'receipt', a.sha256, seed)
    if (own.authority !== a.vote.authority) receipts.set(own.authority, own)
  }
  const signed = { ...a.signed, receipts: [...receipts.values()] }
  return { ...a, signed, signers: new Set([a.vote.authority, ...receipts.keys()]) }
}

/**
 * Check a vote that came as canonical JSON, against the keys of all authorities. A text is the reason why it is refused: it
 * is malformed, of nobody we know, or not signed by whom it says. A receipt that is not good spoils the whole.
 */
export function checkVote(
  crypto: CryptoProvider,
  bytes: Uint8Array,
  authorities: readonly string[],
): CheckedVote | string {
  const signed = parseCanonical(signedVoteSchema, bytes, MAX_DOCUMENT_BYTES)
  if (signed === undefined) return 'malformed'
  const { vote, signature, receipts } = signed
  if (!authorities.includes(vote.authority) || signature.authority !== vote.authority) return 'unknown-authority'
  if (receipts.length >= authorities.length) return 'malformed'
  const sha256 = textHash(canonicalJson(voteSchema, vote))
  if (!verifyHash(crypto, 'vote', sha256, signature)) return 'bad-signature'
  const signers = new Set([vote.authority])
  for (const receipt of receipts) {
    if (!authorities.includes(receipt.authority) || signers.has(receipt.authority)) return 'malformed'
    if (!verifyHash(crypto, 'receipt', sha256, receipt)) return 'bad-signature'
    signers.add(receipt.authority)
  }
  return hasFairNodes(vote) ? { signed, vote, sha256, signers } : 'malformed'
}

function hasFairNodes({ nodes }: Vote): boolean {
  if (nodes.length > MAX_LISTED_NODES) return false
  return nodes.every(({ score, descriptor }, index) => {
    const before = nodes[index - 1]
    return (
      score <= FULL_SCORE &&
      (before === undefined || identityOf(before.descriptor) < identityOf(descriptor)) &&
      isFairDescriptor(descriptor)
    )
  })
}

/** Whether a descriptor is short enough to be voted for. */
export function isFairDescriptor(descriptor: VotedNode['descriptor']): boolean {
  return canonicalJson(nodeDescriptorSchema, descriptor).length <= MAX_DESCRIPTOR_LENGTH
}
