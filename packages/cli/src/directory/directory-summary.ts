/** A directory told to people and to programs. */
import type { DirectoryIdentity } from '@mixwright/directory'
import type { DirectoryOptions } from './directory-options.js'

export interface DirectorySummary {
  readonly id: string
  /** Ed25519, base58: what others pin as an authority's key. */
  readonly key: string
  /** Base URL for clients and nodes. */
  readonly url: string
  readonly registration: DirectoryOptions['registration']
  /** How many authorities decide together, and how many of them must sign. */
  readonly authorities: number
  readonly epochMs: number
  readonly validityEpochs: number
  readonly genesisMs: number
}

/** `port` is the one bound, or to be bound. */
export function summarize(
  id: string,
  options: DirectoryOptions,
  { key, schedule }: Pick<DirectoryIdentity, 'key' | 'schedule'>,
  port: number,
): DirectorySummary {
  const { host, url, registration, authority } = options
  const name = host === '::' || host === '0.0.0.0' ? 'localhost' : host.includes(':') ? `[${host}]` : host
  return {
    id,
    key,
    url: url ?? `http://${name}:${port}/api`,
    registration,
    authorities: Math.max(1, authority.length),
    epochMs: schedule.durationMs,
    validityEpochs: schedule.validityEpochs,
    genesisMs: schedule.genesisMs,
  }
}

export function describe(summary: DirectorySummary): string {
  const { id, key, url, registration, authorities, epochMs, validityEpochs, genesisMs } = summary
  return lines([
    ['Directory', id],
    ['Key', key],
    ['URL', url],
    ['Registration', registration],
    ['Authorities', `${authorities}`],
    ['Epochs', `of ${epochMs / 1000} s, a Sphinx key lasts ${validityEpochs}`],
    ['Genesis', `${genesisMs} (${new Date(genesisMs).toISOString()})`],
  ])
}

export function lines(rows: readonly (readonly [name: string, value: string])[]): string {
  return rows.map(([name, value]) => `${name.padEnd(15)} ${value}\n`).join('')
}
