/** IP addresses as octets, and whether a prefix covers one (06-service-providers §4). */
import { encodeNodeAddress, nodeAddress } from '@mixwright/sphinx'

export interface IpPrefix {
  /** 4 or 16; those behind the mask do not matter. */
  readonly octets: Uint8Array
  /** Leading bits that have to be equal. */
  readonly mask: number
}

/** 4 or 16 octets of an IP address in any spelling, without brackets; undefined when it is none. */
export function octetsOf(ip: string): Uint8Array | undefined {
  const address = nodeAddress(ip, 0)
  // Family and port come before the octets in a node address.
  return address && encodeNodeAddress(address).subarray(3)
}

/** Of a text that is known to be `address/mask`. */
export function prefixOf(text: string): IpPrefix {
  const [ip, mask] = text.split('/')
  return { octets: octetsOf(ip!)!, mask: Number(mask) }
}

/** An address of the other family is not covered. */
export function covers({ octets: prefix, mask }: IpPrefix, octets: Uint8Array): boolean {
  if (octets.length !== prefix.length) return false
  const whole = mask >> 3
  for (let index = 0; index < whole; index++) if (octets[index] !== prefix[index]) return false
  const rest = mask & 7
  return rest === 0 || (octets[whole]! ^ prefix[whole]!) >> (8 - rest) === 0
}
