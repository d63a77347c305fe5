/**
 * The store of a client in Node.js: one SQLite file, read and written by one process at a time. Write-ahead log, flushed to
 * the disk at every commit: what was written survives a killed process and a dead machine.
 *
 * Traps of the library. Parameters go in one array; a lone Buffer as argument ends the process. A prepared statement keeps
 * the connection, and with it the lock, alive after `close()` until it is collected, and still writes; hence `release`.
 * Trap of the system: whoever opens and closes the file beside SQLite, in the same process, gives its lock away.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type LibSql from 'libsql'
import type { ClientStore, StoreChange, StoreTable } from './client-store.js'
import { storeError, storeLocked } from './store-error.js'

type SqlDatabase = InstanceType<typeof LibSql>

/** Tells the file from other programs' databases: "mixw" in ASCII. */
const APPLICATION_ID = 0x6d697877

/** Raised with every change of the tables; a file of a newer version is refused. */
const SCHEMA_VERSION = 1

/** Keys are stored as UTF-16, high byte first: any string fits, and bytes sort as code units do. */
const SCHEMA = `
  BEGIN;
  CREATE TABLE entries (
    name TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (name, key)
  ) STRICT;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
  COMMIT
`

/**
 * Open the file, or create it (mode 0600; directories that are missing, 0700). Calls of `write` in one turn share a commit;
 * the commit itself is synchronous and takes as long as the disk does. After `close()` everything is in the one file.
 * Errors: `MIX_STORE_LOCKED` at once when another client has it open, also one of this process (of two that open it in the
 * same moment, one or both are refused); `MIX_STORE` when it is damaged, no store, of a newer release, read-only, when the
 * disk is full, or when libsql has no binary for this system.
 */
export async function sqlStore(path: string): Promise<ClientStore> {
  // Absolute: libsql takes some names for addresses of servers.
  const file = resolve(path)
  let database: SqlDatabase | undefined
  try {
    // Only now, so that clients without a file run where libsql does not.
    const { default: Database } = await import('libsql')
    create(file)
    database = new Database(file)
    prepare(database)
    return new SqlStore(file, database)
  } catch (cause) {
    if (database !== undefined) release(database)
    throw isBusy(cause) ? storeLocked(file, 'another client', cause) : storeError(file, cause)
  }
}

class SqlStore implements ClientStore {
  readonly persistent = true
  readonly #path: string
  readonly #database: SqlDatabase
  readonly #select
  readonly #put
  readonly #delete
  #closed = false
  #waiting: { changes: readonly StoreChange[]; resolve: () => void; reject: (reason: unknown) => void }[] = []

  constructor(path: string, database: SqlDatabase) {
    this.#path = path
    this.#database = database
    this.#select = database.prepare('SELECT key, value FROM entries WHERE name = ? ORDER BY key')
    this.#put = database.prepare('INSERT OR REPLACE INTO entries (name, key, value) VALUES (?, ?, ?)')
    this.#delete = database.prepare('DELETE FROM entries WHERE name = ? AND key = ?')
  }

  async load(table: StoreTable): Promise<Map<string, Uint8Array>> {
    this.#assertOpen()
    // What was written before is read.
    this.#commit()
    try {
      const rows = this.#select.all([table]) as { key: ArrayBuffer; value: ArrayBuffer }[]
      return new Map(rows.map(({ key, value }) => [keyOfBytes(key), new Uint8Array(value)]))
    } catch (cause) {
      throw storeError(this.#path, cause)
    }
  }

  async write(changes: readonly StoreChange[]): Promise<void> {
    this.#assertOpen()
    if (this.#waiting.length === 0) queueMicrotask(() => this.#commit())
    return new Promise((resolve, reject) => this.#waiting.push({ changes, resolve, reject }))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#commit()
    this.#closed = true
    release(this.#database)
  }

  #assertOpen(): void {
    if (this.#closed) throw storeError(this.#path, new Error('it was closed'))
  }

  #commit(): void {
    const batch = this.#waiting
    if (batch.length === 0) return
    this.#waiting = []
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      for (const { changes } of batch) {
        for (const { table, key, value } of changes) {
          if (value === undefined) this.#delete.run([table, bytesOfKey(key)])
          else this.#put.run([table, bytesOfKey(key), value])
        }
      }
      this.#database.exec('COMMIT')
    } catch (cause) {
      this.#rollBack()
      const error = storeError(this.#path, cause)
      for (const { reject } of batch) reject(error)
      return
    }
    for (const { resolve } of batch) resolve()
  }

  #rollBack(): void {
    try {
      // After some errors SQLite has done it by itself.
      if (this.#database.inTransaction) this.#database.exec('ROLLBACK')
    } catch {
      // The next commit then fails with the reason, and tries this again.
    }
  }
}

/** An empty file that only its owner may read; SQLite gives its own files the same mode. One that is there is not touched. */
function create(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
  }
}

/** Lock it, check that it is ours, and make its tables if it is new. */
function prepare(database: SqlDatabase): void {
  // The system's own lock, held from the first access on: a killed process loses it in the same moment.
  database.exec('PRAGMA locking_mode = EXCLUSIVE')
  if (numberOf(database, 'SELECT count(*) FROM sqlite_schema') === 0) database.exec(SCHEMA)
  if (numberOf(database, 'SELECT application_id FROM pragma_application_id') !== APPLICATION_ID)
    throw new Error('it is a database of something else')
  const version = numberOf(database, 'SELECT user_version FROM pragma_user_version')
  if (version > SCHEMA_VERSION) throw new Error(`it was written by a newer release (schema ${version})`)
  // Also notices a file that can be read but not written.
  database.exec('PRAGMA journal_mode = WAL')
  database.exec('PRAGMA synchronous = FULL')
  // Deleted keys and messages are overwritten, not only forgotten.
  database.exec('PRAGMA secure_delete = ON')
}

/**
 * Close, and give the lock back though prepared statements live on. The order is SQLite's: a log that began under the
 * exclusive lock must end before the mode of locking can change, and the change takes effect with the next reading.
 */
function release(database: SqlDatabase): void {
  try {
    if (database.inTransaction) database.exec('ROLLBACK')
    database.exec('PRAGMA journal_mode = DELETE')
    database.exec('PRAGMA locking_mode = NORMAL')
    database.exec('SELECT count(*) FROM sqlite_schema')
  } catch {
    // The disk fails: what was committed is in the log, and the next to open the file finds it there.
  }
  database.close()
}

function numberOf(database: SqlDatabase, query: string): number {
  const [row] = database.prepare(query).raw().all([]) as [[number]]
  return row[0]
}

function isBusy(cause: unknown): boolean {
  return String((cause as { code?: unknown }).code).startsWith('SQLITE_BUSY')
}

function bytesOfKey(key: string): Buffer {
  return Buffer.from(key, 'utf16le').swap16()
}

function keyOfBytes(bytes: ArrayBuffer): string {
  return Buffer.from(bytes).swap16().toString('utf16le')
}
