/** The health of a program that is built around a client, as its `GET /health` tells it. */
import type { ClientStatus } from '@mixwright/client'
import type { Health } from './health-endpoint.js'

export interface ClientHealth extends Health {
  /** `up` while there is a link to the gateway. */
  readonly status: 'up' | 'down'
  readonly address: string
  readonly gateway: {
    readonly identity: string
    readonly state: ClientStatus['gateway']['state']
    /** Code of the error for which it is down. */
    readonly reason: string | null
    /** Links lost since the start. */
    readonly losses: number
  }
  readonly topology: { readonly epochId: number; readonly ageMs: number; readonly reason: string | null }
}

export function clientHealth({ address, gateway, topology }: ClientStatus): ClientHealth {
  const { identity, state, reason, losses } = gateway
  return {
    status: state === 'up' ? 'up' : 'down',
    address,
    gateway: { identity, state, reason: reason?.code ?? null, losses },
    topology: { epochId: topology.epochId, ageMs: topology.ageMs, reason: topology.reason?.code ?? null },
  }
}
