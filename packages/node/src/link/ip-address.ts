/** IP addresses as sockets and documents spell them, made comparable (05-mixnode §5.4). */
import { isIPv4, isIPv6 } from 'node:net'

/** An IPv4 address that came mapped into IPv6 (`::ffff:1.2.3.4`) in its dotted form; everything else as it is, in lower case. */
export function canonicalIp(ip: string): string {
  const lower = ip.toLowerCase()
  if (!lower.startsWith('::ffff:')) return lower
  const tail = lower.slice(7)
  return isIPv4(tail) ? tail : lower
}

/** What limits count as one address: an IPv4 address as it is; of IPv6 the first 64 bits, all of which one owner has. */
export function addressOf(ip: string): string {
  const address = canonicalIp(ip)
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.split('%')[0]!.split('::')
  const groups = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - after.length)
  const all = [...groups, ...Array.from({ length: zeros }, () => '0'), ...after]
  return `${all.slice(0, 4).join(':')}::/64`
}
