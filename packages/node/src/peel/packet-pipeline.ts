/**
 * What a node does with frames (05-mixnode §7, 01-sphinx §8): choose the key, peel, check the role, and at a final hop
 * cut off the SURB-ack. A function from frames to outcomes; sockets, queues and clocks stand around it. All frames that are
 * there are handed in together, since peeling then costs less. The replay check is made with the tags that come out, in one
 * place for all workers (see `ingress.ts`).
 */
import {
  type CryptoProvider,
  finishPeels,
  type OpenedHeader,
  openHeaders,
  type PeelDropReason,
  type PeelOutcome,
} from '@mixwright/sphinx'
import { type Frame, type MixPacket, splitSurbAck, UNKNOWN_ROTATION } from '@mixwright/wire'
import type { SphinxKey, SphinxKeys } from '../keys/sphinx-keys.js'

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
  | PacketDrop

interface PacketDrop {
  readonly kind: 'drop'
  readonly reason: DropReason
}

export class PacketPipeline {
  readonly #crypto: CryptoProvider
  readonly #roles: PacketRoles
  keys: SphinxKeys

  constructor(crypto: CryptoProvider, keys: SphinxKeys, roles: PacketRoles) {
    this.#crypto = crypto
    this.keys = keys
    this.#roles = roles
  }

  /**
   * One outcome per frame, in order. Never throws; the outcome of bad input is a drop with its reason. The outgoing rotation is
   * the incoming one.
   */
  process(frames: readonly Frame[]): PacketOutcome[] {
    const headers = frames.map((): OpenedHeader | PacketDrop => drop('expired-key'))
    const keys: SphinxKey[] = []
    for (const key of this.keys.candidates(UNKNOWN_ROTATION)) {
      const tried = [...frames.keys()].filter(
        (index) => mayHaveAnotherKey(headers[index]!) && this.keys.candidates(frames[index]!.rotation).includes(key),
      )
      const packets = tried.map((index) => frames[index]!.packet)
      for (const [place, header] of openHeaders(this.#crypto, key.secret, packets).entries()) {
        headers[tried[place]!] = header
        keys[tried[place]!] = key
      }
    }
    const opened = headers.filter((header): header is OpenedHeader => header.kind === 'opened')
    const peeled = finishPeels(this.#crypto, opened).values()
    return headers.map((header, index) =>
      header.kind === 'drop' ? header : this.#outcome(frames[index]!, keys[index]!, peeled.next().value!),
    )
  }

  #outcome({ rotation, size }: Frame, { rotationId }: SphinxKey, peeled: PeelOutcome): PacketOutcome {
    if (peeled.kind === 'drop') return peeled
    const { version, replayTag } = peeled
    const identity = { keyRotationId: rotationId, replayTag }
    if (peeled.kind === 'forward') {
      if (!this.#roles.forwardHops) return drop('forward-hop-disabled')
      const mixPacket = { nextHop: peeled.nextHop, rotation, packet: peeled.packet }
      return { kind: 'forward', ...identity, mixPacket, delayNanos: peeled.delayNanos, version }
    }
    if (!this.#roles.finalHops) return drop('final-hop-disabled')
    const { destination, message } = peeled
    if (size.name === 'ack') return { kind: 'final', ...identity, destination, message, ack: undefined, version }
    const split = splitSurbAck(message)
    if (split === undefined) return drop('surb-ack')
    const ack = { nextHop: split.ack.firstHop, rotation, packet: split.ack.packet }
    return { kind: 'final', ...identity, destination, message: split.message, ack, version }
  }
}

/** Not tried yet, or tried with what may be the wrong key. */
function mayHaveAnotherKey(header: OpenedHeader | PacketDrop): boolean {
  return header.kind === 'drop' && (header.reason === 'expired-key' || header.reason === 'header-mac')
}

function drop(reason: DropReason): PacketDrop {
  return { kind: 'drop', reason }
}
