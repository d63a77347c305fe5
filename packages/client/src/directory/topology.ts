/**
 * The network as a client sees it at one moment: mix nodes in three layers and gateways, each with its address and the
 * Sphinx key of the current rotation (03-directory §6.3). A value; reading it is `directory-reader.ts`'s work.
 */
import type { RouteNode } from '@mixwright/sphinx'

/** A gateway: the last hop of packets to its clients, and a door into the network. */
export interface GatewayNode extends RouteNode {
  /** Ed25519 identity, base58. */
  readonly identity: string
  /** Where clients connect, best first; empty when it takes none. */
  readonly websocketUrls: readonly string[]
}

export interface Topology {
  /** Layers 1 to 3, each with at least one node. */
  readonly layers: readonly [readonly RouteNode[], readonly RouteNode[], readonly RouteNode[]]
  /** By base58 identity; never empty. */
  readonly gateways: ReadonlyMap<string, GatewayNode>
  /** Absolute epoch. */
  readonly epochId: number
  /** Of the Sphinx keys; its parity travels with every packet. */
  readonly rotationId: number
  /** When it was read, Unix milliseconds. */
  readonly readAt: number
}

/** Epochs and key rotations of a network (03-directory §7), as told once at the start; the rest follows by the clock. */
export interface RotationSchedule {
  readonly validityEpochs: number
  readonly initialEpochId: number
  readonly epochMs: number
  /** An epoch whose start is known, and that start in Unix milliseconds. */
  readonly knownEpochId: number
  readonly knownEpochStartMs: number
}

/** A network requester that a node of the network carries (06-service-providers §9). */
export interface ListedRequester {
  /** `identity.encryption@gateway`. */
  readonly address: string
  /** Identity of the node that carries it, base58. */
  readonly gateway: string
  readonly usesExitPolicy: boolean
}

/** Where topologies come from: `directory-reader.ts` over HTTP; anything else in tests. */
export interface TopologySource {
  /** Read the network now. Rejects with a `MixError` (`MIX_DIRECTORY_…`), or with the signal's reason. */
  read(signal?: AbortSignal): Promise<Topology>
  /** Read the schedule of epochs. */
  readSchedule(signal?: AbortSignal): Promise<RotationSchedule>
  /** Read which network requesters there are. Absent: nobody knows. */
  readRequesters?(signal?: AbortSignal): Promise<readonly ListedRequester[]>
}
