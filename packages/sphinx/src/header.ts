/**
 * Building a Sphinx header (01-sphinx §6): alpha ‖ gamma ‖ beta, 348 bytes, from the last hop to the first, and the
 * keys of the hops that the payload's layers need.
 */
import { MixError, type Random } from '@mixwright/runtime'
import {
  ADDRESS_BYTES,
  ALPHA_BYTES,
  BETA_BYTES,
  DESTINATION_BYTES,
  FINAL_HOP,
  FORWARD_HOP,
  HEADER_BYTES,
  HOP_BYTES,
  IDENTIFIER_BYTES,
  KEYSTREAM_BYTES,
  MAC_BYTES,
  MAX_HOPS,
  VERSION_FULL_KEYS,
  VERSION_KEY_SEEDS,
} from './constants.js'
import type { CryptoProvider } from './crypto/provider.js'
import type { HopKeys } from './keys.js'
import { routeKeys } from './route-secrets.js'

/** A node on a route. */
export interface RouteNode {
  /** Where the hop before sends the packet, in the 32-byte form of a node address. */
  readonly address: Uint8Array
  /** X25519 Sphinx key, 32 bytes. */
  readonly publicKey: Uint8Array
}

/** Everything that a header is made of. */
export interface HeaderOptions {
  /** 1 to 5 nodes, first hop first. The first one's address is not in the packet. */
  readonly route: readonly RouteNode[]
  /** One delay per node, nanoseconds below 2^64. The last one is not in the packet. */
  readonly delaysNanos: readonly bigint[]
  /** Who the last hop delivers to: in Nym the recipient's Ed25519 identity key, 32 bytes. */
  readonly destination: Uint8Array
  /** 16 bytes for the last hop; zeros by default, as in Nym, where nobody reads them. */
  readonly identifier?: Uint8Array
  /** 258: full payload keys. 259, the default: payload key seeds. */
  readonly version?: 258 | 259
  /** Raw X25519 scalar of alpha, 32 bytes. Random by default; given only to make the same packet again. */
  readonly initialSecret?: Uint8Array
  /** Padding of the final routing block, 248 − 60·(hops − 1) bytes. Random by default, as anonymity needs. */
  readonly finalHopPadding?: Uint8Array
}

export interface BuiltHeader {
  readonly version: 258 | 259
  /** In route order. */
  readonly hops: readonly HopKeys[]
}

/** flag 1 ‖ version 3 ‖ destination 32 ‖ identifier 16 */
const FINAL_BLOCK_BYTES = 52
/** flag 1 ‖ version 3 ‖ address 32 ‖ delay 8 */
const FORWARD_BLOCK_BYTES = 44
const ZEROS = new Uint8Array(KEYSTREAM_BYTES)
const NO_IDENTIFIER = new Uint8Array(IDENTIFIER_BYTES)

/**
 * Write a header into `out` (348 bytes). Throws `MIX_SPHINX_ROUTE` for a route, delays or fields of a wrong length,
 * `MIX_SPHINX_VERSION` for a version other than 258 and 259, `MIX_SPHINX_PUBLIC_KEY` for a low-order public key.
 */
