/** From a client's directory and options to a connected client, the same way for `init` and `run`. */
import { type Client, connect, sqlStore } from '@mixwright/client'
import { type Logger, MixError } from '@mixwright/runtime'
import type { ClientDirectory } from './client-directory.js'
import type { ClientOptions } from './client-options.js'

export interface ConnectDetails {
  /** Only for a client that has none yet. */
  readonly gateway?: string
  /** Resolves when connecting is to be given up; means nothing after that. */
  readonly stop: Promise<void>
  readonly logger?: Logger
}

/** Errors: those of `sqlStore` and `connect`; `MIX_INTERRUPTED` after `stop`. */
export async function connectClient(
  directory: ClientDirectory,
  { directory: nymApis, authority, threshold, profile, constantLoops }: ClientOptions,
  { stop, ...details }: ConnectDetails,
): Promise<Client> {
  const store = await sqlStore(directory.storeFile)
  const aborting = new AbortController()
  let connecting = true
  // Later, an abort would end the client at once, with what it was sending.
  void stop.then(() => connecting && aborting.abort(interrupted()))
  const { signal } = aborting
  const pinned = {
    ...(authority.length > 0 && { authorities: authority }),
    ...(threshold !== undefined && { authorityThreshold: threshold }),
  }
  const client = await connect({ directory: nymApis, ...pinned, store, profile, constantLoops, signal, ...details })
  connecting = false
  return client
}

function interrupted(): MixError {
  return new MixError('MIX_INTERRUPTED', 'Interrupted before there was a connection.', { kind: 'local', retry: true })
}
