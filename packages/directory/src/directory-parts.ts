/** What a directory is made of, as it was when it ended last: identity, state, and the nodes that had registered. */
import { type DirectoryIdentity, loadOrCreateIdentity, newIdentity } from './directory-identity.js'
import type { DirectoryOptions } from './directory-options.js'
import { DirectoryState } from './directory-state.js'
import { NodeIds } from './nodes/node-ids.js'
import { readNode } from './nodes/node-reader.js'
import { NodeRegistry } from './nodes/node-registry.js'
import { ProbeScores } from './probing/probe-scores.js'

export interface DirectoryParts {
  readonly identity: DirectoryIdentity
  readonly state: DirectoryState | undefined
  readonly ids: NodeIds
  readonly registry: NodeRegistry
  readonly scores: ProbeScores
}

/** Errors: those of the state directory. */
export function directoryParts(options: DirectoryOptions): DirectoryParts {
  const { clock, crypto, random, logger, epoch, stateDirectory, maximumNodes = 10_000 } = options
  const { allowLocalAddresses = false, startRetryMs = 50 } = options
  const ownRandom = random.fork('directory identity')
  const identity =
    stateDirectory === undefined
      ? newIdentity(crypto, ownRandom, clock.now(), epoch)
      : loadOrCreateIdentity(stateDirectory, crypto, ownRandom, clock.now(), epoch)
  const state = stateDirectory === undefined ? undefined : new DirectoryState(stateDirectory)
  const { nextNodeId, ids: known, registrations = [], probes } = state?.content ?? {}
  const ids = new NodeIds(nextNodeId, known)
  const registry = new NodeRegistry({
    clock,
    logger,
    ids,
    maximumNodes,
    retryMs: startRetryMs,
    read: (entry) => readNode(entry, { clock, crypto, allowLocalAddresses }),
  })
  for (const entry of registrations) if (!registry.isFull) registry.add(entry, true)
  return { identity, state, ids, registry, scores: new ProbeScores(probes) }
}
