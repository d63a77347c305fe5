/** `createFetch` in browsers. */
import { RealClock } from '@mixwright/runtime'
import type { Client } from '../api.js'
import { openExit } from '../exit/exit.js'
import { fetchWith } from './fetch.js'
import type { Dial, Fetch, FetchOptions, Tls } from './fetch-api.js'
import { Http1Engine } from './http1/http1-engine.js'

/**
 * A `fetch` that goes through a network requester; the client stays the caller's. For `https:` it needs the option `tls`:
 * TLS begins in the page and ends at the server, and the exit sees ciphertext. Nothing is sent before the first request.
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
  const tls = options.tls !== undefined && 'open' in options.tls ? (options.tls as Tls) : undefined
  return fetchWith(new Http1Engine(dial, tls, options.clock ?? new RealClock()), close)
}
