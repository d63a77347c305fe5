/**
 * One node of a directory's list as a hop of routes (03-directory §4, §6.3) and as a gateway to connect to (02-gateway §1).
 * Nodes describe themselves, so what one of them got wrong makes that node unusable and nothing else.
 */
import { encodeNodeAddress, nodeAddress, type RouteNode } from '@mixwright/sphinx'
import { decodeBase58, type SkimmedNode } from '@mixwright/wire'
import type { GatewayNode } from './topology.js'

/** Addresses of a gateway that are tried: a list of a thousand would keep a client connecting for hours. */
const MAX_ADDRESSES = 4
/** What may stand in a URL as its host: a DNS name, never user, path or port. */
const HOST_NAME = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i
const MAX_HOST_NAME = 253

/** Whether a Sphinx key (32 bytes) may be used: no point of low order. */
export type KeyCheck = (publicKey: Uint8Array) => boolean

/** The hop: first IP address and mix port, and the Sphinx key. Undefined when either is unusable. */
export function routeNode(node: SkimmedNode, isUsableKey: KeyCheck): RouteNode | undefined {
  const [host] = node.ip_addresses
  const publicKey = decodeBase58(node.x25519_sphinx_pubkey, 32)
  const address = host === undefined ? undefined : nodeAddress(host, node.mix_port)
  if (address === undefined || address.port === 0 || publicKey === undefined || !isUsableKey(publicKey))
    return undefined
  return { address: encodeNodeAddress(address, 32), publicKey }
}

/** The hop and where clients connect. Undefined when it is unusable as a hop. */
export function gatewayNode(node: SkimmedNode, isUsableKey: KeyCheck, preferTls: boolean): GatewayNode | undefined {
  const hop = routeNode(node, isUsableKey)
  if (hop === undefined) return undefined
  return { ...hop, identity: node.ed25519_identity_pubkey, websocketUrls: websocketUrls(node, preferTls) }
}

/**
 * Candidates, best first: plain websocket by host name, then by IP address, then TLS. Packets are encrypted either way;
 * `preferTls` puts TLS in front, for pages that were loaded over TLS and may open nothing else.
 */
export function websocketUrls({ entry, ip_addresses }: SkimmedNode, preferTls: boolean): string[] {
  if (entry === null) return []
  const { hostname, ws_port, wss_port } = entry
  const names = hostname !== null && hostname.length <= MAX_HOST_NAME && HOST_NAME.test(hostname) ? [hostname] : []
  const addresses = ip_addresses.slice(0, MAX_ADDRESSES).map((ip) => (ip.includes(':') ? `[${ip}]` : ip))
  const plain = ws_port > 0 ? [...new Set([...names, ...addresses])].map((host) => `ws://${host}:${ws_port}`) : []
  const tls = wss_port !== null && wss_port > 0 ? names.map((name) => `wss://${name}:${wss_port}`) : []
  const urls = preferTls ? [...tls, ...plain] : [...plain, ...tls]
  // Some names are none to a URL, such as 1.2.3.4.5, an impossible IPv4 address.
  return urls.filter((url) => URL.canParse(url))
}
