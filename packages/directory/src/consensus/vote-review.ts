/**
 * What each vote tried that the others did not bear out, for the log and the metrics (03-directory §18): an authority that
 * invents nodes, hides them or judges them against all others is seen, though it changed nothing.
 */
import { identityOf, type NetworkDocument, type Vote } from '@mixwright/wire'
import { descriptorHash } from './tally.js'

/** A score this far from the median, in hundredths, is remarkable: measurements differ, but not by so much. */
const REMARKABLE = 25

export interface VoteReview {
  readonly authority: string
  /** Nodes that it lists and the document does not. */
  readonly unsupported: number
  /** Nodes that the document lists and it does not. */
  readonly missing: number
  /** Nodes that it shows otherwise than the document does. */
  readonly otherDescriptors: number
  /** Nodes whose score is far from the median. */
  readonly oddScores: number
}

export function reviewVote(vote: Vote, document: NetworkDocument): VoteReview {
  const listed = new Map(document.nodes.map((node) => [identityOf(node.descriptor), node]))
  let unsupported = 0
  let otherDescriptors = 0
  let oddScores = 0
  for (const { descriptor, score } of vote.nodes) {
    const node = listed.get(identityOf(descriptor))
    if (node === undefined) unsupported++
    else {
      if (descriptorHash(descriptor) !== descriptorHash(node.descriptor)) otherDescriptors++
      if (Math.abs(score - node.score) > REMARKABLE) oddScores++
    }
  }
  const missing = listed.size - (vote.nodes.length - unsupported)
  return { authority: vote.authority, unsupported, missing, otherDescriptors, oddScores }
}
