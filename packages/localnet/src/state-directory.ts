/**
 * Where a network keeps its files. Temporary and removed at the end, or a directory of the user's that a later start
 * resumes: same keys, ports and mailboxes. Two networks never share one.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { MixError } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import { lock } from 'proper-lockfile'
import { z } from 'zod'

/** A lock whose owner was killed is free again after this time, milliseconds; a living owner renews it. */
const LOCK_STALE_MS = 3_000

const port = z.int().min(1).max(65535)

const networkFile = z.strictObject({
  version: z.literal(1),
  genesisMs: z.int().min(0),
  directoryPort: port,
  /** Of the second authority and all further ones. */
  authorityPorts: z.array(port).default([]),
  nodes: z.array(
    z.strictObject({
      name: z.string(),
      role: z.enum(['mixnode', 'gateway']),
      mixPort: port,
      httpPort: port,
      clientPort: port.optional(),
    }),
  ),
  /** Clients, also those that did not run the last time; `port` is that of the local websocket. */
  clients: z.array(z.strictObject({ name: z.string(), port })).default([]),
  /** Of the SOCKS5 door, when there was one. */
  socksPort: port.optional(),
})

/** What a network needs to come back as the same one. Keys and mailboxes are in files of their own. */
export type SavedNetwork = z.infer<typeof networkFile>

export class StateDirectory {
  readonly path: string
  readonly #release: () => Promise<void>

  private constructor(path: string, release: () => Promise<void>) {
    this.path = path
    this.#release = release
  }

  /** A fresh directory under the system's temporary one, removed by `close`. */
  static temporary(): StateDirectory {
    const path = mkdtempSync(join(tmpdir(), 'mixwright-'))
    return new StateDirectory(path, async () => rmSync(path, { recursive: true, force: true }))
  }

  /**
   * The user's directory, made if missing and locked until `close`.
   * Errors, all `local`: `MIX_DATA_LOCKED` by a running network, `MIX_DATA_UNUSABLE` when it cannot be made or written.
   */
  static async open(path: string): Promise<StateDirectory> {
    const absolute = resolve(path)
    try {
      mkdirSync(absolute, { recursive: true, mode: 0o700 })
      const release = await lock(absolute, {
        stale: LOCK_STALE_MS,
        update: LOCK_STALE_MS / 3,
        lockfilePath: join(absolute, 'network.lock'),
        onCompromised: () => {},
      })
      return new StateDirectory(absolute, release)
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException
      const details = { kind: 'local', data: { path: absolute }, cause } as const
      if (code === 'ELOCKED') {
        throw new MixError(
          'MIX_DATA_LOCKED',
          `The data directory ${absolute} is in use by another network, or its owner was killed a moment ago.`,
          details,
        )
      }
      throw new MixError('MIX_DATA_UNUSABLE', `The data directory ${absolute} cannot be used: ${message}`, details)
    }
  }

  /** The network that was saved here, if any. Error: `MIX_DATA_CORRUPT`; the file is left as it is. */
  load(): SavedNetwork | undefined {
    const path = this.#networkFile
    if (!existsSync(path)) return undefined
    try {
      return networkFile.parse(JSON.parse(readFileSync(path, 'utf8')))
    } catch (cause) {
      const message = `The file ${path} does not describe a network; it is left as it is.`
      throw new MixError('MIX_DATA_CORRUPT', message, { kind: 'local', data: { path }, cause })
    }
  }

  save(network: SavedNetwork): void {
    writeFileAtomically(this.#networkFile, `${JSON.stringify(network, null, 2)}\n`)
  }

  /** The directory of one node or authority, made if missing. */
  nodeDirectory(name: string): string {
    const path = join(this.path, name)
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 })
    } catch (cause) {
      const message = `The directory ${path} cannot be made: ${(cause as Error).message}`
      throw new MixError('MIX_DATA_UNUSABLE', message, { kind: 'local', data: { path }, cause })
    }
    return path
  }

  /** Path of the store of one client; its directory need not exist. */
  clientStoreFile(name: string): string {
    return join(this.path, 'clients', name, 'client.sqlite')
  }

  /** Path of the store of a service's client; its directory need not exist. */
  serviceStoreFile(name: string): string {
    return join(this.path, 'services', name, 'client.sqlite')
  }

  /** Path of the dotenv file for Rust programs. */
  get envFile(): string {
    return join(this.path, 'network.env')
  }

  get #networkFile(): string {
    return join(this.path, 'network.json')
  }

  /** Remove what is temporary, unlock what is not. */
  async close(): Promise<void> {
    await this.#release()
  }
}
