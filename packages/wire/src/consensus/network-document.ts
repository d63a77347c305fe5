/**
 * The network document (03-directory §18): everything that the authorities of a network agree on for one epoch, and the hash
 * that they sign. Each names the one before it, so that the documents are a chain.
 */
import { toHex, utf8 } from '@mixwright/runtime'
import { sha256 } from '@noble/hashes/sha2.js'
import {
  auxiliaryDetailsSchema,
  buildInformationSchema,
  carriedRequesterSchema,
  declaredRolesSchema,
  websocketsSchema,
} from '../directory/documents.js'
import { signedHostInformationSchema } from '../directory/host-information.js'
import { rotationIdAt } from '../directory/key-rotation-state.js'
import { choice, list, optional, struct, text, u8, u32, u64, type ValueOf } from '../directory/schema.js'
import { canonicalJson } from './canonical-json.js'

/** Longest document and longest vote, bytes. */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
/** Nodes of a network; also the bound of a vote. */
export const MAX_LISTED_NODES = 10_000
/** Longest descriptor of a node, characters of its canonical JSON; a node that says more about itself is not listed. */
export const MAX_DESCRIPTOR_LENGTH = 4096
/** Scores are hundredths. */
export const FULL_SCORE = 100
/** Below, clients leave a node out (03-directory §6.3). */
const USABLE_SCORE = 50

const HASH = /^[0-9a-f]{64}$/
/** A SHA-256 hash in hexadecimal. */
export const hashText = text((value) => HASH.test(value), 'a SHA-256 hash in hexadecimal')

/** What an authority read from a node. The host information is signed by the node; the rest is as the authority saw it. */
export const nodeDescriptorSchema = struct({
  host_information: signedHostInformationSchema,
  declared_role: declaredRolesSchema,
  mixnet_websockets: websocketsSchema,
  auxiliary_details: auxiliaryDetailsSchema,
  build_information: buildInformationSchema,
  network_requester: optional(carriedRequesterSchema),
})
export type NodeDescriptor = ValueOf<typeof nodeDescriptorSchema>

/** The epochs of a network; all authorities are configured with the same. */
export const scheduleSchema = struct({ genesis_ms: u64, duration_ms: u64, validity_epochs: u32 })
export type Schedule = ValueOf<typeof scheduleSchema>

/** A document by its epoch and hash. */
export const documentLinkSchema = struct({ epoch_id: u32, sha256: hashText })
export type DocumentLink = ValueOf<typeof documentLinkSchema>

export const consensusVersion = choice(['mixwright-1'])

export const consensusNodeSchema = struct({
  node_id: u32,
  /** 1 to 3, or 0 for none. */
  layer: u8,
  /** Hundredths. */
  score: u8,
  descriptor: nodeDescriptorSchema,
})
export type ConsensusNode = ValueOf<typeof consensusNodeSchema>

export const networkDocumentSchema = struct({
  version: consensusVersion,
  epoch_id: u32,
  /** 0, or the attempt within the epoch by which a network without any document came to its first one. */
  round: u8,
  schedule: scheduleSchema,
  previous: optional(documentLinkSchema),
  /** The number that the next unknown node gets: numbers are never given twice. */
  next_node_id: u32,
  /** By `node_id`, ascending. */
  nodes: list(consensusNodeSchema),
})
export type NetworkDocument = ValueOf<typeof networkDocumentSchema>

/** SHA-256 of a canonical text, hexadecimal. */
export function textHash(canonical: string): string {
  return toHex(sha256(utf8(canonical)))
}

/** What is signed of a document, and what names it. */
export function documentHash(document: NetworkDocument): string {
  return textHash(canonicalJson(networkDocumentSchema, document))
}

export function identityOf({ host_information }: NodeDescriptor): string {
  return host_information.data.keys.ed25519_identity
}

/** The epoch that runs at `nowMs`; 0 before the genesis. */
export function scheduledEpoch({ genesis_ms, duration_ms }: Schedule, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - genesis_ms) / duration_ms))
}

/** When an epoch starts, Unix milliseconds. */
export function scheduledStartMs({ genesis_ms, duration_ms }: Schedule, epochId: number): number {
  return genesis_ms + epochId * duration_ms
}

/** The key rotation of an epoch. */
export function scheduledRotation({ validity_epochs }: Schedule, epochId: number): number {
  return rotationIdAt({ validityEpochs: validity_epochs, initialEpochId: 0 }, epochId)
}

/** Epochs of no length, and rotations of none, would stop everybody's arithmetic. */
export function isUsableSchedule({ duration_ms, validity_epochs }: Schedule): boolean {
  return duration_ms > 0 && validity_epochs > 0
}

/** Whether a client can be routed: a node that works in every layer, and such a gateway. */
export function isRoutable({ nodes }: NetworkDocument): boolean {
  const working = nodes.filter(({ score }) => score >= USABLE_SCORE)
  return [1, 2, 3].every((wanted) => working.some(({ layer }) => layer === wanted)) && working.some(isGateway)
}

export function isGateway({ descriptor }: ConsensusNode): boolean {
  return descriptor.declared_role.entry
}
