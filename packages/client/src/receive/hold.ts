/**
 * Hanging up while more of what comes would only pile up here: because the app does not take its messages, or because the
 * store does not keep up. The gateway keeps it for us meanwhile.
 */
import type { Clock } from '@mixwright/runtime'
import type { Journal } from '../store/journal.js'

/** How soon a failing store is looked at again. */
const STORE_RETRY_MS = 1000

export interface HoldOptions {
  readonly clock: Clock
  readonly journal: Journal
  /** Hang up. */
  readonly onHold: () => void
  /** Connect again. */
  readonly onRelease: () => void
}

export class Hold {
  readonly #options: HoldOptions
  readonly #reasons = new Set<'inbox' | 'store'>()
  #closed = false

  constructor(options: HoldOptions) {
    this.#options = options
  }

  get isHeld(): boolean {
    return this.#reasons.size > 0
  }

  onInboxFull(isFull: boolean): void {
    if (isFull) this.#add('inbox')
    else this.#remove('inbox')
  }

  /** To be called after whatever writes to the journal. */
  onWritten(): void {
    if (this.#options.journal.pressure < 1 || this.#reasons.has('store')) return
    this.#add('store')
    this.#releaseWhenStored()
  }

  close(): void {
    this.#closed = true
  }

  #releaseWhenStored(): void {
    if (this.#closed) return
    const { clock, journal } = this.#options
    journal.flush().then(
      () => this.#remove('store'),
      () => clock.setTimer(STORE_RETRY_MS, () => this.#releaseWhenStored(), { background: true }),
    )
  }

  #add(reason: 'inbox' | 'store'): void {
    if (this.#reasons.add(reason).size === 1) this.#options.onHold()
  }

  #remove(reason: 'inbox' | 'store'): void {
    if (this.#reasons.delete(reason) && !this.isHeld && !this.#closed) this.#options.onRelease()
  }
}
