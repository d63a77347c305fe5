/**
 * What an app says its name and password are, as a key that keeps streams apart (06-service-providers §10): connections of
 * different keys must not be linked by what carries them. Nothing is checked. The key is a digest, so that it may be kept and
 * logged.
 */
import { createHash } from 'node:crypto'

/** 32 hex digits; undefined when there is neither name nor password. */
export function isolationKey(user: Uint8Array, password: Uint8Array): string | undefined {
  if (user.length === 0 && password.length === 0) return undefined
  // The length first: `ab` and `c` are not `a` and `bc`.
  const length = Buffer.from(String(user.length))
  return createHash('sha256').update(length).update(':').update(user).update(password).digest('hex').slice(0, 32)
}
