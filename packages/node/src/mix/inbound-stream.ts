/**
 * What one inbound connection says: plain frames, or frames inside Noise, as the policy or the first byte has it
 * (05-mixnode §4.4, §5). From bytes to frames; the socket, the handshake's deadline and the frames' fate are its owner's.
 */
import type { Random } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { type Frame, FrameDecoder, type FrameError } from '@mixwright/wire'
import { NoiseResponder } from '../noise/handshake.js'
import {
  dialectOf,
  type InboundDialect,
  inboundDialect,
  type NoiseMode,
  type NoisePeers,
} from '../noise/noise-policy.js'
import { type NoiseError, NoiseStream } from '../noise/noise-stream.js'

export interface InboundStreamOptions {
  readonly mode: NoiseMode
  readonly peers: NoisePeers
  readonly crypto: CryptoProvider
  readonly random: Random
  /** X25519 key pair of this node's Noise identity, 32 bytes each. */
  readonly noiseSecret: Uint8Array
  readonly noiseKey: Uint8Array
  /** Of the peer, as the socket spells it. */
  readonly remoteIp: string
}

/** What is to be done now: bytes to send back, the connection to close without a word, or (undefined) nothing. */
export type InboundOutcome = { readonly reply: Uint8Array } | { readonly error: NoiseError | FrameError } | undefined

export class InboundStream {
  readonly #options: InboundStreamOptions
  readonly #frames = new FrameDecoder()
  #dialect: InboundDialect
  #noise: NoiseStream | undefined

  constructor(options: InboundStreamOptions) {
    this.#options = options
    this.#dialect = inboundDialect(options.mode, options.peers, options.remoteIp)
  }

  /** False while the peer owes bytes: those of a handshake, or the first one that says which dialect this is. */
  get established(): boolean {
    return this.#dialect === 'plain' || (this.#noise?.established ?? false)
  }

  /**
   * Take the next bytes; `onFrame` gets each frame that is now complete, in order, also those before an error. After an
   * error every call gives it again.
   */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): InboundOutcome {
    if (chunk.length === 0) return undefined
    if (this.#dialect === 'first-byte') this.#dialect = dialectOf(chunk[0]!)
    if (this.#dialect === 'plain') return failure(this.#frames.push(chunk, onFrame))
    // Not before the peer has said something: an ephemeral key costs more than a connection.
    this.#noise ??= this.#responder()
    const outcome = this.#noise.push(chunk, (plaintext) => this.#frames.push(plaintext, onFrame))
    return failure(this.#frames.error) ?? outcome
  }

  /** Overwrite the secrets of this connection, which is over. */
  close(): void {
    this.#noise?.close()
  }

  #responder(): NoiseStream {
    const { crypto, random, noiseSecret, noiseKey } = this.#options
    return new NoiseStream(new NoiseResponder(crypto, random, { secret: noiseSecret, publicKey: noiseKey }))
  }
}

function failure(error: FrameError | undefined): InboundOutcome {
  return error && { error }
}
