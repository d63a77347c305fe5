/**
 * Messages that came and wait for the app. Each goes to one reader, in order of arrival, and leaves a persistent store only
 * when the reader asks for the next one. When too many wait, it says so, and the client hangs up: the gateway keeps what
 * comes meanwhile, so that memory is bounded and nothing is lost.
 */
import { concatBytes } from '@mixwright/runtime'
import type { ClientStore } from '../store/client-store.js'
import type { Journal } from '../store/journal.js'

/** At so many messages or bytes it is full; below half of both it is not any more. */
const FULL_MESSAGES = 10_000
const FULL_BYTES = 64 * 1024 ** 2

/** A message as it is kept. */
export interface InboxMessage {
  readonly data: Uint8Array
  /** Base58. */
  readonly senderTag: string | undefined
}

interface Entry extends InboxMessage {
  readonly key: string
}

export class Inbox {
  readonly #journal: Journal
  readonly #onFull: (full: boolean) => void
  #entries: Entry[] = []
  #first = 0
  #bytes = 0
  #nextKey = 0
  #full = false
  #closed = false
  readonly #readers: ((entry: Entry | undefined) => void)[] = []

  constructor(journal: Journal, onFull: (full: boolean) => void) {
    this.#journal = journal
    this.#onFull = onFull
  }

  get messages(): number {
    return this.#entries.length - this.#first
  }

  get bytes(): number {
    return this.#bytes
  }

  /** What an earlier process received and no app took. */
  async restore(store: ClientStore): Promise<void> {
    for (const [key, value] of await store.load('inbox')) {
      this.#nextKey = Math.max(this.#nextKey, (Number.parseInt(key, 36) || 0) + 1)
      const tagBytes = value[0] ?? 0
      const senderTag = tagBytes === 0 ? undefined : new TextDecoder().decode(value.subarray(1, 1 + tagBytes))
      this.#keep({ key, data: value.slice(1 + tagBytes), senderTag })
    }
  }

  /** A message came. */
  add({ data, senderTag }: InboxMessage): void {
    const key = (this.#nextKey++).toString(36).padStart(10, '0')
    const tag = new TextEncoder().encode(senderTag ?? '')
    this.#journal.put('inbox', key, concatBytes(Uint8Array.of(tag.length), tag, data))
    this.#keep({ key, data, senderTag })
  }

  /** One reader; ends when the inbox closes. */
  async *read(): AsyncGenerator<InboxMessage, void, undefined> {
    for (;;) {
      const entry = this.#take() ?? (await this.#next())
      if (entry === undefined) return
      try {
        yield entry
      } finally {
        this.#journal.delete('inbox', entry.key)
      }
    }
  }

  /** Readers end once they have what waits. */
  close(): void {
    this.#closed = true
    for (const reader of this.#readers.splice(0)) reader(undefined)
  }

  #keep(entry: Entry): void {
    const reader = this.#readers.shift()
    if (reader !== undefined) return reader(entry)
    this.#entries.push(entry)
    this.#bytes += entry.data.length
    if (this.#full || (this.messages < FULL_MESSAGES && this.#bytes < FULL_BYTES)) return
    this.#full = true
    this.#onFull(true)
  }

  #take(): Entry | undefined {
    const entry = this.#entries[this.#first]
    if (entry === undefined) return undefined
    this.#entries[this.#first++] = undefined as never
    if (this.#first > 1000 && 2 * this.#first > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first)
      this.#first = 0
    }
    this.#bytes -= entry.data.length
    if (this.#full && this.messages < FULL_MESSAGES / 2 && this.#bytes < FULL_BYTES / 2) {
      this.#full = false
      this.#onFull(false)
    }
    return entry
  }

  #next(): Promise<Entry | undefined> {
    if (this.#closed) return Promise.resolve(undefined)
    return new Promise((resolve) => this.#readers.push(resolve))
  }
}
