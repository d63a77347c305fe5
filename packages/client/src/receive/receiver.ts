/**
 * From what the gateway pushes to messages (04-client §4.10): opened, joined from fragments, parsed, and handed on. Counts
 * everything that ends here.
 */
import type { Clock } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { decodeNymMessage, type Fragment, type FragmentIdentifier, type NymMessage } from '@mixwright/wire'
import type { ClientKeys } from '../client-keys.js'
import type { ClientStore } from '../store/client-store.js'
import type { FinishedSets } from './finished-sets.js'
import type { FragmentJournal } from './fragment-journal.js'
import { openMessage, type TakeReplyKey } from './message-opener.js'
import { Reassembly } from './reassembly.js'

export interface ReceiverOptions {
  readonly clock: Clock
  readonly crypto: CryptoProvider
  readonly keys: ClientKeys
  readonly fragments: FragmentJournal
  readonly finished: FinishedSets
  readonly persistent: boolean
  readonly takeReplyKey: TakeReplyKey
  /** An ack of ours; false when nobody waited for it. */
  readonly onAck: (identifier: FragmentIdentifier) => boolean
  /** `givenTo`: the address that the reply block of its last packet was given to, if it came by one of this run. */
  readonly onMessage: (message: NymMessage, givenTo: string | undefined) => void
}

export class Receiver {
  readonly #options: ReceiverOptions
  readonly #reassembly = new Reassembly()
  acks = 0
  cover = 0
  fragments = 0
  duplicates = 0
  messages = 0
  readonly #dropped = new Map<string, number>()

  constructor(options: ReceiverOptions) {
    this.#options = options
  }

  /** What was dropped, by reason. */
  get dropped(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#dropped)
  }

  /** Take over the unfinished messages of an earlier process, and which it finished. */
  async restore(store: ClientStore): Promise<void> {
    const { fragments, finished } = this.#options
    for (const setId of await finished.restore(store)) this.#reassembly.remember(setId)
    for (const fragment of await fragments.restore(store)) this.#join(fragment, undefined, false)
  }

  /** What the gateway pushed. Never throws. */
  receive(bytes: Uint8Array): void {
    const { crypto, keys, takeReplyKey, onAck } = this.#options
    const opened = openMessage(crypto, keys, takeReplyKey, bytes)
    switch (opened.kind) {
      case 'ack':
        if (onAck(opened.identifier)) this.acks++
        else this.drop('unexpected-ack')
        return
      case 'cover':
        this.cover++
        return
      case 'fragment':
        this.fragments++
        this.#join(opened.fragment, opened.givenTo, true)
        return
      case 'dropped':
        this.drop(opened.reason)
    }
  }

  /** Count something dropped. */
  drop(reason: string): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1)
  }

  #join(fragment: Fragment, givenTo: string | undefined, keep: boolean): void {
    const { clock, fragments, finished, persistent } = this.#options
    const outcome = this.#reassembly.take(fragment, clock.monotonic())
    if (outcome.kind === 'kept' && keep && persistent) fragments.keep(fragment)
    // The set just kept may be among them.
    for (const setId of outcome.evicted) {
      this.drop('evicted-set')
      fragments.forget(setId)
    }
    switch (outcome.kind) {
      case 'kept':
        return
      case 'duplicate':
        this.duplicates++
        return
      case 'inconsistent':
        this.drop('inconsistent-fragment')
        return
      case 'malformed':
        this.drop('malformed-padding')
        break
      case 'complete': {
        // Nobody computes with the identity keys of a peer's address: whether they are points of the curve does not matter.
        const message = decodeNymMessage(outcome.message, () => true)
        if (message === undefined) this.drop('malformed-message')
        else {
          this.messages++
          this.#options.onMessage(message, givenTo)
        }
      }
    }
    for (const setId of outcome.setIds) {
      fragments.forget(setId)
      if (persistent) finished.add(setId)
    }
  }
}
