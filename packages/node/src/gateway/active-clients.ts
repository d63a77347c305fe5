/**
 * Which clients are connected now: at most one session each (02-gateway §5.3). A newcomer has the old session asked
 * whether it still lives; only a dead one gives way.
 */

import { keyOf } from './store/client-store.js'

/** A client's session, as far as others need it. */
export interface ActiveSession {
  /** It is a part of the node, and no user of it. */
  readonly isInside?: boolean
  /** Drop the connection. */
  terminate(): void
  /** Whether the client still answers. */
  isAlive(): Promise<boolean>
  /** A message for the client; false when the session is over and cannot take it. */
  deliver(message: Uint8Array, accepted: () => void): boolean
}

export class ActiveClients {
  readonly #sessions = new Map<string, ActiveSession>()

  /** Users who are connected. */
  get size(): number {
    return [...this.keys()].length
  }

  /** Of users who are connected, as in maps (`keyOf`). */
  *keys(): Iterable<string> {
    for (const [key, { isInside }] of this.#sessions) if (!isInside) yield key
  }

  find(identity: Uint8Array): ActiveSession | undefined {
    return this.#sessions.get(keyOf(identity))
  }

  /** Enter `session`; a previous one of the same client is dropped. */
  enter(identity: Uint8Array, session: ActiveSession): void {
    const key = keyOf(identity)
    const previous = this.#sessions.get(key)
    this.#sessions.set(key, session)
    if (previous !== undefined && previous !== session) previous.terminate()
  }

  /** Remove the entry, but only if it is still `session`'s: a late goodbye must not take out its successor. */
  leave(identity: Uint8Array, session: ActiveSession): void {
    const key = keyOf(identity)
    if (this.#sessions.get(key) === session) this.#sessions.delete(key)
  }
}
