/**
 * What went over the links of a virtual network, counted beside the nodes, in packets: written = delivered + lost + under way,
 * for each direction between two computers. Nodes cannot know the fate of what a breaking connection held; the links do.
 */
import { PACKET_SIZES } from '@mixwright/sphinx'
import { FrameDecoder, NOISE_HEADER_BYTES, NOISE_TAG_BYTES, NOISE_VERSION } from '@mixwright/wire'
import type { WebSocketMessage } from './memory-websocket.js'
import type { PipeObserver } from './pipe.js'

/** Packets. */
export interface Counts {
  written: number
  delivered: number
  lost: number
}

/** One direction between two computers. */
export interface Flow extends Counts {
  readonly from: string
  readonly to: string
}

export class Traffic<T> {
  readonly #packetsIn: (payload: T) => number
  readonly #flows = new Map<string, Flow>()

  /** `packetsIn` one piece that was written as a whole. */
  constructor(packetsIn: (payload: T) => number) {
    this.#packetsIn = packetsIn
  }

  observe(from: string, to: string): PipeObserver<T> {
    const flow = this.#flow(from, to)
    return {
      written: (payload) => {
        flow.written += this.#packetsIn(payload)
      },
      delivered: (payload) => {
        flow.delivered += this.#packetsIn(payload)
      },
      lost: (payload) => {
        flow.lost += this.#packetsIn(payload)
      },
    }
  }

  /** The sum of all directions that `include`. */
  sum(include: (flow: Flow) => boolean = () => true): Counts {
    const sum = { written: 0, delivered: 0, lost: 0 }
    for (const flow of this.#flows.values()) {
      if (!include(flow)) continue
      sum.written += flow.written
      sum.delivered += flow.delivered
      sum.lost += flow.lost
    }
    return sum
  }

  #flow(from: string, to: string): Flow {
    const key = `${from} ${to}`
    let flow = this.#flows.get(key)
    if (flow === undefined) {
      flow = { from, to, written: 0, delivered: 0, lost: 0 }
      this.#flows.set(key, flow)
    }
    return flow
  }
}

/** Bytes of a frame of version 8 besides its packet. */
const FRAME_HEADER_BYTES = 4
const REGULAR_BYTES = FRAME_HEADER_BYTES + PACKET_SIZES.regular.packetBytes
const ACK_BYTES = FRAME_HEADER_BYTES + PACKET_SIZES.ack.packetBytes
/** Offset of the type of a Noise frame, and its value for data. */
const NOISE_TYPE_AT = 2
const NOISE_DATA = 1

/**
 * Packets in one write of a node to another: plain frames, or one Noise message. Of the latter only the length can be read;
 * the lengths of regular packets and acks have no small common multiple, so it says how many there are.
 */
export function packetsInWrite(bytes: Uint8Array): number {
  if (bytes[0] !== NOISE_VERSION) {
    let packets = 0
    new FrameDecoder().push(bytes, () => packets++)
    return packets
  }
  if (bytes[NOISE_TYPE_AT] !== NOISE_DATA) return 0
  const plaintextBytes = bytes.length - NOISE_HEADER_BYTES - NOISE_TAG_BYTES
  for (let regular = Math.floor(plaintextBytes / REGULAR_BYTES); regular >= 0; regular--) {
    const acks = (plaintextBytes - regular * REGULAR_BYTES) / ACK_BYTES
    if (Number.isInteger(acks)) return regular + acks
  }
  throw new RangeError(`${plaintextBytes} bytes are no sum of packets`)
}

/** Packets, or messages for clients, in one websocket message: every binary message is one. */
export function packetsInMessage({ kind }: WebSocketMessage): number {
  return kind === 'binary' ? 1 : 0
}
