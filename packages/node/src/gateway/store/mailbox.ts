/**
 * Messages of clients that are away, on disk and in order (02-gateway §9.3). Commits are shared by what arrives within a
 * few milliseconds; a message is accepted, and its ack may leave, only after its commit.
 */
import type { Clock, Counter, Logger, Metrics, Timer } from '@mixwright/runtime'
import { droppedPackets } from '../../mix/packet-metrics.js'
import { keyOf } from './client-store.js'
import type { GatewayDatabase } from './gateway-database.js'

export interface MailboxLimits {
  /** @default 10000 */
  readonly messagesPerClient: number
  /** @default 67108864 */
  readonly bytesPerClient: number
  /** Messages older than this are not delivered, and deleted, milliseconds. @default 86400000 */
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

/** Between two searches for old messages, milliseconds. */
const CLEANING_INTERVAL_MS = 60_000
/** Old messages deleted in one turn of the event loop, some milliseconds' worth; and the wait before the next. */
const CLEANING_MESSAGES = 100
const CLEANING_PAUSE_MS = 5

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
  readonly #database: GatewayDatabase
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #metrics: Metrics
  readonly #limits: MailboxLimits
  readonly #insert
  readonly #select
  readonly #delete
  readonly #usageOf
  readonly #deleteOld
  readonly #stored: Counter
  readonly #expired: Counter
  #pending: PendingMessage[] = []
  #commitTimer: Timer | undefined
  #cleaningTimer: Timer | undefined
  /** Since the disk failed and until it takes something again: so that one fault is told once. */
  #failing = false
  /** Of clients with a message stored or asked for since the start. Forgotten when a mailbox is empty. */
  readonly #usage = new Map<string, Usage>()

  constructor(
    database: GatewayDatabase,
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
    this.#select = database.prepare(
      'SELECT id, content FROM messages WHERE client = ? AND id > ? AND stored_at >= ? ORDER BY id LIMIT ?',
    )
    this.#delete = database.prepare(
      'DELETE FROM messages WHERE client = ? AND id <= ? RETURNING length(content) AS bytes',
    )
    this.#usageOf = database.prepare(
      'SELECT count(*) AS messages, coalesce(sum(length(content)), 0) AS bytes FROM messages WHERE client = ?',
    )
    this.#deleteOld = database.prepare(
      `DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE stored_at < ? LIMIT ${CLEANING_MESSAGES})
       RETURNING client, length(content) AS bytes`,
    )
    this.#stored = metrics.counter(
      'nym_node_mixnet_egress_stored_on_disk_final_hop_packets',
      'Messages stored for clients that were away',
    )
    this.#expired = metrics.counter('mixwright_mailbox_expired_total', 'Stored messages that ended for their age')
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
      this.#database.transaction(() => {
        for (const { client, content } of batch) this.#insert.run([client, content, now])
      })
    } catch (error) {
      this.#fail(error, 'messages could not be stored')
      droppedPackets(this.#metrics, 'mailbox-error').increment(batch.length)
      for (const { client } of batch) this.#usage.delete(keyOf(client))
      return
    }
    if (this.#failing) this.#logger.info({}, 'messages can be stored again')
    this.#failing = false
    this.#stored.increment(batch.length)
    for (const { accepted } of batch) accepted()
  }

  /** Up to `limit` messages after `afterId`, oldest first, none past its age. Empty when the disk fails: then they stay for later. */
  page(client: Uint8Array, afterId: number, limit: number): StoredMessage[] {
    this.commit()
    try {
      const rows = this.#select.all([client, afterId, this.#oldest(), limit]) as { id: number; content: ArrayBuffer }[]
      return rows.map(({ id, content }) => ({ id, content: new Uint8Array(content) }))
    } catch (error) {
      this.#fail(error, 'stored messages could not be read')
      return []
    }
  }

  /** Delete a client's messages up to and including `id`, of which `delivered` were delivered. */
  deleteUpTo(client: Uint8Array, id: number, delivered: number): void {
    try {
      let rows: { bytes: number }[] = []
      this.#database.transaction(() => {
        rows = this.#delete.all([client, id]) as { bytes: number }[]
      })
      for (const { bytes } of rows) this.#lighten(keyOf(client), bytes)
      this.#expired.increment(Math.max(0, rows.length - delivered))
    } catch (error) {
      // They will be delivered again: a duplicate is better than a loss.
      this.#fail(error, 'delivered messages could not be deleted')
    }
  }

  /** Delete everything of a client. Throws when the disk fails. */
  forget(client: Uint8Array): void {
    this.commit()
    this.#database.transaction(() => this.#delete.all([client, Number.MAX_SAFE_INTEGER]))
    this.#usage.delete(keyOf(client))
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
        this.#fail(error, 'the mailbox cannot be read')
        return undefined
      }
      this.#usage.set(key, usage)
    }
    return usage
  }

  /** When the oldest message that still counts was stored. */
  #oldest(): number {
    return this.#clock.now() - this.#limits.maximumAgeMs
  }

  /** Delete old messages, a few at a time: also with millions of them nobody waits for long. */
  #clean(): void {
    let rows: { client: ArrayBuffer; bytes: number }[] = []
    try {
      this.#database.transaction(() => {
        rows = this.#deleteOld.all([this.#oldest()]) as typeof rows
      })
      for (const { client, bytes } of rows) this.#lighten(keyOf(new Uint8Array(client)), bytes)
      this.#expired.increment(rows.length)
      this.#failing = false
    } catch (error) {
      rows = []
      this.#fail(error, 'old messages could not be deleted')
    }
    const pause = rows.length === CLEANING_MESSAGES ? CLEANING_PAUSE_MS : CLEANING_INTERVAL_MS
    this.#cleaningTimer = this.#clock.setTimer(pause, () => this.#clean(), { background: true })
  }

  #lighten(key: string, bytes: number): void {
    const usage = this.#usage.get(key)
    if (usage === undefined) return
    usage.messages--
    usage.bytes -= bytes
    if (usage.messages <= 0) this.#usage.delete(key)
  }

  #fail(error: unknown, what: string): void {
    if (!this.#failing) this.#logger.error({ reason: (error as Error).message }, what)
    this.#failing = true
  }
}