export function buildHeader(
  crypto: CryptoProvider,
  random: Random,
  options: HeaderOptions,
  out: Uint8Array,
): BuiltHeader {
  const { route, delaysNanos, destination, identifier = NO_IDENTIFIER, version = VERSION_KEY_SEEDS } = options
  checkOptions(options)
  const initialSecret = options.initialSecret ?? random.bytes(ALPHA_BYTES)
  const hops = routeKeys(
    crypto,
    initialSecret,
    route.map((node) => node.publicKey),
  )
  const streams = hops.map((keys) => crypto.aes128Ctr(keys.stream, ZEROS))

  out.set(crypto.x25519Base(initialSecret), 0)
  const gamma = out.subarray(ALPHA_BYTES, ALPHA_BYTES + MAC_BYTES)
  const beta = out.subarray(ALPHA_BYTES + MAC_BYTES, HEADER_BYTES)
  const view = new DataView(beta.buffer, beta.byteOffset, beta.byteLength)
  const last = hops.length - 1

  const ownBytes = BETA_BYTES - HOP_BYTES * last
  view.setUint32(0, (FINAL_HOP << 24) | version)
  beta.set(destination, 4)
  beta.set(identifier, 4 + DESTINATION_BYTES)
  beta.set(options.finalHopPadding ?? random.bytes(ownBytes - FINAL_BLOCK_BYTES), FINAL_BLOCK_BYTES)
  xorInto(beta.subarray(0, ownBytes), streams[last]!)
  beta.set(filler(streams), ownBytes)
  gamma.set(crypto.hmacSha256(hops[last]!.mac, beta).subarray(0, MAC_BYTES))

  for (let hop = last - 1; hop >= 0; hop--) {
    beta.copyWithin(HOP_BYTES, 0, BETA_BYTES - HOP_BYTES)
    view.setUint32(0, (FORWARD_HOP << 24) | version)
    beta.set(route[hop + 1]!.address, 4)
    view.setBigUint64(4 + ADDRESS_BYTES, delaysNanos[hop]!)
    beta.set(gamma, FORWARD_BLOCK_BYTES)
    xorInto(beta, streams[hop]!)
    gamma.set(crypto.hmacSha256(hops[hop]!.mac, beta).subarray(0, MAC_BYTES))
  }
  return { version, hops }
}

/**
 * What the hops will have appended to beta by the time it reaches the last one: each XORs its key stream onto beta and
 * 60 zero bytes. 60·(hops − 1) bytes.
 */
function filler(streams: readonly Uint8Array[]): Uint8Array {
  let bytes = new Uint8Array(0)
  for (let i = 1; i < streams.length; i++) {
    const longer = new Uint8Array(HOP_BYTES * i)
    longer.set(bytes)
    xorInto(longer, streams[i - 1]!.subarray(KEYSTREAM_BYTES - HOP_BYTES * i))
    bytes = longer
  }
  return bytes
}

function xorInto(target: Uint8Array, stream: Uint8Array): void {
  for (let i = 0; i < target.length; i++) target[i]! ^= stream[i]!
}

function checkOptions(options: HeaderOptions): void {
  const { route, delaysNanos, destination, identifier, version, initialSecret, finalHopPadding } = options
  if (version !== undefined && version !== VERSION_FULL_KEYS && version !== VERSION_KEY_SEEDS)
    throw new MixError('MIX_SPHINX_VERSION', 'packets are built in versions 258 and 259', {
      kind: 'usage',
      data: { version },
    })
  if (route.length < 1 || route.length > MAX_HOPS) throw badRoute(`a route has 1 to ${MAX_HOPS} hops`, route.length)
  if (delaysNanos.length !== route.length) throw badRoute('there is one delay per hop', delaysNanos.length)
  for (const delay of delaysNanos)
    if (delay < 0n || delay !== BigInt.asUintN(64, delay)) throw badRoute('a delay is a 64-bit number', route.length)
  for (const node of route)
    if (node.address.length !== ADDRESS_BYTES || node.publicKey.length !== 32)
      throw badRoute('node addresses and public keys have 32 bytes', route.length)
  if (destination.length !== DESTINATION_BYTES) throw badRoute('a destination has 32 bytes', destination.length)
  if (identifier !== undefined && identifier.length !== IDENTIFIER_BYTES)
    throw badRoute('an identifier has 16 bytes', identifier.length)
  if (initialSecret !== undefined && initialSecret.length !== 32)
    throw badRoute('an initial secret has 32 bytes', initialSecret.length)
  const paddingBytes = BETA_BYTES - HOP_BYTES * (route.length - 1) - FINAL_BLOCK_BYTES
  if (finalHopPadding !== undefined && finalHopPadding.length !== paddingBytes)
    throw badRoute(`the final padding of this route has ${paddingBytes} bytes`, finalHopPadding.length)
}

function badRoute(message: string, given: number): MixError {
  return new MixError('MIX_SPHINX_ROUTE', message, { kind: 'usage', data: { given } })
}
