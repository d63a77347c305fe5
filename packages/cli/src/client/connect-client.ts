/** From a client's store and options to a connected client: the same way for `init` and `run`, and for requesters. */
import { type Client, type ConnectOptions, connect, sqlStore } from '@mixwright/client'
import { type Logger, MixError } from '@mixwright/runtime'
import type { MixnetOptions } from './mixnet-options.js'

export interface ConnectDetails {
  /** Only for a client that has none yet. */
  readonly gateway?: string
  /** Resolves when connecting is to be given up; means nothing after that. */
  readonly stop: Promise<void>
  readonly logger?: Logger
}

type Connection = Pick<MixnetOptions, 'directory' | 'authority' | 'threshold' | 'profile'> &
  Partial<Pick<MixnetOptions, 'constantLoops'>>

/** Errors: those of `sqlStore` and `connect`; `MIX_INTERRUPTED` after `stop`. */
export async function connectClient(
  { storeFile }: { readonly storeFile: string },
  options: Connection,
  { stop, ...details }: ConnectDetails,
): Promise<Client> {
  const store = await sqlStore(storeFile)
  const aborting = new AbortController()
  let connecting = true
  // Later, an abort would end the client at once, with what it was sending.
  void stop.then(() => connecting && aborting.abort(interrupted()))
  const { signal } = aborting
  const client = await connect({ ...connectOptions(options), store, signal, ...details })
  connecting = false
  return client
}

/** The part of `connect`'s options that a client of the command line is told; no gateway. */
export function connectOptions({
  directory,
  authority,
  threshold,
  profile,
  constantLoops,
}: Connection): ConnectOptions {
  return {
    directory,
    ...(authority.length > 0 && { authorities: authority }),
    ...(threshold !== undefined && { authorityThreshold: threshold }),
    profile,
    ...(constantLoops !== undefined && { constantLoops }),
  }
}

function interrupted(): MixError {
  return new MixError('MIX_INTERRUPTED', 'Interrupted before there was a connection.', { kind: 'local', retry: true })
}
