/**
 * A client inside the node (06-service-providers §9): it needs no websocket and no handshake, since the node itself vouches for
 * it. Its packets go straight to the mix network; what comes for it goes straight to it, or to its mailbox while it is away. Its
 * shape is that of a door as `@mixwright/client` takes one, of which this package knows nothing.
 */
import { type Counter, MixError } from '@mixwright/runtime'
import { encodeBase58, type MixPacket } from '@mixwright/wire'
import type { ActiveSession } from './active-clients.js'
import { messagesDrained, messagesPushed } from './client-delivery.js'
import type { GatewayServices } from './gateway-services.js'

/** What a link tells the client. */
export interface LocalLinkEvents {
  received(message: Uint8Array): void
  /** Once, also after its own `close()`. */
  closed(reason: MixError): void
}

/** What the client does with it. */
export interface LocalLink {
  readonly unsentBytes: number
  send(packet: MixPacket): void
  close(): void
}

export interface LocalDoorOptions {
  readonly services: GatewayServices
  /** Ed25519 identity of the client, 32 bytes. */
  readonly identity: Uint8Array
  /** Ed25519 identity of the gateway, base58. */
  readonly gateway: string
  /** Bytes that wait for other nodes. */
  readonly unsentBytes: () => number
}

/** Messages read from the mailbox at once. */
const PAGE_MESSAGES = 100
/** Of the key that a client without a websocket is registered with. */
const SHARED_KEY_BYTES = 32

/** For as long as the gateway runs, nobody else connects as this client. */
export class LocalDoor implements ActiveSession {
  readonly gateway: string
  readonly isInside = true
  readonly #options: LocalDoorOptions
  readonly #pushed: Counter
  readonly #drained: Counter
  #link: LocalLinkEvents | undefined

  constructor(options: LocalDoorOptions) {
    const { services, identity, gateway } = options
    this.gateway = gateway
    this.#options = options
    this.#pushed = messagesPushed(services.metrics)
    this.#drained = messagesDrained(services.metrics)
    this.#register()
    services.active.enter(identity, this)
  }

  /** Connect; what waits in the mailbox follows at once. Error: `MIX_OPTIONS` while there is a link already. */
  async connect(events: LocalLinkEvents, signal?: AbortSignal): Promise<LocalLink> {
    signal?.throwIfAborted()
    if (this.#link !== undefined) {
      const identity = encodeBase58(this.#options.identity)
      throw new MixError('MIX_OPTIONS', `The client ${identity} is connected already.`, { kind: 'usage' })
    }
    const { services, identity, unsentBytes } = this.#options
    // Who was about to register when the door was made may have come in between.
    services.active.enter(identity, this)
    this.#link = events
    // After the caller knows that it is connected.
    queueMicrotask(() => this.#drain(events))
    return {
      get unsentBytes() {
        return unsentBytes()
      },
      send: (packet) => {
        if (this.#link !== events) return
        services.forwarded.increment()
        services.forward(packet)
      },
      close: () => this.#end(events),
    }
  }

  deliver(message: Uint8Array, accepted: () => void): boolean {
    const { services, identity } = this.#options
    if (this.#link === undefined) services.mailbox.store(identity, message, accepted)
    else {
      this.#link.received(message)
      this.#pushed.increment()
      accepted()
    }
    return true
  }

  /** Nobody takes the client's place. */
  isAlive(): Promise<boolean> {
    return Promise.resolve(true)
  }

  terminate(): void {
    if (this.#link) this.#end(this.#link)
  }

  /** The gateway stops. */
  close(): void {
    this.terminate()
    this.#options.services.active.leave(this.#options.identity, this)
  }

  /** So that it has a mailbox also after a restart of the node, before this door is made again. Nobody knows the key. */
  #register(): void {
    const { services, identity } = this.#options
    const { clients, random, logger } = services
    try {
      if (!clients.has(identity)) clients.register(identity, random.bytes(SHARED_KEY_BYTES))
    } catch (error) {
      // It goes without: what comes during a restart is then dropped, and sent again.
      logger.error({ reason: (error as Error).message }, 'a client inside the node could not be registered')
    }
  }

  #end(events: LocalLinkEvents): void {
    if (this.#link !== events) return
    this.#link = undefined
    const reason = new MixError('MIX_GATEWAY_CLOSED', 'The connection to the gateway ended.', {
      kind: 'network',
      retry: true,
    })
    queueMicrotask(() => events.closed(reason))
  }

  /** A page in each turn of the event loop. */
  #drain(events: LocalLinkEvents, afterId = 0): void {
    if (this.#link !== events) return
    const { services, identity } = this.#options
    const page = services.mailbox.page(identity, afterId, PAGE_MESSAGES)
    const last = page.at(-1)
    if (last === undefined) return
    for (const { content } of page) events.received(content)
    services.mailbox.deleteUpTo(identity, last.id, page.length)
    this.#drained.increment(page.length)
    setImmediate(() => this.#drain(events, last.id))
  }
}
