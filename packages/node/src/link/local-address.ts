/**
 * From which address outgoing links should come: an official responder finds out by the source address alone whether to
 * speak Noise, so it must be one that we announce (05-mixnode §5.4).
 */
import { networkInterfaces } from 'node:os'
import type { NodeAddress } from '@mixwright/sphinx'
import { canonicalIp } from './ip-address.js'

/** For a next hop: the first announced address of its family that this machine has; undefined leaves it to the system. */
export function sourceAddress(announcedIps: readonly string[]): (nextHop: NodeAddress) => string | undefined {
  const own = new Set(
    Object.values(networkInterfaces()).flatMap(
      (addresses) => addresses?.map(({ address }) => canonicalIp(address)) ?? [],
    ),
  )
  const usable = announcedIps.map(canonicalIp).filter((ip) => own.has(ip))
  const v4 = usable.find((ip) => !ip.includes(':'))
  const v6 = usable.find((ip) => ip.includes(':'))
  return ({ family }) => (family === 4 ? v4 : v6)
}
