/** What a store that cannot do its work says, the same for every kind of store. */
import { MixError } from '@mixwright/runtime'

/** `MIX_STORE` for the store called `name` (a file, a database; undefined: unknown), with the reason. A `MixError` stays what it is. */
export function storeError(name: string | undefined, cause: unknown): MixError {
  if (cause instanceof MixError) return cause
  const reason = cause instanceof Error ? cause.message || cause.name : String(cause)
  return new MixError(
    'MIX_STORE',
    `The client's store${name === undefined ? '' : ` ${name}`} cannot be used: ${reason}`,
    {
      kind: 'local',
      data: { store: name, reason },
      cause,
    },
  )
}

/** `MIX_STORE_LOCKED`: somebody else has the store called `name` open; the same call succeeds once they have closed it. */
export function storeLocked(name: string, who: string, cause?: unknown): MixError {
  const message = `The client's store ${name} is in use by ${who}: one client at a time`
  return new MixError('MIX_STORE_LOCKED', message, { kind: 'usage', retry: true, data: { store: name }, cause })
}
