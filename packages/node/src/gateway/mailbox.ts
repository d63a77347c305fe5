/**
 * Messages of clients that are away, on disk and in order (02-gateway §9.3). Commits are shared by what arrives within a
 * few milliseconds; a message is accepted, and its ack may leave, only after its commit.
 */
import type { Clock, Counter, Logger, Metrics, Timer } from '@mixwright/runtime'
import { droppedPackets } from '../mix/packet-metrics.js'
import { keyOf } from './client-store.js'
import type { SqlDatabase } from './gateway-database.js'

export interface MailboxLimits {
  /** @default 10000 */
  readonly messagesPerClient: number
  /** @default 67108864 */
  readonly bytesPerClient: number
  /** Messages older than this are deleted, milliseconds. @default 86400000 */
  readonly maximumAgeMs: number
  /** Longest wait for others before a commit, milliseconds. @default 5 */
  readonly commitDelayMs: number
  /** Messages that make a commit at once. @default 256 */
  readonly commitMessages: number
}

export const DEFAULT_MAILBOX_LIMITS: MailboxLimits = {
  messagesPerClient: 10_000,
  bytesPerClient: 64 * 1024 * 1024,
  maximumAgeMs: 24 * 3_600_000,
  commitDelayMs: 5,
  commitMessages: 256,
}

const CLEANING_INTERVAL_MS = 3_600_000

export interface StoredMessage {
  readonly id: number
  readonly content: Uint8Array
}

interface PendingMessage {
  readonly client: Uint8Array
  readonly content: Uint8Array
  readonly accepted: () => void
}

interface Usage {
  messages: number
  bytes: number
}

export class Mailbox {
  readonly #database: SqlDatabase
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #metrics: Metrics
  readonly #limits: MailboxLimits
  readonly #insert
  readonly #select
  readonly #delete
  readonly #usageOf
  readonly #stored: Counter
  #pending: PendingMessage[] = []
  #commitTimer: Timer | undefined
  #cleaningTimer: Timer | undefined
  /** Of clients with a message stored or asked for since the start. Forgotten when a mailbox is empty. */
  readonly #usage = new Map<string, Usage>()

  constructor(
    database: SqlDatabase,
    clock: Clock,
    logger: Logger,
    metrics: Metrics,
    limits: Partial<MailboxLimits> = {},
  ) {
    this.#database = database
    this.#clock = clock
    this.#logger = logger
    this.#metrics = metrics
    this.#limits = { ...DEFAULT_MAILBOX_LIMITS, ...limits }
    this.#insert = database.prepare('INSERT INTO messages (client, content, stored_at) VALUES (?, ?, ?)')
    this.#select = database.prepare('SELECT id, content FROM messages WHERE client = ? AND id > ? ORDER BY id LIMIT ?')
    this.#delete = database.prepare('DELETE FROM messages WHERE client = ? AND id <= ?')
    this.#usageOf = database.prepare(
      'SELECT count(*) AS messages, coalesce(sum(length(content)), 0) AS bytes FROM messages WHERE client = ?',
    )
    this.#stored = metrics.counter(
      'nym_node_mixnet_egress_stored_on_disk_final_hop_packets',
      'Messages stored for clients that were away',
    )
    this.#clean()
  }

  /** Store; `accepted` is called after the commit, and never when the message is dropped. */
  store(client: Uint8Array, content: Uint8Array, accepted: () => void): void {
    const usage = this.#usageFor(client)
    if (
      usage === undefined ||
      usage.messages + 1 > this.#limits.messagesPerClient ||
      usage.bytes + content.length > this.#limits.bytesPerClient
    ) {
      droppedPackets(this.#metrics, usage === undefined ? 'mailbox-error' : 'mailbox-full').increment()
      return
    }
    usage.messages++
    usage.bytes += content.length
    this.#pending.push({ client, content, accepted })
    if (this.#pending.length >= this.#limits.commitMessages) this.commit()
    else this.#commitTimer ??= this.#clock.setTimer(this.#limits.commitDelayMs, () => this.commit())
  }

  /** Write what waits, now. */
  commit(): void {
    this.#commitTimer?.cancel()
    this.#commitTimer = undefined
    const batch = this.#pending
    if (batch.length === 0) return
    this.#pending = []
    try {
      const now = this.#clock.now()
      this.#transaction(() => {
        for (const { client, content } of batch) this.#insert.run([client, content, now])
      })
    } catch (error) {
      this.#logger.error({ reason: (error as Error).message, messages: batch.length }, 'messages could not be stored')
      droppedPackets(this.#metrics, 'mailbox-error').increment(batch.length)
      for (const { client } of batch) this.#usage.delete(keyOf(client))
      return
    }
    this.#stored.increment(batch.length)
    for (const { accepted } of batch) accepted()
  }

  /** Up to `limit` messages after `afterId`, oldest first. Empty when the disk fails: then they stay for later. */
  page(client: Uint8Array, afterId: number, limit: number): StoredMessage[] {
    this.commit()
    try {
      const rows = this.#select.all([client, afterId, limit]) as { id: number; content: ArrayBuffer }[]
      return rows.map(({ id, content }) => ({ id, content: new Uint8Array(content) }))
    } catch (error) {
      this.#logger.error({ reason: (error as Error).message }, 'stored messages could not be read')
      return []
    }
  }

  /** Delete a client's messages up to and including `id`. */
  deleteUpTo(client: Uint8Array, id: number): void {
    try {
      this.#delete.run([client, id])
    } catch (error) {
      // They will be delivered again: a duplicate is better than a loss.
      this.#logger.error({ reason: (error as Error).message }, 'delivered messages could not be deleted')
    }
    this.#usage.delete(keyOf(client))
  }

  /** Delete everything of a client. */
  forget(client: Uint8Array): void {
    this.commit()
    this.deleteUpTo(client, Number.MAX_SAFE_INTEGER)
  }

  /** Commit what waits and stop the timers; the database is its owner's to close. */
  close(): void {
    this.commit()
    this.#cleaningTimer?.cancel()
  }

  #usageFor(client: Uint8Array): Usage | undefined {
    const key = keyOf(client)
    let usage = this.#usage.get(key)
    if (usage === undefined) {
      try {
        // Pending messages are not in the table: commit them, so that they are counted.
        this.commit()
        usage = { ...(this.#usageOf.get([client]) as Usage) }
      } catch (error) {
        this.#logger.error({ reason: (error as Error).message }, 'the mailbox cannot be read')
        return undefined
      }
      this.#usage.set(key, usage)
    }
    return usage
  }

  #transaction(action: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      action()
      this.#database.exec('COMMIT')
    } catch (error) {
      // After a full disk SQLite may have rolled back by itself; a second time is an error without consequence.
      try {
        this.#database.exec('ROLLBACK')
      } catch {}
      throw error
    }
  }

  #clean(): void {
    try {
      const oldest = this.#clock.now() - this.#limits.maximumAgeMs
      const { changes } = this.#database.prepare('DELETE FROM messages WHERE stored_at < ?').run([oldest]) as {
        changes: number
      }
      if (changes > 0) {
        this.#usage.clear()
        this.#metrics
          .counter('mixwright_mailbox_expired_total', 'Stored messages deleted for their age')
          .increment(changes)
      }
    } catch (error) {
      this.#logger.error({ reason: (error as Error).message }, 'old messages could not be deleted')
    }
    this.#cleaningTimer = this.#clock.setTimer(CLEANING_INTERVAL_MS, () => this.#clean(), { background: true })
  }
}
