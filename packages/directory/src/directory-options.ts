/** What a directory is told at its start. Everything is bounded by default, and nobody may join by itself. */
import type { Clock, Logger, MemoryMetrics, Random } from '@mixwright/runtime'
import type { ListenAddress } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import type { Hono } from 'hono'
import type { WishedSchedule } from './directory-identity.js'
import type { NodeEntry } from './nodes/node-reader.js'
import type { RegistrationPolicy } from './nodes/registration.js'
import type { ProbingOptions } from './probing/prober.js'

export interface DirectoryOptions {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: MemoryMetrics
  readonly crypto: CryptoProvider
  readonly listen: ListenAddress
  /** Those known beforehand; the first lists wait for them. Others `join`, or register. */
  readonly nodes: readonly NodeEntry[]
  /** Without a genesis: that of the state directory, or now. */
  readonly epoch: WishedSchedule
  /** Where key, schedule, numbers of nodes and registrations outlive the process. @default nowhere */
  readonly stateDirectory?: string
  /** Who may register by itself. @default nobody */
  readonly registration?: RegistrationPolicy
  /** Nodes known at one time, past which nobody may register. @default 10000 */
  readonly maximumNodes?: number
  /** Whether nodes may announce loopback addresses; for networks on one machine. @default false */
  readonly allowLocalAddresses?: boolean
  /**
   * Between two readings of a node, milliseconds; at most half an epoch, and longer in networks of over 500 nodes.
   * @default 30000
   */
  readonly readIntervalMs?: number
  /** First pause between two attempts while a new node does not answer yet, milliseconds. @default 50 */
  readonly startRetryMs?: number
  /** How long an unreachable one of `nodes` is waited for at the start, milliseconds. @default 10000 */
  readonly startPatienceMs?: number
  /** Send packets over the network and publish what comes of them as performance. @default nobody is probed, all have 1 */
  readonly probing?: ProbingOptions
  /** Base URL under which others reach this directory, as clients are told. @default that of `listen` */
  readonly publicUrl?: string | undefined
  /** Show the counters to Prometheus, for this bearer token. @default not at all */
  readonly metricsToken?: string | undefined
  /** Publish only what is handed to `present`: one authority of several. @default false */
  readonly presentsOnly?: boolean
  /** Further routes, under the same prefixes. @default none */
  readonly routes?: readonly Hono[]
}
