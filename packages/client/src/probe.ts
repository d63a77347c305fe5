/**
 * Sessions with gateways for whoever probes a network (03-directory §18): a client without streams, acks or state, in Node.js.
 */
import type { Clock, Random } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import type { GatewayLink, GatewayLinkEvents } from './gateway/gateway-link.js'
import { openNodeWebSocket } from './gateway/node-websocket.js'
import { WebSocketDoor } from './gateway/websocket-link.js'

export interface ProbeDoorOptions {
  readonly clock: Clock
  readonly random: Random
  readonly crypto: CryptoProvider
}

/** A gateway by its identity (base58) and websocket addresses, and the Ed25519 seed (32 bytes) of the client. */
export interface ProbeDoor {
  readonly identity: string
  readonly urls: readonly string[]
  readonly identitySeed: Uint8Array
}

/**
 * What opens a session: registers at the first time, authenticates later. It rejects with `MIX_GATEWAY_…`, or with the signal's
 * reason.
 */
export function probeDoors({ clock, random, crypto }: ProbeDoorOptions) {
  const doors = new Map<string, WebSocketDoor>()
  return async (
    { identity, urls, identitySeed }: ProbeDoor,
    events: GatewayLinkEvents,
    signal: AbortSignal,
  ): Promise<GatewayLink> => {
    const open = doors.get(identity)
    const door =
      open ??
      new WebSocketDoor({
        gateway: identity,
        urls: () => urls,
        openWebSocket: openNodeWebSocket,
        identitySeed,
        crypto,
        clock,
        random,
        onRegistered: () => doors.set(identity, door),
      })
    return await door.connect(events, signal)
  }
}
