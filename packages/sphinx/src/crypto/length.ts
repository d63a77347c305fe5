/** The one length check of the crypto providers: a wrong length is our own mistake, and must not read stale memory. */
import { MixError } from '@mixwright/runtime'

/** Throws `MIX_CRYPTO_LENGTH` unless `bytes` has exactly `length` bytes. */
export function requireLength(bytes: Uint8Array, length: number): void {
  if (bytes.length !== length)
    throw new MixError('MIX_CRYPTO_LENGTH', `a key, scalar, point or seed of ${length} bytes was expected`, {
      kind: 'bug',
      data: { bytes: bytes.length, expected: length },
    })
}
