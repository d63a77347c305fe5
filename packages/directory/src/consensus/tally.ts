/**
 * From votes to the network document (03-directory §18), as a pure function: authorities that count the same votes make the
 * same document, byte for byte. What one authority says alone changes nothing: a node is in when more than half of all
 * authorities list it, its score is the median, its descriptor the one that most have seen.
 */
import {
  type ConsensusNode,
  canonicalJson,
  type DocumentLink,
  documentHash,
  FULL_SCORE,
  hasKeyOf,
  identityOf,
  MAX_LISTED_NODES,
  majority,
  type NetworkDocument,
  type NodeDescriptor,
  nodeDescriptorSchema,
  type Schedule,
  scheduledRotation,
  textHash,
  type Vote,
  type VotedNode,
} from '@mixwright/wire'
import { LAYERS, type Layers, layersFor } from '../document/layers.js'

export interface TallyInput {
  /** One for each authority at most, in any order. */
  readonly votes: readonly Vote[]
  /** Of all authorities, silent ones included. */
  readonly authorities: number
  readonly epochId: number
  readonly round: number
  readonly schedule: Schedule
  /** The document that this one follows. */
  readonly previous: NetworkDocument | undefined
  /** Whether the host information in a descriptor is signed by its node. */
  readonly isGenuine: (descriptor: NodeDescriptor) => boolean
}

/** The document of these votes. Votes for another epoch, schedule or previous document are not counted; it may be unroutable. */
export function tally(input: TallyInput): NetworkDocument {
  const { previous, epochId, round, schedule } = input
  const link = previous === undefined ? null : linkTo(previous)
  const votes = input.votes.filter((vote) => countsFor(vote, epochId, round, schedule, link))
  const agreed = agreedNodes(votes, input)
  const idByIdentity = new Map(previous?.nodes.map(({ descriptor, node_id }) => [identityOf(descriptor), node_id]))
  let nextId = previous?.next_node_id ?? 1
  const nodes: ConsensusNode[] = agreed.map(({ descriptor, score }) => ({
    node_id: idByIdentity.get(identityOf(descriptor)) ?? nextId++,
    layer: 0,
    score,
    descriptor,
  }))
  nodes.sort((a, b) => a.node_id - b.node_id)
  const layers = layersOf(nodes, input, link)
  return {
    version: 'mixwright-1',
    epoch_id: epochId,
    round,
    schedule,
    previous: link,
    next_node_id: nextId,
    nodes: nodes.map((node) => ({ ...node, layer: layers.findIndex((ids) => ids.includes(node.node_id)) + 1 })),
  }
}

export function linkTo(document: NetworkDocument): DocumentLink {
  return { epoch_id: document.epoch_id, sha256: documentHash(document) }
}

/** Whether a vote is on the document that is being made. */
export function countsFor(
  vote: Vote,
  epochId: number,
  round: number,
  schedule: Schedule,
  previous: DocumentLink | null,
): boolean {
  return (
    vote.epoch_id === epochId &&
    vote.round === round &&
    isSameSchedule(vote.schedule, schedule) &&
    vote.previous?.epoch_id === previous?.epoch_id &&
    vote.previous?.sha256 === previous?.sha256
  )
}

export function isSameSchedule(a: Schedule, b: Schedule): boolean {
  return a.genesis_ms === b.genesis_ms && a.duration_ms === b.duration_ms && a.validity_epochs === b.validity_epochs
}

/** Listed nodes by identity, ascending. */
function agreedNodes(votes: readonly Vote[], { authorities, epochId, schedule, isGenuine }: TallyInput): VotedNode[] {
  const rotationId = scheduledRotation(schedule, epochId)
  const byIdentity = new Map<string, VotedNode[]>()
  for (const node of votes.flatMap(({ nodes }) => nodes)) {
    const identity = identityOf(node.descriptor)
    const voted = byIdentity.get(identity)
    if (voted === undefined) byIdentity.set(identity, [node])
    else voted.push(node)
  }
  return [...byIdentity.keys()]
    .sort()
    .flatMap((identity) => {
      const voted = byIdentity.get(identity)!
      if (voted.length < majority(authorities)) return []
      const genuine = voted.filter(({ descriptor }) => isGenuine(descriptor))
      if (genuine.length < majority(authorities)) return []
      const scores = genuine.map(({ score }) => score).sort((a, b) => a - b)
      const score = scores[Math.floor((scores.length - 1) / 2)]!
      return [{ score, descriptor: mostVoted(genuine, rotationId) }]
    })
    .slice(0, MAX_LISTED_NODES)
}

/** The descriptor with most votes; of several, one with the key that is needed, then the one of the least hash. */
function mostVoted(voted: readonly VotedNode[], rotationId: number): NodeDescriptor {
  const candidates = new Map<string, { votes: number; readonly descriptor: NodeDescriptor }>()
  for (const { descriptor } of voted) {
    const hash = descriptorHash(descriptor)
    const candidate = candidates.get(hash)
    if (candidate === undefined) candidates.set(hash, { votes: 1, descriptor })
    else candidate.votes++
  }
  const [best] = [...candidates].sort(([hashA, a], [hashB, b]) => {
    const byVotes = b.votes - a.votes
    const byKey = Number(hasKeyOf(rotationId, b)) - Number(hasKeyOf(rotationId, a))
    return byVotes || byKey || (hashA < hashB ? -1 : 1)
  })
  return best![1].descriptor
}

const hashes = new WeakMap<NodeDescriptor, string>()

/** SHA-256 of a descriptor, hexadecimal; remembered, since it is asked for again and again. */
export function descriptorHash(descriptor: NodeDescriptor): string {
  let hash = hashes.get(descriptor)
  if (hash === undefined) {
    hash = textHash(canonicalJson(nodeDescriptorSchema, descriptor))
    hashes.set(descriptor, hash)
  }
  return hash
}

/** The layers, dealt by a seed that everybody can compute from the document before and the epoch. */
function layersOf(
  nodes: readonly ConsensusNode[],
  { previous, epochId, round, schedule }: TallyInput,
  link: DocumentLink | null,
): Layers {
  const rotationId = scheduledRotation(schedule, epochId)
  const candidates = nodes
    .filter(({ descriptor }) => descriptor.declared_role.mixnode)
    .map((node) => ({
      nodeId: node.node_id,
      performance: node.score / FULL_SCORE,
      hasKey: hasKeyOf(rotationId, node),
    }))
  const seed = `${link?.sha256 ?? ''} ${epochId} ${round}`
  return layersFor({ candidates, previous: layersIn(previous), newEpoch: true, seed })
}

function layersIn(document: NetworkDocument | undefined): Layers {
  return Array.from({ length: LAYERS }, (_, index) =>
    (document?.nodes ?? []).filter(({ layer }) => layer === index + 1).map(({ node_id }) => node_id),
  )
}
