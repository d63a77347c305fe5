/** A requester told to people and to programs. */
import type { RequesterFacts } from './requester-facts.js'
import type { RequesterOptions } from './requester-options.js'

export interface RequesterSummary {
  readonly id: string
  /** What clients are given. */
  readonly address: string
  readonly gateway: string
  /** A file or a URL; null: an open proxy. */
  readonly exitPolicy: string | null
  readonly allowLocalIps: boolean
  readonly profile: RequesterOptions['profile']
}

export function summarize(
  id: string,
  { address, gateway }: RequesterFacts,
  options: RequesterOptions,
): RequesterSummary {
  const { exitPolicy, allowLocalIps, profile } = options
  return { id, address, gateway, exitPolicy: exitPolicy ?? null, allowLocalIps, profile }
}

export function describe({ id, address, gateway, exitPolicy, allowLocalIps, profile }: RequesterSummary): string {
  return lines([
    ['Requester', id],
    ['Address', address],
    ['Gateway', gateway],
    ['Exit policy', exitPolicy ?? 'none: an open proxy'],
    ['Local IPs', allowLocalIps ? 'allowed' : 'refused'],
    ['Profile', profile],
  ])
}

export function lines(rows: readonly (readonly [name: string, value: string])[]): string {
  return rows.map(([name, value]) => `${name.padEnd(13)} ${value}\n`).join('')
}
