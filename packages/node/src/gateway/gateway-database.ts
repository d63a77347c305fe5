/**
 * The SQL file of a gateway: its clients and their mailboxes. One connection, synchronous calls; write-ahead log, so that
 * a killed process loses nothing that was committed.
 * Trap of the library: parameters go in one array; a lone Buffer as argument ends the process.
 */
import { MixError } from '@mixwright/runtime'
import Database from 'libsql'

export type SqlDatabase = InstanceType<typeof Database>

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

/** When a commit is on the disk: `power-loss` survives a dead machine, `process` only a dead process. */
export type Durability = 'power-loss' | 'process'

/**
 * Open or create. The file never grows past `maximumBytes`: then writes fail as on a full disk.
 * Error: `MIX_GATEWAY_DATABASE` (locked, corrupt, read-only, full, or of a newer version).
 */
export function openGatewayDatabase(path: string, durability: Durability, maximumBytes: number): SqlDatabase {
  let database: SqlDatabase | undefined
  try {
    database = new Database(path)
    database.exec('PRAGMA journal_mode = WAL')
    database.exec(`PRAGMA synchronous = ${durability === 'power-loss' ? 'FULL' : 'NORMAL'}`)
    const { page_size: pageBytes } = database.prepare('PRAGMA page_size').get([]) as { page_size: number }
    database.exec(`PRAGMA max_page_count = ${Math.floor(maximumBytes / pageBytes)}`)
    const { user_version: version } = database.prepare('PRAGMA user_version').get([]) as { user_version: number }
    if (version > SCHEMA_VERSION) throw new Error(`it was written by a newer release (schema ${version})`)
    if (version === 0) database.exec(`BEGIN; ${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`)
    // A file that can be read but not written is noticed now, not at the first message.
    database.exec('BEGIN IMMEDIATE; COMMIT')
    return database
  } catch (cause) {
    database?.close()
    const message = `The gateway's database ${path} cannot be used: ${(cause as Error).message}`
    throw new MixError('MIX_GATEWAY_DATABASE', message, { kind: 'local', data: { path }, cause })
  }
}
