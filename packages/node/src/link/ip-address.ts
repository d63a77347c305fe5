/** IP addresses as sockets and documents spell them, made comparable (05-mixnode §5.4). */
import { isIPv4 } from 'node:net'

/** An IPv4 address that came mapped into IPv6 (`::ffff:1.2.3.4`) in its dotted form; everything else as it is, in lower case. */
export function canonicalIp(ip: string): string {
  const lower = ip.toLowerCase()
  if (!lower.startsWith('::ffff:')) return lower
  const tail = lower.slice(7)
  return isIPv4(tail) ? tail : lower
}
