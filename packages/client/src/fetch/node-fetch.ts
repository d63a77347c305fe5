/** `createFetch` in Node.js. */
import { RealClock } from '@mixwright/runtime'
import type { Client } from '../api.js'
import { openExit } from '../exit/exit.js'
import { fetchWith } from './fetch.js'
import type { Dial, Fetch, FetchOptions } from './fetch-api.js'
import { UndiciEngine } from './undici/undici-engine.js'

/**
 * A `fetch` that goes through a network requester; the client stays the caller's. TLS begins here and ends at the server: the
 * exit sees ciphertext. Nothing is sent before the first request.
 */
export function createFetch(client: Client, options: FetchOptions = {}): Fetch {
  const exit = openExit(client, options)
  return fetchOver(
    (target, connectOptions) => exit.connect(target, connectOptions),
    options,
    () => exit.close(),
  )
}

/** The same over any dialer; `close` is called last. */
export function fetchOver(
  dial: Dial,
  options: Pick<FetchOptions, 'tls' | 'clock'> = {},
  close: () => Promise<void> = async () => {},
): Fetch {
  return fetchWith(new UndiciEngine(dial, options.tls ?? {}, options.clock ?? new RealClock()), close)
}
