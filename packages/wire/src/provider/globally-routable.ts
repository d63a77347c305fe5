/**
 * Which IP addresses lie in the public internet (06-service-providers §4). An exit that is not told otherwise reaches no
 * other: not itself, not its neighbours. Which of these it reaches is for the exit policy to say.
 */
import { covers, octetsOf, prefixOf } from './ip-prefix.js'

const SPECIAL = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '240.0.0.0/4',
  '::/128',
  '::1/128',
  '::ffff:0:0/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  'fc00::/7',
  'fe80::/10',
].map(prefixOf)

/** Global although they lie in one of the above. */
const EXCEPTIONS = [
  '192.0.0.9/32',
  '192.0.0.10/32',
  '2001:1::1/128',
  '2001:1::2/128',
  '2001:3::/32',
  '2001:4:112::/48',
  '2001:20::/27',
].map(prefixOf)

/** `ip` is the text of an IP address in any spelling, without brackets; everything else is not routable. */
export function isGloballyRoutable(ip: string): boolean {
  const octets = octetsOf(ip)
  if (octets === undefined) return false
  return EXCEPTIONS.some((prefix) => covers(prefix, octets)) || !SPECIAL.some((prefix) => covers(prefix, octets))
}
