/**
 * A directory that is one authority of several (03-directory §18): it reads and probes nodes as any directory does, but what it
 * publishes is what the authorities have agreed on. This file only ties the two together.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, MixError } from '@mixwright/runtime'
import { type Fetch, GRACE_EPOCHS, identityOf, scheduledEpoch } from '@mixwright/wire'
import { Directory, type DirectoryOptions } from '../directory.js'
import { loadOrCreateIdentity } from '../directory-identity.js'
import { Authority } from './authority.js'
import type { AuthorityAddress } from './authority-peers.js'
import { authorityRoutes } from './authority-routes.js'
import { documentSnapshot } from './document-snapshot.js'

export interface AuthorityDirectoryOptions extends Omit<DirectoryOptions, 'presentsOnly' | 'routes'> {
  /** Where its key is, among other things: an authority is nobody without one that stays. */
  readonly stateDirectory: string
  /** All authorities, this one included, the same list at each. */
  readonly authorities: readonly AuthorityAddress[]
  /** Signatures that make a document valid, the same at each and at all readers. @default more than two thirds */
  readonly threshold?: number | undefined
  /** Tests only: how the others are reached. @default the platform's */
  readonly fetch?: Fetch | undefined
}

const STATE_FILE = 'consensus.json'

export class AuthorityDirectory {
  readonly directory: Directory
  readonly authority: Authority
  readonly #clock: Clock
  readonly #started: Promise<void>
  /** Who waits for the next document. */
  readonly #waiting: Set<() => void>
  #closed = false

  private constructor(directory: Directory, authority: Authority, clock: Clock, waiting: Set<() => void>) {
    this.directory = directory
    this.authority = authority
    this.#clock = clock
    this.#waiting = waiting
    // Alone, the first document is made at once: not before there is something to put into it.
    this.#started = directory.whenRead().then(() => {
      if (!this.#closed) authority.start()
    })
  }

  /** Errors: those of `Directory.start`; `MIX_OPTIONS` for the list of authorities; `MIX_CONSENSUS_STATE`. */
  static async start(options: AuthorityDirectoryOptions): Promise<AuthorityDirectory> {
    const { clock, crypto, logger, metrics, random, stateDirectory, authorities, threshold, fetch } = options
    if (options.epoch.genesisMs === undefined && authorities.length > 1) throw noGenesis()
    mkdirSync(stateDirectory, { recursive: true, mode: 0o700 })
    const { seed, schedule } = loadOrCreateIdentity(
      stateDirectory,
      crypto,
      random.fork('authority'),
      clock.now(),
      options.epoch,
    )
    const waiting = new Set<() => void>()
    let directory: Directory | undefined
    const authority = new Authority({
      clock,
      logger,
      metrics,
      crypto,
      seed,
      authorities,
      threshold,
      schedule,
      view: () => directory?.view ?? [],
      onDocument: ({ document }, epochId) => {
        directory?.present(documentSnapshot(document, schedule, epochId))
        for (const look of waiting) look()
        waiting.clear()
      },
      statePath: join(stateDirectory, STATE_FILE),
      fetch,
    })
    const routes = [authorityRoutes({ authority, clock, metrics })]
    directory = await Directory.start({ ...options, presentsOnly: true, routes })
    return new AuthorityDirectory(directory, authority, clock, waiting)
  }

  /** As `Directory.whenRoutable`; of several authorities, one that has just begun has to wait for the others first. */
  async whenRoutable(): Promise<void> {
    await this.#started
    await this.directory.whenRoutable()
  }

  /** Resolves when a document that readers believe is in force and lists all nodes of these base58 identities. */
  async whenListed(identities: readonly string[]): Promise<void> {
    while (!this.#lists(identities)) await new Promise<void>((resolve) => this.#waiting.add(resolve))
  }

  #lists(identities: readonly string[]): boolean {
    const document = this.authority.current?.document
    if (document === undefined) return false
    if (document.epoch_id + GRACE_EPOCHS < scheduledEpoch(document.schedule, this.#clock.now())) return false
    const listed = new Set(document.nodes.map(({ descriptor }) => identityOf(descriptor)))
    return identities.every((identity) => listed.has(identity))
  }

  async close(): Promise<void> {
    this.#closed = true
    this.authority.close()
    await this.directory.close()
  }
}

function noGenesis(): MixError {
  const message = 'Several authorities need the same start of epoch 0: give each the same genesis.'
  return new MixError('MIX_OPTIONS', message, { kind: 'usage', data: { option: 'genesisMs' } })
}
