/**
 * How busy the machine is, in the words of `/load` (05-mixnode §12): the load of five minutes per core, one tier more when
 * the memory is in a higher one. The network is not measured.
 */
import { availableParallelism, freemem, loadavg, totalmem } from 'node:os'
import type { Clock } from '@mixwright/runtime'

/** From idle to full; each tier but the last ends at its share. */
const TIERS = [
  ['negligible', 0.1],
  ['low', 0.3],
  ['medium', 0.6],
  ['high', 0.8],
  ['very_high', 0.95],
  ['at_capacity', Number.POSITIVE_INFINITY],
] as const

export type LoadTier = 'unknown' | (typeof TIERS)[number][0]

export interface NodeLoad {
  readonly total: LoadTier
  readonly machine: LoadTier
  readonly network: LoadTier
}

/** `cpu`: runnable threads per core; `memory`: the share in use, 0 to 1. */
export function nodeLoad(cpu: number, memory: number): NodeLoad {
  const tierOf = (share: number) => TIERS.findIndex(([, end]) => share <= end)
  const busy = tierOf(cpu)
  const index = Math.min(TIERS.length - 1, tierOf(memory) > busy ? busy + 1 : busy)
  const machine = TIERS[index]?.[0] ?? 'unknown'
  return { total: machine, machine, network: 'unknown' }
}

/** Answers are this old at most. */
const KEPT_MS = 30_000

/** The load of this machine; looked at no more often than twice a minute, however often it is asked for. */
export function machineLoad(clock: Clock): () => NodeLoad {
  let known: { readonly atMs: number; readonly load: NodeLoad } | undefined
  return () => {
    const now = clock.monotonic()
    if (known === undefined || now - known.atMs > KEPT_MS) {
      const cpu = (loadavg()[1] ?? 0) / availableParallelism()
      known = { atMs: now, load: nodeLoad(cpu, 1 - freemem() / totalmem()) }
    }
    return known.load
  }
}
