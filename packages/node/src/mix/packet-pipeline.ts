/**
 * What a node does with one frame (05-mixnode §7, 01-sphinx §8): choose the key, peel, check the role, and at a final
 * hop cut off the SURB-ack. A function from frame to outcome; sockets, queues and clocks stand around it. The replay check
 * is made with the tag that comes out, in one place for all workers (see `ingress.ts`).
 */
import { type CryptoProvider, finishPeel, openHeader, type PeelDropReason } from '@mixwright/sphinx'
import { type Frame, type MixPacket, splitSurbAck } from '@mixwright/wire'
import type { SphinxKeys } from './sphinx-keys.js'

/** What the replay check needs: the key that opened the packet, and the tag, 32 bytes. */
export interface ReplayIdentity {
  readonly keyRotationId: number
  readonly replayTag: Uint8Array
}

/** Which packets a node may process (05-mixnode §2): a mix node never delivers, a gateway is never a middle hop. */
export interface PacketRoles {
  readonly forwardHops: boolean
  readonly finalHops: boolean
}

export type DropReason = PeelDropReason | 'expired-key' | 'forward-hop-disabled' | 'final-hop-disabled' | 'surb-ack'

export type PacketOutcome =
  | (ReplayIdentity & {
      readonly kind: 'forward'
      readonly mixPacket: MixPacket
      readonly delayNanos: bigint
      readonly version: number
    })
  | (ReplayIdentity & {
      readonly kind: 'final'
      /** Ed25519 identity of the recipient, 32 bytes. */
      readonly destination: Uint8Array
      readonly message: Uint8Array
      /** To be sent without delay once the message is safe; an ack-size packet carries none. */
      readonly ack: MixPacket | undefined
      readonly version: number
    })
  | { readonly kind: 'drop'; readonly reason: DropReason }

export class PacketPipeline {
  readonly #crypto: CryptoProvider
  readonly #roles: PacketRoles
  keys: SphinxKeys

  constructor(crypto: CryptoProvider, keys: SphinxKeys, roles: PacketRoles) {
    this.#crypto = crypto
    this.keys = keys
    this.#roles = roles
  }

  /** Never throws; the outcome of bad input is a drop with its reason. The outgoing rotation is the incoming one. */
  process(frame: Frame): PacketOutcome {
    let failure: DropReason = 'expired-key'
    for (const key of this.keys.candidates(frame.rotation)) {
      const opened = openHeader(this.#crypto, key.secret, frame.packet)
      if (opened.kind === 'drop') {
        failure = opened.reason
        if (opened.reason === 'header-mac') continue
        break
      }
      const peeled = finishPeel(this.#crypto, opened)
      if (peeled.kind === 'drop') return peeled
      const identity = { keyRotationId: key.rotationId, replayTag: peeled.replayTag }
      if (peeled.kind === 'forward') {
        if (!this.#roles.forwardHops) return drop('forward-hop-disabled')
        const mixPacket = { nextHop: peeled.nextHop, rotation: frame.rotation, packet: peeled.packet }
        return { kind: 'forward', ...identity, mixPacket, delayNanos: peeled.delayNanos, version: peeled.version }
      }
      if (!this.#roles.finalHops) return drop('final-hop-disabled')
      const { destination, version } = peeled
      if (frame.size.name === 'ack')
        return { kind: 'final', ...identity, destination, message: peeled.message, ack: undefined, version }
      const split = splitSurbAck(peeled.message)
      if (split === undefined) return drop('surb-ack')
      const ack = { nextHop: split.ack.firstHop, rotation: frame.rotation, packet: split.ack.packet }
      return { kind: 'final', ...identity, destination, message: split.message, ack, version }
    }
    return drop(failure)
  }
}

function drop(reason: DropReason): PacketOutcome {
  return { kind: 'drop', reason }
}
