/** Listeners of a client's events. What a listener throws is logged and harms neither the client nor its neighbours. */
import type { Logger } from '@mixwright/runtime'
import type { ClientEvents } from './api.js'

type Listener<E extends keyof ClientEvents> = (detail: ClientEvents[E]) => void

export class Emitter {
  readonly #logger: Logger
  readonly #listeners = new Map<keyof ClientEvents, Set<Listener<never>>>()

  constructor(logger: Logger) {
    this.#logger = logger
  }

  on<E extends keyof ClientEvents>(event: E, listener: Listener<E>): () => void {
    const listeners = this.#listeners.get(event) ?? new Set()
    this.#listeners.set(event, listeners)
    listeners.add(listener as Listener<never>)
    return () => void listeners.delete(listener as Listener<never>)
  }

  emit<E extends keyof ClientEvents>(event: E, detail: ClientEvents[E]): void {
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        ;(listener as Listener<E>)(detail)
      } catch (error) {
        this.#logger.error({ event, reason: String(error) }, 'a listener threw')
      }
    }
  }
}
