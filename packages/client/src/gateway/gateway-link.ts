/**
 * The seam between the client and whatever carries its packets: "send packet, receive packet, closed", without a word of
 * websockets. `websocket-link.ts` implements it for Nym's gateways; a simulated network implements it for tests.
 */
import type { MixError } from '@mixwright/runtime'
import type { MixPacket } from '@mixwright/wire'

/** What a link tells. Nothing is called after `closed`. */
export interface GatewayLinkEvents {
  /** A message or an ack that the gateway pushed, decrypted. May come before `connect` resolves. */
  received(message: Uint8Array): void
  /** The link is gone: once, and also after our own `close()`. */
  closed(reason: MixError): void
}

/** A connection to the gateway over which packets may be sent. */
export interface GatewayLink {
  /** Bytes handed over that the operating system has not taken yet. */
  readonly unsentBytes: number
  /** Hand one packet to the gateway. Never throws; on a closed link it does nothing: `closed` has told. */
  send(packet: MixPacket): void
  /** Ask the gateway for a sign of life; without one within seconds the link closes. Where links do not die silently: absent. */
  probe?(): void
  /** End it; idempotent. What the gateway was about to push may still be `received` before `closed`, which comes soon. */
  close(): void
}

/** Makes links to one gateway, one at a time; registers there when it never did. */
export interface GatewayDoor {
  /** Ed25519 identity of the gateway, base58. */
  readonly gateway: string
  /**
   * Connect and authenticate. Rejects with a `MixError`, or with the signal's reason when aborted; `closed` is not called
   * then, as there was no link.
   */
  connect(events: GatewayLinkEvents, signal?: AbortSignal): Promise<GatewayLink>
}
