/**
 * Where servers of the command line live: `<home>/nodes/<id>/`, `<home>/directories/<id>/` and `<home>/requesters/<id>/`,
 * each with a configuration file for people to edit and the server's own files beside it. The configuration is written
 * last: without it there is no server.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { MixError } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import type { Command } from 'commander'

const ID = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/

/** A lock whose owner was killed is free again after this time, milliseconds; a living owner renews it. */
const LOCK_STALE_MS = 5_000

/** The word for it, and the room in the home directory. */
const ROOMS = {
  client: 'clients',
  socks5: 'socks5-clients',
  node: 'nodes',
  directory: 'directories',
  requester: 'requesters',
} as const
export type ResidentKind = keyof typeof ROOMS
export type ServerKind = Exclude<ResidentKind, 'client' | 'socks5'>

/** By default MIXWRIGHT_HOME or `~/.mixwright`. */
export function homeDirectory(home: string | undefined): string {
  return resolve(home ?? (process.env.MIXWRIGHT_HOME || join(homedir(), '.mixwright')))
}

/** Error: `MIX_OPTIONS` for an id that is none. */
export function residentDirectory(kind: ResidentKind, id: string, home: string): string {
  if (ID.test(id)) return join(home, ROOMS[kind], id)
  const message = `--id: ${JSON.stringify(id)} is none: 1 to 64 of letters, digits, _, - and (not first) dots.`
  throw new MixError('MIX_OPTIONS', message, { kind: 'usage' })
}

export class DataHome {
  readonly kind: ServerKind
  readonly id: string
  readonly path: string
  readonly configFile: string

  /** Error: `MIX_OPTIONS` for an id that is none. */
  constructor(kind: ServerKind, id: string, home: string | undefined) {
    this.kind = kind
    this.id = id
    this.path = residentDirectory(kind, id, homeDirectory(home))
    this.configFile = join(this.path, `${kind}.toml`)
  }

  /** Path of a file in it. */
  file(name: string): string {
    return join(this.path, name)
  }

  /** Make the directory, mode 0700. Errors: `MIX_SERVER_EXISTS`, `MIX_DATA_UNUSABLE`. */
  prepare(): void {
    const { kind, id, path } = this
    if (existsSync(this.configFile)) {
      const message = `The ${kind} ${id} was already initialised before, in ${path}. Take another --id, or remove that directory.`
      throw new MixError('MIX_SERVER_EXISTS', message, { kind: 'local', data: { id, path } })
    }
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 })
    } catch (cause) {
      throw this.#unusable(cause)
    }
  }

  /** The server is complete. Error: `MIX_FILE_WRITE`. */
  complete(config: string): void {
    writeFileAtomically(this.configFile, config)
  }

  /** Error: `MIX_SERVER_UNKNOWN`, saying what to type. */
  check(): void {
    if (existsSync(this.configFile)) return
    const { kind, id, path } = this
    const message = `There is no ${kind} ${id} in ${path}. Make it with: mixwright ${kind} init --id ${id}`
    throw new MixError('MIX_SERVER_UNKNOWN', message, { kind: 'local', data: { id, path } })
  }

  /** Hold the directory alone, until the returned function is called. Errors: `MIX_DATA_LOCKED`, `MIX_DATA_UNUSABLE`. */
  async lock(): Promise<() => Promise<void>> {
    const { lock } = await import('proper-lockfile')
    try {
      return await lock(this.path, {
        stale: LOCK_STALE_MS,
        update: LOCK_STALE_MS / 5,
        lockfilePath: this.file(`${this.kind}.lock`),
        onCompromised: () => {},
      })
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ELOCKED') throw this.#unusable(cause)
      const { kind, id, path } = this
      const message = `The ${kind} ${id} is running, or was killed a moment ago (${path} is locked). Stop it first.`
      throw new MixError('MIX_DATA_LOCKED', message, { kind: 'local', data: { path }, cause })
    }
  }

  #unusable(cause: unknown): MixError {
    const message = `The directory ${this.path} cannot be used: ${(cause as Error).message}`
    return new MixError('MIX_DATA_UNUSABLE', message, { kind: 'local', data: { path: this.path }, cause })
  }
}

/** Flags of every sub-command of a server. */
export function withHomeFlags(command: Command, kind: ServerKind): Command {
  return command
    .requiredOption('--id <name>', `name of the ${kind}`)
    .option('--home <dir>', `where ${ROOMS[kind]} live (default: MIXWRIGHT_HOME, else ~/.mixwright)`)
    .option('--json', 'print JSON')
}
