/**
 * The generator's two ends: connections to the node under test, and the sink that the node's packets come out to. Frames in
 * plain TCP or inside Noise, as another node would write and read them (05-mixnode §4, §5).
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { NoiseInitiator, NoiseResponder, NoiseStream } from '@mixwright/node'
import { type Random, SystemRandom } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { FrameDecoder } from '@mixwright/wire'
import { HOST, keyPair, SINK_PORT } from './fixed-keys.js'
import { FRAME_BYTES } from './packet-pool.js'

/** Frames that a peer queues for us before it drops them, as official nodes do (05-mixnode §6.2). */
const PEER_QUEUE_FRAMES = 2000

/** Noise data messages of at most this many frames each. */
const FRAMES_PER_MESSAGE = 27

const random: Random = new SystemRandom()

/** One connection to the node, as a peer keeps it. */
export class Sender {
  readonly #socket: Socket
  readonly #noise: NoiseStream | undefined

  private constructor(socket: Socket, noise: NoiseStream | undefined) {
    this.#socket = socket
    this.#noise = noise
  }

  /** Connect to the node, and shake hands if `noise` is on. */
  static async open(crypto: CryptoProvider, port: number, noise: boolean): Promise<Sender> {
    const socket = connect({ host: HOST, port, noDelay: true })
    await once(socket, 'connect')
    socket.on('error', () => {})
    if (!noise) return new Sender(socket, undefined)
    const own = keyPair(crypto, 'generator-noise')
    const stream = new NoiseStream(new NoiseInitiator(crypto, random, own, keyPair(crypto, 'node-noise').publicKey))
    send(socket, stream.start())
    const [answer] = (await once(socket, 'data')) as [Buffer]
    send(
      socket,
      stream.push(answer, () => {}),
    )
    if (!stream.established) throw new Error('the handshake with the node failed')
    return new Sender(socket, stream)
  }

  /** Frames for which a peer has room in its queue. */
  get room(): number {
    return PEER_QUEUE_FRAMES - Math.floor(this.#socket.writableLength / FRAME_BYTES)
  }

  write(frames: readonly Uint8Array[]): void {
    this.#socket.cork()
    if (this.#noise === undefined) for (const frame of frames) this.#socket.write(frame)
    else
      for (let at = 0; at < frames.length; at += FRAMES_PER_MESSAGE)
        this.#socket.write(this.#noise.seal(frames.slice(at, at + FRAMES_PER_MESSAGE)))
    this.#socket.uncork()
  }
}

export interface SinkEvents {
  packet(packet: Uint8Array): void
  /** All packets of what was just read have been handed over. */
  read(): void
}

/** Listen as the next hop of all packets. */
export async function openSink(crypto: CryptoProvider, noise: boolean, { packet, read }: SinkEvents): Promise<void> {
  const own = keyPair(crypto, 'generator-noise')
  const server = createServer({ noDelay: true }, (socket) => {
    const frames = new FrameDecoder()
    const stream = noise ? new NoiseStream(new NoiseResponder(crypto, random, own)) : undefined
    const plain = (chunk: Uint8Array) => {
      if (frames.push(chunk, (frame) => packet(frame.packet)) !== undefined) throw new Error('the node wrote no frames')
    }
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      if (stream) send(socket, stream.push(chunk, plain))
      else plain(chunk)
      read()
    })
  })
  server.listen({ host: HOST, port: SINK_PORT })
  await once(server, 'listening')
}

function send(socket: Socket, outcome: ReturnType<NoiseStream['push']>): void {
  if (outcome === undefined) return
  if ('error' in outcome) throw new Error(`Noise with the node failed: ${outcome.error}`)
  socket.write(outcome.reply)
}
