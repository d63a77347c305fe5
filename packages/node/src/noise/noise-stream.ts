/**
 * One end of a Noise connection as a machine from bytes to bytes (05-mixnode §5.3): handshake, then data messages, which
 * together are one byte stream in each direction. Sockets, deadlines and the frames inside are its owner's. Whatever is
 * wrong with the other side's bytes ends the connection, and nothing is ever said about it.
 */
import {
  encodeNoiseFrame,
  MAX_NOISE_PLAINTEXT_BYTES,
  NOISE_HEADER_BYTES,
  NOISE_TAG_BYTES,
  NoiseFrameDecoder,
  type NoiseFrameError,
  writeNoiseHeader,
} from '@mixwright/wire'
import type { NoiseCiphers, NoiseHandshake, NoiseHandshakeError, NoiseHandshakeStep } from './handshake.js'

export type NoiseError = NoiseFrameError | NoiseHandshakeError | 'noise-decrypt'

/** What is to be done now: bytes to send, the connection to close, or (undefined) nothing. */
export type NoiseOutcome = { readonly reply: Uint8Array } | { readonly error: NoiseError } | undefined

export class NoiseStream {
  /** Until the handshake is done. */
  #handshake: NoiseHandshake | undefined
  #ciphers: NoiseCiphers | undefined
  readonly #decoder = new NoiseFrameDecoder<NoiseError>()

  constructor(handshake: NoiseHandshake) {
    this.#handshake = handshake
  }

  /** Whether the handshake is done: for the initiator with its own last message, which it does not see answered. */
  get established(): boolean {
    return this.#ciphers !== undefined
  }

  /** The initiator's first message; nothing for a responder. */
  start(): NoiseOutcome {
    return this.#take(this.#handshake!.start())
  }

  /**
   * Take the next bytes from the other side, in any chunking; `onPlaintext` gets each non-empty piece of the stream inside,
   * also those before an error. After an error every call gives it again.
   */
  push(chunk: Uint8Array, onPlaintext: (plaintext: Uint8Array) => void): NoiseOutcome {
    let reply: NoiseOutcome
    const error = this.#decoder.push(chunk, (message) => {
      if (this.#handshake !== undefined) {
        const outcome = this.#take(this.#handshake.read(message))
        if (outcome !== undefined && 'error' in outcome) return outcome.error
        reply = outcome
        return undefined
      }
      const plaintext = this.#ciphers?.receive.open(message)
      if (plaintext === undefined) return 'noise-decrypt'
      if (plaintext.length > 0) onPlaintext(plaintext)
      return undefined
    })
    if (error === undefined) return reply
    this.close()
    return { error }
  }

  /**
   * The chunks, one after the other, as data frames in one new array: as few frames as 65 519 bytes of plaintext in each
   * allow, none for nothing. Only once established.
   */
  seal(chunks: readonly Uint8Array[]): Uint8Array {
    const { send } = this.#ciphers!
    let left = 0
    for (const chunk of chunks) left += chunk.length
    const frames = Math.ceil(left / MAX_NOISE_PLAINTEXT_BYTES)
    // Written over from end to end below.
    const out = Buffer.allocUnsafe(left + frames * (NOISE_HEADER_BYTES + NOISE_TAG_BYTES))
    let start = 0
    let index = 0
    let taken = 0
    while (left > 0) {
      const length = Math.min(left, MAX_NOISE_PLAINTEXT_BYTES)
      writeNoiseHeader(out, start, 'data', length + NOISE_TAG_BYTES)
      const body = start + NOISE_HEADER_BYTES
      let filled = 0
      while (filled < length) {
        const chunk = chunks[index]!
        const rest = Math.min(chunk.length - taken, length - filled)
        out.set(rest === chunk.length ? chunk : chunk.subarray(taken, taken + rest), body + filled)
        filled += rest
        taken += rest
        if (taken < chunk.length) break
        index++
        taken = 0
      }
      send.sealInPlace(out, body, length)
      start = body + length + NOISE_TAG_BYTES
      left -= length
    }
    return out
  }

  /** Overwrite the secrets of this connection. What comes or is to be sealed afterwards is an error. */
  close(): void {
    this.#handshake?.wipe()
    this.#handshake = undefined
    this.#ciphers?.send.wipe()
    this.#ciphers?.receive.wipe()
    this.#ciphers = undefined
  }

  #take(step: NoiseHandshakeStep): NoiseOutcome {
    if ('error' in step) {
      this.close()
      return step
    }
    if (step.ciphers !== undefined) {
      this.#handshake = undefined
      this.#ciphers = step.ciphers
      this.#decoder.expected = 'data'
    }
    return step.message && { reply: encodeNoiseFrame('handshake', step.message) }
  }
}
