/**
 * Where a client of the command line lives: `<home>/clients/<id>/`, or `<home>/socks5-clients/<id>/`, with `config.toml` for people to edit, `client.sqlite`
 * with its keys and unfinished business, and `client.json` with what others may know of it, so that it can be shown while
 * it runs. `client.json` is written last: without it there is no client.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { MixError } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import { z } from 'zod'
import { homeDirectory, residentDirectory } from '../data-home.js'

const facts = z.strictObject({
  address: z.string(),
  gateway: z.string(),
  /** Where the gateway listened for clients at the registration, best first. */
  gatewayUrls: z.array(z.string()),
  /** ISO 8601. */
  registeredAt: z.string(),
})

/** What others may know of a client; it never changes. */
export type ClientFacts = z.infer<typeof facts>

export class ClientDirectory {
  readonly id: string
  readonly home: string
  readonly path: string
  readonly #kind: 'client' | 'socks5'

  /** `home` is by default MIXWRIGHT_HOME or `~/.mixwright`. Error: `MIX_OPTIONS` for an id that is none. */
  constructor(id: string, home: string | undefined, kind: 'client' | 'socks5' = 'client') {
    this.id = id
    this.#kind = kind
    this.home = homeDirectory(home)
    this.path = residentDirectory(kind, id, this.home)
  }

  get configFile(): string {
    return join(this.path, 'config.toml')
  }

  get storeFile(): string {
    return join(this.path, 'client.sqlite')
  }

  get exists(): boolean {
    return existsSync(this.#factsFile)
  }

  /** Make room for a new client. Errors: `MIX_CLIENT_EXISTS`, `MIX_DATA_UNUSABLE`. */
  prepare(): void {
    if (this.exists) {
      const message = `Client ${this.id} was already initialised before, in ${this.path}. Take another --id, or remove that directory.`
      throw new MixError('MIX_CLIENT_EXISTS', message, { kind: 'local', data: { id: this.id, path: this.path } })
    }
    try {
      // Of an initialisation that did not come to its end.
      this.discard()
      mkdirSync(this.path, { recursive: true, mode: 0o700 })
    } catch (cause) {
      const message = `The directory ${this.path} cannot be used: ${(cause as Error).message}`
      throw new MixError('MIX_DATA_UNUSABLE', message, { kind: 'local', data: { path: this.path }, cause })
    }
  }

  /** Remove what there is of a client that is not complete; what is not ours stays. */
  discard(): void {
    for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(`${this.storeFile}${suffix}`, { force: true })
    rmSync(this.configFile, { force: true })
    try {
      rmdirSync(this.path)
    } catch {
      // It was never there, or is not empty.
    }
  }

  /** The client is complete. Error: `MIX_FILE_WRITE`. */
  complete(known: ClientFacts, config: string): void {
    writeFileAtomically(this.configFile, config)
    writeFileAtomically(this.#factsFile, `${JSON.stringify(known, null, 2)}\n`)
  }

  /** Errors: `MIX_CLIENT_UNKNOWN`, saying what to type; `MIX_DATA_CORRUPT`. */
  facts(): ClientFacts {
    if (!this.exists) {
      const message = `There is no client ${this.id} in ${this.home}. Make it with: mixwright ${this.#kind} init --id ${this.id}`
      throw new MixError('MIX_CLIENT_UNKNOWN', message, { kind: 'local', data: { id: this.id, home: this.home } })
    }
    const path = this.#factsFile
    try {
      return facts.parse(JSON.parse(readFileSync(path, 'utf8')))
    } catch (cause) {
      const message = `The file ${path} does not describe a client; it is left as it is.`
      throw new MixError('MIX_DATA_CORRUPT', message, { kind: 'local', data: { path }, cause })
    }
  }

  get #factsFile(): string {
    return join(this.path, 'client.json')
  }
}
