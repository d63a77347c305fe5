/**
 * Messages that came and wait for the app. Each goes to one reader, in order of arrival, and leaves a persistent store only
 * when the reader asks for the next one. When too many wait, it says so, and the client hangs up: the gateway keeps what
 * comes meanwhile, so that memory is bounded and nothing is lost.
 */
import { concatBytes } from '@mixwright/runtime'
import { Fifo } from '../fifo.js'
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

export interface InboxOptions {
  readonly journal: Journal
  /** Whether what no reader took is there at the next start. */
  readonly persistent: boolean
  readonly onFull: (full: boolean) => void
}

/** Who asked for a message when there was none: told of the next one, or that none comes any more. */
type Asker = (entry: Entry | undefined) => void

export class Inbox {
  readonly #options: InboxOptions
  readonly #entries = new Fifo<Entry>()
  #bytes = 0
  #nextKey = 0
  #full = false
  #closed = false
  /** First come, first served. */
  readonly #askers = new Set<Asker>()

  constructor(options: InboxOptions) {
    this.#options = options
  }

  get messages(): number {
    return this.#entries.size
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
    this.#options.journal.put('inbox', key, concatBytes(Uint8Array.of(tag.length), tag, data))
    this.#keep({ key, data, senderTag })
  }

  /**
   * One reader, which gets what `present` makes of each message. It ends when it returns, with all that it still asks for,
   * and when the inbox closes. Not an async generator: there, a `return` waits for the next message, and swallows it.
   */
  read<T>(present: (message: InboxMessage) => T): AsyncIterableIterator<T> {
    const asking = new Set<Asker>()
    /** Given to the reader, which has not asked for another since. */
    let given: Entry[] = []
    let hasReturned = false
    const taken = () => {
      for (const { key } of given) this.#options.journal.delete('inbox', key)
      given = []
    }
    const answer = (entry: Entry | undefined): IteratorResult<T> => {
      if (entry === undefined) return { done: true, value: undefined }
      given.push(entry)
      return { done: false, value: present(entry) }
    }
    const reader: AsyncIterableIterator<T> = {
      next: async () => {
        taken()
        const entry = hasReturned ? undefined : this.#take()
        if (entry !== undefined || hasReturned || this.#closed) return answer(entry)
        return new Promise((resolve) => {
          const asker = (entry: Entry | undefined) => {
            asking.delete(asker)
            resolve(answer(entry))
          }
          asking.add(asker)
          this.#askers.add(asker)
        })
      },
      return: async () => {
        taken()
        hasReturned = true
        for (const asker of [...asking]) {
          this.#askers.delete(asker)
          asker(undefined)
        }
        return answer(undefined)
      },
      [Symbol.asyncIterator]: () => reader,
    }
    return reader
  }

  /** Readers end: at once where what waits is there at the next start, else when they have it. */
  close(): void {
    this.#closed = true
    if (this.#options.persistent) {
      this.#entries.drain()
      this.#bytes = 0
    }
    for (const asker of this.#askers) asker(undefined)
    this.#askers.clear()
  }

  #keep(entry: Entry): void {
    for (const asker of this.#askers) {
      this.#askers.delete(asker)
      return asker(entry)
    }
    this.#entries.push(entry)
    this.#bytes += entry.data.length
    if (this.#full || (this.messages < FULL_MESSAGES && this.#bytes < FULL_BYTES)) return
    this.#full = true
    this.#options.onFull(true)
  }

  #take(): Entry | undefined {
    const entry = this.#entries.shift()
    if (entry === undefined) return undefined
    this.#bytes -= entry.data.length
    if (this.#full && this.messages < FULL_MESSAGES / 2 && this.#bytes < FULL_BYTES / 2) {
      this.#full = false
      this.#options.onFull(false)
    }
    return entry
  }
}
