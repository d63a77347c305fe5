/**
 * From the client's messages to the apps (04-client §4.18.6): one after the other, to every app that is attached, and when
 * none is, to the first that comes. A message is taken from the client, and leaves a persistent store, only when the socket
 * of an app has it. Here is who gets what and when; how a message looks in a frame is `conversation.ts`'s business.
 */
import type { ReceivedMessage } from '@mixwright/client'

/** An attached app as the feed sees it. */
export interface FeedApp {
  /** Resolves when messages may be pushed: the form of its frames is known, or was waited for long enough, or it is gone. */
  readonly ready: Promise<void>
  /** Bytes written that the operating system has not taken yet. */
  readonly unsentBytes: number
  /** Resolves with true when the operating system has the bytes, with false when the app went away before. Never rejects. */
  push(message: ReceivedMessage): Promise<boolean>
  /** End it: it holds up nobody any more. */
  dismiss(reason: string): void
}

/** With several apps, the fastest sets the pace, and one that is this many bytes behind it is dismissed. */
const BEHIND_BYTES = 64 * 1024 * 1024

export class MessageFeed {
  readonly #messages: AsyncIterator<ReceivedMessage>
  readonly #apps = new Set<FeedApp>()
  #stopped = false
  #wake = () => {}

  constructor(messages: AsyncIterator<ReceivedMessage>) {
    this.#messages = messages
  }

  attach(app: FeedApp): void {
    this.#apps.add(app)
    this.#wake()
  }

  detach(app: FeedApp): void {
    this.#apps.delete(app)
  }

  /**
   * Feed until the client's messages end or `stop` is called. Nothing is read before the first app comes, so that others may
   * read until then. A message under way at a stop is not taken.
   */
  async run(): Promise<void> {
    if (this.#apps.size === 0) await this.#attachment()
    while (!this.#stopped) {
      const { value, done } = await this.#messages.next()
      if (done || !(await this.#deliver(value))) return
    }
  }

  /** Call it when every app is detached, or on its way to be. */
  stop(): void {
    this.#stopped = true
    this.#wake()
  }

  /** True once an app has the message, false at a stop. */
  async #deliver(message: ReceivedMessage): Promise<boolean> {
    while (!this.#stopped) {
      await Promise.all([...this.#apps].map(({ ready }) => ready))
      const apps = [...this.#apps]
      if (apps.length === 0) await this.#attachment()
      else if (await anyTrue(this.#pushAll(apps, message))) return true
    }
    return false
  }

  #pushAll(apps: readonly FeedApp[], message: ReceivedMessage): Promise<boolean>[] {
    return apps.map(async (app) => {
      if (apps.length > 1 && app.unsentBytes > BEHIND_BYTES) app.dismiss('too slow')
      const came = await app.push(message)
      // Its socket may take a while to close: it must not be tried again meanwhile.
      if (!came) this.detach(app)
      return came
    })
  }

  /** Resolves at the next attachment or stop. */
  async #attachment(): Promise<void> {
    if (this.#stopped) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
  }
}

/** Resolves with true as soon as one does, with false when none did. */
function anyTrue(outcomes: readonly Promise<boolean>[]): Promise<boolean> {
  return new Promise((resolve) => {
    let pending = outcomes.length
    for (const outcome of outcomes) {
      void outcome.then((came) => {
        pending--
        if (came || pending === 0) resolve(came)
      })
    }
  })
}
