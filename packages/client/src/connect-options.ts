/** What `connect` is given, checked before anything is opened: a wrong number must not show as a stream that never stops. */
import { MixError } from '@mixwright/runtime'
import type { ConnectOptions } from './api.js'
import type { TopologySource } from './directory/topology.js'
import { PROFILES, type Profile } from './profile.js'

/** Timers cannot be longer. */
const LONGEST_TIMER_MS = 2 ** 31 - 1
/** Draws from an exponential distribution stay below the longest timer. */
const LONGEST_MEAN_MS = 3_600_000
/** A shorter mean interval is more than a machine keeps up with. */
const SHORTEST_INTERVAL_MS = 1
const SHORTEST_REFRESH_MS = 1000
/** Far below the number of reply blocks at which no more are asked for. */
const MOST_KEPT_SURBS = 100

/** Error: `MIX_OPTIONS`. What a directory reader, a gateway choice and a store check themselves is theirs. */
export function checkOptions(options: ConnectOptions): void {
  const { directory, authorities, gateway, refreshMs, replaceGatewayAfterMs, keptReplySurbs } = options
  const isUrls = typeof directory === 'string' || Array.isArray(directory)
  if (!isUrls && typeof (directory as TopologySource | undefined)?.read !== 'function')
    throw wrong('directory', 'is a URL, several, or an object that reads the network', directory)
  if (authorities !== undefined && !(Array.isArray(authorities) && isUrls))
    throw wrong('authorities', 'is a list of keys, for a directory that is given by URLs', authorities)
  if (gateway !== undefined && typeof gateway !== 'string')
    throw wrong('gateway', 'is "random", "latency" or the identity of a gateway', gateway)
  checkNumber('refreshMs', refreshMs, SHORTEST_REFRESH_MS, LONGEST_TIMER_MS)
  checkNumber('replaceGatewayAfterMs', replaceGatewayAfterMs, 0, LONGEST_TIMER_MS)
  checkNumber('keptReplySurbs', keptReplySurbs, 1, MOST_KEPT_SURBS)
  if (keptReplySurbs !== undefined && !Number.isInteger(keptReplySurbs))
    throw wrong('keptReplySurbs', 'is a whole number', keptReplySurbs)
}

/** The profile of this name, or a profile of the app's own, checked. Error: `MIX_OPTIONS`. */
export function resolveProfile(profile: ConnectOptions['profile'] = 'default'): Profile {
  if (typeof profile === 'string') {
    const found = Object.hasOwn(PROFILES, profile) ? PROFILES[profile] : undefined
    if (found !== undefined) return found
  }
  if (typeof profile !== 'object' || profile === null)
    throw wrong('profile', `is a profile, or one of ${Object.keys(PROFILES).join(', ')}`, profile)
  const { averagePacketDelayMs, averageAckDelayMs, averageSendingDelayMs, averageLoopCoverDelayMs } = profile
  for (const [name, value] of Object.entries({ averagePacketDelayMs, averageAckDelayMs }))
    checkNumber(name, value ?? Number.NaN, 0, LONGEST_MEAN_MS)
  for (const [name, value] of Object.entries({ averageSendingDelayMs, averageLoopCoverDelayMs }))
    if (value !== 0) checkNumber(name, value ?? Number.NaN, SHORTEST_INTERVAL_MS, LONGEST_MEAN_MS)
  return profile
}

function checkNumber(name: string, value: number | undefined, from: number, to: number): void {
  if (value === undefined || (typeof value === 'number' && value >= from && value <= to)) return
  throw wrong(name, `is a number from ${from} to ${to}`, value)
}

function wrong(option: string, what: string, value: unknown): MixError {
  return new MixError('MIX_OPTIONS', `${option} ${what}.`, { kind: 'usage', data: { option, value: String(value) } })
}
