/**
 * The SQL file of a gateway: its clients and their mailboxes. One connection, synchronous calls; write-ahead log, so that
 * a killed process loses nothing that was committed.
 * Trap of the library: parameters go in one array; a lone Buffer as argument ends the process.
 */
import { statSync } from 'node:fs'
import { MixError } from '@mixwright/runtime'
import Database from 'libsql'

type SqlDatabase = InstanceType<typeof Database>

/** Raised with every change of the tables; a file of a newer version is refused. */
const SCHEMA_VERSION = 1

const SCHEMA = `
  CREATE TABLE clients (
    identity BLOB PRIMARY KEY,
    shared_key BLOB NOT NULL,
    last_timestamp INTEGER NOT NULL,
    last_nonces BLOB NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    client BLOB NOT NULL,
    content BLOB NOT NULL,
    stored_at INTEGER NOT NULL
  );
  CREATE INDEX messages_by_client ON messages (client, id);
  CREATE INDEX messages_by_age ON messages (stored_at);
`

/** Of a file that we made: what SQLite takes. */
const PAGE_BYTES = 4096

/** When a commit is on the disk: `power-loss` survives a dead machine, `process` only a dead process. */
export type Durability = 'power-loss' | 'process'

export class GatewayDatabase {
  readonly #sql: SqlDatabase
  readonly #path: string
  readonly #inode: number

  private constructor(sql: SqlDatabase, path: string) {
    this.#sql = sql
    this.#path = path
    this.#inode = statSync(path).ino
  }

  /**
   * Open or create. The file never grows past `maximumBytes`: then writes fail as on a full disk.
   * Error: `MIX_GATEWAY_DATABASE` (locked, corrupt, read-only, full, or of a newer version).
   */
  static open(path: string, durability: Durability, maximumBytes: number): GatewayDatabase {
    let sql: SqlDatabase | undefined
    try {
      if (isCutOff(path)) throw new Error('its end is missing')
      sql = new Database(path)
      sql.exec('PRAGMA journal_mode = WAL')
      sql.exec(`PRAGMA synchronous = ${durability === 'power-loss' ? 'FULL' : 'NORMAL'}`)
      const { page_size: pageBytes } = sql.prepare('PRAGMA page_size').get([]) as { page_size: number }
      sql.exec(`PRAGMA max_page_count = ${Math.floor(maximumBytes / pageBytes)}`)
      const { user_version: version } = sql.prepare('PRAGMA user_version').get([]) as { user_version: number }
      if (version > SCHEMA_VERSION) throw new Error(`it was written by a newer release (schema ${version})`)
      if (version === 0) sql.exec(`BEGIN; ${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`)
      // A file that can be read but not written is noticed now, not at the first message.
      sql.exec('BEGIN IMMEDIATE; COMMIT')
      return new GatewayDatabase(sql, path)
    } catch (cause) {
      sql?.close()
      const message = `The gateway's database ${path} cannot be used: ${(cause as Error).message}`
      throw new MixError('MIX_GATEWAY_DATABASE', message, { kind: 'local', data: { path }, cause })
    }
  }

  prepare(statement: string): ReturnType<SqlDatabase['prepare']> {
    return this.#sql.prepare(statement)
  }

  /** What `action` writes, all or nothing, and on the disk when this returns. Throws when it cannot be. */
  transaction(action: () => void): void {
    // What is written into a file that somebody removed or replaced is gone with this process, and no error says so.
    if (statSync(this.#path).ino !== this.#inode) throw new Error('the database file was replaced')
    this.#sql.exec('BEGIN IMMEDIATE')
    try {
      action()
      this.#sql.exec('COMMIT')
    } catch (error) {
      // After a full disk SQLite may have rolled back by itself; a second time is an error without consequence.
      try {
        this.#sql.exec('ROLLBACK')
      } catch {}
      throw error
    }
  }

  /** What is in the log goes into the file, so that the file alone is a backup. */
  close(): void {
    try {
      this.#sql.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } catch {
      // The log stays beside the file, and is read at the next start.
    }
    this.#sql.close()
  }
}

/** SQLite misses whole pages, but takes half a page for a whole one. A file with its log beside it may end so, and is mended from that. */
function isCutOff(path: string): boolean {
  const size = (file: string) => statSync(file, { throwIfNoEntry: false })?.size ?? 0
  return size(path) % PAGE_BYTES !== 0 && size(`${path}-wal`) === 0
}
