/**
 * The sender's side of the key agreement (01-sphinx §4.5): the keys of every hop of a route, from one secret.
 * By definition hop i's secret is P_i multiplied by x and by the blinding factors of all hops before it. Here the
 * scalars are multiplied instead, modulo the group order, so that each hop costs one point multiplication.
 */
import { MixError } from '@mixwright/runtime'
import type { CryptoProvider } from './crypto/provider.js'
import { expandHopKeys, FORWARD_KEYS_BYTES, type HopKeys, LAST_KEYS_BYTES } from './keys.js'

/** Order of the prime-order subgroup of Curve25519: 2^252 + 27742317777372353535851937790883648493. */
const ORDER = 0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3edn
const TWO_254 = 1n << 254n
const TWO_255 = 1n << 255n

/**
 * Keys of all hops, in route order, for the raw 32-byte secret `initialSecret` (alpha is its X25519 public key).
 * One X25519 per hop. Throws `MIX_SPHINX_PUBLIC_KEY` when a hop's key is a low-order point.
 */
export function routeKeys(
  crypto: CryptoProvider,
  initialSecret: Uint8Array,
  publicKeys: readonly Uint8Array[],
): HopKeys[] {
  const keys: HopKeys[] = []
  const last = publicKeys.length - 1
  let product = clampedScalar(initialSecret) % ORDER
  for (let hop = 0; hop <= last; hop++) {
    const scalar = clampedRepresentative(product)
    // No representative: one chance in 2^124. The definition still gives the answer.
    const sharedSecret =
      scalar === undefined
        ? chainedSecret(crypto, initialSecret, keys, publicKeys[hop]!)
        : multiply(crypto, scalar, publicKeys[hop]!)
    const [hopKeys] = expandHopKeys(crypto, [sharedSecret], hop === last ? LAST_KEYS_BYTES : FORWARD_KEYS_BYTES)
    keys.push(hopKeys!)
    if (hop < last) product = (product * clampedScalar(hopKeys!.blinding)) % ORDER
  }
  return keys
}

/** The shared secrets of a route by the definition: 1 + 2 + … + n multiplications. */
export function sharedSecretsByChain(
  crypto: CryptoProvider,
  initialSecret: Uint8Array,
  publicKeys: readonly Uint8Array[],
): Uint8Array[] {
  const keys: HopKeys[] = []
  return publicKeys.map((publicKey) => {
    const sharedSecret = chainedSecret(crypto, initialSecret, keys, publicKey)
    keys.push(...expandHopKeys(crypto, [sharedSecret]))
    return sharedSecret
  })
}

function chainedSecret(
  crypto: CryptoProvider,
  initialSecret: Uint8Array,
  before: readonly HopKeys[],
  publicKey: Uint8Array,
): Uint8Array {
  let point = multiply(crypto, initialSecret, publicKey)
  for (const { blinding } of before) point = multiply(crypto, blinding, point)
  return point
}

function multiply(crypto: CryptoProvider, scalar: Uint8Array, point: Uint8Array): Uint8Array {
  const product = crypto.x25519(scalar, point)
  if (product === undefined)
    throw new MixError('MIX_SPHINX_PUBLIC_KEY', 'a node of the route has a low-order point as its public key', {
      kind: 'peer',
    })
  return product
}

/**
 * Bytes that X25519's clamping leaves as they are and that are `scalar` or −`scalar` modulo the order (both give the
 * same u-coordinate): a multiple of 8 between 2^254 and 2^255. Of the two exactly one exists, but for a chance of
 * 2^-124 that none does. Since the order is 5 modulo 8, r = c + 3c·order is 0 modulo 8.
 */
export function clampedRepresentative(scalar: bigint): Uint8Array | undefined {
  for (const candidate of [scalar, ORDER - scalar]) {
    const representative = candidate + ((3n * candidate) & 7n) * ORDER
    if (representative >= TWO_254 && representative < TWO_255) return scalarBytes(representative)
  }
  return undefined
}

/** The number that X25519 multiplies with, for 32 raw bytes. */
function clampedScalar(raw: Uint8Array): bigint {
  const view = new DataView(raw.buffer, raw.byteOffset, 32)
  const high = (view.getBigUint64(24, true) & 0x3fffffffffffffffn) | 0x4000000000000000n
  const low = view.getBigUint64(0, true) & ~7n
  return (high << 192n) | (view.getBigUint64(16, true) << 128n) | (view.getBigUint64(8, true) << 64n) | low
}

function scalarBytes(scalar: bigint): Uint8Array {
  const out = new Uint8Array(32)
  const view = new DataView(out.buffer)
  for (let word = 0; word < 4; word++)
    view.setBigUint64(8 * word, BigInt.asUintN(64, scalar >> BigInt(64 * word)), true)
  return out
}
