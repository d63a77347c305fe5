/**
 * Where a node listens, as Sphinx headers, SURBs, mix packets and SURB-acks carry it (01-sphinx §11.4):
 * family 1 ‖ port 2, big endian ‖ 4 or 16 octets. Unpadded, or zero-padded to 19 or 32 bytes, depending on the place.
 */
import { MixError } from '@mixwright/runtime'

export interface NodeAddress {
  readonly family: 4 | 6
  /** Canonical text of the IP address: dotted decimal, or RFC 5952 without brackets. */
  readonly host: string
  readonly port: number
}

const IPV4_BYTES = 7
const IPV6_BYTES = 19

/**
 * Write an address: 7 or 19 bytes, or zero-padded to `paddedBytes`. The host may be any spelling of the IP address.
 * Throws `MIX_NODE_ADDRESS` when the host is no IP address of that family or the port no 16-bit number.
 */
export function encodeNodeAddress(address: NodeAddress, paddedBytes?: 19 | 32): Uint8Array {
  const octets = address.family === 4 ? parseIpv4(address.host) : parseIpv6(address.host)
  if (octets === undefined || !Number.isInteger(address.port) || address.port < 0 || address.port > 0xffff)
    throw new MixError('MIX_NODE_ADDRESS', `not an IPv${address.family} address and port`, {
      kind: 'usage',
      data: { family: address.family, host: address.host, port: address.port },
    })
  const out = new Uint8Array(paddedBytes ?? octets.length + 3)
  out[0] = address.family
  out[1] = address.port >> 8
  out[2] = address.port & 0xff
  out.set(octets, 3)
  return out
}

/** Read an address at the start of `bytes`; `length` is how many were used (7 or 19), the rest is ignored. Never throws. */
export function decodeNodeAddress(bytes: Uint8Array): { address: NodeAddress; length: number } | undefined {
  const family = bytes[0]
  if (family === 4 && bytes.length >= IPV4_BYTES) {
    const host = `${bytes[3]}.${bytes[4]}.${bytes[5]}.${bytes[6]}`
    return { address: { family, host, port: (bytes[1]! << 8) | bytes[2]! }, length: IPV4_BYTES }
  }
  if (family === 6 && bytes.length >= IPV6_BYTES) {
    const host = formatIpv6(bytes.subarray(3, IPV6_BYTES))
    return { address: { family, host, port: (bytes[1]! << 8) | bytes[2]! }, length: IPV6_BYTES }
  }
  return undefined
}

/** The address of a host given as IP text in any spelling; undefined for host names and everything else. */
export function nodeAddress(host: string, port: number): NodeAddress | undefined {
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) return undefined
  const ipv4 = parseIpv4(host)
  if (ipv4 !== undefined) return { family: 4, host: ipv4.join('.'), port }
  const ipv6 = parseIpv6(host)
  if (ipv6 !== undefined) return { family: 6, host: formatIpv6(ipv6), port }
  return undefined
}

/** Four octets of strict dotted decimal: no leading zeros, no short forms. */
function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  const octets = new Uint8Array(4)
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined
    octets[i] = Number(part)
  }
  return octets
}

/** Sixteen octets of any RFC 4291 text form, without brackets or zone. */
function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = parseGroups(halves[0]!, halves.length === 1)
  const tail = halves.length === 2 ? parseGroups(halves[1]!, true) : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 16 - head.length - tail.length
  // `::` stands for at least one group of zeros; without it all eight groups must be there.
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...tail])
}

/** Octets of colon-separated groups; the last may be dotted decimal where the address ends with it. */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === '') return []
  const octets: number[] = []
  const groups = text.split(':')
  for (let i = 0; i < groups.length; i++) {
    const group = groups[i]!
    if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16)
      octets.push(value >> 8, value & 0xff)
      continue
    }
    const ipv4 = last && i === groups.length - 1 ? parseIpv4(group) : undefined
    if (ipv4 === undefined) return undefined
    octets.push(...ipv4)
  }
  return octets
}

/** RFC 5952: lower case, the first longest run of two or more zero groups as `::`, IPv4-mapped addresses dotted. */
function formatIpv6(octets: Uint8Array): string {
  const groups: number[] = []
  for (let i = 0; i < 16; i += 2) groups.push((octets[i]! << 8) | octets[i + 1]!)
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return `::ffff:${octets.subarray(12).join('.')}`
  let runStart = -1
  let runLength = 1
  for (let start = 0; start < 8; start++) {
    let length = 0
    while (start + length < 8 && groups[start + length] === 0) length++
    if (length > runLength) {
      runStart = start
      runLength = length
    }
  }
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(':')
  if (runStart < 0) return hex(groups)
  return `${hex(groups.slice(0, runStart))}::${hex(groups.slice(runStart + runLength))}`
}
