/**
 * The destination of a connection as one text, `host:port` (06-service-providers §2.2). Whether the host exists or may be
 * reached is left to the requester.
 */
import { octetsOf } from './ip-prefix.js'

/** Host without brackets. Undefined: there is no host, or no port from 1 to 65535. */
export function splitRemote(remote: string): { host: string; port: number } | undefined {
  const found = /^(?:\[([^[\]]+)\]|([^[\]]+)):([0-9]{1,5})$/.exec(remote)
  if (found === null) return undefined
  const host = (found[1] ?? found[2])!
  const port = Number(found[3])
  if (port < 1 || port > 0xffff) return undefined
  // Brackets are for IPv6 alone, and colons occur in nothing else.
  const isIpv6 = octetsOf(host)?.length === 16
  return isIpv6 === (found[1] !== undefined || host.includes(':')) ? { host, port } : undefined
}

/** The other way. An IPv6 address is written as official local proxies do: eight hexadecimal groups without brackets. */
export function joinRemote(host: string, port: number): string {
  const octets = octetsOf(host)
  if (octets?.length !== 16) return `${host}:${port}`
  const view = new DataView(octets.buffer, octets.byteOffset)
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(2 * index).toString(16))
  return `${groups.join(':')}:${port}`
}
