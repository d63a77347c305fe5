/**
 * Where a client keeps what must outlive its process: tables of bytes by text key. What the bytes are is the business of
 * whoever writes them; implementations are `memory-store.ts`, `sql-store.ts` (Node.js) and `indexed-db-store.ts` (browsers).
 */

/** What is kept, a table each. */
export const STORE_TABLES = [
  /** Secret keys of the client. */
  'identity',
  /** The gateway registered with, and the key shared with it. */
  'gateway',
  /** Which sender tag we use towards which recipient. */
  'sender-tags',
  /** Keys of reply blocks that we gave out. */
  'sent-reply-keys',
  /** Reply blocks that we were given. */
  'reply-surbs',
  /** Messages sent and not yet acknowledged. */
  'outbox',
  /** Fragments of messages that are not whole yet. */
  'fragments',
  /** Sets of fragments whose messages were whole. */
  'finished-sets',
  /** Messages received that the app has not taken yet. */
  'inbox',
] as const
export type StoreTable = (typeof STORE_TABLES)[number]

/** One entry written, or deleted where `value` is undefined. */
export interface StoreChange {
  readonly table: StoreTable
  readonly key: string
  readonly value: Uint8Array | undefined
}

export interface ClientStore {
  /** Whether entries outlive the process: if not, nobody writes what only a restart would read. */
  readonly persistent: boolean
  /** All entries of a table, in order of their keys (by UTF-16 code units). Error: `MIX_STORE`. */
  load(table: StoreTable): Promise<Map<string, Uint8Array>>
  /** Apply all changes or none, in order; durable when it resolves. Calls may overlap: they apply in call order. Error: `MIX_STORE`. */
  write(changes: readonly StoreChange[]): Promise<void>
  /** Release the file or database. Idempotent. */
  close(): Promise<void>
}
